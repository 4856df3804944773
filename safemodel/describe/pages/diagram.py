"""How a model is composed, as a tree of bounded size."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from safemodel.describe.pages.bounds import STEP_DEPTH_MAX, Bounds
from safemodel.describe.pages.page import Step
from safemodel.describe.pages.untrusted import list_of, text_of

# What gives each of its steps the same input, or a part of it.
_BESIDE: Final = (
    "Union",
    "ColumnTransformer",
    "VotingClassifier",
    "VotingRegressor",
    "StackingClassifier",
    "StackingRegressor",
)


def diagram_of(model: Mapping[str, Any], name: str, bounds: Bounds) -> Step:
    """Return the tree.

    Args:
        model: with `class` and `steps`.
        name: of the whole.
        bounds: of texts.
    """
    return _step({**model, "name": name}, bounds, STEP_DEPTH_MAX, iter(range(bounds.steps)))


def _step(value: object, bounds: Bounds, depth: int, budget: Iterator[int]) -> Step:
    if not isinstance(value, Mapping):
        return Step("", bounds.text_of(text_of(value)))
    kind = bounds.text_of(text_of(value.get("class", "of unknown class")))
    steps = list_of(value.get("steps"))
    shown = [_step(step, bounds, depth - 1, budget) for step, _ in zip(steps if depth else (), budget, strict=False)]
    return Step(
        bounds.text_of(text_of(value.get("name", ""))),
        kind,
        _columns(value.get("columns"), bounds),
        tuple(shown),
        kind.endswith(_BESIDE),
        len(steps) - len(shown),
    )


def _columns(value: object, bounds: Bounds) -> str:
    columns = list_of(value)
    return bounds.text_of(", ".join(map(text_of, columns))) if columns else ""
