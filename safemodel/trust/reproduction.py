"""Whether a model still predicts what it predicted when it was signed, as a value."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from safemodel.errors import DriftError


@dataclass(frozen=True, slots=True)
class ChangedLabel:
    """One prediction that is not a floating-point number, in its row, then and now."""

    row: int
    then: str
    now: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What one method gives now, compared with what it gave then.

    Attributes:
        method: `predict`, `predict_proba`, `decision_function` or `transform`.
        rows: of the example.
        rows_differing: those in which something differs beyond the tolerance.
        largest_absolute: difference of two floating-point numbers, also within the tolerance; infinite where one of
            them is; None: there are none.
        largest_relative: the same, as it is compared with the tolerance.
        changed: labels that are others, the first ten.
        reason: why there is nothing to compare, such as an error of the model; else empty.
    """

    method: str
    rows: int
    rows_differing: int = 0
    largest_absolute: float | None = None
    largest_relative: float | None = None
    changed: tuple[ChangedLabel, ...] = ()
    reason: str = ""

    @property
    def agrees(self) -> bool:
        """Whether nothing differs beyond the tolerance."""
        return not self.rows_differing and not self.reason

    def __str__(self) -> str:
        if self.reason:
            return self.reason
        found = "agrees" if self.agrees else f"{self.rows_differing} of {self.rows} rows differ"
        if self.largest_absolute is None or self.largest_relative is None:
            return found
        return f"{found}, by at most {self.largest_absolute:.3g}, relative {self.largest_relative:.3g}"

    def to_value(self) -> dict[str, Any]:
        """Return the same as plain maps and lists, for JSON: an infinite difference is null."""
        return {
            "method": self.method,
            "agrees": self.agrees,
            "rows": self.rows,
            "rows_differing": self.rows_differing,
            "largest_absolute": _finite(self.largest_absolute),
            "largest_relative": _finite(self.largest_relative),
            "changed": [{"row": label.row, "then": label.then, "now": label.now} for label in self.changed],
            "reason": self.reason or None,
        }


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What running the signed example again has shown.

    Attributes:
        tolerance: the largest relative difference of floating-point numbers that counts as the same.
        differences: one for each method whose predictions were kept.
    """

    tolerance: float
    differences: tuple[Difference, ...]

    @property
    def agrees(self) -> bool:
        """Whether the model predicts what it predicted."""
        return all(difference.agrees for difference in self.differences)

    def check(self) -> Self:
        """Return itself when it agrees.

        Raises:
            DriftError: the model predicts something else.
        """
        if self.agrees:
            return self
        drifted = [difference.method for difference in self.differences if not difference.agrees]
        error = DriftError(
            f"the model no longer predicts what it predicted when it was signed: {', '.join(drifted)}",
            hint="compare the installed versions with those in the manifest; safemodel reproduce shows the differences",
        )
        error.reproduction = self
        raise error

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield lines for people, each a label and a text."""
        for difference in self.differences:
            yield difference.method, str(difference)
            for label in difference.changed:
                yield "", f"row {label.row}: {label.then}, now {label.now}"
        yield "tolerance", f"{self.tolerance:g}"

    def __str__(self) -> str:
        rows = list(self.rows())
        width = max(len(label) for label, _ in rows)
        verdict = "the model agrees with its example" if self.agrees else "the model drifts from its example"
        return "\n".join([verdict, *(f"  {label:<{width}}  {text}" for label, text in rows)])

    def to_value(self) -> dict[str, Any]:
        """Return the same as plain maps and lists."""
        return {
            "agrees": self.agrees,
            "tolerance": self.tolerance,
            "methods": [difference.to_value() for difference in self.differences],
        }


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else number
