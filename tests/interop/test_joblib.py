"""What is inside an artifact is what joblib reads: the extracted payload loads and predicts the same."""

import zipfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import safemodel

X, Y = load_breast_cancer(return_X_y=True)
TEXTS = ["the cat sat", "the dog ran", "a cat ran", "a dog sat"] * 10
ANIMALS = np.array(["cat", "dog", "cat", "dog"] * 10, dtype=object)

MODELS = {
    "logistic": (make_pipeline(StandardScaler(), LogisticRegression()), X, Y),
    "forest": (RandomForestClassifier(5, random_state=0), X, Y),
    "boosting": (HistGradientBoostingClassifier(max_iter=5), X, Y),
    "neighbours": (KNeighborsClassifier(), X, Y),
    "vectors": (SVC(), X, Y),
    "text": (make_pipeline(TfidfVectorizer(), LogisticRegression()), TEXTS, ANIMALS),
}


@pytest.fixture(params=MODELS)
def fitted(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    model, inputs, outputs = MODELS[request.param]
    return model.fit(inputs, outputs), inputs


@pytest.fixture
def artifact(fitted: tuple[Any, Any], tmp_path: Path, release: Any) -> Path:
    path = tmp_path / "model.safemodel"
    safemodel.dump(fitted[0], path, key=release.private)
    return path


def test_the_loaded_model_predicts_the_same(artifact: Path, fitted: tuple[Any, Any], release: Any) -> None:
    model, inputs = fitted
    loaded = safemodel.load(artifact, trust=release.public)
    np.testing.assert_array_equal(loaded.predict(inputs), model.predict(inputs))
    with safemodel.verify(artifact, trust=release.public) as verified:
        np.testing.assert_array_equal(verified.load().predict(inputs), model.predict(inputs))


def test_joblib_reads_what_was_extracted(artifact: Path, fitted: tuple[Any, Any], release: Any, tmp_path: Path) -> None:
    model, inputs = fitted
    safemodel.extract(artifact, tmp_path / "ours", trust=release.public)
    with zipfile.ZipFile(artifact) as archive:
        archive.extractall(tmp_path / "theirs")
    for folder in ("ours", "theirs"):
        loaded = joblib.load(tmp_path / folder / "payload.joblib")
        np.testing.assert_array_equal(loaded.predict(inputs), model.predict(inputs))
