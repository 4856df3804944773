"""The examples of documents: their blocks, and whether what a command prints is what the document shows."""

import re
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]

_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_VARIABLE = re.compile(r"[0-9a-f]{64}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")  # key ids, digests, times


def blocks(document: str) -> list[tuple[str, str]]:
    """Return the language and the text of each block of a document, named by its path from the root."""
    return _BLOCK.findall((ROOT / document).read_text(encoding="utf-8"))


def commands(console: str) -> list[tuple[str, list[str]]]:
    """Return each command of a block with the lines that the document gives for it."""
    parts = [part.splitlines() for part in console.split("$ ")[1:]]
    return [(first, rest) for first, *rest in parts]


def is_as_shown(lines: Sequence[str], shown: Sequence[str]) -> bool:
    """Tell whether lines are those shown, where three dots stand for the rest and values differ from run to run."""
    return len(lines) == len(shown) and all(map(_matches, lines, shown))


def _matches(line: str, shown: str) -> bool:
    line, shown = _VARIABLE.sub("#", line), _VARIABLE.sub("#", shown)
    return line.startswith(shown.removesuffix("...")) if shown.endswith("...") else line == shown
