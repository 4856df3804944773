"""An artifact with an example: what `dump` keeps, what `reproduce` finds, and what `load(reproduce=True)` refuses."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler

import safemodel
from safemodel import artifact as artifact_module
from safemodel.describe.example.example import Example
from safemodel.errors import (
    ConfigurationError,
    DriftError,
    FormatError,
    LimitExceededError,
    PayloadError,
    PolicyError,
)

X = np.random.RandomState(0).normal(size=(60, 3))
LABELS = np.where(X[:, 0] > 0, "yes", "no")


def classifier() -> Any:
    return LogisticRegression().fit(X, LABELS)


@pytest.fixture
def dump(tmp_path: Path, release: Any) -> Callable[..., Path]:
    """Dump a model with a real key."""

    def make(model: Any, **options: Any) -> Path:
        path = tmp_path / "churn.safemodel"
        safemodel.dump(model, path, key=release.private, **options)
        return path

    return make


@pytest.fixture
def drifted(dump: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Dump a model with the example of another, through the real writer: what its environment could make of it."""

    def make(model: Any, example: Example) -> Path:
        monkeypatch.setattr(artifact_module, "_run_example", lambda *_: example.to_claims())
        return dump(model, example=X[:5])

    return make


def test_what_reads_the_example_is_required_too(dump: Callable[..., Path], release: Any) -> None:
    path = dump(classifier(), example=pd.DataFrame(X[:5]))
    with safemodel.verify(path, trust=release.public) as artifact:
        assert f"pandas=={pd.__version__}" in artifact.requirements()
        assert "pandas" not in artifact.manifest.environment["distributions"]


def test_a_method_that_this_model_cannot_do_is_left_out(dump: Callable[..., Path], release: Any) -> None:
    model = LinearDiscriminantAnalysis(solver="lsqr").fit(X, LABELS)  # whose transform only other solvers have
    found = reproduce(dump(model, example=X[:5]), release)
    assert [each.method for each in found.differences] == ["predict", "predict_proba"]


def reproduce(path: Path, release: Any, **options: Any) -> safemodel.Reproduction:
    with safemodel.verify(path, trust=release.public) as artifact:
        return artifact.reproduce(**options)


def test_a_model_agrees_with_its_example(dump: Callable[..., Path], release: Any) -> None:
    path = dump(classifier(), example=X[:5])
    found = reproduce(path, release)
    assert found.agrees
    assert [each.method for each in found.differences] == ["predict", "predict_proba"]
    assert {each.rows for each in found.differences} == {5}
    model = safemodel.load(path, trust=release.public, reproduce=True)
    assert model.predict(X).tolist() == classifier().predict(X).tolist()


def test_what_the_artifact_holds(dump: Callable[..., Path], release: Any) -> None:
    path = dump(classifier(), example=X[:5])
    read = safemodel.inspect(path)
    names = [entry.name for entry in read.layout.attachments]
    assert names == ["example-inputs.msgpack", "example-predictions.msgpack"]
    assert read.manifest.example == {"inputs": names[0], "predictions": names[1], "tolerance": 1e-6}


def test_the_same_example_gives_the_same_bytes() -> None:
    first, second = (Example.of(classifier(), X[:5].copy(), None).to_claims() for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("model", "tolerance"),
    [
        (LinearRegression().fit(X, X[:, 0]), 1e-6),
        (PCA(2).fit(X.astype(np.float32)), 1e-4),
        (StandardScaler().fit(X.astype(np.float16)), 1e-2),
    ],
)
def test_the_tolerance_follows_from_the_coarsest_number(model: Any, tolerance: float) -> None:
    kind = {1e-6: np.float64, 1e-4: np.float32, 1e-2: np.float16}[tolerance]
    assert Example.of(model, X[:5].astype(kind), None).tolerance == tolerance


class Labels:
    """A model that gives nothing but labels."""

    def predict(self, rows: Any) -> Any:
        return np.array(["a"] * len(rows))


