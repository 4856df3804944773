"""Restricted loading of what picklers write: the same objects as `joblib.load` gives, over the verified bytes."""

import datetime
import decimal
import functools
import gc
import io
import pathlib
import pickle
import uuid
import warnings
import weakref
from collections import OrderedDict, defaultdict
from fractions import Fraction
from typing import Any

import joblib
import numpy as np
import pytest
from sameness import difference
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import RandomizedSearchCV
from sklearn.neighbors import BallTree, KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from safemodel.errors import GlobalNotAllowedError, LimitExceededError, PayloadError
from safemodel.payload.findings import NESTED, RAW, Counts, Region
from safemodel.payload.restricted import load_restricted
from safemodel.payload.walk import walk

RECORD = np.dtype([("id", "<i8"), ("name", "U3"), ("pair", ">f4", (2, 2)), ("inner", [("a", "i1"), ("b", "c16")])])
ARRAYS = {
    "bool": np.array([True, False]),
    "foreign": np.arange(5, dtype=">u4"),
    "foreign structure": np.array([(1, 2.0)], dtype=[("a", ">i4"), ("b", ">f8")]),
    "half foreign structure": np.array([(1, 2.0)], dtype=[("a", "<i4"), ("b", ">f8")]),
    "half": np.arange(5, dtype="f2"),
    "long double": np.arange(5, dtype="g"),
    "complex": np.arange(5, dtype="c8"),
    "texts": np.array(["a", "bcd"]),
    "bytes": np.array([b"a", b"bcd"]),
    "void": np.zeros(3, "V7"),
    "dates": np.array(["2020-01-01", "NaT"], dtype="M8[ns]"),
    "foreign dates": np.array(["2020-01-01"], dtype=">M8[D]"),
    "25-second durations": np.arange(3, dtype="m8[25s]"),
    "structure": np.zeros(3, RECORD),
    "aligned structure": np.zeros(3, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "structure with titles": np.zeros(3, np.dtype({"names": ["a"], "formats": ["i4"], "titles": ["A"], "itemsize": 9})),
    "record": np.zeros(3, np.dtype((np.record, [("a", "i4")]))),
    "matrix of Fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "4 dimensions": np.zeros((2, 3, 4, 5)),
    "no dimension": np.array(3.5),
    "no items": np.zeros((0, 3)),
    "a long one": np.arange(100_000),
    "objects": np.array(["a", None, 3.5, {"k": (1, 2)}, np.arange(3.0)], dtype=object),
    "no objects": np.array([], dtype=object),
    "structure of objects": np.array([(1, "a"), (2, None)], dtype=[("n", "i4"), ("o", "O")]),
    "masked": np.ma.MaskedArray([1.0, 2.0], [True, False], fill_value=7.0),
    "masked objects": np.ma.MaskedArray(np.array(["a", "b"], dtype=object), [True, False]),
}
RECONSTRUCTOR = ("copyreg", "_reconstructor")
VALUES = {
    "nothing": None,
    "numbers": [0, 1, -1, 255, 256, 65536, -(2**31), 2**31, 2**63, -(2**70), 2**300, 1.5, True, False, 2j],
    "texts": ["", "a", "ä" * 200, "x" * 300, "y" * 70_000, "\ud800"],
    "bytes": [b"", b"a" * 300, b"b" * 70_000, bytearray(b"c" * 300), bytearray()],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((("a",),),), (None, True, ("x", 2.5))],
    "keys": {1: 1, "a": 2, (1, "b"): 3, b"c": 4, None: 5, 2.5: 6, frozenset({1, 2}): 7},
    "sets": [set(), {1, 2}, frozenset(), frozenset({"a"})],
    "a vocabulary": {f"term{number}": number for number in range(5000)},
    "dicts of Python": [OrderedDict(a=1, b=2), defaultdict(list, a=[1]), defaultdict(None, b=2)],
    "slices and ranges": [slice(1, 2), slice(None), slice(1, None, 3), range(3), range(1, 9, 2)],
    "dates": [datetime.datetime(2024, 1, 2, 3, 4), datetime.date(2024, 1, 2), datetime.timedelta(3)],
    "other numbers": [decimal.Decimal("1.50"), Fraction(1, 3), uuid.UUID(int=7)],
    "paths": pathlib.PurePosixPath("a/b"),
    "partials": functools.partial(np.mean, axis=0),
    "functions and classes": [np.mean, np.log1p, np.float64, LogisticRegression, list, OrderedDict],
    "numpy scalars": [
        np.float64(1.5),
        np.int32(7),
        np.bool_(True),
        np.str_("ab"),
        np.datetime64("2020-01-01"),
        np.void(b"ab"),
    ],
    "dtypes": [np.dtype("f8"), np.dtype(">i4"), np.dtype("U5"), np.dtype("M8[ns]"), RECORD, np.dtype(("i4", (2, 3)))],
    "generators": [np.random.RandomState(3), np.random.default_rng(3), np.random.Generator(np.random.Philox(3))],
    "sparse": [sparse.random(4, 3, 0.5, format=kind, rng=0) for kind in ("csr", "csc", "coo", "bsr", "dia", "lil")],
    "wide integers in a list": [2**64 + number for number in range(100)],
}


