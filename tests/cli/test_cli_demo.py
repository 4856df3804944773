"""`safemodel demo`: the promise of the README, kept on this machine."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import safemodel
from safemodel.cli.main import main

if TYPE_CHECKING:
    from cli.conftest import CommandLine

REFUSALS = ["DigestMismatchError", "NoTrustedSignatureError", "NameMismatchError", "DigestMismatchError"]


def test_every_step_behaves(cli: "CommandLine") -> None:
    document = cli.document("demo", "--keep", "kept")
    assert set(document) == {"behaved", "steps"}
    assert document["behaved"] is True
    assert all(set(step) == {"tried", "outcome", "behaved"} and step["behaved"] for step in document["steps"])
    outcomes = [step["outcome"] for step in document["steps"]]
    assert outcomes[-4:] == [f"refused: {name}" for name in REFUSALS]
    kept = cli.folder / "kept"
    cli.good("verify", kept / "digits.safemodel", "--trust", kept / "release.key.pub")
    cli.refused(1, "verify", kept / "tampered" / "digits.safemodel", "--trust", kept / "release.key.pub")


def test_what_a_person_sees(cli: "CommandLine", tmp_path: Path) -> None:
    shown = cli.good("demo", TMPDIR=str(tmp_path)).splitlines()
    assert all(line.startswith("ok ") for line in shown[:-1])
    assert [line.rpartition(" ")[2] for line in shown[-5:-1]] == REFUSALS
    assert not list(tmp_path.iterdir())


def test_a_loader_that_lets_everything_in_is_found_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = safemodel.load

    def careless(filename: Path, **options: object) -> object:
        artifact = Path(filename).parent / "digits.safemodel"
        good = artifact if (artifact.parent / "release.key").exists() else artifact.parent.parent / artifact.name
        return real(good, trust=options["trust"], name="demo/digits")

    monkeypatch.setattr(safemodel, "load", careless)
    assert main(["demo"]) == 1
    shown = capsys.readouterr().out
    assert shown.count("FAIL") == shown.count("LOADED") == 4


def test_a_folder_that_is_in_use(cli: "CommandLine") -> None:
    (cli.folder / "release.key").write_text("mine")
    assert cli.run("demo", "--keep", ".").returncode == 4
    assert (cli.folder / "release.key").read_text() == "mine"


def test_without_scikit_learn_one_line_names_the_extra(cli: "CommandLine", tmp_path: Path) -> None:
    (tmp_path / "sklearn.py").write_text("raise ImportError")
    cli.environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), cli.surroundings()["PYTHONPATH"]])
    error = cli.document("demo", exit_code=4)["error"]
    assert error["code"] == "configuration"
    assert "[sklearn]" in error["hint"]
