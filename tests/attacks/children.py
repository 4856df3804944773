"""Children that load attacks: they may die of it, and a canary behind the guard sees what the guard let through."""

import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from safemodel.errors import SafemodelError
from safemodel.payload.guard import Guard

REFUSALS: Final = frozenset(("payload", "global-not-allowed", "limit-exceeded"))
SECONDS: Final = 20
MEMORY: Final = 4 << 30
EFFECTS: Final = (
    "os.exec", "os.fork", "os.kill", "os.mkdir", "os.posix_spawn", "os.remove", "os.rename", "os.rmdir",
    "os.spawn", "os.system", "os.truncate", "shutil.", "socket.", "subprocess.", "webbrowser.",
    "sys.setprofile", "sys.settrace",
)  # fmt: skip

Load = Callable[[], object]


def outcomes_of(loads: Sequence[Load]) -> list[str]:
    """Return what each load comes to: "loaded", an error's code, or what went wrong."""
    said: list[str] = []
    while len(said) < len(loads):
        lines, status = _in_child(loads[len(said) :])
        said += lines
        if len(said) < len(loads):
            said.append(f"died of {status}")
    return said


def _in_child(loads: Sequence[Load]) -> tuple[list[str], int]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _load_all(loads, writer)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        lines = pipe.read().decode().splitlines()
    return lines, os.waitpid(child, 0)[1]


def _load_all(loads: Sequence[Load], writer: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    effects: list[str] = []

    def canary(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event.startswith(EFFECTS) or writes:
            effects.append(event)

    with Guard():
        pass  # its hook comes before the canary's
    sys.addaudithook(canary)
    for load in loads:
        signal.alarm(SECONDS)
        said = _outcome(load)
        os.write(writer, (f"effects {effects}" if effects else said).encode("ascii", "replace")[:1000] + b"\n")
        effects.clear()


def _outcome(load: Load) -> str:
    try:
        load()
    except SafemodelError as error:
        return error.code
    except BaseException as error:
        return f"foreign {error!r}"
    return "loaded"
