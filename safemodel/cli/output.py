"""What reaches the terminal: results on stdout, everything else on stderr.

Text that others chose, such as a file's name, is escaped.
"""

import io
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, TextIO

from safemodel.describe.pages.text import moment as moment
from safemodel.describe.pages.text import printable as printable

STDOUT: Final = "-"  # where the name of a file to write is expected


def result(*lines: str) -> None:
    """Print lines of a result to stdout, each escaped.

    Raises:
        OSError: stdout takes no more: the reader is gone, or the disk is full.
    """
    if sys.stdout is not None:
        _write(sys.stdout, "".join(f"{printable(line)}\n" for line in lines))


def script(text: str) -> None:
    """Print text of our own making to stdout, as it is. Raises as `result`."""
    if sys.stdout is not None:
        _write(sys.stdout, text)


def document(value: Any) -> None:
    """Print one JSON document to stdout: ASCII, with bytes in hexadecimal. Raises as `result`."""
    import json

    script(json.dumps(value, indent=2, default=_json_value) + "\n")


def table(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Return one indented line for each label and value, with the values below one another."""
    pairs = list(rows)
    width = max((len(label) for label, _ in pairs), default=0)
    return [f"  {label:<{width}}  {value}" for label, value in pairs]


def note(text: str) -> None:
    """Print one line to stderr, escaped; an stderr that takes nothing is no reason to fail."""
    if sys.stderr is not None:
        with suppress(OSError):
            _write(sys.stderr, f"{printable(text)}\n")


def accept_all_characters() -> None:
    """Let the streams escape what their encoding has no character for."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        _discard(stream)
        raise


def _discard(stream: TextIO) -> None:
    # What is left in the buffer would fail again when the interpreter ends, with a message and exit code of its own.
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _json_value(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"a {type(value).__name__} has no form in JSON")
