"""A page as plain lines, for a terminal without rich and for files."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from safemodel.describe.pages.page import (
    Bar,
    Bars,
    BriefBlock,
    Diagram,
    Facts,
    Page,
    Prose,
    Section,
    Status,
    Step,
    Table,
)
from safemodel.describe.pages.text import printable

_CELLS: Final = 20  # of a bar


def lines_of(page: Page) -> Iterator[str]:
    """Yield the lines. Only headings are not indented, and each says so where nobody has checked what follows."""
    mark = mark_of(page)
    yield f"{page.file}: {heading_of(page)}"
    yield from columns_of([("model", page.title), ("is", page.subtitle), *page.grounds])
    for section in page.sections:
        if blocks := brief_blocks(section):
            yield f"{mark}{section.title.lower()}:"
            for block in blocks:
                yield from block_lines(block)


def heading_of(page: Page) -> str:
    """Return what the page is worth."""
    return "verified" if page.status is Status.VERIFIED else "UNVERIFIED, anybody can have written what follows"


def mark_of(page: Page) -> str:
    """Return what stands before every heading."""
    return "UNVERIFIED " if page.status is Status.UNVERIFIED else ""


def brief_blocks(section: Section) -> list[BriefBlock]:
    """Return the blocks that a terminal shows."""
    return [block for block in section.blocks if isinstance(block, BriefBlock) and block.brief]


def left_out_of(block: BriefBlock) -> str:
    """Return how much is missing in a block, or nothing."""
    if isinstance(block, Prose | Diagram) or not block.left_out:
        return ""
    return f"... {block.left_out:,} more, see --html or --json"


def bar_of(bar: Bar, full: str, empty: str) -> str:
    """Return a bar of characters, or nothing where the number is not on the scale."""
    if bar.share is None:
        return ""
    filled = round(bar.share * _CELLS)
    return full * filled + empty * (_CELLS - filled)


def columns_of(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return one indented line for each row, with the cells below one another."""
    held = [tuple(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*held, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in held]


def block_lines(block: BriefBlock) -> Iterator[str]:
    """Yield the lines of a block."""
    yield from _RENDERERS[type(block)](block)
    if left_out := left_out_of(block):
        yield f"  {left_out}"


def _facts(facts: Facts) -> list[str]:
    return columns_of(facts.rows)


def _table(table: Table) -> list[str]:
    return columns_of([table.headings, *table.rows])


def _bars(bars: Bars) -> list[str]:
    return columns_of((bar.label, bar.text, bar_of(bar, "#", ".")) for bar in bars.bars)


def _prose(prose: Prose) -> list[str]:
    return [f"  {printable(line)}" for line in prose.text.splitlines()]


def tree_of(step: Step) -> Iterator[tuple[str, str]]:
    """Yield each part of a composition, indented, with the last part of its class and what it is applied to."""
    kind = step.kind.rpartition(".")[2]
    yield step.name, f"{kind} ({step.note})" if step.note else kind
    for each in step.steps:
        for name, text in tree_of(each):
            yield f"  {name}", text
    if step.left_out:
        yield "  ...", f"{step.left_out:,} more, see --html or --json"


def _diagram(diagram: Diagram) -> list[str]:
    return columns_of(tree_of(diagram.root))


_RENDERERS: Final[dict[type[BriefBlock], Callable[[Any], list[str]]]] = {
    Diagram: _diagram,
    Facts: _facts,
    Table: _table,
    Bars: _bars,
    Prose: _prose,
}
