"""What a page says, as values: a renderer for the terminal and one for HTML turn the same page into text.

Texts in here may come from anybody. They are bounded in length and number, and not escaped: how to do that is for the
renderer to know.
"""

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """Whether somebody whom the reader trusts vouches for what the page says."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True)
class Facts:
    """Labels with their values.

    Attributes:
        left_out: how many more there are.
        brief: whether a terminal shows it too.
    """

    rows: tuple[tuple[str, str], ...]
    left_out: int = 0
    brief: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; the first cell of a row names it."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0
    brief: bool = True


@dataclass(frozen=True, slots=True)
class Bar:
    """A number on a scale: its share of it, 0 to 1, and its text; no share: it is not on the scale."""

    label: str
    text: str
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Bars:
    """Numbers beside one another, and what the scale is."""

    what: str
    scale: str
    bars: tuple[Bar, ...]
    left_out: int = 0
    brief: bool = True


@dataclass(frozen=True, slots=True)
class Curve:
    """A line.

    Attributes:
        points: x and y, both 0 to 1 from the lowest to the highest.
        x: what runs to the right, and from where to where.
        y: what runs upwards, and from where to where.
    """

    title: str
    points: tuple[tuple[float, float], ...]
    x: str
    y: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """A confusion matrix.

    Attributes:
        shares: of the highest number, 0 to 1, for the same cells.
    """

    labels: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    shares: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a composition.

    Attributes:
        beside: whether its own steps work beside one another instead of one after the other.
    """

    name: str
    kind: str
    note: str = ""
    steps: tuple["Step", ...] = ()
    beside: bool = False
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Diagram:
    """How the model is composed."""

    root: Step
    brief: bool = True


@dataclass(frozen=True, slots=True)
class Prose:
    """Text of several lines, to be shown as it is."""

    text: str
    brief: bool = True


BriefBlock = Facts | Table | Bars | Prose | Diagram  # what a terminal can show, where it is brief
Block = BriefBlock | Curve | Matrix


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page with a heading."""

    title: str
    blocks: tuple[Block, ...]
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page.

    Attributes:
        file: what the user called what it is about.
        title: of the page, such as the name of the model.
        subtitle: such as its class.
        status: of all that it says.
        verdict: a sentence that says what the status means.
        grounds: labels with the signers and the rule.
        written: when, in ISO 8601.
    """

    file: str
    title: str
    subtitle: str
    status: Status
    verdict: str
    grounds: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    written: str
