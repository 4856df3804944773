"""What a method gives now against what it gave then, number by number (docs/spec.md, section "Reproducing")."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from safemodel.trust.reproduction import ChangedLabel, Difference

if TYPE_CHECKING:
    from safemodel.describe.example.arrays import Array

SMALL: Final = 1e-3  # of the largest number of an output: below it, a number's error is judged as if it were that large
_CHANGED_MAX: Final = 10
_TEXT_MAX: Final = 100  # characters of a label, or of what an output is


def compare(method: str, then: Any, now: Any, tolerance: float) -> Difference:
    """Compare two outputs of a method.

    Args:
        method: its name.
        then: an array, sparse matrix, data frame or series, or a list of such, one for each output.
        now: anything.
        tolerance: the largest relative difference of floating-point numbers that counts as the same.
    """
    rows = rows_of(then)
    if (expected := form(then)) != (found := form(now)):
        return Difference(method, rows, rows, reason=f"gives {_short(found)}, expected {_short(expected)}")
    total = _Found()
    for part, other, numbers in _pairs(then, now):
        if _is_inexact(part, other):
            total.compare_numbers(part, other, numbers, tolerance)
        else:
            total.compare_exactly(_items(part), _items(other), numbers.tolist())
    return total.difference(method, rows)


def form(value: Any) -> str:
    """Return what kind of output it is and of which shape, as far as two outputs must have it in common."""
    if isinstance(value, list):
        return f"{len(value)} outputs ({', '.join(map(form, value))})"
    if _is_frame(value):
        return f"a data frame of shape {value.shape} with columns {', '.join(map(repr, value.columns))}"
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple):
        return f"a {type(value).__name__}"
    sparse = "a sparse matrix" if hasattr(value, "tocsr") else "values"
    return f"{sparse} of shape {tuple(map(int, shape))}"


def rows_of(value: Any) -> int:
    """Return the number of rows of an output."""
    first = value[0] if isinstance(value, list) and value else value
    return int(first.shape[0]) if getattr(first, "shape", ()) else 1


@dataclass(slots=True)
class _Found:
    """What was found so far in the parts of an output."""

    absolute: float | None = None
    relative: float | None = None
    changed: tuple[ChangedLabel, ...] = ()
    rows: frozenset[int] = frozenset()

    def compare_numbers(self, then: "Array", now: "Array", rows: "Array", tolerance: float) -> None:
        import numpy as np

        kind = np.complex128 if "c" in (then.dtype.kind, now.dtype.kind) else np.float64
        then, now = then.astype(kind), now.astype(kind)
        finite = np.isfinite(then) & np.isfinite(now)
        with np.errstate(all="ignore"):
            same = (then == now) | (np.isnan(then) & np.isnan(now))
            absolute = np.where(same, 0.0, np.where(finite, abs(then - now), np.inf))
            magnitude = abs(then[np.isfinite(then)]).max(initial=0.0)
            relative = np.where(same, 0.0, absolute / np.maximum(np.where(finite, abs(then), 1.0), SMALL * magnitude))
        self.absolute = max(self.absolute or 0.0, float(absolute.max(initial=0.0)))
        self.relative = max(self.relative or 0.0, float(relative.max(initial=0.0)))
        self.rows |= set(rows[~(relative <= tolerance)].tolist())

    def compare_exactly(self, then: list[Any], now: list[Any], rows: list[int]) -> None:
        other = [(row, a, b) for row, a, b in zip(rows, then, now, strict=True) if a != b and not (a != a and b != b)]
        labels = tuple(ChangedLabel(row, _label(a), _label(b)) for row, a, b in other[:_CHANGED_MAX])
        self.changed = (self.changed + labels)[:_CHANGED_MAX]
        self.rows |= {row for row, _, _ in other}

    def difference(self, method: str, rows: int) -> Difference:
        return Difference(method, rows, len(self.rows), self.absolute, self.relative, self.changed)


def _pairs(then: Any, now: Any) -> Iterator[tuple["Array", "Array", "Array"]]:
    """Yield the values of both that stand in the same places, as flat arrays, and the rows that they are in."""
    import numpy as np

    if isinstance(then, list):
        for part, other in zip(then, now, strict=True):
            yield from _pairs(part, other)
    elif hasattr(then, "tocsr"):
        yield _stored_values(then, now)
    elif _is_frame(then):
        for position in range(then.shape[1]):
            yield from _pairs(then.iloc[:, position], now.iloc[:, position])
    else:
        part, other = _values(then), _values(now)
        length = part.shape[0] if part.ndim else 1
        yield part.ravel(), other.ravel(), np.arange(part.size) // max(part.size // max(length, 1), 1)


def _stored_values(then: Any, now: Any) -> tuple["Array", "Array", "Array"]:
    """The values at every place where one of them stores something; the rest of both is zero."""
    import numpy as np

    columns = then.shape[1]
    places, values = zip(*(_places_and_values(matrix, columns) for matrix in (then, now)), strict=True)
    union = np.union1d(*places)
    spread = [np.zeros(union.size, each.dtype) for each in values]
    for into, where, each in zip(spread, places, values, strict=True):
        into[np.searchsorted(union, where)] = each
    return spread[0], spread[1], union // max(columns, 1)


def _places_and_values(matrix: Any, columns: int) -> tuple["Array", "Array"]:
    import numpy as np

    stored = matrix.tocsr(copy=True)
    stored.sum_duplicates()
    stored = stored.tocoo()
    return stored.row.astype(np.int64) * columns + stored.col, stored.data


def _values(output: Any) -> "Array":
    """The array behind an array or a column of pandas, whose missing values become None where it has no NaN."""
    import numpy as np

    if isinstance(output.dtype, np.dtype):
        return np.asarray(output)
    if output.dtype.kind == "f":
        return np.asarray(output.to_numpy(dtype=np.float64, na_value=np.nan))
    return np.asarray(output.astype(object).where(output.notna(), None).to_numpy())


def _is_frame(value: Any) -> bool:
    return hasattr(value, "iloc") and hasattr(value, "columns")


def _items(values: "Array") -> list[Any]:
    """The values as Python's own; times as texts, since nanoseconds would become integers, of dates and spans alike."""
    import numpy as np

    if values.dtype.kind == "M":
        texts: list[Any] = np.datetime_as_string(values, unit="ns").tolist()
        return texts
    if values.dtype.kind == "m":
        unit = " ".join(map(str, np.datetime_data(values.dtype)))
        return [f"{number} times {unit}" for number in values.astype(np.int64).tolist()]
    items: list[Any] = values.tolist()
    return items


def _is_inexact(then: "Array", now: "Array") -> bool:
    kinds = {then.dtype.kind, now.dtype.kind}
    return kinds <= set("biufc") and not kinds.isdisjoint("fc")


def _label(value: object) -> str:
    return _short(repr(value))


def _short(text: str) -> str:
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}..."
