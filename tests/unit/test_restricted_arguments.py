"""Rules for the arguments of constructors: exactly what picklers write."""

import io
from typing import Any

import joblib
import numpy as np
import pytest

from safemodel.errors import GlobalNotAllowedError, PayloadError
from safemodel.payload.arguments import (
    CONSTRUCTORS,
    check_array_state,
    check_builtin,
    check_masked_state,
    count_items,
)
from safemodel.payload.dtypestate import derive_dtype, is_foreign
from safemodel.payload.findings import ROLES
from safemodel.payload.nesting import Nesting
from safemodel.payload.standins import Global, MadeDtype, Wrapper, made_class

EVERY_ROLE = frozenset(ROLES)
FLOAT = np.dtype("f8")
OBJECT = np.dtype("O")


def stand_in(module: str, name: str, roles: frozenset[str] = EVERY_ROLE) -> Any:
    return Global((module, name), roles, Nesting().look)


def reduced(dtype: Any) -> tuple[Any, Any]:
    """What numpy writes of a dtype: its spec and its state."""
    _, arguments, state = dtype.__reduce__()
    return arguments[0], state


def stand_in_dtype(dtype: np.dtype[Any], *, complete: bool = True) -> MadeDtype:
    spec, state = reduced(dtype)
    made = MadeDtype(EVERY_ROLE, spec, [])
    if complete:
        made.set_state(state)
    return made


CLASS = made_class(("m", "C"), EVERY_ROLE)
MADE = object.__new__(CLASS)
NDARRAY = stand_in("numpy", "ndarray")
FUNCTION = stand_in("numpy", "mean")
F8 = stand_in_dtype(FLOAT)
OBJECTS = stand_in_dtype(OBJECT)
CTOR = stand_in("numpy.random._pickle", "__bit_generator_ctor")
PHILOX = stand_in("numpy.random._philox", "Philox")
BALL = ("sklearn.neighbors._ball_tree", "newObj")

