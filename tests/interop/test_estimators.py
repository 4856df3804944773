"""Every model that scikit-learn, XGBoost and LightGBM can fit: `dump` and `load` give what joblib gives.

What `dump` captures of each is complete, plain and small, comes without a warning, and shows no row of training data.

The fitted models are those that the catalogue is made of (tools/make_catalogue); here each estimator once for each kind
of data, and with every option where time does not matter.
"""

import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import joblib
import numpy as np
import others
import pytest
import scikit_learn
from sameness import difference, predictions
from samples import Sample, sample, samples
from scipy import stats
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, RandomizedSearchCV
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline, make_union
from sklearn.utils import all_estimators

import safemodel
from safemodel.describe.model import describe_model
from safemodel.errors import GlobalNotAllowedError
from safemodel.format import wire
from safemodel.format.limits import KIB

Model = tuple[str, Any]
RoundTrip = Callable[..., Any]

pytestmark = pytest.mark.filterwarnings("ignore")  # what libraries say of such data does not matter

KINDS = ("binary", "multiclass", "multi-output", "frame", "mixed frame", "texts")  # to predict, where none is given
SOURCES: dict[str, Callable[[], Iterable[Model]]] = {
    source.__name__: source
    for source in (
        scikit_learn.compositions,
        scikit_learn.searches,
        scikit_learn.scorers,
        scikit_learn.splitters,
        scikit_learn.trees,
        scikit_learn.distances,
        scikit_learn.kernel_models,
        scikit_learn.functions,
        scikit_learn.columns,
        scikit_learn.random_states,
        others.pandas_objects,
        others.xgboost_models,
        others.lightgbm_models,
    )
}
TEXTS: dict[str, Any] = {
    "words and letters": make_pipeline(
        make_union(TfidfVectorizer(), CountVectorizer(analyzer="char", ngram_range=(1, 3))),
        TruncatedSVD(2, random_state=0),
        SGDClassifier(random_state=0),
    ),
    "counts and stop words": make_pipeline(
        CountVectorizer(stop_words="english", max_features=5), TfidfTransformer(sublinear_tf=True), MultinomialNB()
    ),
    "search": GridSearchCV(
        make_pipeline(TfidfVectorizer(), LogisticRegression()), {"tfidfvectorizer__ngram_range": [(1, 1), (1, 2)]}, cv=2
    ),
}
UNIFORM = "scipy.stats._continuous_distns.uniform_gen"
LOGUNIFORM = "scipy.stats._continuous_distns.reciprocal_gen"
INTEGERS = "scipy.stats._discrete_distns.randint_gen"
CONTINUOUS = "scipy.stats._distn_infrastructure.rv_continuous_frozen"
DISCRETE = "scipy.stats._distn_infrastructure.rv_discrete_frozen"
SEARCHES: dict[str, tuple[Any, set[str]]] = {
    "uniform": (
        RandomizedSearchCV(SGDClassifier(random_state=0), {"alpha": stats.uniform(1e-4, 1e-2)}, n_iter=2, cv=2),
        {UNIFORM, CONTINUOUS},
    ),
    "log-uniform and integers": (
        HalvingRandomSearchCV(
            LogisticRegression(), {"C": stats.loguniform(0.1, 10), "max_iter": stats.randint(50, 99)}, cv=2
        ),
        {LOGUNIFORM, CONTINUOUS, INTEGERS, DISCRETE, "numpy.vectorize"},
    ),
}


@pytest.fixture
def round_trip(release: Any) -> RoundTrip:
    """Dump and load a model with a real key."""

    def make(model: Any, *, allow: Iterable[str] = ()) -> Any:
        file = io.BytesIO()
        safemodel.dump(model, file, key=release.private, name="acme/matrix", allow=allow)
        return safemodel.load(file, trust=release.public, name="acme/matrix", allow=allow)

    return make


def through_joblib(model: Any) -> Any:
    file = io.BytesIO()
    joblib.dump(model, file)
    return joblib.load(file)


def check(label: str, mine: Any, model: Any, data: Iterable[Sample]) -> None:
    """Compare what was loaded with what joblib makes of the model, and what both predict."""
    theirs = through_joblib(model)
    assert difference(mine, theirs, label) is None
    for each in data:
        assert difference(predictions(mine, each.X), predictions(theirs, each.X), label) is None


def check_description(label: str, model: Any, data: Iterable[Sample]) -> None:
    """Check what is captured of a model."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = describe_model(model)
    assert len(wire.encode(found)) < 32 * KIB, label
    if hasattr(type(model), "get_params"):
        assert set(found.get("parameters", ())) == set(model.get_params()), label
    if hasattr(model, "n_features_in_"):
        assert found["n_features_in"] == model.n_features_in_, label
    shown = repr(found)
    assert not [number for each in data for number in fractions(each.X) if repr(number) in shown], label


def fractions(rows: Any) -> list[float]:
    """The numbers of a table that nothing else is likely to hold."""
    return [] if not isinstance(rows, np.ndarray) or rows.dtype != float else rows[np.mod(rows, 0.5) > 0].tolist()


def fitted_to_all(cls: Any) -> Iterator[tuple[Sample, Any]]:
    """Fit an estimator to each kind of data that it takes."""
    estimator = scikit_learn.construct(cls)
    for data in samples():
        model = scikit_learn.fitted(clone(estimator), data)
        if model is not None:
            yield data, model


@pytest.mark.parametrize(("name", "cls"), all_estimators())
def test_estimators(name: str, cls: Any, round_trip: RoundTrip) -> None:
    models = list(fitted_to_all(cls))
    assert models, "it can be fitted to none of the samples"
    for data, model in models:
        check_description(f"{name} {data.name}", model, [data])
        check(f"{name} {data.name}", round_trip(model), model, [data])


@pytest.mark.parametrize("name", SOURCES)
def test_other_models(name: str, round_trip: RoundTrip) -> None:
    models = [(label, model) for label, model in SOURCES[name]() if model is not None]
    assert models
    for label, model in models:
        check_description(label, model, map(sample, KINDS))
        check(label, round_trip(model), model, map(sample, KINDS))


@pytest.mark.parametrize("name", TEXTS)
def test_models_of_texts(name: str, round_trip: RoundTrip) -> None:
    data = sample("texts")
    model = scikit_learn.fitted(TEXTS[name], data)
    check(name, round_trip(model), model, [data])


@pytest.mark.parametrize("name", SEARCHES)
def test_distributions_in_searches_need_allow(name: str, round_trip: RoundTrip) -> None:
    search, distributions = SEARCHES[name]
    model = scikit_learn.fitted(search, sample("binary"))
    check(name, round_trip(model, allow=distributions), model, [sample("binary")])
    for one in distributions:
        with pytest.raises(GlobalNotAllowedError):
            round_trip(model, allow=distributions - {one})


@pytest.mark.slow
@pytest.mark.parametrize("distribution", ["scikit-learn", "pandas", "xgboost", "lightgbm"])
def test_every_option_of_every_estimator(distribution: str, round_trip: RoundTrip) -> None:
    for label, model in others.models_of(distribution):
        if model is not None:
            check(label, round_trip(model), model, map(sample, KINDS))
