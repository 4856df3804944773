"""What is captured of a model without being asked for; nothing of it makes a dump fail, warn, or change the model."""

import functools
import io
import pickle
import warnings
from pathlib import Path, PurePosixPath
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import safemodel
from safemodel.describe.model import describe_model
from safemodel.format import wire

HOME = str(PurePosixPath("/", "home", "alice"))
RANDOM = np.random.default_rng(0)
ROWS = RANDOM.random((60, 3))
LABELS = (ROWS[:, 0] > 0.5).astype(int)
FRAME = pd.DataFrame({"age": ROWS[:, 0], "income": ROWS[:, 1], "city": np.array(["Bern", "Brno"])[LABELS]})


def described(model: Any) -> dict[str, Any]:
    """Describe a model as `dump` does, and check what must hold of every one."""
    before = pickle.dumps(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = describe_model(model)
    assert pickle.dumps(model) == before
    assert len(wire.encode(found)) < 2**17
    return found


def test_a_pipeline_of_a_frame() -> None:
    columns = make_column_transformer(
        (StandardScaler(), ["age", "income"]),
        (OneHotEncoder(), make_column_selector(dtype_exclude=np.number)),
        remainder="drop",
    )
    model = Pipeline([("columns", columns), ("clf", LogisticRegression(C=0.5))]).fit(FRAME, LABELS)
    found = described(model)
    assert found["class"] == "sklearn.pipeline.Pipeline"
    assert found["parameters"]["clf__C"] == 0.5
    assert found["parameters"]["steps"] == [
        ["columns", "sklearn.compose._column_transformer.ColumnTransformer"],
        ["clf", "sklearn.linear_model._logistic.LogisticRegression"],
    ]
    first, last = found["steps"]
    assert last == {"name": "clf", "class": "sklearn.linear_model._logistic.LogisticRegression"}
    assert [(step["name"], step["columns"]) for step in first["steps"]] == [
        ("standardscaler", ["age", "income"]),
        ("onehotencoder", ["city"]),
    ]
    assert found["n_features_in"] == 3
    assert found["feature_names"] == ["age", "income", "city"]
    assert found["classes"] == [0, 1]
    assert found["outputs"] == 1
    assert all(part["part"].startswith("steps") and part["bytes"] > 0 for part in found["sizes"])


def test_a_search() -> None:
    steps = make_pipeline(StandardScaler(), LogisticRegression())
    model = GridSearchCV(steps, {"logisticregression__C": [0.1, 1.0]}, cv=2, scoring="roc_auc").fit(ROWS, LABELS)
    found = described(model)
    assert found["search"] == {
        "best_parameters": {"logisticregression__C": model.best_params_["logisticregression__C"]},
        "best_score": model.best_score_,
        "candidates": 2,
        "scoring": "roc_auc",
    }
    assert [step["name"] for step in found["steps"]] == ["best_estimator_"]
    assert [step["name"] for step in found["steps"][0]["steps"]] == ["standardscaler", "logisticregression"]
    assert found["outputs"] == 1
    assert described(make_pipeline(StandardScaler(), model).fit(ROWS, LABELS))["search"] == found["search"]


def test_a_search_without_a_score() -> None:
    model = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2).fit(ROWS, LABELS)
    model.best_score_ = np.nan
    assert set(described(model)["search"]) == {"best_parameters", "candidates"}


def test_votes_stacks_and_unions() -> None:
    named = [("one", LogisticRegression()), ("two", "drop"), ("three", LogisticRegression())]
    vote = described(VotingClassifier(named).fit(ROWS, LABELS))
    assert [(step["name"], step["class"].rpartition(".")[2]) for step in vote["steps"][:3]] == [
        ("one", "LogisticRegression"),
        ("two", "drop"),
        ("three", "LogisticRegression"),
    ]
    stack = described(StackingClassifier(named[:1], cv=2).fit(ROWS, LABELS))
    assert [step["name"] for step in stack["steps"]] == ["one", "final_estimator_"]
    union = described(FeatureUnion([("scale", StandardScaler()), ("same", "passthrough")]).fit(ROWS))
    assert [step["name"] for step in union["steps"]] == ["scale", "same"]


def test_columns_by_number_slice_and_mask() -> None:
    chosen = ([0, 2], slice(1, 3), slice(None, 2), np.array([True, False, True]), 1)
    model = make_column_transformer(*((StandardScaler(), each) for each in chosen[:4])).fit(ROWS)
    assert [step["columns"] for step in described(model)["steps"][:4]] == [["0", "2"], ["1:3"], [":2"], ["0", "2"]]


def test_models_in_a_dict_or_a_list() -> None:
    pair = {"scale": StandardScaler().fit(ROWS), 3: LogisticRegression().fit(ROWS, LABELS), "note": "text"}
    found = described(pair)
    assert [step["name"] for step in found["steps"]] == ["scale", "3"]
    assert "[3].coef_" in [part["part"] for part in found["sizes"]]
    assert [step["name"] for step in described(list(pair.values()))["steps"]] == ["0", "1"]


def test_outputs() -> None:
    two = np.c_[LABELS, LABELS[::-1]]
    assert described(MultiOutputClassifier(LogisticRegression()).fit(ROWS, two))["classes"] == [[0, 1], [0, 1]]
    assert described(MultiOutputClassifier(LogisticRegression()).fit(ROWS, two))["outputs"] == 2
    assert described(RandomForestClassifier(2).fit(ROWS, two))["outputs"] == 2
    assert described(LinearRegression().fit(ROWS, two.astype(float)))["outputs"] == 2
    assert described(LinearRegression().fit(ROWS, ROWS[:, 0]))["outputs"] == 1
    assert "outputs" not in described(StandardScaler().fit(ROWS))


