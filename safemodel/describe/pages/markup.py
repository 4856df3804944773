"""HTML that text can only enter escaped: what is no `Markup` is text, and only `element` makes `Markup`.

Names of tags and attributes are ours. Text and values of attributes may be anybody's: what is markup in them is
escaped for HTML, and what cannot be seen (control characters, bidirectional marks) is written out.
"""

import base64
import hashlib
from html import escape
from typing import Final

from safemodel.describe.pages.text import printable

_VOID: Final = frozenset(("meta", "wbr"))  # https://html.spec.whatwg.org/multipage/syntax.html#void-elements


class Markup:
    """Finished HTML. One that is made by hand is empty."""

    __slots__ = ("_source",)

    def __init__(self) -> None:
        self._source = ""

    def __str__(self) -> str:
        return self._source


def element(tag: str, *content: Markup | str, **attributes: str) -> Markup:
    """Return an element.

    Args:
        tag: its name.
        content: elements, and text to be escaped.
        attributes: by name, `aria_label` for `aria-label` and `class_` for `class`; values are escaped.
    """
    start = "".join(f' {_attribute(name)}="{_escaped(value)}"' for name, value in attributes.items())
    if tag in _VOID:
        return _finished(f"<{tag}{start}>")
    inner = "".join(str(each) if isinstance(each, Markup) else _escaped(each) for each in content)
    return _finished(f"<{tag}{start}>{inner}</{tag}>")


def document(title: str, style: str, *body: Markup) -> str:
    """Return a whole page that runs no script, loads nothing and sends nothing, whatever is in its body.

    Args:
        title: of the page.
        style: our style sheet, the only one that the page's policy accepts.
        body: its content.
    """
    policy = f"default-src 'none'; style-src '{_source_hash(style)}'; base-uri 'none'; form-action 'none'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        _finished(f"<style>{style}</style>"),
    )
    return f"<!doctype html>\n{element('html', head, element('body', *body), lang='en')}\n"


def _source_hash(style: str) -> str:
    # https://www.w3.org/TR/CSP3/#grammardef-hash-source
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _escaped(text: str) -> str:
    return "\n".join(escape(printable(line)) for line in text.split("\n"))


def _finished(source: str) -> Markup:
    made = Markup()
    made._source = source
    return made
