"""What can be drawn of the metrics: scores on a scale of 0 to 1, curves, a confusion matrix."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from safemodel.describe.pages.bounds import CURVE_POINTS_MAX, CURVES_MAX, MATRIX_MAX, Bounds
from safemodel.describe.pages.page import Bar, Bars, Block, Curve, Matrix, Prose
from safemodel.describe.pages.untrusted import (
    Number,
    distinct,
    figure_of,
    flat,
    list_of,
    map_of,
    number_of,
    numbers_of,
    text_of,
)

_MATRIX: Final = "confusion_matrix"
_AXES: Final = (("fpr", "tpr"), ("recall", "precision"))  # what is drawn over what


def plots_of(metrics: Mapping[str, Any], classes: object, bounds: Bounds) -> Iterator[Block]:
    """Yield what shows some metrics, each of them once.

    Args:
        metrics: names with numbers, with lists of numbers, or with maps of them; a `confusion_matrix`.
        classes: of the model, which name the rows of the matrix where nothing else does.
        bounds: how much is shown.
    """
    if scores := scores_of(metrics):
        shown, left_out = bounds.first(scores.items())
        bars = tuple(Bar(bounds.text_of(name), figure_of(value), share_of(value)) for name, value in shown)
        yield Bars("Metric", "on a scale of 0 to 1", bars, left_out)
    curves = list(_curves(metrics, bounds))
    yield from curves[:CURVES_MAX]
    if len(curves) > CURVES_MAX:
        yield Prose(f"{len(curves) - CURVES_MAX} more curves are left out.")
    matrix = _matrix(metrics, classes, bounds)
    yield from matrix
    yield from bounds.facts(list(_others(metrics, bool(matrix))))


def scores_of(metrics: Mapping[str, Any]) -> dict[str, Number]:
    """Return the metrics that are one number, by their dotted names."""
    found = ((name, number_of(value)) for name, value in flat(metrics))
    return distinct((name, value) for name, value in found if value is not None)


def share_of(value: Number) -> float | None:
    """Return where a score is on a scale of 0 to 1, or None where it is not on it."""
    return float(value) if 0 <= value <= 1 else None


def _others(metrics: Mapping[str, Any], matrix: bool) -> Iterator[tuple[str, str]]:
    drawn = {_MATRIX, "labels"} if matrix else set()
    for name, value in flat(metrics):
        if number_of(value) is None and len(numbers_of(value)) < 2 and name.partition(".")[0] not in drawn:
            yield name, text_of(value)


def _curves(metrics: Mapping[str, Any], bounds: Bounds, prefix: str = "") -> Iterator[Curve]:
    for name, value in metrics.items():
        title = f"{prefix}{name}"
        if name == _MATRIX and not prefix:
            continue
        if isinstance(value, Mapping):
            over = next((axes for axes in _AXES if all(numbers_of(value.get(axis)) for axis in axes)), None)
            if over:
                across, upwards = (numbers_of(value[axis]) for axis in over)
                yield from _curve(title, across, upwards, bounds, over)
            else:
                yield from _curves(value, bounds, f"{title}.")
        elif numbers := numbers_of(value):
            yield from _curve(title, range(1, len(numbers) + 1), numbers, bounds, ("position", "value"))


def _curve(
    title: str, across: Sequence[Number], upwards: Sequence[Number], bounds: Bounds, names: tuple[str, str]
) -> Iterator[Curve]:
    """Yield a curve, unless it is a single point or its numbers have no distance that a float can hold."""
    if len(across) != len(upwards) or len(across) < 2:
        return
    step = -(-len(across) // CURVE_POINTS_MAX)
    xs, ys = _shares(across), _shares(upwards)
    if xs and ys:
        points = [*zip(xs[::step], ys[::step], strict=True), (xs[-1], ys[-1])]
        x, y = (_range(name, numbers) for name, numbers in zip(names, (across, upwards), strict=True))
        yield Curve(bounds.text_of(title), tuple(points), x, y)


def _shares(numbers: Sequence[Number]) -> list[float]:
    low, span = min(numbers), float(max(numbers)) - float(min(numbers))
    if not math.isfinite(span):
        return []
    return [(float(number) - float(low)) / span if span else 0.5 for number in numbers]


def _range(name: str, numbers: Sequence[Number]) -> str:
    return f"{name}, {figure_of(min(numbers))} to {figure_of(max(numbers))}"


def _matrix(metrics: Mapping[str, Any], classes: object, bounds: Bounds) -> tuple[Matrix, ...]:
    given = metrics.get(_MATRIX)
    within = map_of(given)
    rows = [numbers_of(row) for row in list_of(within.get("matrix", given))]
    size = len(rows)
    if not 0 < size <= MATRIX_MAX or any(len(row) != size for row in rows):
        return ()
    named = (list_of(labels) for labels in (within.get("labels"), metrics.get("labels"), classes))
    labels = next((found for found in named if len(found) == size), list(range(size)))
    highest = max(1e-300, *(float(cell) for row in rows for cell in row), 0.0)
    return (
        Matrix(
            tuple(bounds.text_of(text_of(label)) for label in labels),
            tuple(tuple(figure_of(cell) for cell in row) for row in rows),
            tuple(tuple(max(0.0, float(cell) / highest) for cell in row) for row in rows),
        ),
    )
