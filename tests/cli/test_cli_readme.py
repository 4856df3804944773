"""The README's examples are run, and give what they show."""

import os
import pickle
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from documented import ROOT, blocks, commands, is_as_shown
from sklearn.linear_model import LogisticRegression

import safemodel
from safemodel.errors import NoTrustedSignatureError

if TYPE_CHECKING:
    from cli.conftest import CommandLine

README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = next(text for language, text in blocks("README.md") if language == "python")
CONSOLE = [text for language, text in blocks("README.md") if language == "console"]


class Exotic:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


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


def check(cli: "CommandLine", console: str) -> None:
    for command, expected in commands(console):
        done = cli.run(*shlex.split(command)[1:])
        lines = (done.stdout + done.stderr).splitlines()
        assert is_as_shown(lines, expected), lines


def test_the_examples(cli: "CommandLine", folder: Path) -> None:
    model = LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])
    loaded = run_python(PYTHON, model)["model"]
    assert loaded is not model
    assert (loaded.coef_ == model.coef_).all()
    check(cli, CONSOLE[0])
    safemodel.dump(model, "churn.safemodel", key="release.key", example=np.eye(4))
    for console in CONSOLE[1:]:
        check(cli, console)


def test_packing(cli: "CommandLine", folder: Path) -> None:
    found = re.search(r"`safemodel (pack [^`]*)`", README)
    assert found
    Path("churn.joblib").write_bytes(pickle.dumps([1, 2]))
    cli.good(*shlex.split(found[1]))
    assert safemodel.load("churn.safemodel", trust="release.key.pub") == [1, 2]
