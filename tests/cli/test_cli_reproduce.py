"""`safemodel reproduce`: 0 where the model predicts what it predicted, 1 with a table where it does not."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import safemodel
from safemodel import artifact as artifact_module
from safemodel.describe.example.example import Example

if TYPE_CHECKING:
    from cli.conftest import CommandLine, Shelf

X = np.random.RandomState(0).normal(size=(60, 3))
LABELS = np.where(X[:, 0] > 0, "yes", "no")


@pytest.fixture(scope="module")
def models(shelf: "Shelf", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that agrees, one whose coefficient was changed, and one that fails on its example."""
    folder = tmp_path_factory.mktemp("models")
    good, changed = (LogisticRegression().fit(X, LABELS) for _ in range(2))
    example = Example.of(good, X[:5], None)
    changed.coef_[0, 0] = -changed.coef_[0, 0]
    narrow = LogisticRegression().fit(X[:, :2], LABELS)
    for name, model in {"good": good, "changed": changed, "narrow": narrow}.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(artifact_module, "_run_example", lambda *_: example.to_claims())
            safemodel.dump(model, folder / f"{name}.safemodel", key=shelf / "release.key", example=X[:5])
    return folder


def test_a_model_that_agrees(cli: "CommandLine", shelf: "Shelf", models: Path) -> None:
    shown = cli.good("reproduce", models / "good.safemodel", "--trust", shelf.trust)
    assert "predicts what it predicted" in shown
    assert shown.count("agrees") == 2


def test_the_document(cli: "CommandLine", shelf: "Shelf", models: Path) -> None:
    document = cli.document("reproduce", models / "good.safemodel", "--trust", shelf.trust)
    assert set(document) == {"file", "agrees", "tolerance", "methods"}
    assert document["agrees"] is True
    assert document["tolerance"] == 1e-6
    assert [each["method"] for each in document["methods"]] == ["predict", "predict_proba"]


def test_a_model_that_drifts(cli: "CommandLine", shelf: "Shelf", models: Path) -> None:
    done = cli.run("reproduce", models / "changed.safemodel", "--trust", shelf.trust)
    assert done.returncode == 1
    assert "DRIFTS" in done.stdout
    assert "'yes', now 'no'" in done.stdout
    assert done.stderr == ""
    document = cli.document_here("reproduce", models / "changed.safemodel", "--trust", shelf.trust, exit_code=1)
    assert document["agrees"] is False
    assert document["methods"][1]["largest_absolute"] > 0.1


def test_a_model_that_fails(cli: "CommandLine", shelf: "Shelf", models: Path) -> None:
    done = cli.run("reproduce", models / "narrow.safemodel", "--trust", shelf.trust)
    assert done.returncode == 1
    assert "raises ValueError" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_another_tolerance(cli: "CommandLine", shelf: "Shelf", models: Path) -> None:
    file: Any = models / "good.safemodel"
    assert cli.document_here("reproduce", file, "--trust", shelf.trust, "--tolerance", "0")["tolerance"] == 0
    for text in ("much", "-1", "1", "nan", "inf"):
        refused = cli.refused_here(2, "reproduce", file, "--trust", shelf.trust, "--tolerance", text)
        assert refused["code"] == "usage"


@pytest.mark.parametrize(
    ("file", "exit_code", "code"),
    [
        ("churn.safemodel", 1, "policy"),
        ("tampered/churn.safemodel", 1, "digest-mismatch"),
        ("forged/churn.safemodel", 1, "no-trusted-signature"),
        ("renamed.safemodel", 1, "name-mismatch"),
        ("junk.safemodel", 3, "format"),
        ("missing.safemodel", 4, "io"),
    ],
)
def test_what_is_refused(cli: "CommandLine", shelf: "Shelf", file: str, exit_code: int, code: str) -> None:
    assert cli.refused_here(exit_code, "reproduce", shelf / file, "--trust", shelf.trust)["code"] == code
