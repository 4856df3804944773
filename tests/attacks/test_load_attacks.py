"""Attacks on the loader, signed by force: their globals are all signed in every role, and the index is the attacker's.

Each payload is loaded in a forked child, so that a crash shows as a signal, with a canary: an audit hook behind the
guard's, which sees only what the guard let through. No attack is ever given to another unpickler, except to an inert
one that plays the attacker's part and looks up the index.
"""

import copy
import io
import os
import struct
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from attacks.children import REFUSALS, outcomes_of
from attacks.inert import forged_index
from scipy import stats
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import DistanceMetric
from sklearn.model_selection import RandomizedSearchCV
from sklearn.neighbors import BallTree, KDTree, KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import Bunch

from safemodel.payload.findings import RAW, ROLES, Counts, Region
from safemodel.payload.restricted import load_restricted
from safemodel.payload.walk import walk

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a crash is caught in a forked child")

FILES = Path(__file__).parent / "files"
EXPECTED = {line.split("\t")[0]: line.split("\t")[3] for line in (FILES / "MANIFEST.tsv").read_text().splitlines()[1:]}
EVERY_ROLE = frozenset(ROLES)

Case = tuple[bytes, tuple[Region, ...], Any, Any]  # the payload, the index, what is signed, what is allowed


def outcomes(cases: list[Case]) -> list[str]:
    return outcomes_of([partial(_load, *case) for case in cases])


def outcome(*case: Any) -> str:
    return outcomes([case])[0]


def _load(data: bytes, regions: tuple[Region, ...], signed: Any, allowed: Any) -> object:
    return load_restricted(memoryview(bytearray(data)), regions, signed, Counts(0, len(regions), 0, 0), allowed)


def refused(data: bytes, regions: tuple[Region, ...] | None = None, roles: Any = None) -> str:
    """Load an attack that names nothing but what models need."""
    found, pairs = forged_index(data)
    signed = dict.fromkeys(pairs, EVERY_ROLE) | (roles or {})
    return outcome(data, found if regions is None else regions, signed, None)


@cache
def needed() -> dict[tuple[str, str], frozenset[str]]:
    """A small catalogue: what a few models need, in every role, and what the attacks on content name."""
    X, y = make_classification(60, 4, random_state=0)
    search = RandomizedSearchCV(LogisticRegression(), {"C": stats.uniform(0.1, 1)}, n_iter=2, cv=2).fit(X, y)
    models = (
        search,
        RandomForestClassifier(3).fit(X, y),
        KNeighborsClassifier(algorithm="kd_tree").fit(X, y),
        [Bunch(), stats.reciprocal(1, 2), np.random.RandomState(1), np.ma.array([1], mask=[False])],
    )
    more = {("builtins", "bytearray"), ("functools", "partial"), ("_codecs", "encode"), ("copyreg", "_reconstructor")}
    return dict.fromkeys(
        more | {(use.module, use.name) for model in models for use in walk(dumped(model)).globals}, EVERY_ROLE
    )


def dumped(value: object) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def corpus() -> dict[str, tuple[str, str]]:
    """What comes of each file with the small catalogue, and without any."""
    cases: list[Case] = []
    for file in EXPECTED:
        data = (FILES / file).read_bytes()
        regions, pairs = forged_index(data)
        signed = dict.fromkeys(pairs, EVERY_ROLE)
        cases += [(data, regions, signed, needed()), (data, regions, signed, None)]
    said = outcomes(cases)
    return dict(zip(EXPECTED, zip(said[::2], said[1::2], strict=True), strict=True))


@pytest.mark.parametrize("name", EXPECTED)
def test_the_corpus_against_a_list(name: str, corpus: dict[str, tuple[str, str]]) -> None:
    said, _ = corpus[name]
    assert said in REFUSALS or (EXPECTED[name] == "inert" and said == "loaded")


@pytest.mark.parametrize("name", EXPECTED)
def test_the_corpus_without_a_list_has_no_effect(name: str, corpus: dict[str, tuple[str, str]]) -> None:
    _, said = corpus[name]
    assert said in {*REFUSALS, "loaded"}


# Attacks that name nothing but what models need, spelled out opcode by opcode.


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def number(value: int) -> bytes:
    return b"\x8a" + bytes([9]) + value.to_bytes(9, "little", signed=True)