def dump(value: object, protocol: int | None = None) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer, protocol=protocol)
    return buffer.getvalue()


def load(data: bytes, *, allowed: Any = None) -> Any:
    found = walk(data)
    signed = {(use.module, use.name): frozenset(use.roles) for use in found.globals}
    signed[RECONSTRUCTOR] = frozenset({"call", "build", "reference"})
    return load_restricted(memoryview(bytearray(data)), found.regions, signed, found.counts, allowed)


def fitted() -> dict[str, Any]:
    X, y = make_classification(120, 6, random_state=0)
    texts = [" ".join(f"w{(i * j) % 90}" for j in range(8)) for i in range(120)]
    search = RandomizedSearchCV(
        SGDClassifier(random_state=0), {"alpha": __import__("scipy.stats").stats.uniform(1e-4, 1e-2)}, n_iter=2, cv=2
    )
    columns = ColumnTransformer([("scale", StandardScaler(), [0, 1]), ("hot", OneHotEncoder(), [2])])
    rounded = X.copy()
    rounded[:, 2] = rounded[:, 2].round()
    return {
        "regression": (LogisticRegression().fit(X, y), X),
        "forest": (RandomForestClassifier(20, random_state=0).fit(X, y), X),
        "boosting": (GradientBoostingClassifier(n_estimators=20).fit(X, y), X),
        "histogram boosting": (HistGradientBoostingClassifier(max_iter=20).fit(X, y), X),
        "categories": (
            HistGradientBoostingClassifier(max_iter=20, categorical_features=[2]).fit(abs(rounded), y),
            abs(rounded),
        ),
        "isolation": (IsolationForest(n_estimators=20, random_state=0).fit(X), X),
        "neighbours": (KNeighborsClassifier(algorithm="ball_tree").fit(X, y), X),
        "text": (make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, y), texts),
        "columns": (make_pipeline(columns, SVC()).fit(rounded, y), rounded),
        "search": (search.fit(X, y), X),
        "functions": (make_pipeline(FunctionTransformer(np.log1p), SimpleImputer(), SVC()).fit(abs(X), y), abs(X)),
    }


FITTED = fitted()


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("protocol", range(6))
def test_arrays_are_as_joblib_loads_them(name: str, protocol: int) -> None:
    data = dump([ARRAYS[name], ARRAYS[name]], protocol)
    for mine, theirs in zip(load(data), joblib.load(io.BytesIO(data)), strict=True):
        assert type(mine) is type(theirs)
        assert mine.dtype == theirs.dtype
        assert mine.dtype.byteorder == theirs.dtype.byteorder
        assert mine.shape == theirs.shape
        assert mine.strides == theirs.strides or not mine.size
        assert mine.flags.writeable
        assert mine.flags.aligned == theirs.flags.aligned
        assert difference(mine, theirs) is None


