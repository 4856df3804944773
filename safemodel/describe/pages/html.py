"""A page as one self-contained HTML file: no script, no outbound link, nothing to load."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain, groupby
from typing import Any, Final

from safemodel.describe.pages.markup import Markup, document, element
from safemodel.describe.pages.page import (
    Bar,
    Bars,
    Block,
    Curve,
    Diagram,
    Facts,
    Matrix,
    Page,
    Prose,
    Section,
    Status,
    Step,
    Table,
)

_STYLE: Final = os.path.join(os.path.dirname(__file__), "page.css")
_CURVE: Final = (320, 160)  # units of the drawing
_PARTS: Final = re.compile(r"[^._]*[._]+|[^._]+")
_LEVELS: Final = 10  # of a cell's shade


def html_of(page: Page) -> bytes:
    """Return the page as UTF-8."""
    columns = (_column(page, wide=True), _column(page, wide=False))
    main = element("main", *(column for column in columns if str(column)))
    return document(f"{page.title} ({page.status.value})", _style(), _header(page), main, _footer(page)).encode()


@cache
def _style() -> str:
    with open(_STYLE, encoding="utf-8") as file:
        return file.read()


def _header(page: Page) -> Markup:
    return element(
        "header",
        element("p", "safemodel", class_="mark"),
        element("h1", page.title),
        element("p", _kind(page.subtitle), class_="subtitle"),
        _banner(page),
    )


def _banner(page: Page) -> Markup:
    heading = "Verified" if page.status is Status.VERIFIED else "Unverified"
    sign = element("span", "\u2713" if page.status is Status.VERIFIED else "!", class_="sign", aria_hidden="true")
    verdict = element("p", sign, element("strong", heading), " ", page.verdict)
    return element("div", verdict, _facts(page.grounds), class_=f"banner {page.status.value}", role="note")


def _footer(page: Page) -> Markup:
    return element(
        "footer",
        element("p", f"Made from {page.file} at {page.written}."),
        element("p", "This page itself is not signed. For a decision, run safemodel verify."),
    )


def _column(page: Page, *, wide: bool) -> Markup:
    sections = [section for section in page.sections if section.wide is wide]
    return element("div", *map(_section, sections), class_="wide" if wide else "narrow") if sections else Markup()


def _section(section: Section) -> Markup:
    groups = groupby(section.blocks, key=lambda block: isinstance(block, Curve))
    blocks = (_curves(alike) if curves else map(_block, alike) for curves, alike in groups)
    return element("section", element("h2", section.title), *chain.from_iterable(blocks))


def _block(block: Block) -> Markup:
    return _RENDERERS[type(block)](block)


def _facts_block(facts: Facts) -> Markup:
    return element("div", _facts(facts.rows), *_left_out(facts.left_out), class_="facts")


def _facts(rows: Iterable[tuple[str, str]]) -> Markup:
    pairs = (element("div", element("dt", *_breaking(label)), element("dd", value)) for label, value in rows)
    return element("dl", *pairs)


def _table(table: Table) -> Markup:
    head = element("tr", *(element("th", text, scope="col") for text in table.headings))
    rows = (
        element("tr", element("th", *_breaking(first), scope="row"), *(element("td", cell) for cell in rest))
        for first, *rest in table.rows
    )
    whole = element("table", element("thead", head), element("tbody", *rows), class_=f"cells of-{len(table.headings)}")
    return element("div", whole, *_left_out(table.left_out))


def _bars(bars: Bars) -> Markup:
    headings = (bars.what, "Plot", "Value")
    head = element("tr", *(element("th", text, scope="col") for text in headings))
    rows = (_bar_row(bar, bars.scale) for bar in bars.bars)
    whole = element("table", element("thead", head), element("tbody", *rows), class_="bars")
    return element("div", whole, *_left_out(bars.left_out))


def _bar_row(bar: Bar, scale: str) -> Markup:
    plot = () if bar.share is None else (_bar(bar, bar.share, scale),)
    return element(
        "tr", element("th", *_breaking(bar.label), scope="row"), element("td", *plot), element("td", bar.text)
    )


def _bar(bar: Bar, share: float, scale: str) -> Markup:
    return _image(
        (100, 8),
        f"{bar.label}: {bar.text}",
        f"A bar, {share:.0%} of its length, {scale}",
        element("rect", class_="track", width="100", height="8"),
        element("rect", class_="bar", width=f"{share * 100:.2f}", height="8"),
    )


def _curves(curves: Iterable[Block]) -> tuple[Markup, ...]:
    return (element("div", *map(_block, curves), class_="figures"),)


def _curve(curve: Curve) -> Markup:
    width, height = _CURVE
    points = " ".join(f"{x * width:.1f},{(1 - y) * height:.1f}" for x, y in curve.points)
    drawing = _image(
        _CURVE,
        curve.title,
        f"A line: to the right {curve.x}; upwards {curve.y}",
        element("path", class_="axis", d=f"M0 0V{height}H{width}"),
        element("polyline", class_="curve", points=points),
    )
    caption = element("figcaption", element("b", curve.title), element("span", f"{curve.y}, over {curve.x}"))
    return element("figure", drawing, caption)


def _image(size: tuple[int, int], title: str, description: str, *shapes: Markup) -> Markup:
    """Return a drawing that fills its place, with the text that stands for it."""
    words = (element("title", title), element("desc", description))
    return element(
        "svg",
        *words,
        *shapes,
        viewBox=f"0 0 {size[0]} {size[1]}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{title}. {description}.",
    )


def _matrix(matrix: Matrix) -> Markup:
    caption = element("caption", "Confusion matrix: a row for each actual class, a column for each predicted one")
    corner = element("td", "actual", element("span", " \\ "), "predicted", class_="corner")
    head = element("tr", corner, *(element("th", label, scope="col") for label in matrix.labels))
    rows = (
        element("tr", element("th", label, scope="row"), *map(_shaded, cells, shares))
        for label, cells, shares in zip(matrix.labels, matrix.cells, matrix.shares, strict=True)
    )
    whole = element("table", caption, element("thead", head), element("tbody", *rows), class_="matrix")
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label="Confusion matrix")


def _shaded(text: str, share: float) -> Markup:
    return element("td", text, class_=f"shade-{round(share * _LEVELS)}")


def _diagram(diagram: Diagram) -> Markup:
    return element("ul", _step(diagram.root), class_="steps")


def _step(step: Step) -> Markup:
    note = (element("small", step.note),) if step.note else ()
    name = (element("span", step.name, class_="name"),) if step.name else ()
    inner = [*map(_step, step.steps), *(element("li", left, class_="more") for left in _left_out(step.left_out))]
    arranged = "steps beside" if step.beside else "steps"
    steps = (element("ol", *inner, class_=arranged),) if inner else ()
    return element("li", element("div", *name, _kind(step.kind), *note, class_="step"), *steps)


def _kind(name: str) -> Markup:
    """A class with its module, or text that is no name."""
    module, dot, last = name.rpartition(".")
    if not dot or not last or " " in name:
        return element("span", name)
    return element("span", element("span", *_breaking(f"{module}."), class_="module"), last, class_="kind")


def _breaking(name: str) -> Iterator[Markup | str]:
    """A name that breaks behind its dots and underscores where it does not fit into a line."""
    for part in _PARTS.findall(name):
        yield part
        yield element("wbr")


def _prose(prose: Prose) -> Markup:
    return element("p", prose.text, class_="prose")


def _left_out(count: int) -> tuple[Markup, ...]:
    return (element("p", f"{count:,} more left out; --json has all.", class_="left-out"),) if count else ()


_RENDERERS: Final[dict[type[Block], Callable[[Any], Markup]]] = {
    Facts: _facts_block,
    Table: _table,
    Bars: _bars,
    Curve: _curve,
    Matrix: _matrix,
    Diagram: _diagram,
    Prose: _prose,
}