GOOD: list[tuple[tuple[str, str], tuple[Any, ...]]] = [
    (("numpy", "dtype"), ("f8", False, True)),
    (("numpy", "dtype"), (stand_in("numpy", "record"), False, True)),
    (("numpy", "ndarray"), ((0,), F8)),
    (("numpy", "ndarray"), ((2, 0, 8), F8)),
    (("numpy._core.multiarray", "_reconstruct"), (NDARRAY, (0,), b"b")),
    (("numpy.core.multiarray", "_reconstruct"), (NDARRAY, (0,), "b")),
    (("numpy.ma.core", "_mareconstruct"), (NDARRAY, NDARRAY, (0,), b"b")),
    (("numpy._core.multiarray", "scalar"), (F8, bytes(8))),
    (("numpy._core.numeric", "_frombuffer"), (bytes(16), F8, (2,), "C")),
    (("numpy._core.numeric", "_frombuffer"), (bytearray(16), F8, (1, 2), "F")),
    (("numpy.random._pickle", "__bit_generator_ctor"), ("MT19937",)),
    (("numpy.random._pickle", "__bit_generator_ctor"), (PHILOX,)),
    (("numpy.random._pickle", "__generator_ctor"), (MADE,)),
    (("numpy.random._pickle", "__generator_ctor"), ("PCG64", CTOR)),
    (("numpy.random._pickle", "__randomstate_ctor"), ("MT19937",)),
    (("_codecs", "encode"), ("abc", "latin1")),
    (("builtins", "bytes"), ()),
    (("builtins", "bytearray"), ()),
    (("builtins", "bytearray"), (b"abc",)),
    (("builtins", "bytearray"), ("abc", "latin-1")),
    (("builtins", "complex"), (1.0, 2.0)),
    (("builtins", "getattr"), (MADE, "method")),
    (("builtins", "range"), (0, 3, 1)),
    (("builtins", "set"), ([1, 2],)),
    (("builtins", "frozenset"), ([],)),
    (("builtins", "slice"), (None, 3, None)),
    (("functools", "partial"), (FUNCTION,)),
    (("collections", "OrderedDict"), ()),
    (("collections", "defaultdict"), ()),
    (("collections", "defaultdict"), (None,)),
    (("collections", "defaultdict"), (FUNCTION,)),
    (("copyreg", "_reconstructor"), (CLASS, stand_in("builtins", "object"), None)),
    (("copyreg", "_reconstructor"), (Wrapper, stand_in("builtins", "object"), None)),
    (("copyreg", "_reconstructor"), (CLASS, stand_in("builtins", "dict"), {})),
    (("sklearn.tree._tree", "Tree"), (3, MADE, 1)),
    (BALL, (stand_in("sklearn.neighbors._ball_tree", "BallTree"),)),
]
BAD: list[tuple[tuple[str, str], tuple[Any, ...]]] = [
    (("numpy", "dtype"), ("f8",)),
    (("numpy", "dtype"), ("f8", 0, 1)),
    (("numpy", "dtype"), (b"f8", False, True)),
    (("numpy", "dtype"), (FUNCTION, False, True)),
    (("numpy", "ndarray"), ((1,), F8)),
    (("numpy", "ndarray"), ((), F8)),
    (("numpy", "ndarray"), ((0, -1), F8)),
    (("numpy", "ndarray"), ((0, 2**62, 2**62), F8)),
    (("numpy", "ndarray"), (0, F8)),
    (("numpy", "ndarray"), ((0,), OBJECTS)),
    (("numpy", "ndarray"), ((0,), stand_in_dtype(FLOAT, complete=False))),
    (("numpy", "ndarray"), ((0,), "f8")),
    (("numpy", "ndarray"), ((0,),)),
    (("numpy", "ndarray"), ((0,), F8, bytes(8))),
    (("numpy._core.multiarray", "_reconstruct"), (NDARRAY, (2**33,), b"b")),
    (("numpy._core.multiarray", "_reconstruct"), (MADE, (0,), b"b")),
    (("numpy._core.multiarray", "_reconstruct"), (NDARRAY, (0,))),
    (("numpy.ma.core", "_mareconstruct"), (NDARRAY, MADE, (0,), b"b")),
    (("numpy.ma.core", "_mareconstruct"), (NDARRAY, NDARRAY, (9,), b"b")),
    (("numpy.ma.core", "_mareconstruct"), ()),
    (("numpy._core.multiarray", "scalar"), (F8, bytes(7))),
    (("numpy._core.multiarray", "scalar"), (F8, bytearray(8))),
    (("numpy._core.multiarray", "scalar"), (OBJECTS, bytes(8))),
    (("numpy._core.multiarray", "scalar"), (stand_in_dtype(FLOAT, complete=False), bytes(8))),
    (("numpy._core.multiarray", "scalar"), (F8,)),
    (("numpy._core.numeric", "_frombuffer"), (bytes(16), F8, (2,))),
    (("numpy._core.numeric", "_frombuffer"), (bytes(16), F8, (3,), "C")),
    (("numpy._core.numeric", "_frombuffer"), (bytes(16), F8, (2,), "K")),
    (("numpy._core.numeric", "_frombuffer"), (bytes(8), OBJECTS, (1,), "C")),
    (("numpy._core.numeric", "_frombuffer"), (MADE, F8, (1,), "C")),
    (("numpy._core.numeric", "_frombuffer"), (bytes(8), "f8", (1,), "C")),
    (("numpy.random._pickle", "__bit_generator_ctor"), ()),
    (("numpy.random._pickle", "__bit_generator_ctor"), ("os",)),
    (("numpy.random._pickle", "__bit_generator_ctor"), (CLASS,)),
    (("numpy.random._pickle", "__bit_generator_ctor"), (stand_in("os", "Philox"),)),
    (("numpy.random._pickle", "__generator_ctor"), (MADE, CTOR)),
    (("numpy.random._pickle", "__generator_ctor"), ("PCG64", FUNCTION)),
    (("numpy.random._pickle", "__generator_ctor"), ()),
    (("numpy.random._pickle", "__randomstate_ctor"), ("MT19937", CTOR, CTOR)),
    (("_codecs", "encode"), ("abc", "hex")),
    (("_codecs", "encode"), ("abc",)),
    (("_codecs", "encode"), (b"abc", "latin1")),
    (("builtins", "bytes"), (2**40,)),
    (("builtins", "bytearray"), (2**40,)),
    (("builtins", "bytearray"), ("abc", "hex")),
    (("builtins", "complex"), ("1",)),
    (("builtins", "complex"), (MADE, 1)),
    (("builtins", "getattr"), (CLASS, "method")),
    (("builtins", "getattr"), (MADE, "__class__")),
    (("builtins", "getattr"), (MADE, "a.b")),
    (("builtins", "getattr"), (MADE, "method", None)),
    (("builtins", "range"), ()),
    (("builtins", "range"), (True, MADE)),
    (("builtins", "set"), ((1, 2),)),
    (("builtins", "set"), ()),
    (("builtins", "slice"), (MADE, 1)),
    (("builtins", "slice"), ()),
    (("builtins", "list"), ()),
    (("functools", "partial"), (MADE,)),
    (("functools", "partial"), (FUNCTION, 1)),
    (("collections", "OrderedDict"), ([],)),
    (("collections", "defaultdict"), (MADE,)),
    (("collections", "defaultdict"), (None, None)),
    (("copyreg", "_reconstructor"), (CLASS, stand_in("builtins", "object"), "state")),
    (("copyreg", "_reconstructor"), (CLASS, stand_in("builtins", "tuple"), ())),
    (("copyreg", "_reconstructor"), (CLASS, stand_in("builtins", "dict"), "state")),
    (("copyreg", "_reconstructor"), (CLASS, CLASS, None)),
    (("copyreg", "_reconstructor"), (MADE, stand_in("builtins", "object"), None)),
    (("copyreg", "_reconstructor"), ()),
    (("sklearn.tree._tree", "Tree"), (3, None, 1)),
    (("sklearn.tree._tree", "Tree"), (3, (1,), 1)),
    (("sklearn.tree._tree", "Tree"), (0, MADE, 1)),
    (("sklearn.tree._tree", "Tree"), (3, MADE, 0)),
    (("sklearn.tree._tree", "Tree"), (3, MADE, True)),
    (("sklearn.tree._tree", "Tree"), (3, MADE)),
    (BALL, (CLASS,)),
    (BALL, (MADE,)),
    (BALL, ()),
]


