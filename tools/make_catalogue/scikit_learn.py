"""Fits what scikit-learn has, in the variants that change what a dump names."""

import importlib
import inspect
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import numpy as np
from samples import Sample, sample, samples
from sklearn import config_context, metrics, model_selection
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import BallTree, KDTree, KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

Model = tuple[str, Any]

SECONDS_MAX = 20  # for one fit
VARIANTS_MAX = 60  # for one estimator

_CHEAP: Mapping[str, Any] = {
    "cv": 2,
    "k": 2,
    "max_iter": 30,
    "max_subpopulation": 50,
    "n_components": 2,
    "n_estimators": 2,
    "n_init": 1,
    "n_nonzero_coefs": 2,
    "n_quantiles": 10,
    "n_restarts_optimizer": 0,
    "perplexity": 5,
}
_PARTICULAR: Mapping[str, Mapping[str, Any]] = {
    "OrthogonalMatchingPursuitCV": {"max_iter": None},
    "QuantileRegressor": {"solver": "highs"},
    "SelfTrainingClassifier": {"estimator": LogisticRegression()},
    "SpectralBiclustering": {"n_best": 2},
    "TSNE": {"max_iter": 250, "n_iter": 250},
}
_SKIPPED = ("copy", "copy_X", "n_jobs", "random_state", "verbose", "warm_start")


@contextmanager
def limited() -> Iterator[None]:
    """Give up after a while, where the system has alarms."""
    if not hasattr(signal, "SIGALRM"):  # Windows
        with np.errstate(all="ignore"):
            yield
        return

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS_MAX)
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fitted(estimator: Any, data: Sample) -> Any | None:
    """Fit an estimator.

    Returns:
        The estimator, or None if it cannot be fitted to such data.
    """
    fit = getattr(estimator, "fit", None) or estimator.fit_resample
    with suppress(Exception), limited():
        fit(data.X) if data.y is None else fit(data.X, data.y)
        return estimator
    return None


def scikit_learn_models() -> Iterator[Model]:
    """Yield models, each with a name for messages."""
    for name in ("enable_iterative_imputer", "enable_halving_search_cv"):
        importlib.import_module(f"sklearn.experimental.{name}")
    from sklearn.utils import all_estimators

    for name, cls in all_estimators():
        yield from estimator_models(name, cls)
    for source in (compositions, searches, scorers, splitters, trees, distances, kernel_models, functions, columns):
        yield from source()
    yield from random_states()


def estimator_models(name: str, cls: Any) -> Iterator[Model]:
    """Yield an estimator, unfitted, fitted to each sample, and with each of its options."""
    with limited():
        estimator = construct(cls)
    yield f"{name} unfitted", estimator
    fitting = []
    for data in samples():
        model = fitted(clone(estimator), data)
        if model is not None:
            fitting.append(data)
            yield f"{name} {data.name}", model
    if not fitting:
        print(f"  {name} fits no sample")
    for parameters in options(cls, estimator):
        yield from _with_parameters(f"{name} {parameters}", estimator, parameters, fitting)


def _with_parameters(
    name: str, estimator: Any, parameters: Mapping[str, Any], fitting: Iterable[Sample]
) -> Iterator[Model]:
    """Yield an estimator with other parameters, fitted to the first two samples that it can still fit."""
    count = 0
    for data in fitting:
        model = fitted(clone(estimator).set_params(**parameters), data)
        if model is not None:
            yield name, model
            count += 1
        if count == 2:
            return


def construct(cls: Any) -> Any:
    """Construct an estimator that is cheap to fit; meta-estimators get a linear model."""
    wanted = inspect.signature(cls).parameters
    arguments = {key: value for key, value in _CHEAP.items() if key in wanted}
    if "random_state" in wanted:
        arguments["random_state"] = 0
    arguments |= {key: value for key, value in _PARTICULAR.get(cls.__name__, {}).items() if key in wanted}
    for key, parameter in wanted.items():
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            arguments[key] = _required(key, cls.__name__)
    return cls(**arguments)


def _required(key: str, name: str) -> Any:
    inner = Ridge() if "Regress" in name else LogisticRegression()
    if name == "FrozenEstimator":
        inner.fit(sample("binary").X, sample("binary").y)
    known: dict[str, Any] = {
        "steps": [("scale", StandardScaler()), ("model", LogisticRegression())],
        "transformers": [("scale", StandardScaler(), [0, 1]), ("keep", "passthrough", [2])],
        "transformer_list": [("scale", StandardScaler()), ("reduce", PCA(2))],
        "estimators": [("one", clone(inner)), ("two", clone(inner))],
        "param_grid": {"C": [0.5, 1.0]},
        "param_distributions": {"C": [0.5, 1.0, 2.0]},
        "dictionary": np.eye(4),
        "categorical_features": [0],
    }
    return known.get(key, inner)


