"""Makes what pandas has, and fits what XGBoost, LightGBM, CatBoost and imbalanced-learn have, where installed."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from samples import Sample, sample, samples
from scikit_learn import Model, estimator_models, fitted, limited, scikit_learn_models
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def models_of(distribution: str) -> Iterator[Model]:
    """Yield the models of a distribution, by its name on PyPI; one of `SOURCES`.

    Raises:
        ImportError: it is not installed.
    """
    return SOURCES[distribution]()


def pandas_objects() -> Iterator[Model]:
    """Yield the values of pandas that models keep: tables, indices, types."""
    frame = pd.DataFrame({"number": [1.5, 2.5], "count": [1, 2], "text": ["a", "b"], "flag": [True, False]})
    yield "frame", frame
    yield "empty frame", pd.DataFrame()
    yield "frame of categories", frame.assign(category=pd.Categorical(["x", "y"], ordered=True))
    yield "series", frame["number"]
    yield "series of texts", frame["text"]
    for dtype in ("Int64", "Float32", "boolean", "category", "datetime64[ns]", "object"):
        series = pd.Series([0, 1]).astype(dtype)
        yield f"series of {dtype}", series
        yield f"type {dtype}", series.dtype
    yield from _indices(frame)
    yield "moments", [pd.Timestamp("2024-01-02"), pd.Timedelta("1D"), pd.NaT]


def _indices(frame: pd.DataFrame) -> Iterator[Model]:
    yield "columns", frame.columns
    yield "range", frame.index
    yield "integers", pd.Index([1, 5])
    yield "floats", pd.Index([1.5, 5.5])
    yield "categories", pd.CategoricalIndex(["a", "b"])
    yield "days", pd.DatetimeIndex(["2024-01-02"])
    yield "spans", pd.TimedeltaIndex(["1D"])
    yield "levels", pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])


def xgboost_models() -> Iterator[Model]:
    """Yield XGBoost's estimators with each booster, objective and kind of data, and boosters themselves."""
    xgboost = importlib.import_module("xgboost")
    cheap = {"n_estimators": 2, "max_depth": 2, "n_jobs": 1}
    for name in ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor"):
        cls = getattr(xgboost, name)
        yield name, cls(**cheap)
        yield from _fitted_to_all(name, lambda cls=cls: cls(**cheap))
        for options in _XGBOOST_OPTIONS:
            yield f"{name} {options}", fitted(cls(**cheap | options), sample("binary"))
        yield from _fitted_to_all(name, lambda cls=cls: cls(enable_categorical=True, tree_method="hist", **cheap))
    yield "early", _stopped_early(xgboost.XGBClassifier(early_stopping_rounds=1, eval_metric="auc", **cheap))
    early = xgboost.callback.EarlyStopping(rounds=1, save_best=True)
    yield "callback", _stopped_early(xgboost.XGBClassifier(callbacks=[early], **cheap))
    yield "ranker", _ranked(xgboost.XGBRanker(**cheap))
    binary = sample("binary")
    booster = xgboost.train({"max_depth": 2}, xgboost.DMatrix(binary.X, binary.y), 2)
    yield "booster", booster
    yield "search", fitted(GridSearchCV(xgboost.XGBClassifier(**cheap), {"max_depth": [1, 2]}, cv=2), binary)


_XGBOOST_OPTIONS: tuple[dict[str, Any], ...] = (
    {"booster": "gblinear"},
    {"booster": "dart"},
    {"tree_method": "exact"},
    {"tree_method": "approx"},
    {"importance_type": "weight"},
    {"random_state": np.random.RandomState(1)},
    {"monotone_constraints": (1, 0, 0, 0)},
    {"interaction_constraints": "[[0, 1], [2, 3]]"},
    {"missing": 0.0},
)


def lightgbm_models() -> Iterator[Model]:
    """Yield LightGBM's estimators with each kind of boosting and of data, and boosters themselves."""
    lightgbm = importlib.import_module("lightgbm")
    cheap = {"n_estimators": 2, "num_leaves": 4, "min_child_samples": 2, "n_jobs": 1, "verbose": -1}
    for name in ("LGBMClassifier", "LGBMRegressor"):
        cls = getattr(lightgbm, name)
        yield name, cls(**cheap)
        yield from _fitted_to_all(name, lambda cls=cls: cls(**cheap))
        for boosting in ("gbdt", "dart", "rf", "goss"):
            bagging = {"subsample": 0.5, "subsample_freq": 1} if boosting == "rf" else {}
            yield f"{name} {boosting}", fitted(cls(boosting_type=boosting, **bagging, **cheap), sample("binary"))
        for options in ({"class_weight": "balanced"}, {"importance_type": "gain"}, {"random_state": _random_state()}):
            with suppress(TypeError):
                yield f"{name} {options}", fitted(cls(**cheap | options), sample("binary"))
    yield "ranker", _ranked(lightgbm.LGBMRanker(**cheap))
    stopping = lightgbm.early_stopping(1, verbose=False)
    yield "early", _stopped_early(lightgbm.LGBMClassifier(**cheap), callbacks=[stopping])
    binary = sample("binary")
    booster = lightgbm.train({"verbose": -1}, lightgbm.Dataset(binary.X, binary.y), 2)
    yield "booster", booster
    yield "search", fitted(GridSearchCV(lightgbm.LGBMClassifier(**cheap), {"num_leaves": [3, 4]}, cv=2), binary)


