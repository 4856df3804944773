"""`safemodel scan`: verdicts and exit codes for files and folders, in people's words and in JSON."""

import gzip
import pickle
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import pytest
from sklearn.linear_model import LogisticRegression

if TYPE_CHECKING:
    from cli.conftest import CommandLine, Shelf

COMMAND = b"cos\nsystem\n(S'true'\ntR."
CLIP = b"\x80\x04\x8c\x11acme.transformers\x8c\x04Clip\x93)\x81}\x8c\x04most\x8c\x01xsb."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Good, bad, broken, hidden, and other things."""
    made = tmp_path / "models"
    (made / "old").mkdir(parents=True)
    joblib.dump(LogisticRegression(), made / "good.joblib")
    joblib.dump(LogisticRegression(), made / "old" / "good.joblib.gz")
    (made / "readme.txt").write_text("models of last year\n")
    return made


def test_all_allowed(cli: "CommandLine", folder: Path, shelf: "Shelf") -> None:
    done = cli.run("scan", folder, shelf.artifact)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"{folder}/good.joblib: allowed (pickle)",  # without arrays, joblib writes a plain pickle
        f"{folder}/old/good.joblib.gz: allowed (joblib)",
        f"{shelf.artifact}: allowed (artifact)",
    ]
    assert done.stderr == "safemodel: 3 allowed\n"


def test_something_not_allowed(cli: "CommandLine", folder: Path) -> None:
    (folder / "own.pkl").write_bytes(CLIP)
    (folder / "photo.png").write_bytes(zlib.compress(COMMAND))
    (folder / "notes").write_bytes(gzip.compress(COMMAND))
    done = cli.run("scan", folder)
    assert done.returncode == 1
    assert "photo.png: not allowed" in done.stdout
    assert "notes: not allowed" in done.stdout
    assert "acme.transformers.Clip (build, newobj) at the model itself" in done.stdout
    assert 'allow=["acme.transformers.Clip"]' in done.stdout
    assert "2 allowed, 3 not allowed" in done.stderr
    cli.good("scan", folder / "own.pkl", "--allow", "acme.transformers.Clip")


def test_the_document(cli: "CommandLine", folder: Path) -> None:
    (folder / "own.pkl").write_bytes(CLIP)
    document = cli.document("scan", folder, exit_code=1)
    assert document["allowed"] is False
    good, packed, own = sorted(document["files"], key=lambda file: Path(file["file"]).name)
    assert {file["verdict"] for file in (good, packed)} == {"allowed"}
    assert own["verdict"] == "not-allowed"
    assert own["globals"] == [
        {
            "module": "acme.transformers",
            "name": "Clip",
            "roles": ["build", "newobj"],
            "paths": [""],
            "refused": ["build", "newobj"],
        }
    ]


def test_malformed_is_worse_and_unreadable_worst(cli: "CommandLine", folder: Path) -> None:
    (folder / "evil.pkl").write_bytes(COMMAND)
    assert cli.run("scan", folder).returncode == 1
    (folder / "cut.pkl").write_bytes(pickle.dumps([1, 2], 4)[:-1])
    assert cli.run("scan", folder).returncode == 3
    done = cli.run("scan", folder, folder / "missing.pkl")
    assert done.returncode == 4
    assert "missing.pkl: no such file" in done.stderr
    assert "cut.pkl: malformed" in done.stdout


def test_nothing_found(cli: "CommandLine", tmp_path: Path) -> None:
    done = cli.run("scan", tmp_path)
    assert done.returncode == 0
    assert "no joblib or pickle file" in done.stderr


def test_names_that_are_never_allowed(cli: "CommandLine", folder: Path) -> None:
    for name in ("os.system", "Clip"):
        assert cli.refused(4, "scan", folder, "--allow", name)["code"] == "configuration"


def test_nothing_heavy_is_loaded(cli: "CommandLine", folder: Path) -> None:
    done = cli.run("scan", folder, PYTHONPROFILEIMPORTTIME="1")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "safemodel.payload.walk" in loaded
    assert {"numpy", "joblib", "sklearn"}.isdisjoint(loaded)
