"""The one place that turns an exception into an exit code, a line and a hint.

    0  verified, or done
    1  not trusted: signature, policy or payload
    2  usage
    3  malformed: not an artifact
    4  file, key, configuration or signing
    130  interrupted

For several files the worst counts, in the order 4, 3, 1.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

from safemodel.cli import output
from safemodel.errors import FormatError, PayloadError, SafemodelError, VerificationError

VERIFIED: Final = 0
NOT_TRUSTED: Final = 1
USAGE: Final = 2
MALFORMED: Final = 3
UNUSABLE: Final = 4
INTERRUPTED: Final = 130  # 128 + SIGINT, as a shell reports it

_OS_HINTS: Final = {
    FileNotFoundError: "check the path",
    FileExistsError: "nothing was changed; choose another path",
    IsADirectoryError: "name the file itself",
    NotADirectoryError: "check the path",
    PermissionError: "check who may read and write it",
}


class UsageError(Exception):
    """The command line itself is wrong.

    Args:
        message: what was expected and what was found; lower case, no full stop.
        hint: what to do next.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Failure:
    """What the user gets to know of an exception.

    Attributes:
        exit_code: of the command.
        code: a stable string for programs: that of the error class, `usage`, `io` or `internal`.
        message: what was expected and what was found.
        hint: what to do next, or empty.
    """

    exit_code: int
    code: str
    message: str
    hint: str

    @classmethod
    def of(cls, error: Exception, about: str = "") -> Self:
        """Describe an exception.

        Args:
            error: any exception.
            about: the file that it is about, where the exception names none.
        """
        if isinstance(error, SafemodelError):
            return cls(_exit_code(error), error.code, _line(about, str(error.args[0])), error.hint)
        if isinstance(error, UsageError):
            return cls(USAGE, "usage", str(error), error.hint)
        if isinstance(error, OSError):
            return cls(UNUSABLE, "io", _line(_path_of(error) or about, _reason(error)), _os_hint(error))
        return cls(UNUSABLE, "internal", _line(about, _origin(error)), "this is a fault of safemodel; please report it")

    def to_value(self) -> dict[str, Any]:
        """Return what `--json` shows."""
        return {"code": self.code, "message": self.message, "hint": self.hint}

    def show(self) -> None:
        """Print a line, and a second one with the hint, to stderr."""
        output.note(f"safemodel: error: {self.message}")
        if self.hint:
            output.note(f"hint: {self.hint}")


@contextmanager
def about(file: str) -> Iterator[None]:
    """Let what is wrong with a file name it; what is wrong with keys or a policy is not about the file."""
    try:
        yield
    except (FormatError, VerificationError, PayloadError) as error:
        error.args = (_line(file, str(error.args[0])), *error.args[1:])
        raise


def worst(exit_codes: Iterable[int]) -> int:
    """Return the exit code for several files: the worst, in the order 4, 3, 1, which is that of the numbers."""
    return max(exit_codes)


def _exit_code(error: SafemodelError) -> int:
    if isinstance(error, VerificationError | PayloadError):
        return NOT_TRUSTED
    return MALFORMED if isinstance(error, FormatError) else UNUSABLE


def _line(about: str, text: str) -> str:
    """The path once and in front, also where the library puts it at the end."""
    return f"{about}: {text.removesuffix(f': {about}').removesuffix(f': {about!r}')}" if about else text


def _path_of(error: OSError) -> str:
    return os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else ""


def _reason(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return reason[:1].lower() + reason[1:]


def _os_hint(error: OSError) -> str:
    return next((hint for kind, hint in _OS_HINTS.items() if isinstance(error, kind)), "")


def _origin(error: Exception) -> str:
    """Where an exception comes from that should not have come: its text is left out, since it may hold anything."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" in {_module_of(trace.tb_frame.f_globals)}, line {trace.tb_lineno}"
    return f"unexpected {type(error).__name__}{where}"


def _module_of(names: dict[str, Any]) -> str:
    return str(names.get("__name__", sys.argv[0]))
