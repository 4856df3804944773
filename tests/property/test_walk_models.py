"""The walk against an instrumented unpickler, on dumps of fitted models: the same globals, roles and arrays.

The unpickler is pickle's own in Python, with stand-ins for every global; it shares no code with the walk.
"""

import io
import pickle
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from typing import Any, ClassVar

import joblib
import numpy as np
import pandas as pd
import pytest
from joblib.numpy_pickle import NumpyArrayWrapper
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch, KMeans
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.covariance import MinCovDet
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LassoCV, LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.manifold import Isomap
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KernelDensity, KNeighborsClassifier, LocalOutlierFactor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, SplineTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVR
from sklearn.tree import DecisionTreeClassifier

from safemodel.payload.walk import NESTED, walk

Roles = dict[str, set[str]]
STATE = 0
X = np.random.RandomState(STATE).rand(60, 4)
Y = (X[:, 0] + X[:, 1] > 1).astype(int)
LABELS = np.array(["no", "yes"], dtype=object)[Y]
TARGET = X @ np.arange(4.0)
TEXTS = [f"word{number} and some other words of {number % 7}" for number in range(60)]
FRAME = pd.DataFrame({"number": X[:, 0], "text": LABELS, "category": pd.Categorical(LABELS), "flag": Y > 0})
FRAME["when"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(60), unit="D")

MODELS: dict[str, Callable[[], Any]] = {
    "linear": lambda: LinearRegression().fit(X, TARGET),
    "logistic on labels": lambda: LogisticRegression().fit(X, LABELS),
    "lasso cv": lambda: LassoCV(cv=3).fit(X, TARGET),
    "sgd": lambda: SGDClassifier(random_state=STATE).fit(X, Y),
    "tree": lambda: DecisionTreeClassifier(random_state=STATE).fit(X, Y),
    "forest": lambda: RandomForestClassifier(5, random_state=STATE).fit(X, LABELS),
    "extra trees": lambda: ExtraTreesRegressor(5, random_state=np.random.RandomState(STATE)).fit(X, X[:, :2]),
    "isolation forest": lambda: IsolationForest(n_estimators=5, random_state=STATE).fit(X),
    "gradient boosting": lambda: GradientBoostingClassifier(n_estimators=5).fit(X, Y),
    "histogram boosting": lambda: HistGradientBoostingClassifier(max_iter=5).fit(X, Y),
    "histogram boosting of categories": lambda: HistGradientBoostingRegressor(
        max_iter=5, categorical_features="from_dtype"
    ).fit(FRAME[["number", "category"]], TARGET),
    "ada boost": lambda: AdaBoostClassifier(n_estimators=3, random_state=STATE).fit(X, Y),
    "bagging": lambda: BaggingRegressor(n_estimators=3, random_state=STATE).fit(X, TARGET),
    "stacking": lambda: StackingClassifier([("a", GaussianNB()), ("b", LogisticRegression())], cv=2).fit(X, Y),
    "voting": lambda: VotingRegressor([("a", Ridge()), ("b", LinearRegression())]).fit(X, TARGET),
    "svc": lambda: SVC(probability=False).fit(X, LABELS),
    "linear svr": lambda: LinearSVR(max_iter=10_000).fit(X, TARGET),
    "k neighbors, ball tree": lambda: KNeighborsClassifier(algorithm="ball_tree").fit(X, Y),
    "k neighbors, kd tree": lambda: KNeighborsClassifier(algorithm="kd_tree", metric="manhattan").fit(X, Y),
    "kernel density": lambda: KernelDensity().fit(X),
    "local outlier factor": lambda: LocalOutlierFactor(novelty=True).fit(X),
    "gaussian process": lambda: GaussianProcessRegressor(RBF() + WhiteKernel()).fit(X, TARGET),
    "gaussian mixture": lambda: GaussianMixture(2, random_state=STATE).fit(X),
    "k means": lambda: KMeans(3, n_init=1, random_state=STATE).fit(X),
    "birch": lambda: Birch(threshold=0.1, n_clusters=None).fit(X),
    "robust covariance": lambda: MinCovDet(random_state=STATE).fit(X),
    "isomap": lambda: Isomap(n_neighbors=10).fit(X),
    "neural network": lambda: MLPClassifier((5,), max_iter=500, tol=0.1, random_state=STATE).fit(X, Y),
    "one vs rest": lambda: OneVsRestClassifier(LogisticRegression()).fit(X, Y),
    "multi-output": lambda: MultiOutputRegressor(Ridge()).fit(X, X[:, :2]),
    "calibrated": lambda: CalibratedClassifierCV(GaussianNB(), cv=2, method="isotonic").fit(X, Y),
    "grid search": lambda: GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2).fit(X, TARGET),
    "text": lambda: make_pipeline(
        FeatureUnion([("words", TfidfVectorizer()), ("letters", CountVectorizer(analyzer="char", ngram_range=(1, 2)))]),
        TruncatedSVD(3, random_state=STATE),
        LogisticRegression(),
    ).fit(TEXTS, Y),
    "dict vectorizer": lambda: DictVectorizer().fit([{"a": 1, "b": "x"}, {"c": 2.5}]),
    "columns": lambda: make_pipeline(
        ColumnTransformer(
            [
                ("number", make_pipeline(SimpleImputer(), StandardScaler(), SplineTransformer()), ["number"]),
                (
                    "text",
                    OneHotEncoder(handle_unknown="ignore"),
                    make_column_selector(dtype_include=[object, "string"]),
                ),
                ("category", OrdinalEncoder(), ["category"]),
            ]
        ),
        KNNImputer(),
        PCA(2),
        FunctionTransformer(np.log1p, validate=False),
    ).fit(FRAME.assign(number=FRAME.number + 1)),
    "frame": lambda: FRAME,
    "frame of two levels": lambda: FRAME.set_index(["flag", FRAME.index]).describe(include="all"),
    "series": lambda: FRAME["when"],
    "index": lambda: [FRAME.index, FRAME.columns, pd.Index([1.5, 2.5]), pd.interval_range(0, 3)],
}


