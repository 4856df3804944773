"""The guide's examples are run in its order, in one program as a reader would; and it names every error."""

import inspect
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from documented import ROOT, blocks, commands, is_as_shown

from safemodel import errors

if TYPE_CHECKING:
    from cli.conftest import CommandLine

GUIDE = "docs/guide.md"
STEPS = """
from sklearn.base import BaseEstimator, TransformerMixin


class Clip(TransformerMixin, BaseEstimator):
    def __init__(self, limit=1.0):
        self.limit = limit

    def fit(self, rows, labels=None):
        return self

    def transform(self, rows):
        return rows.clip(-self.limit, self.limit)


class Scale(Clip):
    pass
"""
RUN = """
import json, shlex, subprocess

def shell(*commands):
    for command in commands:
        done = subprocess.run([*COMMAND, *shlex.split(command)[1:]], capture_output=True, encoding="utf-8")
        print(json.dumps((done.stdout + done.stderr).splitlines()))

"""


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's quoting is POSIX")
def test_the_examples(cli: "CommandLine") -> None:
    (cli.folder / "acme_steps.py").write_text(STEPS)
    program = [RUN.replace("COMMAND", repr(cli.command))]
    expected = []
    for language, text in blocks(GUIDE):
        if language == "python":
            program.append(text)
        elif language == "console":
            program.append(f"shell(*{[command for command, _ in commands(text)]!r})\n")
            expected += [lines for _, lines in commands(text)]
    (cli.folder / "guide.py").write_text("".join(program))
    done = subprocess.run(
        [sys.executable, "guide.py"],
        cwd=cli.folder,
        env=cli.surroundings(SAFEMODEL_PASSPHRASE="correct horse"),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(shown) == len(expected)
    for lines, documented in zip(shown, expected, strict=True):
        assert is_as_shown(lines, documented), lines
    assert "move it to a module" in done.stdout  # the advice for a class of the program itself


def test_every_error_is_explained() -> None:
    raised = {name for name, each in vars(errors).items() if inspect.isclass(each) and issubclass(each, Exception)}
    explained = set(re.findall(r"^\| `(\w+)` \|", (ROOT / GUIDE).read_text(encoding="utf-8"), re.MULTILINE))
    assert raised - {"SafemodelError", "VerificationError", "EnvironmentWarning"} == explained - {"OSError"}