def catboost_models() -> Iterator[Model]:
    """Yield CatBoost's estimators with each kind of data; they write no files of their own."""
    catboost = importlib.import_module("catboost")
    cheap = {"iterations": 2, "depth": 2, "verbose": False, "allow_writing_files": False, "thread_count": 1}
    for name in ("CatBoostClassifier", "CatBoostRegressor", "CatBoost"):
        cls = getattr(catboost, name)
        yield f"{name} unfitted", cls(cheap) if name == "CatBoost" else cls(**cheap)
        yield from _fitted_to_all(name, lambda cls=cls: cls(cheap) if cls is catboost.CatBoost else cls(**cheap))
    for loss in ("CrossEntropy", "Logloss", "MultiClass", "MultiClassOneVsAll"):
        yield f"loss {loss}", fitted(catboost.CatBoostClassifier(loss_function=loss, **cheap), sample("binary"))
    for loss in ("MAE", "MAPE", "Poisson", "Quantile", "RMSE", "RMSEWithUncertainty"):
        yield f"loss {loss}", fitted(catboost.CatBoostRegressor(loss_function=loss, **cheap), sample("regression"))
    categories = catboost.CatBoostClassifier(cat_features=["a", "b"], **cheap)
    yield "categories", fitted(categories, sample("mixed frame"))
    yield "early", _stopped_early(catboost.CatBoostClassifier(early_stopping_rounds=1, **cheap))
    ranker, ranked = catboost.CatBoostRanker(**cheap), sample("binary")
    with limited():
        ranker.fit(ranked.X, ranked.y, group_id=np.repeat([0, 1], len(ranked.y) // 2))
    yield "ranker", ranker
    pipeline = make_pipeline(StandardScaler(), catboost.CatBoostClassifier(**cheap))
    yield "pipeline", fitted(pipeline, sample("binary"))


def imbalanced_models() -> Iterator[Model]:
    """Yield imbalanced-learn's samplers, ensembles and pipelines."""
    module = importlib.import_module("imblearn.utils.testing")
    for name, cls in module.all_estimators():
        with suppress(Exception):
            yield from estimator_models(name, cls)
    pipeline = importlib.import_module("imblearn.pipeline")
    samplers = importlib.import_module("imblearn.over_sampling")
    skewed = Sample("skewed", sample("binary").X, (np.arange(40) % 4 == 0).astype(int))
    for sampler in (samplers.SMOTE(k_neighbors=2), samplers.RandomOverSampler(), samplers.SMOTENC([0], k_neighbors=2)):
        yield "pipeline", fitted(pipeline.make_pipeline(sampler, LogisticRegression()), skewed)
    metrics = importlib.import_module("imblearn.metrics")
    scorer = importlib.import_module("sklearn.metrics").make_scorer
    for name in ("geometric_mean_score", "sensitivity_score", "specificity_score"):
        yield f"scorer {name}", scorer(getattr(metrics, name))


def _fitted_to_all(name: str, make: Callable[[], Any]) -> Iterator[Model]:
    for data in samples():
        yield f"{name} {data.name}", fitted(make(), data)


def _stopped_early(model: Any, **arguments: Any) -> Any:
    data = sample("binary")
    with limited():
        model.fit(data.X, data.y, eval_set=[(data.X, data.y)], **arguments)
    return model


def _ranked(model: Any) -> Any:
    data = sample("binary")
    with limited():
        model.fit(data.X, data.y, group=[len(data.y) // 2] * 2)
    return model


def _random_state() -> np.random.RandomState:
    return np.random.RandomState(1)


SOURCES: Mapping[str, Callable[[], Iterator[Model]]] = {
    "scikit-learn": scikit_learn_models,
    "pandas": pandas_objects,
    "xgboost": xgboost_models,
    "lightgbm": lightgbm_models,
    "catboost": catboost_models,
    "imbalanced-learn": imbalanced_models,
}