def test_sizes_are_about_what_memory_holds() -> None:
    forest = RandomForestClassifier(300, max_depth=3, random_state=0).fit(ROWS, LABELS)
    found = {part["part"]: part["bytes"] for part in described(forest)["sizes"]}
    trees = sum(
        each.nbytes
        for tree in forest.estimators_
        for each in tree.tree_.__getstate__().values()
        if isinstance(each, np.ndarray)
    )
    assert 0.9 * trees < found["estimators_"] < 5 * trees
    boosted = GradientBoostingClassifier(n_estimators=20).fit(ROWS, LABELS)
    assert described(boosted)["sizes"][0]["part"] == "estimators_"
    holder = Ridge().fit(ROWS, LABELS)
    holder.table = {f"term {number}": number for number in range(50_000)}
    holder.round = holder.table["itself"] = [holder, {1, 2}]
    largest = described(holder)["sizes"][0]
    assert largest["part"] == "table"
    assert 3_000_000 < largest["bytes"] < 9_000_000


def test_anything_else_has_its_class() -> None:
    assert described([1.5]) == {"class": "list"}
    assert described(np.zeros(3)) == {"class": "numpy.ndarray"}
    assert described(Ridge) == {"class": "abc.ABCMeta"}
    assert set(described(Ridge())) == {"class", "parameters"}


@pytest.mark.parametrize(
    "model", [NearestNeighbors(), GaussianProcessRegressor()], ids=lambda each: type(each).__name__
)
def test_training_rows_are_not_captured(model: Any) -> None:
    rows = np.array([[0.123456789, 987654.321], [555.777, 0.5], [3.25, 1.125]])
    found = described(model.fit(rows, [1.0, 2.0, 3.0]))
    text = repr(found)
    assert not [row for row in rows.ravel().tolist() if str(row)[:6] in text and row not in (0.5,)]


def test_home_folders_are_not_captured() -> None:
    model = Pipeline([("clf", Ridge())], memory=joblib.Memory(HOME, verbose=0))
    assert "alice" not in repr(described(model))
    assert described(Pipeline([("clf", Ridge())], memory=HOME))["parameters"]["memory"] == "~"
    assert "alice" not in repr(described(Pipeline([(HOME, HOME)])))


class Hostile(BaseEstimator):  # type: ignore[misc]
    """Misbehaves wherever it is asked."""

    calls = 0

    def __init__(self, trouble: BaseException | None = None) -> None:
        self.trouble = trouble

    def fit(self, X: Any, y: Any = None) -> "Hostile":
        return self

    def get_params(self, deep: bool = True) -> dict[Any, Any]:
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        if self.trouble is not None:
            raise self.trouble
        return {"same": self, "large": "x" * 10**7, "bad": "\ud800", 3: 4, "nan": np.nan, "rows": np.eye(2)}

    @property
    def classes_(self) -> Any:
        raise RuntimeError

    @property
    def n_features_in_(self) -> Any:
        warnings.warn("old", FutureWarning, stacklevel=1)
        return "many"

    @functools.cached_property
    def feature_names_in_(self) -> Any:
        return ["would be stored"]


def test_a_hostile_estimator() -> None:
    found = described(Hostile())
    assert set(found) == {"class", "parameters"}
    assert sorted(found["parameters"]) == ["bad", "large", "nan", "rows", "same"]
    assert set(describe_model(Hostile(RecursionError()))) == {"class"}


class Drawing(BaseEstimator):  # type: ignore[misc]
    """Draws from its random state when it is asked for its parameters, as XGBoost's estimators do."""

    def __init__(self, random_state: Any) -> None:
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "Drawing":
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"random_state": self.random_state.bytes(4)}


@pytest.mark.parametrize("random_state", [np.random.RandomState(0), np.random.default_rng(0)])
def test_random_states_stay_as_they_were(random_state: Any) -> None:
    assert "parameters" in described(Drawing(random_state))
    assert "parameters" in described(make_pipeline(Drawing(random_state)))


def test_an_interrupt_is_no_answer() -> None:
    with pytest.raises(KeyboardInterrupt):
        describe_model(Hostile(KeyboardInterrupt()))


def test_estimators_inside_one_another_end_somewhere() -> None:
    chain: Any = Ridge()
    for _ in range(100):
        chain = make_pipeline(chain)
    assert wire.encode({"model": describe_model(chain)}, where="manifest")
    round_and_round = make_pipeline(Ridge())
    round_and_round.steps.append(("again", round_and_round))
    assert [step["name"] for step in describe_model(round_and_round)["steps"]] == ["ridge"]
    many = Pipeline([(f"step{number}", StandardScaler()) for number in range(2000)])
    assert len(described(many)["steps"]) < 1000


def test_names_and_labels_without_end() -> None:
    model = Ridge()
    model.feature_names_in_ = np.array([f"{'n' * 180}{number}" for number in range(100_000)], object)
    model.classes_ = [object(), HOME, 1]
    found = describe_model(model)
    assert found["feature_names"] == {"shortened": "", "length": 100_000}
    assert found["classes"] == ["object", "~", 1]


def test_dump_describes_and_pack_knows_the_class(release: Any, tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS)
    safemodel.dump(model, tmp_path / "churn.safemodel", key=release.private)
    manifest = safemodel.inspect(tmp_path / "churn.safemodel").manifest
    assert manifest.model == describe_model(model)
    file = io.BytesIO()
    joblib.dump(model, file)
    safemodel.pack(file, tmp_path / "churn.safemodel", key=release.private)
    assert safemodel.inspect(tmp_path / "churn.safemodel").manifest.model == {"class": "sklearn.pipeline.Pipeline"}
