"""How much of what others wrote comes onto a page; what is left out is counted there."""

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from safemodel.describe.pages.page import Facts, Table
from safemodel.describe.pages.text import shorten

T = TypeVar("T", covariant=True)


class Countable(Sized, Protocol[T]):
    """What has a length and can be gone through."""

    def __iter__(self) -> Iterator[T]: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is shown.

    Attributes:
        rows: of a list.
        text: characters of a value.
        prose: characters of a longer text.
        steps: of a diagram.
    """

    rows: int
    text: int
    prose: int
    steps: int

    def first(self, items: Countable[T]) -> tuple[list[T], int]:
        """Return the first items, and how many are left out."""
        return list(islice(iter(items), self.rows)), max(0, len(items) - self.rows)

    def text_of(self, text: str) -> str:
        """Return a text of bounded length."""
        return shorten(text, self.text)

    def facts(self, rows: Countable[tuple[str, str]], *, brief: bool = True) -> tuple[Facts, ...]:
        """Return labels and values in one block, or none where there are none."""
        shown, left_out = self.first(rows)
        pairs = tuple((self.text_of(label), self.text_of(value)) for label, value in shown)
        return (Facts(pairs, left_out, brief),) if pairs else ()

    def table(
        self, headings: tuple[str, ...], rows: Countable[Iterable[Any]], *, brief: bool = True
    ) -> tuple[Table, ...]:
        """Return rows in one block, or none where there are none."""
        shown, left_out = self.first(rows)
        cells = tuple(tuple(self.text_of(cell) for cell in row) for row in shown)
        return (Table(headings, cells, left_out, brief),) if cells else ()


BRIEF: Final = Bounds(rows=6, text=160, prose=200, steps=10)  # what one reads on a terminal in ten seconds
COMPARED: Final = Bounds(rows=20, text=100, prose=200, steps=0)  # in each section of a comparison on a terminal
FULL: Final = Bounds(rows=300, text=1000, prose=20_000, steps=100)  # a page that a phone opens at once

CURVE_POINTS_MAX: Final = 200
CURVES_MAX: Final = 12
MATRIX_MAX: Final = 30  # classes; more cannot be read
STEP_DEPTH_MAX: Final = 8
