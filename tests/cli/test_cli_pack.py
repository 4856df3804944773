"""`safemodel pack`: an existing file becomes a signed artifact, or nothing is written."""

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
        (("folder", "-o", "o.safemodel"), 4, "io"),
        (("evil.pkl", "-o", "o.safemodel"), 1, "global-not-allowed"),
        (("cut.pkl", "-o", "o.safemodel"), 3, "limit-exceeded"),
        (("empty.pkl", "-o", "o.safemodel"), 1, "payload"),
        (("churn.joblib", "-o", "no/such/o.safemodel"), 4, "io"),
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
