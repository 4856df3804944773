"""`safemodel pack`: an existing file becomes a signed artifact, or nothing is written."""

import gzip
import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import safemodel

if TYPE_CHECKING:
    from cli.conftest import CommandLine, Shelf

CLIP = b"\x80\x04\x8c\x11acme.transformers\x8c\x04Clip\x93)\x81}\x8c\x04most\x8c\x01xsb."


@pytest.fixture
def churn(tmp_path: Path) -> Path:
    """What users have today."""
    path = tmp_path / "churn.joblib"
    joblib.dump(LogisticRegression().fit(np.eye(4), [0, 1, 0, 1]), path)
    return path


def test_pack_then_verify_then_load(cli: "CommandLine", churn: Path, shelf: "Shelf") -> None:
    (cli.folder / "card.json").write_text(json.dumps({"trained_on": "2026-11"}))
    (cli.folder / "card.md").write_text("# Größe\n", encoding="utf-8")
    shown = cli.good(
        "pack",
        churn,
        *("-o", "churn.safemodel", "--key", shelf / "release.key", "--name", "acme/churn", "--model-version", "1.4.0"),
        *("--metric", "roc_auc=0.91", "--metric", "brier=1e-2", "--metadata", "card.json"),
        *("--notes", "card.md"),
    )
    path = cli.folder / "churn.safemodel"
    digest = safemodel.inspect(path).digest
    assert "acme/churn 1.4.0" in shown
    assert digest in shown
    cli.good("verify", path, "--trust", shelf.trust)
    training = safemodel.inspect(path).manifest.training
    assert training == {
        "metrics": {"roc_auc": 0.91, "brier": 0.01},
        "metadata": {"trained_on": "2026-11"},
        "notes": "# Größe\n",
    }
    model, before = safemodel.load(path, trust=shelf.trust), joblib.load(churn)
    assert (model.coef_ == before.coef_).all()


def test_the_document(cli: "CommandLine", churn: Path, shelf: "Shelf") -> None:
    document = cli.document("pack", churn, "-o", "churn.safemodel", SAFEMODEL_KEY=str(shelf / "release.key"))
    assert document["name"] == "churn"
    assert document["version"] is None
    assert document["digest"] == safemodel.inspect(cli.folder / "churn.safemodel").digest
    assert [signer["algorithm"] for signer in document["signers"]] == ["ed25519"]


def test_code_of_ones_own(cli: "CommandLine", shelf: "Shelf") -> None:
    (cli.folder / "own.pkl").write_bytes(CLIP)
    arguments = ("pack", "own.pkl", "-o", "own.safemodel", "--key", shelf / "release.key")
    refusal = cli.refused(1, *arguments)
    assert refusal["code"] == "global-not-allowed"
    assert "--allow acme.transformers.Clip" in refusal["hint"]
    assert not (cli.folder / "own.safemodel").exists()
    cli.good(*arguments, "--allow", "acme.transformers.Clip")
    verify = ("verify", "own.safemodel", "--trust", shelf.trust)
    assert cli.refused(1, *verify)["code"] == "global-not-allowed"
    cli.good(*verify, "--allow", "acme.transformers.Clip")
    extract = ("extract", "own.safemodel", "--trust", shelf.trust, "-o", "out")
    assert cli.refused(1, *extract)["code"] == "global-not-allowed"
    cli.good(*extract, "--allow", "acme.transformers.Clip")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (("missing.joblib", "-o", "o.safemodel"), 4, "io"),
        (("folder", "-o", "o.safemodel"), 4, "configuration"),
        (("evil.pkl", "-o", "o.safemodel"), 1, "global-not-allowed"),
        (("cut.pkl", "-o", "o.safemodel"), 3, "limit-exceeded"),
        (("empty.pkl", "-o", "o.safemodel"), 1, "payload"),
        (("churn.joblib", "-o", "no/such/o.safemodel"), 4, "io"),
        (("churn.joblib", "-o", "churn.joblib"), 4, "configuration"),
        (("churn.joblib", "-o", "My Model.safemodel"), 2, "usage"),
        (("churn.joblib", "-o", "o.safemodel", "--key", "churn.joblib"), 4, "key-material"),
        (("churn.joblib", "-o", "o.safemodel", "--metric", "auc=high"), 2, "usage"),
        (("churn.joblib", "-o", "o.safemodel", "--metric", "auc"), 2, "usage"),
        (("churn.joblib", "-o", "o.safemodel", "--name", "../churn"), 2, "usage"),
        (("churn.joblib", "-o", "o.safemodel", "--model-version", "one"), 2, "usage"),
        (("churn.joblib", "-o", "o.safemodel", "--metadata", "churn.joblib"), 4, "configuration"),
        (("churn.joblib", "-o", "o.safemodel", "--metric", "auc=nan"), 2, "usage"),
        (("churn.joblib", "-o", "o.safemodel", "--notes", "churn.joblib"), 4, "configuration"),
        (("churn.joblib", "-o", "o.safemodel", "--notes", "missing.md"), 4, "io"),
        (("churn.joblib", "-o", "o.safemodel", "--allow", "os.system"), 4, "configuration"),
        (("churn.joblib",), 2, "usage"),
    ],
)
def test_what_is_refused(
    arguments: tuple[str, ...], exit_code: int, code: str, cli: "CommandLine", churn: Path, shelf: "Shelf"
) -> None:
    (cli.folder / "folder").mkdir()
    (cli.folder / "evil.pkl").write_bytes(pickle.dumps(print, 4))
    (cli.folder / "cut.pkl").write_bytes(pickle.dumps([1, 2], 4)[:-1])
    (cli.folder / "empty.pkl").touch()
    before = sorted(path.name for path in cli.folder.iterdir())
    key = () if "--key" in arguments else ("--key", shelf / "release.key")
    assert cli.refused(exit_code, "pack", *arguments, *key)["code"] == code
    assert sorted(path.name for path in cli.folder.iterdir()) == before


