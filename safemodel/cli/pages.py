"""How verbs show pages: on a terminal with rich where it is installed, else as plain lines, and as files of HTML."""

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from safemodel.arguments import output as written_to
from safemodel.cli import output
from safemodel.cli.failure import UsageError
from safemodel.cli.options import completing_files
from safemodel.cli.output import printable
from safemodel.describe.pages.page import Bars, BriefBlock, Diagram, Page, Prose, Status, Table
from safemodel.describe.pages.plain import bar_of, brief_blocks, heading_of, left_out_of, lines_of, mark_of, tree_of

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_COLOURS: Final = {Status.VERIFIED: "green", Status.UNVERIFIED: "yellow"}


def add_html(parser: Any) -> None:
    """Add `--html`."""
    action = parser.add_argument(
        "--html",
        metavar="OUT",
        type=_html_path,
        help="write a page to OUT, one file ending in .html, which loads nothing and runs nothing",
    )
    completing_files(action)


def show(page: Page) -> None:
    """Print a page."""
    if sys.stdout is not None and sys.stdout.isatty() and _has_rich():
        _show_richly(page)
    else:
        output.result(*lines_of(page))


def write(page: Page, path: str) -> None:
    """Write a page as HTML, whole or not at all.

    Raises:
        OSError: it cannot be written; what existed before is untouched.
    """
    from safemodel.describe.pages.html import html_of

    content = html_of(page)
    with written_to(path) as file:
        file.write(content)


def _html_path(text: str) -> str:
    # The shell may have put an artifact in this place: inspect --html *.safemodel
    if os.path.splitext(text)[1].lower() in (".html", ".htm"):
        return text
    raise UsageError(f"argument --html: {text} does not end in .html", hint="name the page to write: --html model.html")


def _has_rich() -> bool:
    try:
        import rich.console  # noqa: F401
    except ImportError:
        return False
    return True


def _show_richly(page: Page) -> None:
    from rich.console import Console
    from rich.padding import Padding

    console = Console(highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(_banner(page))
        for section in page.sections:
            if blocks := brief_blocks(section):
                console.print(_text(f"\n{mark_of(page)}{section.title}", "bold"))
                for block in blocks:
                    console.print(Padding(_block(block, page.status), (0, 0, 0, 2)))
                    if left_out := left_out_of(block):
                        console.print(_text(f"  {left_out}", "dim"))
    output.script(captured.get())


def _banner(page: Page) -> "RenderableType":
    from rich.console import Group
    from rich.panel import Panel

    lines = (_text(page.title, "bold"), _text(page.subtitle, "dim"), _grid(page.grounds))
    colour = _COLOURS[page.status]
    title = _text(f"{page.file}: {heading_of(page)}", f"bold {colour}")
    return Panel(Group(*lines), title=title, title_align="left", border_style=colour)


def _block(block: BriefBlock, status: Status) -> "RenderableType":
    if isinstance(block, Prose):
        return _text(block.text)
    if isinstance(block, Bars):
        colour = _COLOURS[status]
        return _grid(((bar.label, bar.text, bar_of(bar, "\u2501", " ")) for bar in block.bars), "bold", colour)
    if isinstance(block, Diagram):
        return _grid(tree_of(block.root), "bold")
    if isinstance(block, Table):
        return _grid([block.headings, *block.rows])
    return _grid(block.rows)


def _grid(rows: Any, *styles: str) -> "RenderableType":
    from rich.table import Table as Grid

    grid = Grid.grid(padding=(0, 2))
    for row in rows:
        grid.add_row(*map(_text, row, ("dim", *styles, "", "", "")))
    return grid


def _text(text: str, style: str = "") -> "Text":
    """A text in which nothing is taken for a command, neither by rich nor by the terminal."""
    from rich.text import Text

    return Text("\n".join(map(printable, text.split("\n"))), style=style)