def test_labels_have_no_tolerance() -> None:
    assert Example.of(Labels(), X[:5], None).tolerance == 0


@pytest.mark.parametrize("tolerance", [0, 0.5, np.float64(1e-3), -0.0])
def test_a_stated_tolerance_is_signed(tolerance: Any, dump: Callable[..., Path], release: Any) -> None:
    path = dump(classifier(), example=X[:5], example_tolerance=tolerance)
    assert reproduce(path, release).tolerance == tolerance
    assert reproduce(path, release, tolerance=0.25).tolerance == 0.25


@pytest.mark.parametrize("tolerance", [-1e-9, 1, float("nan"), float("inf"), "1e-3", True])
def test_a_tolerance_that_is_none(tolerance: Any, dump: Callable[..., Path], release: Any) -> None:
    with pytest.raises(ConfigurationError):
        dump(classifier(), example=X[:5], example_tolerance=tolerance)
    with pytest.raises(ConfigurationError):
        reproduce(dump(classifier(), example=X[:5]), release, tolerance=tolerance)


def test_a_changed_coefficient_drifts(drifted: Callable[..., Path], release: Any) -> None:
    model = classifier()
    example = Example.of(model, X[:5], None)
    model.coef_[0, 1] += 0.01
    path = drifted(model, example)
    found = reproduce(path, release)
    assert not found.agrees
    probabilities = found.differences[1]
    assert probabilities.rows_differing == 5
    assert probabilities.largest_absolute is not None
    assert 1e-6 < probabilities.largest_absolute < 0.1
    assert reproduce(path, release, tolerance=0.5).agrees
    with pytest.raises(DriftError) as caught:
        safemodel.load(path, trust=release.public, reproduce=True)
    assert caught.value.reproduction == found
    assert safemodel.load(path, trust=release.public).coef_[0, 1] == model.coef_[0, 1]


def test_a_changed_label_drifts(drifted: Callable[..., Path], release: Any) -> None:
    model = classifier()
    example = Example.of(model, X[:5], None)
    model.classes_ = model.classes_[::-1].copy()
    difference = reproduce(drifted(model, example), release).differences[0]
    assert difference.rows_differing == len(difference.changed) == 5
    assert all({label.then, label.now} == {"'no'", "'yes'"} for label in difference.changed)


@pytest.mark.parametrize("other", [LinearRegression().fit(X[:, :2], X[:, 0]), PCA(2).fit(X), {"weights": X}])
def test_a_model_that_fails_drifts(other: Any, drifted: Callable[..., Path], release: Any) -> None:
    found = reproduce(drifted(other, Example.of(classifier(), X[:5], None)), release)
    assert [each.reason.split()[0] for each in found.differences] == ["raises", "raises"]
    assert {each.rows_differing for each in found.differences} == {5}


class Ends:
    """A model that tries to end the process, which would look like success."""

    def __init__(self) -> None:
        self.ending = False

    def predict(self, rows: Any) -> Any:
        if self.ending:
            raise SystemExit(0)
        return np.zeros(len(rows))


def test_a_model_that_ends_the_process_drifts() -> None:
    model = Ends()
    example = Example.of(model, X[:5], None)
    model.ending = True
    assert not example.reproduced_by(model).agrees


class Scribbles:
    """A model that writes into what it gets, as transformers with copy=False do."""

    def predict(self, rows: Any) -> Any:
        rows *= 2
        return rows[:, 0]

    def transform(self, rows: Any) -> Any:
        rows += 1
        return rows


def test_a_model_that_writes_into_its_input() -> None:
    before = X.copy()
    assert Example.of(Scribbles(), X[:5], None).reproduced_by(Scribbles()).agrees
    assert (before == X).all()


class Random:
    """A model without a fixed random state."""

    def __init__(self) -> None:
        self.random = np.random.RandomState(0)

    def transform(self, rows: Any) -> Any:
        return rows + self.random.normal(size=rows.shape)