def options(cls: Any, estimator: Any) -> Iterator[dict[str, Any]]:
    """Yield each single parameter set to each text, number, truth value or None that its constraints list."""
    constraints: Mapping[str, Any] = getattr(cls, "_parameter_constraints", {})
    current = estimator.get_params(deep=False)
    found = [
        {key: value}
        for key, listed in constraints.items()
        if key in current and key not in _SKIPPED and not isinstance(listed, str)
        for value in sorted(set(_values(listed)), key=repr)
        if repr(value) != repr(current[key])
    ]
    yield from found[:VARIANTS_MAX]


def _values(constraints: Iterable[Any]) -> Iterator[Any]:
    for constraint in constraints:
        inner = getattr(constraint, "constraint", constraint)  # of a hidden one
        if inner is None:
            yield None
        elif isinstance(inner, str) and inner == "boolean":
            yield from (True, False)
        else:
            yield from getattr(inner, "options", ())


def compositions() -> Iterator[Model]:
    """Yield pipelines and column transformers, also with metadata routing and pandas output."""
    mixed = sample("mixed frame")
    by_type = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include=np.number)),
        (OneHotEncoder(sparse_output=False), make_column_selector(dtype_include=[object, "category"])),
        remainder="passthrough",
    )
    for remainder in ("drop", "passthrough", StandardScaler()):
        by_name = ColumnTransformer([("colour", OneHotEncoder(), ["a", "b"]), ("c", "drop", "c")], remainder=remainder)
        yield "column transformer", fitted(make_pipeline(by_name, RandomForestClassifier(2)), mixed)
        yield "slices", fitted(ColumnTransformer([("s", PCA(2), slice(2, 4))], remainder=remainder), sample("frame"))
        mask = np.array([False, False, True, True])
        yield "mask", fitted(ColumnTransformer([("s", StandardScaler(), mask)], remainder=remainder), sample("frame"))
    yield "by type", fitted(Pipeline([("columns", by_type), ("model", GradientBoostingClassifier())]), mixed)
    yield "pandas output", fitted(clone(by_type).set_output(transform="pandas"), mixed)
    union = FeatureUnion([("scale", StandardScaler()), ("reduce", PCA(2)), ("none", "passthrough")])
    yield "union", fitted(make_pipeline(union, TransformedTargetRegressor(Ridge())), sample("regression"))
    for vectorizer in (CountVectorizer(), TfidfVectorizer(), HashingVectorizer(n_features=64)):
        yield "texts", fitted(make_pipeline(vectorizer, LogisticRegression()), sample("texts"))
    quantiles = HistGradientBoostingRegressor(loss="quantile", quantile=0.5, max_iter=3)
    yield "quantiles", fitted(quantiles, sample("regression"))
    yield "categories", fitted(HistGradientBoostingRegressor(categorical_features=[0], max_iter=3), sample("counts"))
    yield from _routed()


def _routed() -> Iterator[Model]:
    with config_context(enable_metadata_routing=True):
        for model in (LogisticRegression(), StandardScaler()):
            model.set_fit_request(sample_weight=True)
            yield "metadata routing", fitted(model, sample("binary"))


def searches() -> Iterator[Model]:
    """Yield searches with one and several scorers, and the kinds of values that they look for."""
    data = sample("binary")
    grids: list[Any] = [{"C": [0.1, 1.0]}, [{"C": np.logspace(-1, 1, 2)}, {"solver": ["liblinear"]}]]
    for grid in grids:
        for scoring in (None, "f1", ["accuracy", "roc_auc"]):
            refit = "accuracy" if isinstance(scoring, list) else True
            search = model_selection.GridSearchCV(LogisticRegression(), grid, cv=2, scoring=scoring, refit=refit)
            yield "search", fitted(search, data)
    steps = make_pipeline(StandardScaler(), KNeighborsClassifier())
    choice = {"standardscaler": [StandardScaler(), "passthrough"], "kneighborsclassifier__n_neighbors": range(2, 4)}
    yield "search of steps", fitted(model_selection.GridSearchCV(steps, choice, cv=2), data)


def scorers() -> Iterator[Model]:
    """Yield every scorer by name, and those that people make of the functions of `sklearn.metrics`."""
    for name in metrics.get_scorer_names():
        yield f"scorer {name}", metrics.get_scorer(name)
        search = model_selection.GridSearchCV(LogisticRegression(), {"C": [1.0]}, scoring=name, cv=2)
        yield f"search by {name}", fitted(search, sample("binary"))
    for name in ("fbeta_score", "hamming_loss", "cohen_kappa_score", "zero_one_loss", "mean_pinball_loss", "log_loss"):
        with limited():
            yield f"scorer of {name}", metrics.make_scorer(getattr(metrics, name), greater_is_better=False)


