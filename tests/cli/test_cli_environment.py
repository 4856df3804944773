"""`safemodel requirements`, and `safemodel verify --environment`: what a model was made with, and what is here."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import safemodel
from safemodel import writing

if TYPE_CHECKING:
    from cli.conftest import CommandLine, Shelf

ELSEWHERE = {"python": "3.12.1", "distributions": {"numpy": "1.26.4", "scikit-learn": "1.6.1", "-r evil": "1.0"}}


@pytest.fixture
def elsewhere(shelf: "Shelf", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifact that was made with other versions than are installed."""
    path = tmp_path / "churn.safemodel"
    with monkeypatch.context() as patch:
        patch.setattr(writing, "describe_environment", lambda *given: ELSEWHERE)
        safemodel.dump([1, 2], path, key=shelf / "release.key", name="acme/churn", version="1.4.0")
    return path


def test_requirements(cli: "CommandLine", shelf: "Shelf", elsewhere: Path) -> None:
    lines = cli.good("requirements", elsewhere, "--trust", shelf.trust).splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert "acme/churn 1.4.0" in comments[0]
    assert "3.12.1" in comments[0]
    assert lines[len(comments) :] == ["numpy==1.26.4", "scikit-learn==1.6.1"]
    assert cli.document("requirements", elsewhere, "--trust", shelf.trust) == {
        "file": str(elsewhere),
        "name": "acme/churn",
        "version": "1.4.0",
        "digest": safemodel.inspect(elsewhere).digest,
        "python": "3.12.1",
        "requirements": ["numpy==1.26.4", "scikit-learn==1.6.1"],
    }


def test_reproduce_warns_as_verify_does(cli: "CommandLine", shelf: "Shelf", tmp_path: Path) -> None:
    path = tmp_path / "churn.safemodel"
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "describe_environment", lambda *given: ELSEWHERE)
        safemodel.dump(model, path, key=shelf / "release.key", example=np.eye(1))
    verified = cli.run("verify", path, "--trust", shelf.trust, "--environment", "warn")
    reproduced = cli.run("reproduce", path, "--trust", shelf.trust)
    assert reproduced.returncode == 0
    assert "scikit-learn 1.6.1" in reproduced.stderr
    assert reproduced.stderr == verified.stderr


def test_requirements_of_what_needs_none(cli: "CommandLine", shelf: "Shelf", tmp_path: Path) -> None:
    path = tmp_path / "plain.safemodel"
    safemodel.dump([1], path, key=shelf / "release.key")
    done = cli.run("requirements", path, "--trust", shelf.trust)
    assert done.returncode == 0
    assert all(line.startswith("#") for line in done.stdout.splitlines())
    assert "does not say" in done.stderr


def test_pip_takes_what_is_printed(cli: "CommandLine", shelf: "Shelf", tmp_path: Path) -> None:
    from packaging.requirements import Requirement

    path = tmp_path / "array.safemodel"
    safemodel.dump(np.eye(2), path, key=shelf / "release.key")
    lines = cli.good("requirements", path, "--trust", shelf.trust).splitlines()
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]
    assert {each.name for each in wanted} == {"joblib", "numpy"}
    assert all(np.__version__ in each.specifier for each in wanted if each.name == "numpy")


@pytest.mark.parametrize(
    ("file", "exit_code", "code"),
    [
        ("tampered/churn.safemodel", 1, "digest-mismatch"),
        ("forged/churn.safemodel", 1, "no-trusted-signature"),
        ("renamed.safemodel", 1, "name-mismatch"),
        ("cut.safemodel", 3, "format"),
        ("missing.safemodel", 4, "io"),
    ],
)
def test_nothing_is_printed_of_what_is_not_verified(
    cli: "CommandLine", shelf: "Shelf", file: str, exit_code: int, code: str
) -> None:
    assert cli.refused(exit_code, "requirements", shelf / file, "--trust", shelf.trust)["code"] == code


def test_verifying_compares_nothing_unless_it_is_told_to(cli: "CommandLine", shelf: "Shelf", elsewhere: Path) -> None:
    for options in ([], ["--environment", "ignore"]):
        done = cli.run("verify", elsewhere, "--trust", shelf.trust, *options)
        assert (done.returncode, done.stderr) == (0, "")


def test_verifying_warns(cli: "CommandLine", shelf: "Shelf", elsewhere: Path) -> None:
    done = cli.run("verify", elsewhere, "--trust", shelf.trust, "--environment", "warn")
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"safemodel: warning: {elsewhere}: ") for line in lines)
    document = cli.document_here("verify", elsewhere, "--trust", shelf.trust, "--environment", "warn")
    differences: list[Any] = document["files"][0]["differences"]
    assert [each["name"] for each in differences if not each["accepted"]] == ["numpy", "scikit-learn"]
    assert set(differences[-1]) == {"name", "signed", "installed", "drift", "accepted"}


def test_verifying_refuses(cli: "CommandLine", shelf: "Shelf", elsewhere: Path) -> None:
    error = cli.refused(1, "verify", elsewhere, "--trust", shelf.trust, "--environment", "error")
    assert error["code"] == "environment-mismatch"
    assert 'pip install "numpy==1.26.4" "scikit-learn==1.6.1"' in error["hint"]
    assert cli.refused(2, "verify", elsewhere, "--trust", shelf.trust, "--environment", "off")["code"] == "usage"


def test_comparing_needs_nothing_installed(cli: "CommandLine", shelf: "Shelf", elsewhere: Path) -> None:
    """The versions are read from metadata: the libraries themselves are not imported."""
    import sys

    cli.command = [sys.executable, "-X", "importtime", "-m", "safemodel"]
    done = cli.run("verify", elsewhere, "--trust", shelf.trust, "--environment", "warn")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "importlib.metadata" in loaded
    assert not loaded & {"numpy", "sklearn", "joblib", "pickle"}
