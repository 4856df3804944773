"""The README's examples are run, and give what they show."""

import os
import pickle
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import safemodel
from safemodel.errors import NoTrustedSignatureError

if TYPE_CHECKING:
    from cli.conftest import CommandLine

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
VARIABLE = re.compile(r"[0-9a-f]{64}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")  # key ids, digests, times


class Exotic:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def block(language: str) -> str:
    """The first block in a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def folder(cli: "CommandLine", monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the examples find: two keys, a stranger's artifact, a file from somewhere."""
    monkeypatch.chdir(cli.folder)
    for name in ("release.key", "stranger.key"):
        cli.good("keygen", name, "--no-passphrase")
    safemodel.dump([1], "from-a-stranger.safemodel", key="stranger.key")
    (cli.folder / "downloads").mkdir()
    (cli.folder / "downloads" / "exotic.pkl").write_bytes(pickle.dumps(Exotic()))
    return cli.folder


def run_python(code: str, model: Any) -> dict[str, Any]:
    names = {"model": model}
    with pytest.raises(NoTrustedSignatureError, match="no signature by a trusted key: "):
        exec(code, names)
    return names


def shown(console: str) -> list[tuple[str, list[str]]]:
    """Each command with the lines that the README gives for it."""
    commands = [part.splitlines() for part in console.split("$ ")[1:]]
    return [(first, rest) for first, *rest in commands]


def matches(line: str, expected: str) -> bool:
    """Whether a line is the one shown, where three dots stand for the rest of it and values differ from run to run."""
    line, expected = VARIABLE.sub("#", line), VARIABLE.sub("#", expected)
    return line.startswith(expected.removesuffix("...")) if expected.endswith("...") else line == expected


def test_the_examples(cli: "CommandLine", folder: Path) -> None:
    model = LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])
    loaded = run_python(block("python"), model)["model"]
    assert loaded is not model
    assert (loaded.coef_ == model.coef_).all()
    for command, expected in shown(block("console")):
        done = cli.run(*shlex.split(command)[1:])
        lines = (done.stdout + done.stderr).splitlines()
        assert len(lines) == len(expected)
        assert all(map(matches, lines, expected)), lines


def test_packing(cli: "CommandLine", folder: Path) -> None:
    found = re.search(r"`safemodel (pack [^`]*)`", README)
    assert found
    Path("churn.joblib").write_bytes(pickle.dumps([1, 2]))
    cli.good(*shlex.split(found[1]))
    assert safemodel.load("churn.safemodel", trust="release.key.pub") == [1, 2]