def splitters() -> Iterator[Model]:
    """Yield every way to split."""
    for name in model_selection.__all__:
        cls = getattr(model_selection, name)
        if not hasattr(cls, "split") or inspect.isabstract(cls):
            continue
        known: dict[str, Any] = {"p": 2, "n_groups": 2, "test_fold": np.arange(4) % 2}
        wanted = inspect.signature(cls).parameters
        yield f"splitter {name}", cls(**{key: value for key, value in known.items() if key in wanted})
    yield "splitter of lists", model_selection.check_cv([([0, 1], [2, 3])])


def trees() -> Iterator[Model]:
    """Yield neighbours' trees with every metric, and the estimators that make them."""
    X = sample("binary").X
    special: dict[str, dict[str, Any]] = {
        "mahalanobis": {"V": np.eye(4)},
        "seuclidean": {"V": np.ones(4)},
        "minkowski": {"p": 3},
        "p": {"p": 3},
        "wminkowski": {"p": 3, "w": np.ones(4)},
    }
    for cls in (KDTree, BallTree):
        listed = cls.valid_metrics
        for metric in listed() if callable(listed) else listed:
            rows = X[:, :2] if metric == "haversine" else X
            with suppress(Exception), limited():
                yield f"{cls.__name__} {metric}", cls(rows, metric=metric, **special.get(metric, {}))
            inner = {key: value for key, value in special.get(metric, {}).items() if key != "p"}
            neighbours = NearestNeighbors(algorithm="ball_tree", metric=metric, metric_params=inner or None)
            yield f"neighbours {metric}", fitted(neighbours, Sample(metric, rows, None))
    for name in ("KDTree32", "BallTree32"):
        module = importlib.import_module(f"sklearn.neighbors._{name[:-6].lower()}_tree")
        if hasattr(module, name):
            yield name, getattr(module, name)(X.astype(np.float32))


def distances() -> Iterator[Model]:
    """Yield the distance metrics themselves."""
    for name in ("euclidean", "manhattan", "chebyshev", "hamming", "jaccard"):
        for dtype in (np.float32, np.float64):
            with suppress(Exception), limited():
                yield f"distance {name}", metrics.DistanceMetric.get_metric(name, dtype=dtype)


def kernel_models() -> Iterator[Model]:
    """Yield Gaussian processes with every kernel."""
    plain = [
        kernels.ConstantKernel(),
        kernels.DotProduct(),
        kernels.ExpSineSquared(),
        kernels.Matern(),
        kernels.PairwiseKernel(),
        kernels.RBF(),
        kernels.RationalQuadratic(),
        kernels.WhiteKernel(),
    ]
    composed = [plain[0] + plain[5], plain[0] * plain[5], plain[5] ** 2, kernels.CompoundKernel([plain[5], plain[3]])]
    for kernel in plain + composed:
        yield f"kernel {kernel}", kernel
        yield f"process {kernel}", fitted(GaussianProcessRegressor(kernel, optimizer=None), sample("regression"))
        for hyperparameter in kernel.hyperparameters:
            yield "hyperparameter", hyperparameter


def functions() -> Iterator[Model]:
    """Yield transformers and other estimators that hold a function of the libraries."""
    for label, function in library_functions():
        yield f"function {label}", FunctionTransformer(function, validate=False)
    for name in np.typecodes["All"]:
        yield f"type {name}", OneHotEncoder(dtype=np.dtype(name).type)
    for python_type in (bool, bytes, complex, dict, float, int, list, object, set, str, tuple):
        yield f"type {python_type.__name__}", make_column_selector(dtype_include=python_type)
    for number_type in (np.number, np.integer, np.floating, np.generic, np.inexact, np.character, np.flexible):
        yield f"type {number_type.__name__}", make_column_selector(dtype_include=[number_type])