@pytest.mark.parametrize(("pair", "arguments"), GOOD)
def test_what_picklers_write(pair: tuple[str, str], arguments: tuple[Any, ...]) -> None:
    CONSTRUCTORS[pair].check(arguments)


@pytest.mark.parametrize(("pair", "arguments"), BAD)
def test_what_picklers_do_not_write(pair: tuple[str, str], arguments: tuple[Any, ...]) -> None:
    with pytest.raises(PayloadError):
        CONSTRUCTORS[pair].check(arguments)


def test_a_global_that_may_not_be_data() -> None:
    with pytest.raises(GlobalNotAllowedError):
        CONSTRUCTORS["functools", "partial"].check((stand_in("numpy", "mean", frozenset({"call"})),))


def test_builtins() -> None:
    check_builtin(("builtins", "list"))
    check_builtin(("m", "eval"))
    with pytest.raises(PayloadError):
        check_builtin(("builtins", "eval"))


def test_every_rule_has_a_case_of_each_kind() -> None:
    aliases = {("numpy.core.multiarray", "scalar"), ("numpy.core.numeric", "_frombuffer")}
    same = {pair for pair, rule in CONSTRUCTORS.items() if pair[1] == "newObj" or pair[0] == "builtins"}
    assert CONSTRUCTORS.keys() - {pair for pair, _ in GOOD} - same <= aliases
    old = ("numpy.core.multiarray", "_reconstruct")
    assert CONSTRUCTORS.keys() - {pair for pair, _ in BAD} - same - {old} <= aliases


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 5), (2**31, 2**31, 0), (1,) * 64])
def test_shapes(shape: tuple[int, ...]) -> None:
    assert count_items(shape) == np.prod(shape, dtype=object)