def test_a_model_that_gives_something_else_each_time_is_refused() -> None:
    with pytest.raises(PayloadError) as caught:
        Example.of(Random(), X[:5], None)
    assert "random_state" in caught.value.hint


@pytest.mark.parametrize("value", [{"weights": X}, X, LogisticRegression, [classifier()], "model", None])
def test_what_does_not_predict_has_no_example(value: Any, dump: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        dump(value, example=X[:5])
    assert list(tmp_path.iterdir()) == []


def test_an_example_that_the_model_cannot_predict_leaves_the_old_file(dump: Callable[..., Path]) -> None:
    path = dump(classifier(), example=X[:5])
    before = path.read_bytes()
    for unfit in (X[:5, :2], ["text"], LogisticRegression()):
        model = unfit if isinstance(unfit, LogisticRegression) else classifier()
        rows = X[:5] if model is unfit else unfit
        with pytest.raises(PayloadError) as caught:
            dump(model, example=rows)
        assert isinstance(caught.value.__cause__, ValueError)
    for kept, error in ((("a", "tuple"), FormatError), (np.zeros((10**6, 3)), LimitExceededError)):
        with pytest.raises(error):
            dump(classifier(), example=kept)
    assert path.read_bytes() == before


class Exotic:
    """A model that gives what is no table."""

    def predict(self, rows: Any) -> Any:
        return {"scores": rows}


def test_predictions_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(FormatError):
        Example.of(Exotic(), X[:5], None)


def test_without_an_example_there_is_nothing_to_reproduce(churn: Path, release: Any, canary: list[str]) -> None:
    with safemodel.verify(churn, trust=release.public) as artifact, pytest.raises(PolicyError) as caught:
        artifact.reproduce()
    assert "example=X[:5]" in caught.value.hint
    with pytest.raises(PolicyError):
        safemodel.load(churn, trust=release.public, reproduce=True)
    assert canary == []


def test_file_objects_and_trust_that_refuses(release: Any, stranger: Any, canary: list[str]) -> None:
    file = io.BytesIO()
    safemodel.dump(classifier(), file, key=stranger.private, name="acme/churn", example=X[:5])
    with pytest.raises(safemodel.NoTrustedSignatureError):
        safemodel.load(file, trust=release.public, name="acme/churn", reproduce=True)
    assert canary == []
    assert safemodel.load(file, trust=stranger.public, name="acme/churn", reproduce=True)


def test_a_changed_attachment_is_refused(dump: Callable[..., Path], release: Any, canary: list[str]) -> None:
    path = dump(classifier(), example=X[:5])
    with safemodel.verify(path, trust=release.public) as artifact:
        offset = safemodel.inspect(path).layout.offset_of("example-predictions.msgpack")
        with open(path, "r+b") as file:
            file.seek(offset + 40)
            byte = file.read(1)
            file.seek(offset + 40)
            file.write(bytes([byte[0] ^ 1]))
        with pytest.raises(safemodel.DigestMismatchError):
            artifact.reproduce()
    assert canary == []


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    described, attachments = Example.of(
        LogisticRegression().fit(pd.DataFrame(X), LABELS), pd.DataFrame(X[:5]), None
    ).to_claims()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(PayloadError) as caught:
        Example.read(described, lambda name, maximum: attachments[name])
    assert isinstance(caught.value.__cause__, ImportError)


def test_outputs_of_several_kinds() -> None:
    """The tolerance is that of the coarsest number in any of them."""

    class Several:
        def predict(self, rows: Any) -> Any:
            return [rows[:, 0].astype(np.float32), np.array(["a"] * len(rows))]

        def transform(self, rows: Any) -> Any:
            return pd.DataFrame({"a": rows[:, 0], "b": "x"})

    example = Example.of(Several(), X[:5], None)
    assert example.tolerance == 1e-4
    assert example.reproduced_by(Several()).agrees