def library_functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the functions of NumPy, SciPy and scikit-learn that users put into estimators, by exact lists."""
    for module, names in _FUNCTIONS.items():
        found = importlib.import_module(module)
        for name in names.split():
            if hasattr(found, name):
                yield f"{module}.{name}", getattr(found, name)
    for name, ufunc in vars(np).items():
        if isinstance(ufunc, np.ufunc):
            yield f"numpy.{name}", ufunc


_FUNCTIONS: Mapping[str, str] = {
    "numpy": "amax amin around average clip max mean median min nan_to_num nanmax nanmean nanmedian nanmin nanstd "
    "nansum percentile prod ptp quantile ravel round std sum var",
    "scipy.special": "boxcox boxcox1p cbrt erf erfc erfinv exp10 exp2 expit gammaln inv_boxcox inv_boxcox1p log_expit "
    "log_ndtr log_softmax logit ndtr ndtri softmax xlog1py xlogy",
    "scipy.spatial.distance": "braycurtis canberra chebyshev cityblock correlation cosine dice euclidean hamming "
    "jaccard jensenshannon mahalanobis minkowski rogerstanimoto russellrao seuclidean sokalsneath sqeuclidean yule",
    "sklearn.feature_extraction.text": "strip_accents_ascii strip_accents_unicode strip_tags",
    "sklearn.feature_selection": "chi2 f_classif f_oneway f_regression mutual_info_classif mutual_info_regression "
    "r_regression",
    "sklearn.metrics": "accuracy_score adjusted_rand_score average_precision_score balanced_accuracy_score "
    "brier_score_loss d2_pinball_score d2_tweedie_score f1_score fbeta_score jaccard_score log_loss "
    "mean_absolute_error mean_absolute_percentage_error mean_gamma_deviance mean_pinball_loss mean_poisson_deviance "
    "mean_squared_error mean_squared_log_error mean_tweedie_deviance median_absolute_error ndcg_score precision_score "
    "r2_score recall_score roc_auc_score root_mean_squared_error silhouette_score",
    "sklearn.metrics.pairwise": "additive_chi2_kernel chi2_kernel cosine_distances cosine_similarity "
    "euclidean_distances haversine_distances laplacian_kernel linear_kernel manhattan_distances "
    "nan_euclidean_distances polynomial_kernel rbf_kernel sigmoid_kernel",
    "sklearn.preprocessing": "add_dummy_feature binarize maxabs_scale minmax_scale normalize power_transform "
    "quantile_transform robust_scale scale",
    "sklearn.utils.validation": "check_array",
}


def columns() -> Iterator[Model]:
    """Yield other plain values of Python that users keep in their models."""
    from collections import OrderedDict, defaultdict
    from datetime import UTC, date, datetime, timedelta, timezone
    from decimal import Decimal
    from functools import partial
    from pathlib import PurePosixPath, PureWindowsPath
    from uuid import UUID

    from sklearn.utils import Bunch

    with_items: defaultdict[str, list[int]] = defaultdict(list, a=[1])
    for factory in (dict, float, int, list, set, str, tuple):
        yield "default", defaultdict(factory, a=factory())
    yield "named values", [OrderedDict(a=1), OrderedDict(), with_items, Bunch(a=1), defaultdict(OrderedDict)]
    yield "sets", [{1, 2}, frozenset((1, 2)), set(), frozenset(), range(3), slice(1, 2), 1j, bytearray(b"a"), b"a", b""]
    moment = datetime(2024, 1, 2, 3, tzinfo=UTC)
    yield "times", [moment, moment.date(), date(2024, 1, 2), moment.time(), timedelta(1), timezone(timedelta(hours=1))]
    yield "numbers", [Decimal("1.5"), UUID(int=7), PurePosixPath("a/b"), PureWindowsPath("a/b")]
    yield "partial", FunctionTransformer(partial(np.clip, a_min=0, a_max=1))
    yield "method", FunctionTransformer(StandardScaler().fit(sample("binary").X).transform)
    yield "masked", np.ma.masked_invalid([1.0, np.nan])
    yield "scalars", [np.float64(1), np.int32(1), np.bool_(True), np.str_("a"), np.datetime64("2024-01-02")]
    yield "record", np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
    yield "objects", np.array([None, "a", 1.5], object)
    yield "structure", np.zeros(2, [("a", "f8", (2,)), ("b", [("c", "i4")])])
    yield "matrix", np.asmatrix(np.eye(2))
    yield from _sparse_containers()


def _sparse_containers() -> Iterator[Model]:
    from scipy import sparse
    from scipy.interpolate import BSpline

    for name in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil"):
        for kind in ("array", "matrix"):
            yield f"sparse {name}", getattr(sparse, f"{name}_{kind}")(np.eye(3))
    yield "spline", BSpline(np.arange(7.0), np.ones(4), 2)


def random_states() -> Iterator[Model]:
    """Yield every random generator of NumPy as a parameter."""
    for name in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"):
        bits = getattr(np.random, name)
        yield f"random {name}", [bits(1), np.random.Generator(bits(1)), np.random.RandomState(bits(1))]
    yield "random", fitted(RandomForestClassifier(2, random_state=np.random.RandomState(1)), sample("binary"))
    yield "random", np.random.default_rng(np.random.SeedSequence(5).spawn(1)[0])
