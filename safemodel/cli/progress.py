"""A progress bar on stderr, only on a terminal, and only for work that lasts longer than half a second."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TextIO

from safemodel.cli.output import printable

_QUIET_SECONDS: Final = 0.5
_REDRAW_SECONDS: Final = 0.1
_CELLS: Final = 24
_COLUMNS: Final = 80  # where the terminal does not tell


class Bar:
    """A bar that draws itself over its last drawing.

    Args:
        label: what is being done.
        stream: a terminal.
        clock: seconds, monotonic.
    """

    def __init__(self, label: str, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._label = printable(label)
        self._stream = stream
        self._clock = clock
        self._due = clock() + _QUIET_SECONDS
        self._drawn = 0

    def update(self, done: int, total: int) -> None:
        """Take note of the bytes done out of all, and draw when it is time."""
        now = self._clock()
        if now >= self._due:
            self._due = now + _REDRAW_SECONDS
            self._draw(f"{_bar(done, total)} {self._label}"[: _columns(self._stream) - 1])

    def clear(self) -> None:
        """Leave an empty line, when anything was drawn."""
        if self._drawn:
            self._draw("")
            self._draw("")

    def _draw(self, text: str) -> None:
        with suppress(OSError):  # a bar that cannot be drawn is no reason to fail
            self._stream.write(f"\r{text:<{self._drawn}}")
            self._stream.flush()
        self._drawn = len(text)


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yield what the library calls with (bytes done, bytes in all), or None where nobody looks."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    bar = Bar(label, sys.stderr)
    try:
        yield bar.update
    finally:
        bar.clear()


def _bar(done: int, total: int) -> str:
    share = done / total if total else 0.0
    return f"[{'#' * int(share * _CELLS):<{_CELLS}}] {share:4.0%}"


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _COLUMNS
    except OSError:
        return _COLUMNS
