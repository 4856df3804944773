"""Which commit a model was trained at: that of the git checkout that the working directory lies in.

git is asked, since it alone knows; and a checkout can name commands that git would run. So what `status` could reach of
them is turned off: the file system monitor, hooks, filters, submodules and fetching. No address is kept: it may hold
credentials. Whatever goes wrong, from a missing git to a checkout of another user, leaves the answer out.
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_SECONDS_MAX: Final = 5  # for each of two calls; a large checkout on a slow disk then has no answer
# What `git rev-parse --local-env-vars` lists: inside a hook these name the checkout of the hook, not this one.
_LOCAL: Final = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
# Nothing is fetched for a partial clone, whose remote may be a command (gitremote-helpers(7), "ext::").
_OFFLINE: Final = {"GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
_SETTINGS: Final = {"core.fsmonitor": "", "core.hooksPath": os.devnull}  # "false" was a command's name before git 2.36
_FILTERS: Final = ("config", "--includes", "--show-scope", "--null", "--name-only", "--get-regexp", "^filter[.]")
_OWN: Final = ("system", "global")  # scopes of settings that are the user's and not the checkout's
_NO_FILTER: Final = {"clean": "", "smudge": "", "process": "", "required": "false"}
_STATUS: Final = (
    "status",
    "--porcelain=v2",
    "--branch",
    "--no-ahead-behind",
    "--no-renames",
    "--untracked-files=no",
    "--ignore-submodules=all",
)


@contextmanager
def asking_git() -> Iterator[Callable[[], dict[str, Any]]]:
    """Describe the checkout while the body runs, since git takes longer than a small model to pickle.

    Yields:
        A function that waits for what `describe_source` returns.
    """
    found: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: found.update(describe_source()), name="safemodel-git", daemon=True)
    thread.start()

    def wait() -> dict[str, Any]:
        thread.join()
        return found

    try:
        yield wait
    finally:
        thread.join()


def describe_source() -> dict[str, Any]:
    """Describe the checkout that the working directory lies in.

    Returns:
        `commit`, in hexadecimal, and `dirty`, whether a file that git tracks has changed since; empty where there is no
        checkout, no commit or no answer.
    """
    try:
        folder = Path.cwd()
        if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
            return {}
        return _parse(_checked(_git(_STATUS, _SETTINGS | _no_filters())))
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}


def _parse(status: str) -> dict[str, Any]:
    lines = status.splitlines()
    commits = [line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")]
    if len(commits) != 1 or not commits[0] or set(commits[0]) - set("0123456789abcdef"):
        return {}  # "(initial)": no commit yet
    return {"commit": commits[0], "dirty": any(not line.startswith("#") for line in lines)}


def _no_filters() -> dict[str, str]:
    """Return settings that turn off the filters of this checkout (gitattributes(5)), which would run on changed files.

    Those that the user has for every checkout, such as Git LFS, stay.
    """
    done = _git(_FILTERS, {})
    if done.returncode == 1:  # there is none
        return {}
    words = iter(_checked(done).split("\0"))
    drivers = {name.rpartition(".")[0] for scope, name in zip(words, words, strict=False) if scope not in _OWN}
    if any("=" in driver for driver in drivers):  # `-c` could not name it
        raise ValueError("a filter's name holds a =")
    return {f"{driver}.{setting}": value for driver in drivers for setting, value in _NO_FILTER.items()}


def _git(arguments: tuple[str, ...], settings: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = shutil.which("git")
    if command is None or not os.path.isabs(command):  # on Windows, one in the working directory comes first
        raise FileNotFoundError("git")
    given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return subprocess.run(  # noqa: S603 - a fixed command, found in PATH
        [command, "--no-pager", "--no-optional-locks", *given, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=_environment(),
        timeout=_SECONDS_MAX,
        encoding="utf-8",
        errors="surrogateescape",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def _checked(done: "subprocess.CompletedProcess[str]") -> str:
    done.check_returncode()
    return done.stdout


def _environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name not in _LOCAL and not name.startswith("GIT_TRACE")
    }
    return kept | _OFFLINE