@pytest.mark.parametrize(
    "shape", [[3], (-1,), (True,), (1.0,), ("a",), (1,) * 65, (2**63,), (2**32, 2**32), (2**62, 2, 0), None]
)
def test_shapes_that_are_none(shape: object) -> None:
    with pytest.raises(PayloadError):
        count_items(shape)


ARRAY_STATE = (1, (2,), None, False, bytes(16))


@pytest.mark.parametrize(
    ("place", "part"),
    [(0, 2), (1, (3,)), (1, 2), (3, 0), (4, bytes(15)), (4, bytearray(16)), (4, [1, 2]), (4, None)],
)
def test_states_of_arrays(place: int, part: Any) -> None:
    check_array_state(ARRAY_STATE, FLOAT, lists=True)
    with pytest.raises(PayloadError):
        check_array_state((*ARRAY_STATE[:place], part, *ARRAY_STATE[place + 1 :]), FLOAT, lists=True)


def test_states_of_arrays_of_objects() -> None:
    state: Any = (1, (2,), None, False, ["a"])
    check_array_state((1, (1,), None, False, ["a"]), OBJECT, lists=True)
    check_array_state(state, OBJECT, lists=False)
    for dtype, wrong in ((OBJECT, state), (OBJECT, ARRAY_STATE), (None, ARRAY_STATE), (FLOAT, [*ARRAY_STATE])):
        with pytest.raises(PayloadError):
            check_array_state(wrong, dtype, lists=True)
    with pytest.raises(PayloadError):
        check_array_state(ARRAY_STATE, np.dtype(("f4", (2,))), lists=True)


def test_states_of_masked_arrays() -> None:
    check_masked_state((*ARRAY_STATE, bytes(2), None), FLOAT, lists=True)
    record = np.dtype([("a", "f8")])
    wrong: list[tuple[Any, Any]] = [
        (ARRAY_STATE, FLOAT),
        ((*ARRAY_STATE, bytes(3), None), FLOAT),
        ((*ARRAY_STATE, [1, 2], None), FLOAT),
        ((*ARRAY_STATE, bytes(2), None), record),
        ((*ARRAY_STATE, bytes(2), None), None),
    ]
    for state, dtype in wrong:
        with pytest.raises(PayloadError):
            check_masked_state(state, dtype, lists=True)


@pytest.mark.parametrize("state", [(F8,), [1], (F8, 1, 2, 3, 4)])
def test_rehearsed_states_of_arrays(state: Any) -> None:
    for pair in (("numpy._core.multiarray", "_reconstruct"), ("numpy.ma.core", "_mareconstruct")):
        check = CONSTRUCTORS[pair].check_state
        assert check is not None
        with pytest.raises(PayloadError):
            check(state)


def test_states_of_partials() -> None:
    check = CONSTRUCTORS["functools", "partial"].check_state
    assert check is not None
    check((FUNCTION, (1,), {"a": 2}, None))
    check((FUNCTION, (), {}, {"b": 3}))
    bad: list[object] = [
        (MADE, (), {}, None),
        (FUNCTION, [], {}, None),
        (FUNCTION, (), [], None),
        (FUNCTION, (), {}, 1),
    ]
    for state in [*bad, ()]:
        with pytest.raises(PayloadError):
            check(state)


class Methods:
    @property
    def quantity(self) -> int:
        raise AssertionError

    def method(self) -> str:
        return "called"


def test_getattr_finds_methods_only() -> None:
    real = CONSTRUCTORS["builtins", "getattr"].real
    assert real is not None
    bound: Any = real(Methods(), "method")
    assert bound() == "called"
    for attribute in ("quantity", "absent"):
        with pytest.raises(PayloadError):
            real(Methods(), attribute)


# Dtypes.

DTYPES = [
    "f8", ">f8", "<i4", "?", "O", "S5", "U7", ">U3", "V3", "M8", "M8[25s]", ">m8[ns]", "c16", "f2", "g", "S0",
    [("a", "f8"), ("b", "O")], [("a", ">f8"), ("b", ">i4")], ("f8", (2, 3)), [("x", ("i4", (2,)))],
    {"names": ["a"], "formats": ["i4"], "offsets": [8], "itemsize": 32}, [(("title", "n"), "f4"), ("m", "i1")],
    {"names": [], "formats": [], "itemsize": 4},
]  # fmt: skip


