"""The walk-through of docs/rotation.md: its commands are run in one shell's folder, and say what the page shows."""

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import pytest

import safemodel

if TYPE_CHECKING:
    from cli.conftest import CommandLine

PAGE = (Path(__file__).parents[2] / "docs" / "rotation.md").read_text(encoding="utf-8")
REFUSED = "safemodel: error: "


def commands() -> list[tuple[str, list[str]]]:
    """Each command of the page's console blocks, with the lines below it."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    parts = [part.splitlines() for block in blocks for part in block.split("$ ")[1:]]
    return [(first, rest) for first, *rest in parts]


def run(cli: "CommandLine", command: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=cli.folder,
        env=cli.surroundings(
            PATH=os.pathsep.join([str(Path(cli.command[0]).parent), os.environ["PATH"]]),
            SAFEMODEL_PASSPHRASE="correct horse",
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def test_the_walk_through(cli: "CommandLine") -> None:
    if len(cli.command) > 1:
        pytest.skip("needs the installed command")
    joblib.dump([1, 2], cli.folder / "churn.joblib")
    for command, expected in commands():
        exit_code, lines = run(cli, command)
        assert exit_code == any(line.startswith(REFUSED) for line in expected), lines
        for line, shown in zip(lines, expected[:-1], strict=False):
            start = shown.removesuffix("...")
            assert line.startswith(start) if start != shown else line == shown
        assert expected[-1] == "..."
        assert len(lines) >= len(expected) - 1
    with pytest.raises(safemodel.VerificationError):
        safemodel.verify(cli.folder / "churn.safemodel", trust=cli.folder / "release-2028.key.pub", name="acme/churn")
    assert safemodel.load(cli.folder / "churn.safemodel", trust=cli.folder / "keys") == [1, 2]
