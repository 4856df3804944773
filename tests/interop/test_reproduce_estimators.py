"""Every model that can be fitted agrees with its example right after it was dumped, with every kind of data."""

import io
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import others
import pytest
import scikit_learn
from samples import sample, samples
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import all_estimators

import safemodel
from safemodel.describe.example.example import METHODS

pytestmark = pytest.mark.filterwarnings("ignore")  # what libraries say of such data does not matter

LEFT_OUT = {
    "MultiLabelBinarizer",
    "PatchExtractor",
    "FeatureHasher",
    "LocalOutlierFactor",
}  # sets, images, pairs; below
BOOSTERS = {"xgboost": others.xgboost_models, "lightgbm": others.lightgbm_models}


def predicting(cls: Any) -> bool:
    return any(hasattr(cls, method) for method in METHODS) and cls.__name__ not in LEFT_OUT


def check(model: Any, inputs: Any, release: Any) -> set[str]:
    """Dump with an example and reproduce it; return the methods that were compared."""
    file = io.BytesIO()
    safemodel.dump(model, file, key=release.private, name="acme/matrix", example=inputs)
    with safemodel.verify(file, trust=release.public, name="acme/matrix") as artifact:
        found = artifact.reproduce()
    assert found.agrees, str(found)
    assert all(difference.rows for difference in found.differences)
    return {difference.method for difference in found.differences}


def predicts(model: Any, rows: Any) -> bool:
    """Whether it has a method that predicts, and all that it has take such rows: some can be fitted to anything."""
    methods = [method for method in METHODS if hasattr(model, method)]
    try:
        return bool(methods) and [getattr(model, method)(rows) for method in methods] != []
    except Exception:
        return False


def fitted(cls: Any) -> Iterator[tuple[Any, Any]]:
    """Fit an estimator to each kind of data that it takes; yield it with a few rows."""
    estimator = scikit_learn.construct(cls)
    for data in samples():
        model = scikit_learn.fitted(clone(estimator), data)
        if model is not None and predicts(model, head(data.X)):
            yield model, head(data.X)


def head(rows: Any) -> Any:
    return rows.iloc[:5] if hasattr(rows, "iloc") else rows[:5]


@pytest.mark.parametrize(("name", "cls"), [each for each in all_estimators() if predicting(each[1])])
def test_estimators(name: str, cls: Any, release: Any) -> None:
    models = list(islice(fitted(cls), 2))
    assert models
    assert all(check(model, rows, release) for model, rows in models)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cls"), [each for each in all_estimators() if predicting(each[1])])
def test_estimators_with_all_data(name: str, cls: Any, release: Any) -> None:
    assert all(check(model, rows, release) for model, rows in fitted(cls))


@pytest.mark.parametrize("name", BOOSTERS)
def test_boosters(name: str, release: Any) -> None:
    rows = head(sample("binary").X)
    models = [model for _, model in BOOSTERS[name]() if hasattr(model, "fit") and predicts(model, rows)]
    assert len(models) > 5
    assert all(check(model, rows, release) for model in models[::4])


def test_a_pipeline_on_a_mixed_frame(release: Any) -> None:
    data = sample("mixed frame")
    columns = ColumnTransformer([("words", OneHotEncoder(), ["a", "b"]), ("numbers", StandardScaler(), ["c", "d"])])
    model = make_pipeline(columns, LogisticRegression()).fit(data.X, data.y)
    assert check(model, data.X[:5], release) == {"predict", "predict_proba"}
    table = columns.set_output(transform="pandas")
    assert check(table.set_params(words=OneHotEncoder(sparse_output=False)).fit(data.X), data.X[:5], release) == {
        "transform"
    }


def test_a_pipeline_on_texts(release: Any) -> None:
    texts = ["some words here", "other words there", "nothing of that"] * 4
    labels = np.array(["x", "y", "x"] * 4)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, labels)
    assert check(model, texts[:3], release) == {"predict", "predict_proba"}
    assert check(model[:-1], texts[:3], release) == {"transform"}


def test_maps(release: Any) -> None:
    rows = [{"city": "Bern", "size": 1.5}, {"city": "Rome"}]
    assert check(DictVectorizer().fit(rows), rows, release) == {"transform"}


def test_novelties(release: Any) -> None:
    rows = sample("binary").X
    assert check(LocalOutlierFactor(novelty=True).fit(rows), rows[:5], release) == {"predict", "decision_function"}