@pytest.mark.parametrize("given", DTYPES, ids=str)
def test_dtypes_are_made_again(given: Any) -> None:
    dtype = np.dtype(given)
    spec, state = reduced(dtype)
    made = derive_dtype(spec, state)
    assert made == dtype
    assert (made.flags, made.alignment, made.itemsize) == (dtype.flags, dtype.alignment, dtype.itemsize)


@pytest.mark.parametrize(
    "given", [np.dtype([("a", "i1"), ("b", "f8")], align=True), np.dtype((np.record, [("a", "f8")]))]
)
def test_aligned_and_record_dtypes_are_made_again(given: np.dtype[Any]) -> None:
    spec, state = reduced(given)
    made = derive_dtype(spec, state)
    assert (made, made.type, made.isalignedstruct) == (given, given.type, given.isalignedstruct)


@pytest.mark.parametrize("given", DTYPES, ids=str)
def test_every_other_state_is_refused(given: Any) -> None:
    spec, state = reduced(np.dtype(given))
    for place, part in enumerate(state):
        for other in (None, 0, -1, 1, 63, 2**70, "<", ">", "=", (), ("a",), {}, {"a": 1}, (FLOAT, (9,)), object()):
            if other == part and type(other) is type(part):
                continue
            changed = (*state[:place], other, *state[place + 1 :])
            try:
                made = derive_dtype(spec, changed)
            except PayloadError:
                continue
            assert reduced(made)[1] == changed


@pytest.mark.parametrize("spec", ["f8,f8", "float64", "f", "", "8", "f-8", "V8", 8, None, np.float64])
def test_every_other_spec_is_refused(spec: Any) -> None:
    with pytest.raises(PayloadError):
        derive_dtype(spec, (3, "<", None, None, None, -1, -1, 0))


@pytest.mark.parametrize("state", [None, (), [1], (3, "<", None, None, None, -1, -1), (3,) * 10])
def test_states_of_another_length_are_refused(state: Any) -> None:
    with pytest.raises(PayloadError):
        derive_dtype("f8", state)


@pytest.mark.parametrize(
    "metadata", [({"a": 1}, (b"s", 1, 1, 1)), ({}, (b"s", 1, 2, 1)), ({}, b"s"), None, ({}, (b"xx", 1, 1, 1))]
)
def test_metadata_of_times_is_refused(metadata: Any) -> None:
    with pytest.raises(PayloadError):
        derive_dtype("M8", (4, "<", None, None, None, -1, -1, 0, metadata))


@pytest.mark.parametrize("given", DTYPES, ids=str)
def test_bytes_are_swapped_when_joblib_swaps_them(given: Any) -> None:
    dtype = np.dtype(given)
    if not dtype.itemsize or dtype.subdtype or dtype.hasobject:
        return
    buffer = io.BytesIO()
    joblib.dump(np.zeros(2, dtype), buffer)
    assert is_foreign(dtype) == (joblib.load(io.BytesIO(buffer.getvalue())).dtype != dtype)


def test_states_of_dtypes_come_in_pieces() -> None:
    record = np.dtype([("a", "f8"), ("b", ">i4")])
    spec, state = reduced(record)
    pieces = {key: (stand_in_dtype(field[0]), *field[1:]) for key, field in state[4].items()}
    made = MadeDtype(EVERY_ROLE, spec, [])
    made.set_state((*state[:4], pieces, *state[5:]))
    assert made.real == record
    for wrong in (dict.fromkeys(pieces), dict.fromkeys(pieces, (stand_in_dtype(FLOAT, complete=False), 0))):
        with pytest.raises(PayloadError):
            MadeDtype(EVERY_ROLE, spec, []).set_state((*state[:4], wrong, *state[5:]))
    with pytest.raises(PayloadError):
        MadeDtype(EVERY_ROLE, spec, []).set_state("no state")
    with pytest.raises(GlobalNotAllowedError):
        MadeDtype(EVERY_ROLE - {"build"}, spec, []).set_state(state)