class StandIn:
    """A global, or what one made."""

    def __init__(self, name: str, *, made: bool = False, real: Any = None) -> None:
        self.name = name
        self.made = made
        self.real = real


PythonUnpickler: Any = vars(pickle)["_Unpickler"]


class Instrumented(PythonUnpickler):  # type: ignore[misc]
    """Notes what each opcode does to stand-ins, and skips arrays as joblib's unpickler reads them."""

    dispatch: ClassVar[dict[int, Any]] = dict(PythonUnpickler.dispatch)

    def __init__(self, file: io.BytesIO, roles: Roles, arrays: list[tuple[int, int, bool]]) -> None:
        super().__init__(file)
        self.file = file
        self.roles = roles
        self.arrays = arrays

    def find_class(self, module: str, name: str) -> StandIn:
        if self.proto < 3:
            default = (IMPORT_MAPPING.get(module, module), name)
            module, name = NAME_MAPPING.get((module, name), default)
        self.roles.setdefault(f"{module}.{name}", set())
        return StandIn(f"{module}.{name}")

    def note(self, role: str, *values: object) -> None:
        for value in values:
            if isinstance(value, StandIn) and value.made == (role in ("build", "setitems")):
                self.roles[value.name].add(role)

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        assert isinstance(function, StandIn)
        assert not function.made
        self.note("call", function)
        real: Any = None
        if function.name == "numpy.dtype":
            real = np.dtype(*arguments)
        elif function.name == "_codecs.encode":  # bytes in protocol 2
            real = arguments[0].encode(arguments[1])
        self.stack.append(StandIn(function.name, made=True, real=real))

    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_newobj(self) -> None:
        _, cls = self.stack.pop(), self.stack.pop()
        self.note("newobj", cls)
        self.stack.append(StandIn(cls.name, made=True))

    dispatch[pickle.NEWOBJ[0]] = load_newobj

    def load_build(self) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        self.note("build", made)
        self.note("reference", state)
        if isinstance(made.real, np.dtype):
            vars(np.dtype)["__setstate__"](made.real, unwrapped(state))
        elif made.name == "joblib.numpy_pickle.NumpyArrayWrapper":
            self.read_array(unwrapped(state))
            self.stack[-1] = "array"

    dispatch[pickle.BUILD[0]] = load_build

    def read_array(self, state: dict[str, Any]) -> None:
        start = self.file.tell()
        if state["dtype"].hasobject:
            Instrumented(self.file, self.roles, self.arrays).load()
        else:
            padding = self.file.read(1)[0] if state["numpy_array_alignment_bytes"] else 0
            self.file.seek(padding + int(np.prod(state["shape"])) * state["dtype"].itemsize, 1)
        self.arrays.append((start, self.file.tell(), state["dtype"].hasobject))

    def consume(self, count: int) -> list[Any]:
        items = self.stack[-count:] if count else self.pop_mark()
        if count:
            del self.stack[-count:]
        self.note("reference", *items)
        return items  # type: ignore[no-any-return]

    def load_tuple(self) -> None:
        items = self.consume(0)  # changes the stack
        self.stack.append(tuple(items))

    def load_tuple1(self) -> None:
        self.stack.append(tuple(self.consume(1)))

    def load_tuple2(self) -> None:
        self.stack.append(tuple(self.consume(2)))

    def load_tuple3(self) -> None:
        self.stack.append(tuple(self.consume(3)))

    def load_frozenset(self) -> None:
        self.consume(0)
        self.stack.append("frozenset")

    def load_list(self) -> None:
        items = self.consume(0)
        self.stack.append(items)

    def load_setitems(self, count: int = 0) -> None:
        items = self.consume(count)
        self.note("setitems", self.stack[-1])
        if isinstance(self.stack[-1], dict):
            self.stack[-1] |= dict(zip(items[::2], items[1::2], strict=True))

    def load_setitem(self) -> None:
        self.load_setitems(2)

    def load_appends(self, count: int = 0) -> None:
        items = self.consume(count)
        self.note("setitems", self.stack[-1])
        if isinstance(self.stack[-1], list):
            self.stack[-1] += items

    def load_append(self) -> None:
        self.load_appends(1)

    def load_additems(self) -> None:
        self.consume(0)
        self.note("setitems", self.stack[-1])

    dispatch |= {
        pickle.TUPLE[0]: load_tuple,
        pickle.TUPLE1[0]: load_tuple1,
        pickle.TUPLE2[0]: load_tuple2,
        pickle.TUPLE3[0]: load_tuple3,
        pickle.FROZENSET[0]: load_frozenset,
        pickle.LIST[0]: load_list,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.APPEND[0]: load_append,
        pickle.APPENDS[0]: load_appends,
        pickle.ADDITEMS[0]: load_additems,
    }