def name(module: str, attribute: str) -> bytes:
    return text(module) + text(attribute) + b"\x93"


def stream(*opcodes: bytes) -> bytes:
    return b"\x80\x04" + b"".join(opcodes) + b"."


def table(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def dtype(spec: str, state: bytes = b"") -> bytes:
    return name("numpy", "dtype") + text(spec) + b"\x89\x88\x87R" + state


def plain_state(order: str = "<", size: int = -1, flags: int = 0) -> bytes:
    end = b"J" + struct.pack("<i", size)
    return b"(K\x03" + text(order) + b"NNN" + end + end + b"K" + bytes([flags]) + b"tb"


def record_state(fields: bytes, names: bytes, size: int, flags: int) -> bytes:
    return b"(K\x03" + text("|") + b"N" + names + fields + number(size) + b"K\x01K" + bytes([flags]) + b"tb"


FLOATS = dtype("f8", plain_state())
OBJECTS = dtype("O8", plain_state("|", flags=63))
NDARRAY = name("numpy", "ndarray")
EMPTY_ARRAY = name("numpy._core.multiarray", "_reconstruct") + NDARRAY + b"K\x00\x85C\x01b\x87R"


def wrapper(kind: bytes, shape: bytes = b"K\x02\x85") -> bytes:
    made = name("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81"
    return made + table(subclass=NDARRAY, shape=shape, order=text("C"), dtype=kind, allow_mmap=b"\x88") + b"b"


def array(kind: bytes, content: bytes, shape: bytes = b"K\x02\x85") -> tuple[bytes, tuple[Region, ...]]:
    head = b"\x80\x04" + wrapper(kind, shape)
    return head + content + b".", (Region(len(head), len(head), len(content), RAW),)


def array_state(shape: bytes, kind: bytes, content: bytes) -> bytes:
    return b"(K\x01" + shape + kind + b"\x89" + content + b"tb"


POINTERS = dtype(
    "V8", record_state(b"}" + text("a") + OBJECTS + b"K\x00\x86s", text("a") + b"\x85", size=8, flags=0x10)
)
OUTSIDE = dtype(
    "V8", record_state(b"}" + text("a") + FLOATS + number(2**20) + b"\x86s", text("a") + b"\x85", size=8, flags=0x10)
)
SUBARRAY = dtype("V8", b"(K\x03" + text("|") + FLOATS + b"M\x00\x10\x85\x86NNK\x08K\x08K\x00tb")

ARRAYS = {
    "pointers": array(POINTERS, struct.pack("<QQ", 0x41414141, 0x42424242)),
    "a field outside of its item": array(OUTSIDE, bytes(16)),
    "a subarray larger than its item": array(SUBARRAY, bytes(16)),
    "negative size": array(FLOATS, bytes(16), number(-2) + b"\x85"),
    "a product that wraps": array(FLOATS, bytes(16), number(2**62) + number(2**62) + b"\x86"),
    "a shape that is no tuple": array(FLOATS, bytes(16), b"](K\x02e"),
    "more items than bytes": array(FLOATS, bytes(16), b"K\x03\x85"),
    "too many dimensions": array(FLOATS, bytes(8), b"(" + b"K\x01" * 65 + b"t"),
    "no dtype": array(text("f8"), bytes(16)),
    "a dtype without a state": array(dtype("f8"), bytes(16)),
    "objects as bytes": array(OBJECTS, bytes(16)),
}

_LIST = b"](K\x01e"
STREAMS = {
    "a dtype with two states": stream(FLOATS, plain_state()),
    "a dtype that is given flags": stream(dtype("f8", plain_state(flags=63))),
    "a dtype with a list for a state": stream(dtype("f8"), b"]b"),
    "a dtype that is no string": stream(name("numpy", "dtype"), b"K\x01\x89\x88\x87R"),
    "a dtype that is spelled": stream(name("numpy", "dtype"), text("f8,O"), b"\x89\x88\x87R", plain_state()),
    "a dtype that is not copied": stream(name("numpy", "dtype"), text("f8"), b"\x85R"),
    "a state for a function": stream(name("numpy", "mean"), table(a=b"N"), b"b"),
    "slots for a function": stream(name("numpy", "mean"), b"N", table(a=b"N"), b"\x86b"),
    "a state for a class": stream(name("sklearn.linear_model._logistic", "LogisticRegression"), table(fit=b"N"), b"b"),
    "a state for a list": stream(b"]", table(a=b"N"), b"b"),
    "items for a class": stream(name("sklearn.utils._bunch", "Bunch"), b"(", text("a"), b"Nu"),
    "appending to a class": stream(name("sklearn.utils._bunch", "Bunch"), b"(K\x01K\x02e"),
    "adding to a class": stream(name("sklearn.utils._bunch", "Bunch"), b"(K\x01\x90"),
    "an array of 8 GiB": stream(
        name("numpy._core.multiarray", "_reconstruct"), NDARRAY, number(2**33), b"\x85C\x01b\x87R"
    ),
    "an array of 64 GiB": stream(NDARRAY, number(2**33), b"\x85", FLOATS, b"\x86R"),
    "memory that nobody wrote": stream(NDARRAY, number(1000), b"\x85", FLOATS, b"\x86R"),
    "pointers that nobody wrote": stream(NDARRAY, number(1000), b"\x85", OBJECTS, b"\x86R"),
    "an array with a buffer": stream(NDARRAY, b"K\x00\x85", FLOATS, b"C\x08AAAAAAAA\x87R"),
    "an array of another dtype": stream(
        name("numpy._core.multiarray", "_reconstruct"), NDARRAY, b"K\x00\x85C\x01O\x87R"
    ),
    "fewer objects than items": stream(EMPTY_ARRAY, array_state(number(10**6) + b"\x85", OBJECTS, _LIST)),
    "fewer bytes than items": stream(EMPTY_ARRAY, array_state(number(10**6) + b"\x85", FLOATS, b"C\x08" + bytes(8))),
    "pointers as bytes": stream(EMPTY_ARRAY, array_state(b"K\x01\x85", OBJECTS, b"C\x08AAAAAAAA")),
    "pointers in a record": stream(EMPTY_ARRAY, array_state(b"K\x01\x85", POINTERS, b"C\x08AAAAAAAA")),
    "an array with two states": stream(EMPTY_ARRAY, 2 * array_state(b"K\x01\x85", FLOATS, b"C\x08" + bytes(8))),
    "a scalar that is too short": stream(name("numpy._core.multiarray", "scalar"), FLOATS, b"C\x01a\x86R"),
    "a scalar that is an object": stream(name("numpy._core.multiarray", "scalar"), OBJECTS, b"C\x08AAAAAAAA\x86R"),
    "a buffer of objects": stream(
        name("numpy._core.numeric", "_frombuffer"), b"(C\x08AAAAAAAA", OBJECTS, b"K\x01\x85", text("C"), b"tR"
    ),
    "a buffer that is too short": stream(
        name("numpy._core.numeric", "_frombuffer"), b"(C\x08AAAAAAAA", FLOATS, b"K\x09\x85", text("C"), b"tR"
    ),
    "a terabyte of zeros": stream(name("builtins", "bytearray"), number(2**40), b"\x85R"),
    "a call by a constructor": stream(
        name("numpy.random._pickle", "__randomstate_ctor"), text("MT19937"), name("numpy", "mean"), b"\x86R"
    ),
    "a generator of any class": stream(
        name("numpy.random._pickle", "__bit_generator_ctor"), name("sklearn.utils._bunch", "Bunch"), b"\x85R"
    ),
    "a position outside of the key": stream(
        name("numpy.random._pickle", "__randomstate_ctor"), text("MT19937"), b"\x85R",
        table(bit_generator=text("MT19937"), state=table(key=EMPTY_ARRAY, pos=number(10**6))), b"b",
    ),
    "a position of old numpy": stream(
        name("numpy.random._pickle", "__randomstate_ctor"), text("MT19937"), b"\x85R",
        b"(", text("MT19937"), EMPTY_ARRAY, number(10**6), b"K\x00K\x00tb",
    ),
    "a partial of a partial": stream(
        name("functools", "partial"), name("functools", "partial"), name("numpy", "mean"), b"\x85R\x85R"
    ),
    "a call of what was made": stream(name("functools", "partial"), name("numpy", "mean"), b"\x85R)R"),
    "a tree without classes": stream(name("sklearn.tree._tree", "Tree"), b"K\x01NK\x01\x87R"),
    "a tree with too many outputs": stream(
        name("sklearn.tree._tree", "Tree"), b"K\x01", EMPTY_ARRAY, number(2**40), b"\x87R"
    ),
    "a tree without a state": stream(
        name("sklearn.tree._tree", "Tree"), b"K\x01", EMPTY_ARRAY,
        array_state(b"K\x01\x85", dtype("i8", plain_state()), b"C\x08\x02\0\0\0\0\0\0\0"), b"K\x01\x87R",
    ),
    "a tree that NEWOBJ makes": stream(name("sklearn.tree._tree", "Tree"), b")\x81"),
    "a ball tree without a state": stream(
        name("sklearn.neighbors._ball_tree", "newObj"), name("sklearn.neighbors._ball_tree", "BallTree"), b"\x85R"
    ),
    "a new object of any class": stream(
        name("sklearn.neighbors._ball_tree", "newObj"), name("sklearn.utils._bunch", "Bunch"), b"\x85R"
    ),
    "a reconstructed array": stream(
        name("copyreg", "_reconstructor"), NDARRAY, NDARRAY, text("a"), b"\x87R"
    ),
    "a property by getattr": stream(
        name("builtins", "getattr"), name("sklearn.utils._bunch", "Bunch"), b")\x81", text("__class__"), b"\x86R"
    ),
    "a getattr of a class": stream(
        name("builtins", "getattr"), name("sklearn.utils._bunch", "Bunch"), text("fromkeys"), b"\x86R"
    ),
    "a slot far away": stream(b"Nr\xff\xff\xff\x7f"),
    "a slot far away in text": stream(b"Np99999999\n"),
    "a key that hashes for ever": stream(
        b"})\x94", b"".join(b"h%ch%c\x86\x940" % (i, i) for i in range(60)), b"h\x3cNs"
    ),
    "a key of a key of a key": stream(b"}", b")", b"\x85" * 100_000, b"Ns"),
    "a key made of arguments": stream(
        b"}", b")\x94", b"".join(name("numpy", "mean") + b"h%ch%c\x86\x94R0" % (i, i) for i in range(60)), b"h\x3cNs"
    ),
    "keys with one hash": stream(b"}(", b"".join(
        b"\x8a\x0a" + (k * (2**61 - 1)).to_bytes(10, "little") + b"N" for k in range(1, 3000)), b"u"),
    "a wrapper that is kept": stream(name("joblib.numpy_pickle", "NumpyArrayWrapper"), b")\x81", table(a=b"N"), b"b"),
    "a persistent id": stream(b"K\x01\x85Q"),
    "a mark that is left open": stream(b"(K\x01"),
    "two values": stream(b"K\x01K\x01"),
    "no value": stream(),
}  # fmt: skip


def test_forged_arrays() -> None:
    cases = []
    for data, regions in ARRAYS.values():
        _, pairs = forged_index(data)
        cases.append((data, regions, dict.fromkeys(pairs, EVERY_ROLE), None))
    assert {name: said for name, said in zip(ARRAYS, outcomes(cases), strict=True) if said not in REFUSALS} == {}


@pytest.mark.parametrize("name", STREAMS)
def test_forged_streams(name: str) -> None:
    assert refused(STREAMS[name], ()) in REFUSALS


def test_the_generators_make_what_loads() -> None:
    data, regions = array(FLOATS, struct.pack("<dd", 1.5, 2.5))
    assert refused(data, regions) == "loaded"
    assert refused(stream(EMPTY_ARRAY, array_state(b"K\x01\x85", OBJECTS, _LIST)), ()) == "loaded"
    assert refused(stream(b"}", b"K\x01K\x02\x86\x85", b"Ns"), ()) == "loaded"


def test_reduce_on_a_class_that_is_signed_for_newobj() -> None:
    pair = ("sklearn.utils._bunch", "Bunch")
    assert refused(stream(name(*pair), b")R"), (), {pair: frozenset({"newobj"})}) == "global-not-allowed"
    assert refused(stream(name(*pair), b")\x81"), (), {pair: frozenset({"newobj"})}) == "loaded"


def test_newobj_on_a_class_that_is_signed_for_calls() -> None:
    pair = ("sklearn.utils._bunch", "Bunch")
    assert refused(stream(name(*pair), b")\x81"), (), {pair: frozenset({"call"})}) in REFUSALS
    assert refused(stream(name(*pair), b")R"), (), {pair: frozenset({"call"})}) == "loaded"


@pytest.mark.parametrize("role", ["build", "setitems"])
def test_state_and_items_need_their_roles(role: str) -> None:
    pair = ("sklearn.utils._bunch", "Bunch")
    use = {"build": table(a=b"N") + b"b", "setitems": text("a") + b"Ns"}[role]
    data = stream(name(*pair), b")\x81", use)
    assert refused(data, (), {pair: EVERY_ROLE - {role}}) == "global-not-allowed"
    assert refused(data, (), {pair: EVERY_ROLE}) == "loaded"


def test_a_class_as_an_argument_needs_its_role() -> None:
    data = stream(name("collections", "defaultdict"), name("builtins", "list"), b"\x85R")
    assert refused(data, (), {("builtins", "list"): frozenset()}) == "global-not-allowed"


@pytest.mark.parametrize("cut", range(-9, 10))
def test_an_index_that_cuts_elsewhere(cut: int) -> None:
    data, (region,) = array(FLOATS, struct.pack("<dd", 1.5, 2.5))
    moved = Region(region.cut + cut, region.start + cut, region.size, RAW)
    assert (refused(data, (moved,)) in REFUSALS) == (cut != 0)


def test_an_index_that_leaves_an_array_out() -> None:
    assert refused(array(FLOATS, bytes(16))[0], ()) in REFUSALS


def test_a_frame_that_reaches_into_an_array() -> None:
    inner = wrapper(FLOATS)
    hidden = name("os", "system") + text("true") + b"\x85R0"
    data = b"\x80\x04\x95" + struct.pack("<Q", len(inner) + len(hidden)) + inner + hidden + bytes(16) + b"."
    cut = 11 + len(inner)
    for start in (cut, cut + len(hidden)):
        assert refused(data, (Region(cut, start, 16, RAW),)) in REFUSALS


def test_a_frame_that_ends_elsewhere() -> None:
    content = text("abc") + b"K\x01\x86" + text("def") + b"\x86."
    frames = [b"\x80\x04\x95" + struct.pack("<Q", length) + content for length in range(40)]
    said = outcomes([(data, (), {}, None) for data in frames])
    boundaries = {0, 5, 7, 8, 13, 14, 15}
    assert {length for length, each in enumerate(said) if each == "loaded"} == boundaries
    assert set(said) == {"loaded", "payload"}


@pytest.mark.filterwarnings("ignore")
def test_fields_that_a_class_takes_away_between_the_passes() -> None:
    """scikit-learn's `__setstate__` pops "_sklearn_version" from the dict that it is given, here a dtype's fields."""
    fields = b"}\x94(" + text("a") + FLOATS + b"K\x00\x86" + text("_sklearn_version") + FLOATS + b"K\x08\x86u"
    names = text("a") + text("_sklearn_version") + b"\x86"
    popper = name("sklearn.linear_model._logistic", "LogisticRegression") + b")\x81h\x00b0"
    state = b"(K\x03" + text("|") + b"N" + names + b"h\x00K\x10K\x01K\x10tb"
    data, regions = array(dtype("V16", state), bytes(32))
    whole = b"\x80\x04" + fields + b"0" + popper + data[2:]
    shift = len(whole) - len(data)
    moved = tuple(Region(each.cut + shift, each.start + shift, each.size, RAW) for each in regions)
    assert refused(whole, moved) == "loaded"


# Content that compiled code follows.


def fitted_forest() -> bytes:
    X, y = make_classification(200, 4, random_state=0)
    return dumped(RandomForestClassifier(3, random_state=0).fit(X, y))


def fitted_boosting() -> bytes:
    X, y = make_classification(200, 4, random_state=0)
    return dumped(HistGradientBoostingClassifier(max_iter=3).fit(X, y))


def forged(data: bytes, has: str, change: Callable[[Any], None]) -> tuple[str, str]:
    """Change an array of a payload in place; what comes of it before and after."""
    found = walk(data)
    signed = {(use.module, use.name): frozenset(use.roles) for use in found.globals}
    changed = bytearray(data)
    for region, kind in zip(found.regions, region_dtypes(data), strict=True):
        if kind is not None and has in (kind.names or (kind.str,)):
            change(np.ndarray(region.size // kind.itemsize, kind, changed, region.start))
            break
    assert bytes(changed) != data
    plain, after = outcomes([(each, found.regions, signed, None) for each in (data, bytes(changed))])
    return plain, after


def region_dtypes(data: bytes) -> list[Any]:
    """The dtypes of the arrays of an own payload."""
    from joblib.numpy_pickle import NumpyArrayWrapper

    kinds: list[Any] = []
    real = NumpyArrayWrapper.read

    def read(self: Any, *arguments: Any) -> Any:
        kinds.append(None if self.dtype.hasobject else self.dtype)
        return real(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NumpyArrayWrapper, "read", read)
        joblib.load(io.BytesIO(data))
    return kinds


def put(field: str, place: int, value: int) -> Callable[[Any], None]:
    def change(nodes: Any) -> None:
        nodes[field][place] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("left_child", 0, 10**6),
        put("left_child", 0, -2),
        put("left_child", 1, 0),
        put("right_child", 0, 0),
        put("right_child", 0, 1),
        put("feature", 0, 4),
        put("feature", 0, -7),
    ],
)
def test_forged_nodes_of_a_forest(change: Callable[[Any], None]) -> None:
    assert forged(fitted_forest(), "left_child", change) == ("loaded", "payload")


class Forged:
    """Pickles as a tree with another state."""

    def __init__(self, tree: Any, **state: Any) -> None:
        self.tree = tree
        self.state = state

    def __reduce__(self) -> Any:
        cls, arguments, state = self.tree.__reduce__()
        return cls, arguments, {**state, **self.state}


def said_of(value: object) -> str:
    data = dumped(value)
    found = walk(data)
    signed = {(use.module, use.name): frozenset(use.roles) for use in found.globals}
    return outcome(data, found.regions, signed, None)


@pytest.mark.parametrize(
    "state",
    [{"max_depth": 1}, {"max_depth": -5}, {"node_count": -3}, {"node_count": 1}, {"nodes": None}, {"values": [1.0]}],
)
@pytest.mark.parametrize("how_many", [1, 40])
def test_forged_states_of_trees(state: dict[str, Any], how_many: int) -> None:
    X, y = make_classification(200, 4, random_state=0)
    tree = RandomForestClassifier(1, random_state=0).fit(X, y).estimators_[0].tree_
    assert said_of([Forged(tree)] * how_many) == "loaded"
    assert said_of([*[Forged(tree)] * (how_many - 1), Forged(tree, **state)]) == "payload"


def narrow_and_wide(cls: Any, **arguments: Any) -> tuple[Any, Any]:
    X, y = make_classification(200, 8, random_state=0)
    return cls(**arguments).fit(X[:, :4], y), cls(**arguments).fit(X, y)


@pytest.mark.parametrize("cls", [RandomForestClassifier, GradientBoostingClassifier, IsolationForest])
def test_a_wide_tree_in_a_narrow_ensemble(cls: Any) -> None:
    narrow, wide = narrow_and_wide(cls, n_estimators=3, random_state=0)
    assert said_of(narrow) == "loaded"
    narrow.estimators_[1] = wide.estimators_[1]
    assert said_of(narrow) == "payload"


def test_a_wide_tree_in_a_narrow_estimator() -> None:
    narrow, wide = narrow_and_wide(DecisionTreeClassifier)
    narrow.tree_ = wide.tree_
    assert said_of(narrow) == "payload"


def test_something_else_in_the_place_of_a_tree() -> None:
    narrow, _ = narrow_and_wide(GradientBoostingClassifier, n_estimators=3)
    narrow.estimators_[1, 0].tree_ = Bunch(n_features=4)
    assert said_of(narrow) == "payload"


def test_a_wide_tree_in_narrow_histogram_boosting() -> None:
    narrow, wide = narrow_and_wide(HistGradientBoostingClassifier, max_iter=3)
    narrow._predictors[1] = wide._predictors[1]
    assert said_of(narrow) == "payload"


@pytest.mark.parametrize("nodes", [None, np.zeros(3), np.zeros((2, 2), "V56"), []])
def test_boosted_trees_without_nodes(nodes: Any) -> None:
    narrow, _ = narrow_and_wide(HistGradientBoostingClassifier, max_iter=3)
    narrow._predictors[1][0].nodes = nodes
    assert said_of(narrow) == "payload"


@pytest.mark.parametrize("sets", [np.zeros((0, 8), "u4"), np.zeros((9, 7), "u4"), None])
def test_boosted_trees_without_categories(sets: Any) -> None:
    X, y = make_classification(200, 4, random_state=0)
    X[:, 2] = abs(X[:, 2]).round()
    boosting = HistGradientBoostingClassifier(max_iter=3, categorical_features=[2]).fit(X, y)
    assert said_of(boosting) == "loaded"
    for stage in boosting._predictors:
        stage[0].raw_left_cat_bitsets = sets
    assert said_of(boosting) == "payload"


@pytest.mark.parametrize(
    "change",
    [put("left", 0, 10**6), put("left", 0, 0), put("right", 0, 1), put("feature_idx", 0, 4), put("feature_idx", 0, -1)],
)
def test_forged_nodes_of_boosted_trees(change: Callable[[Any], None]) -> None:
    assert forged(fitted_boosting(), "left", change) == ("loaded", "payload")


def test_a_category_that_is_none() -> None:
    assert forged(fitted_boosting(), "left", put("is_categorical", 0, 1)) == ("loaded", "payload")


class ForgedNeighbours:
    """Pickles as a ball tree with another part in its state."""

    def __init__(self, tree: Any, place: int, part: Any) -> None:
        self.tree = tree
        self.place = place
        self.part = part

    def __reduce__(self) -> Any:
        function, arguments, state = self.tree.__reduce__()
        return function, arguments, (*state[: self.place], self.part, *state[self.place + 1 :])


POINTS = np.random.RandomState(0).rand(100, 4)
NODES = BallTree(POINTS).__getstate__()[2]


def changed_nodes(field: str, place: int, value: int) -> Any:
    nodes = NODES.copy()
    nodes[field][place] = value
    return nodes


@pytest.mark.parametrize("cls", [BallTree, KDTree])
@pytest.mark.parametrize(
    ("place", "part"),
    [
        (1, np.full(100, 100)),
        (1, np.full(100, -1)),
        (1, np.arange(99)),
        (2, changed_nodes("idx_end", 0, 10**6)),
        (2, changed_nodes("idx_start", 0, -1)),
        (2, changed_nodes("is_leaf", -1, 0)),
        (2, NODES[:-1].copy()),
        (3, np.zeros((1, 1, 4))),
        (5, 60),
        (6, 1),
        (11, None),
        (11, DistanceMetric.get_metric("seuclidean", V=np.ones(2))),
        (11, DistanceMetric.get_metric("mahalanobis", VI=np.eye(2))),
        (11, DistanceMetric.get_metric("minkowski", p=3, w=np.ones(2))),
        (12, np.ones(3)),
    ],
)
def test_forged_states_of_neighbours_trees(cls: Any, place: int, part: Any) -> None:
    assert said_of(ForgedNeighbours(cls(POINTS), place, part)) == "payload"


@pytest.mark.parametrize(
    "arguments",
    [
        {"metric": "seuclidean", "V": np.ones(4)},
        {"metric": "mahalanobis", "VI": np.eye(4)},
        {"metric": "minkowski", "p": 3},
        {"metric": "manhattan", "sample_weight": np.ones(100)},
    ],
)
def test_neighbours_trees_with_parameters_load(arguments: dict[str, Any]) -> None:
    assert said_of(BallTree(POINTS, **arguments)) == "loaded"


@pytest.mark.parametrize(
    "change",
    [
        {"_parse_arg_template": "raise SystemExit"},
        {"numargs": 7},
        {"_attach_methods": np.mean},
        {"moment_type": LogisticRegression()},
    ],
)
def test_forged_states_of_distributions(change: dict[str, Any]) -> None:
    uniform = copy.deepcopy(stats.uniform)
    assert said_of(uniform) == "loaded"
    vars(uniform).update(change)
    assert said_of(uniform) == "payload"