def test_without_a_key(cli: "CommandLine", churn: Path) -> None:
    assert cli.refused(4, "pack", churn, "-o", "o.safemodel")["code"] == "configuration"


# Folders.


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Good, in need of an allowance, hopeless, cut, and other things."""
    folder = tmp_path / "models"
    (folder / "churn").mkdir(parents=True)
    (folder / "churn" / "daily.joblib.gz").write_bytes(gzip.compress(pickle.dumps([1])))
    (folder / "fraud.pkl").write_bytes(pickle.dumps({"a": 1.5}))
    (folder / "own.pkl").write_bytes(b"\x80\x04\x8c\x11acme.transformers\x8c\x04Clip\x93)\x81.")
    (folder / "readme.txt").write_text("models of last year\n")
    return folder


def test_a_folder(cli: "CommandLine", models: Path, shelf: "Shelf") -> None:
    before = {path: path.read_bytes() for path in models.rglob("*") if path.is_file()}
    command = ("pack", "models", "-o", "signed", "--prefix", "acme", "--key", shelf / "release.key")
    dry = cli.run(*command, "--dry-run")
    assert dry.returncode == 1
    assert "models/fraud.pkl: could be packed as acme/fraud" in dry.stdout
    assert not (cli.folder / "signed").exists()
    done = cli.run(*command)
    assert done.returncode == 1
    assert "needs: --allow acme.transformers.Clip" in done.stdout
    assert done.stderr == "safemodel: 2 packed, 1 not\n"
    assert sorted(path.relative_to(cli.folder).as_posix() for path in (cli.folder / "signed").rglob("*.*")) == [
        "signed/churn/daily.safemodel",
        "signed/fraud.safemodel",
    ]
    assert safemodel.load(cli.folder / "signed/churn/daily.safemodel", trust=shelf.trust, name="acme/churn/daily") == [
        1
    ]
    assert {path: path.read_bytes() for path in before} == before
    again = cli.document(*command, "--allow", "acme.transformers.Clip", exit_code=4)
    codes = {file["name"]: file["error"] and file["error"]["code"] for file in again["files"]}
    assert codes == {"acme/churn/daily": "configuration", "acme/fraud": "configuration", "acme/own": None}


def test_what_a_folder_cannot_name(cli: "CommandLine", models: Path, shelf: "Shelf") -> None:
    (models / "own.pkl").rename(models / "My Model.pkl")
    (models / "fraud.joblib").write_bytes(pickle.dumps(2))
    (models / "cut.pkl").write_bytes(pickle.dumps([1], 4)[:-1])
    (models / "junk.pkl").write_text("no pickle\n")
    (models / "evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    document = cli.document("pack", "models", "-o", "signed", "--dry-run", exit_code=4)
    codes = {file["payload"]: file["error"] and file["error"]["code"] for file in document["files"]}
    assert codes == {
        "models/My Model.pkl": "configuration",
        "models/churn/daily.joblib.gz": None,
        "models/cut.pkl": "limit-exceeded",
        "models/evil.pkl": "global-not-allowed",
        "models/fraud.joblib": "configuration",
        "models/fraud.pkl": "configuration",
        "models/junk.pkl": "payload",
    }
    assert document["packed"] is False


def test_options_that_are_not_for_it(cli: "CommandLine", models: Path, shelf: "Shelf") -> None:
    assert cli.refused(2, "pack", "models", "-o", "out", "--name", "acme/churn")["code"] == "usage"
    assert cli.refused(2, "pack", "models/fraud.pkl", "-o", "out", "--dry-run")["code"] == "usage"
    assert cli.refused(2, "pack", "models", "-o", "out", "--prefix", "Acme", "--dry-run")["code"] == "usage"