def unwrapped(value: Any) -> Any:
    """Put real dtypes back into a state."""
    if isinstance(value, StandIn):
        return value.real
    if isinstance(value, tuple):
        return tuple(map(unwrapped, value))
    return {key: unwrapped(item) for key, item in value.items()} if isinstance(value, dict) else value


def check(data: bytes) -> None:
    roles: Roles = {}
    arrays: list[tuple[int, int, bool]] = []
    result = Instrumented(io.BytesIO(data), roles, arrays).load()
    if isinstance(result, StandIn) and not result.made:
        roles[result.name].add("reference")
    found = walk(data)
    assert {f"{use.module}.{use.name}": set(use.roles) for use in found.globals} == roles
    regions = [(region.cut, region.start + region.size, region.kind == NESTED) for region in found.regions]
    assert sorted(regions) == sorted(arrays)
    assert all(use.paths for use in found.globals)


def arrays_read(data: bytes) -> list[tuple[int, int]]:
    """Return where `joblib.load` starts and stops to read each array."""
    read: list[tuple[int, int]] = []
    real = NumpyArrayWrapper.read

    def recording(self: Any, unpickler: Any, *others: Any) -> Any:
        start = unpickler.file_handle.tell()
        array = real(self, unpickler, *others)
        read.append((start, unpickler.file_handle.tell()))
        return array

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NumpyArrayWrapper, "read", recording)
        joblib.load(io.BytesIO(data))
    return read


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::sklearn.exceptions.ConvergenceWarning")
def test_agrees_on_dumps_of(name: str) -> None:
    model = MODELS[name]()
    for protocol in (2, 3, 4, 5):
        buffer = io.BytesIO()
        joblib.dump(model, buffer, protocol=protocol)
        data = buffer.getvalue()
        check(data)
        assert [(region.cut, region.start + region.size) for region in walk(data).regions] == arrays_read(data)
        check(pickle.dumps(model, protocol))