@pytest.mark.parametrize("name", ["a long one", "foreign", "foreign structure", "matrix of Fortran"])
def test_arrays_are_views_of_the_payload(name: str) -> None:
    """Also where bytes have to be swapped: a copy would double what a load takes."""
    data = dump(ARRAYS[name])
    found, memory = walk(data), memoryview(bytearray(data))
    signed = {(use.module, use.name): frozenset(use.roles) for use in found.globals}
    array = load_restricted(memory, found.regions, signed, found.counts)
    assert np.shares_memory(array, np.frombuffer(memory, np.uint8))


def test_an_array_that_is_not_aligned_is_copied() -> None:
    """joblib before 1.2 wrote no padding, and reads such an array into memory of its own."""
    values = np.arange(6, dtype=">f8").reshape(2, 3, order="F")
    aligned = []
    for shift in range(8):
        data = without_padding(dump(["x" * shift, values]))
        aligned.append(walk(data).regions[0].start % 8 == 0)
        _, array = load(data)
        assert array.tolist() == values.tolist()
        assert array.flags.aligned
        assert array.flags.f_contiguous
    assert sorted(aligned) == [False] * 7 + [True]


def without_padding(data: bytes) -> bytes:
    """Take out the alignment of the only array, and the FRAMEs, whose sizes change."""
    (region,) = walk(data).regions
    asked = b"\x8c\x1bnumpy_array_alignment_bytes\x94K\x10"
    head, tail = data[: region.cut], data[region.start :]
    assert asked in head
    head, tail = head.replace(asked, asked[:-2] + b"N"), tail[: region.size] + without_frame(tail[region.size :])
    return head[:2] + without_frame(head[2:]) + tail


def without_frame(opcodes: bytes) -> bytes:
    return opcodes[9:] if opcodes[:1] == b"\x95" else opcodes


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("protocol", range(6))
def test_values_are_as_joblib_loads_them(name: str, protocol: int) -> None:
    data = dump(VALUES[name], protocol)
    assert difference(load(data), joblib.load(io.BytesIO(data))) is None


@pytest.mark.parametrize("name", FITTED)
def test_models_are_as_joblib_loads_them(name: str) -> None:
    model, examples = FITTED[name]
    data = dump(model)
    mine = load(data)
    assert difference(mine, joblib.load(io.BytesIO(data))) is None
    assert np.array_equal(mine.predict(examples), model.predict(examples))


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles(protocol: int) -> None:
    model, examples = FITTED["forest"]
    mine = load(pickle.dumps(model, protocol))
    assert np.array_equal(mine.predict(examples), model.predict(examples))


def test_a_bound_method_of_an_object_of_the_payload() -> None:
    method = load(dump(StandardScaler(with_mean=False).get_params))
    assert method()["with_mean"] is False


def test_a_call_may_give_something_that_has_no_state() -> None:
    """The rehearsal cannot know what a call gives; the load looks."""
    data = pickle.dumps(StandardScaler().get_params, 2)
    signed = {(use.module, use.name): frozenset({*use.roles, "build"}) for use in walk(data).globals}
    with pytest.raises(PayloadError):
        load_restricted(memoryview(bytearray(data[:-1] + b"}b.")), (), signed, Counts(0, 0, 0, 0))


def test_an_object_that_holds_itself() -> None:
    model = LogisticRegression()
    model.again = model
    loaded = load(dump(model))
    assert loaded.again is loaded


def test_a_tuple_that_holds_itself_through_a_list() -> None:
    inner: list[Any] = []
    outer = (inner,)
    inner.append(outer)
    loaded = load(dump(outer))
    assert loaded[0][0] is loaded


