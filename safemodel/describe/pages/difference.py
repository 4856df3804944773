"""What two artifacts say differently, as values, and the page of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from safemodel.describe.pages.bounds import Bounds
from safemodel.describe.pages.described import Described
from safemodel.describe.pages.facts import facts_of
from safemodel.describe.pages.overview import grounds_of, named, status_of
from safemodel.describe.pages.page import Facts, Page, Section, Status, Table
from safemodel.describe.pages.untrusted import Number, code_of, figure_of, number_of, text_of

_QUOTED: Final = frozenset(("parameters", "metadata"))  # where "1" and 1 are not the same


class Absent:
    """Stands where one of two artifacts says nothing."""


ABSENT: Final = Absent()


@dataclass(frozen=True, slots=True)
class Difference:
    """What two artifacts say differently.

    Attributes:
        section: one of `facts.SECTIONS`.
        before, after: what they say, or `ABSENT`.
    """

    section: str
    name: str
    before: Any
    after: Any

    @property
    def change(self) -> Number | None:
        """What was added to a number, or None where one of the two is none."""
        before, after = number_of(self.before), number_of(self.after)
        return None if before is None or after is None else after - before

    def to_value(self) -> dict[str, Any]:
        """Return what `--json` shows: `before` and `after` are missing where there is nothing."""
        sides = {"before": self.before, "after": self.after}
        said = {side: value for side, value in sides.items() if value is not ABSENT}
        return {"section": self.section, "name": self.name, "change": self.change} | said

    def texts(self) -> tuple[str, str, str, str]:
        """Return the name, both values and the change for people."""
        spell = code_of if self.section in _QUOTED else text_of
        before, after = ("" if each is ABSENT else spell(each) for each in (self.before, self.after))
        return self.name, before, after, self._change_text()

    def _change_text(self) -> str:
        if self.before is ABSENT:
            return "added"
        if self.after is ABSENT:
            return "removed"
        if self.change is None:
            return "changed"
        return f"{'+' if self.change > 0 else ''}{figure_of(self.change)}"


def differences(before: Described, after: Described) -> tuple[Difference, ...]:
    """Return what two artifacts say differently, in the order of the sections; the names of the files do not count."""
    one, other = facts_of(before), facts_of(after)
    return tuple(
        Difference(section, name, *sides)
        for section in one
        for name, sides in _both(one[section], other[section])
        if _exact(sides[0]) != _exact(sides[1])
    )


def difference_page(before: Described, after: Described, bounds: Bounds, *, written: str) -> Page:
    """Return the page of what two artifacts say differently."""
    found = differences(before, after)
    both = {status_of(each.voucher) for each in (before, after)}
    status = Status.VERIFIED if both == {Status.VERIFIED} else Status.UNVERIFIED
    return Page(
        file=f"{before.file} and {after.file}",
        title=_title(before, after),
        subtitle=_summary(before, after, found),
        status=status,
        verdict=_verdict(status),
        grounds=(*_grounds("before", before), *_grounds("after", after)),
        sections=(*_compared(before, after, bounds), *_sections(found, bounds)),
        written=written,
    )


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in [*one, *(name for name in other if name not in one)]:
        yield name, (one.get(name, ABSENT), other.get(name, ABSENT))


def _exact(value: object) -> str | Absent:
    """A form in which 1, 1.0 and True differ; maps are in one order in every manifest."""
    return value if isinstance(value, Absent) else repr(value)


def _title(before: Described, after: Described) -> str:
    one, other = before.manifest, after.manifest
    if one.name != other.name:
        return f"{named(before)} and {named(after)}"
    return named(before) if one.version == other.version else f"{named(before)} and {other.version or 'no version'}"


def _summary(before: Described, after: Described, found: tuple[Difference, ...]) -> str:
    if not found:
        return "The two are identical."
    if before.digest == after.digest:
        return "The two are the same artifact with other signatures."
    count = "1 difference" if len(found) == 1 else f"{len(found):,} differences"
    return f"{count} in {len({each.section for each in found})} sections"


def _verdict(status: Status) -> str:
    if status is Status.VERIFIED:
        return "Signatures, policy and every byte of both files were checked when this page was made."
    return "Anybody can have written what follows. Nobody has checked a signature."


def _grounds(label: str, described: Described) -> Iterator[tuple[str, str]]:
    for name, text in grounds_of(described.voucher):
        yield f"{label}, {name}", text


def _compared(before: Described, after: Described, bounds: Bounds) -> Iterator[Section]:
    rows = tuple((label, bounds.text_of(each.file)) for label, each in (("before", before), ("after", after)))
    yield Section("Compared", (Facts(rows),), wide=True)


def _sections(found: tuple[Difference, ...], bounds: Bounds) -> Iterator[Section]:
    for section, alike in groupby(found, key=lambda each: each.section):
        rows = [each.texts() for each in alike]
        yield Section(section.capitalize(), _table(rows, bounds), wide=True)


def _table(rows: list[tuple[str, str, str, str]], bounds: Bounds) -> tuple[Table, ...]:
    return bounds.table(("What", "Before", "After", "Change"), rows)