def test_an_array_is_a_view_of_the_buffer() -> None:
    data = dump(np.arange(1000))
    found = walk(data)
    buffer = memoryview(bytearray(data))
    signed = {(use.module, use.name): frozenset(use.roles) for use in found.globals}
    array = load_restricted(buffer, found.regions, signed, found.counts)
    array[0] = 7
    assert not array.flags.owndata
    assert buffer[found.regions[0].start] == 7


def test_the_buffer_goes_with_the_model() -> None:
    class Memory(bytearray):
        pass

    data = dump([LogisticRegression(), np.arange(1000), np.array([1, "a"], dtype=object), (1, (2, "a"))])
    found = walk(data)
    signed = {(use.module, use.name): frozenset({*use.roles, "call"}) for use in found.globals}
    memory = Memory(data)
    gone = weakref.ref(memory)
    gc.disable()
    try:
        model = load_restricted(memoryview(memory), found.regions, signed, found.counts)
        del memory
        assert gone() is not None
        del model
        assert gone() is None
    finally:
        gc.enable()


def test_objects_come_with_names_that_are_interned() -> None:
    first, second = load(dump([StandardScaler(), StandardScaler()]))
    assert all(a is b for a, b in zip(vars(first), vars(second), strict=True))


def test_a_state_with_slots() -> None:
    value = load(dump(Fraction(3, 7)))
    assert value == Fraction(3, 7)


def test_a_warning_of_a_class_is_shown_after_the_load() -> None:
    data = dump(LogisticRegression()).replace(b"1.9.", b"1.8.")
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        load(data)
    assert [type(each.message).__name__ for each in shown] in ([], ["InconsistentVersionWarning"])


def test_allowed_roles_bound_the_signed_ones() -> None:
    data = dump(LogisticRegression())
    pair = ("sklearn.linear_model._logistic", "LogisticRegression")
    assert load(data, allowed={pair: frozenset({"newobj", "build", "call"})}) is not None
    with pytest.raises(GlobalNotAllowedError):
        load(data, allowed={})
    with pytest.raises(GlobalNotAllowedError):
        load(data, allowed={pair: frozenset({"newobj"})})


def test_a_global_must_be_signed() -> None:
    data = dump(LogisticRegression())
    with pytest.raises(GlobalNotAllowedError):
        load_restricted(memoryview(bytearray(data)), (), {}, Counts(0, 0, 0, 0))


def test_the_manifest_says_how_many_arrays() -> None:
    with pytest.raises(LimitExceededError):
        load_restricted(memoryview(bytearray(dump(1))), (), {}, Counts(0, 1, 0, 0))


@pytest.mark.parametrize(
    "region",
    [
        Region(50, 40, 8, RAW),
        Region(1, 2, 8, RAW),
        Region(60, 62, 10**6, RAW),
        Region(300, 317, 8000, NESTED),
        Region(0, 0, 0, RAW),
    ],
)
def test_an_index_that_lies(region: Region) -> None:
    data = dump(np.arange(1000))
    signed = {(use.module, use.name): frozenset(use.roles) for use in walk(data).globals}
    with pytest.raises(PayloadError):
        load_restricted(memoryview(bytearray(data)), (region,), signed, Counts(0, 1, 0, 0))


def test_running_out_of_memory_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("safemodel.payload.restricted.resolve", fail)
    with pytest.raises(LimitExceededError):
        load(dump(1))


def test_an_exit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(*arguments: Any) -> None:
        raise SystemExit(0)

    monkeypatch.setattr("safemodel.payload.restricted.resolve", leave)
    with pytest.raises(PayloadError):
        load(dump(1))


def test_an_interrupt_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("safemodel.payload.restricted.resolve", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load(dump(1))


def test_neighbours_survive_both_kinds_of_tree() -> None:
    points = np.random.RandomState(0).rand(50, 3)
    tree = load(dump(BallTree(points)))
    assert (tree.query(points[:5])[1] == BallTree(points).query(points[:5])[1]).all()
