"""The rehearsal: stand-ins for every global, roles, and a plan for the load."""

import gc
import io
import pickle
import sys
import weakref
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from safemodel.errors import GlobalNotAllowedError, LimitExceededError, PayloadError
from safemodel.format.limits import DEPTH_MAX
from safemodel.payload.findings import RAW, ROLES, Region
from safemodel.payload.nesting import EXPANDED_TUPLE_MAX, Nesting
from safemodel.payload.rehearsal import Plan, Rehearsal, python3_name
from safemodel.payload.standins import Made, Permissions, made_class, spell
from safemodel.payload.walk import walk

EVERY_ROLE = frozenset(ROLES)
THING = ("no_such_module", "Thing")


def name(module: str, attribute: str) -> bytes:
    return b"\x8c%c%b\x8c%c%b\x93" % (len(module), module.encode(), len(attribute), attribute.encode())


CLASS = name(*THING)


def rehearse(*opcodes: bytes, roles: frozenset[str] = EVERY_ROLE, allowed: Permissions | None = None) -> Plan:
    data = b"\x80\x04" + b"".join(opcodes) + b"."
    return Rehearsal(memoryview(bytearray(data)), (), {THING: roles}, allowed).run()


def roles_without(*roles: str) -> frozenset[str]:
    return EVERY_ROLE - {*roles}


def test_nothing_is_imported() -> None:
    plan = rehearse(CLASS, b")\x81}b")
    assert plan.uses == {THING: EVERY_ROLE}
    assert "no_such_module" not in sys.modules


USES = {
    "newobj": CLASS + b")\x81",
    "newobj with arguments": CLASS + b"K\x01\x85\x81",
    "call": CLASS + b")R",
    "build": CLASS + b")\x81}b",
    "append": CLASS + b")\x81K\x01a",
    "appends": CLASS + b")\x81(K\x01K\x02e",
    "setitem": CLASS + b")\x81K\x01K\x02s",
    "setitems": CLASS + b")\x81(K\x01K\x02u",
    "additems": CLASS + b")\x81(K\x01K\x02\x90",
    "reference": name("collections", "defaultdict") + CLASS + b"\x85R",
}
NEEDS = {
    "newobj": "newobj", "newobj with arguments": "newobj", "call": "call", "build": "build", "append": "setitems",
    "appends": "setitems", "setitem": "setitems", "setitems": "setitems", "additems": "setitems",
    "reference": "reference",
}  # fmt: skip


def rehearse_use(use: str, roles: frozenset[str]) -> Plan:
    data = memoryview(bytearray(b"\x80\x04" + USES[use] + b"."))
    return Rehearsal(data, (), {THING: roles, ("collections", "defaultdict"): EVERY_ROLE}, None).run()


@pytest.mark.parametrize("use", USES)
def test_a_use_needs_its_role(use: str) -> None:
    assert rehearse_use(use, EVERY_ROLE).uses[THING] == EVERY_ROLE
    with pytest.raises((GlobalNotAllowedError, pickle.UnpicklingError, PayloadError)):
        rehearse_use(use, roles_without(NEEDS[use]))


@pytest.mark.parametrize("roles", [EVERY_ROLE, roles_without("call"), roles_without("newobj")])
@pytest.mark.parametrize(
    "use", [b"}b", b"K\x01a", b"(K\x01K\x02e", b"K\x01K\x02s", b"(K\x01K\x02\x90", b"(K\x01K\x02u"]
)
def test_a_global_itself_is_never_changed(use: bytes, roles: frozenset[str]) -> None:
    with pytest.raises((GlobalNotAllowedError, PayloadError, TypeError, AttributeError)):
        rehearse(CLASS, use, roles=roles)


def test_arguments_of_any_call_are_looked_at() -> None:
    steps = b"".join(CLASS + b"h%ch%c\x86\x94R0" % (number, number) for number in range(60))
    for roles in (EVERY_ROLE, roles_without("newobj")):
        with pytest.raises(LimitExceededError):
            rehearse(b"})\x940", steps, b"h\x3cNs", roles=roles)


def test_a_constructor_with_a_rule_needs_its_role_too() -> None:
    data = memoryview(bytearray(b"\x80\x04" + name("collections", "OrderedDict") + b")R."))
    with pytest.raises(GlobalNotAllowedError):
        Rehearsal(data, (), {("collections", "OrderedDict"): roles_without("call")}, None).run()


def test_what_was_made_is_not_called() -> None:
    with pytest.raises(TypeError):
        rehearse(CLASS, b")\x81)R")
    with pytest.raises(PayloadError):
        rehearse(CLASS, b")\x81K\x01\x85\x81")


@pytest.mark.parametrize("arguments", [b"]", b"N"])
def test_arguments_of_newobj_are_a_tuple(arguments: bytes) -> None:
    with pytest.raises(PayloadError):
        rehearse(CLASS, arguments, b"\x81")


def test_a_state_comes_once() -> None:
    with pytest.raises(PayloadError):
        rehearse(CLASS, b")\x81}b}b")


def test_roles_are_both_signed_and_allowed() -> None:
    assert rehearse(CLASS, b")\x81", allowed={THING: frozenset({"newobj"})}).uses[THING] == {"newobj"}
    with pytest.raises(GlobalNotAllowedError):
        rehearse(CLASS, b")R", allowed={THING: frozenset({"call"})}, roles=frozenset({"newobj"}))


@pytest.mark.parametrize("allowed", [None, {}])
def test_a_global_that_is_not_signed_or_not_allowed(allowed: Permissions | None) -> None:
    signed = {} if allowed is None else {THING: EVERY_ROLE}
    data = memoryview(bytearray(b"\x80\x04" + CLASS + b"."))
    with pytest.raises(GlobalNotAllowedError):
        Rehearsal(data, (), signed, allowed).run()


@pytest.mark.parametrize("attribute", ["os.system", "a b", "", "1", "a\n"])
def test_names_are_one_attribute(attribute: str) -> None:
    data = memoryview(bytearray(b"\x80\x04" + name("m", attribute) + b"."))
    with pytest.raises(GlobalNotAllowedError):
        Rehearsal(data, (), {("m", attribute): EVERY_ROLE}, None).run()


def test_builtins_that_no_model_needs() -> None:
    data = memoryview(bytearray(b"\x80\x04" + name("builtins", "eval") + b"."))
    with pytest.raises(PayloadError):
        Rehearsal(data, (), {("builtins", "eval"): EVERY_ROLE}, None).run()


def test_names_of_python_2_are_mapped_up_to_protocol_2() -> None:
    data = b"c__builtin__\nxrange\n."
    pair = ("builtins", "range")
    assert Rehearsal(memoryview(bytearray(data)), (), {pair: EVERY_ROLE}, None).run().uses == {pair: EVERY_ROLE}
    with pytest.raises(GlobalNotAllowedError):
        Rehearsal(memoryview(bytearray(b"\x80\x04" + data)), (), {pair: EVERY_ROLE}, None).run()
    assert python3_name("copy_reg", "_reconstructor") == ("copyreg", "_reconstructor")
    assert python3_name("numpy", "dtype") == ("numpy", "dtype")


@pytest.mark.parametrize("left", [b"", b"NN", b"(N", b"N(", b"(", b"N(N", b"N(N(N"])
def test_one_value_is_left(left: bytes) -> None:
    with pytest.raises((PayloadError, pickle.UnpicklingError)):
        rehearse(left)


def test_a_dtype_without_a_state() -> None:
    data = memoryview(bytearray(b"\x80\x04" + name("numpy", "dtype") + b"\x8c\x02f8\x89\x88\x87R."))
    with pytest.raises(PayloadError):
        Rehearsal(data, (), {("numpy", "dtype"): EVERY_ROLE}, None).run()


def test_the_plan_of_a_model() -> None:
    buffer = io.BytesIO()
    objects = np.array(["a", np.arange(2.0)], dtype=object)
    joblib.dump([LogisticRegression(), np.arange(3), objects], buffer)
    data = memoryview(bytearray(buffer.getvalue()))
    found = walk(data)
    signed = {(use.module, use.name): frozenset(use.roles) for use in found.globals}
    plan = Rehearsal(data, found.regions, signed, None).run()
    assert plan.uses == signed
    first, second = plan.arrays
    assert first is not None
    assert first.tolist() == [0, 1, 2]
    assert second is None
    assert [str(dtype) for dtype in plan.dtypes] == ["int64", "object", "object", "float64"]
    assert set(plan.streams) == {None, 1}


def test_arrays_that_are_left_over() -> None:
    buffer = io.BytesIO()
    joblib.dump([np.arange(3), np.arange(3)], buffer)
    data = memoryview(bytearray(buffer.getvalue()))
    found = walk(data)
    signed = {(use.module, use.name): frozenset(use.roles) for use in found.globals}
    with pytest.raises(PayloadError):
        Rehearsal(data, found.regions[:1], signed, None).run()


WRAPPER = name("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81"
DTYPE = name("numpy", "dtype") + b"\x8c\x02f8\x89\x88\x87R(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
FIELDS = {
    "subclass": name("numpy", "ndarray"),
    "shape": b"K\x02\x85",
    "order": b"\x8c\x01C",
    "dtype": DTYPE,
    "allow_mmap": b"\x88",
    "numpy_array_alignment_bytes": b"K\x10",
}


def one_array(
    wrapper: bytes = WRAPPER, *, padding: bytes = b"\x01\xff", **changes: bytes | None
) -> np.ndarray[Any, Any] | None:
    fields = {key: value for key, value in (FIELDS | changes).items() if value is not None}
    state = b"}(" + b"".join(b"\x8c%c%b" % (len(key), key.encode()) + value for key, value in fields.items()) + b"u"
    head = b"\x80\x04" + wrapper + state + b"b"
    data = memoryview(bytearray(head + padding + bytes(16) + b"."))
    region = Region(len(head), len(head) + len(padding), 16, RAW)
    pairs = (("joblib.numpy_pickle", "NumpyArrayWrapper"), ("numpy", "ndarray"), ("numpy", "dtype"), THING)
    return Rehearsal(data, (region,), dict.fromkeys(pairs, EVERY_ROLE), None).run().arrays[0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"order": b"\x8c\x01F"},
        {"shape": b"K\x01K\x02\x86"},
        {"numpy_array_alignment_bytes": b"N", "padding": b""},
        {"numpy_array_alignment_bytes": None, "padding": b""},
    ],
)
def test_wrappers(changes: dict[str, Any]) -> None:
    array = one_array(**changes)
    assert array is not None
    assert array.size == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"order": b"\x8c\x01K"},
        {"subclass": CLASS},
        {"subclass": b"N"},
        {"dtype": b"\x8c\x02f8"},
        {"dtype": DTYPE.replace(b"f8", b"O8").replace(b"<", b"|").replace(b"K\x00tb", b"K?tb")},
        {"numpy_array_alignment_bytes": b"K\x11"},
        {"numpy_array_alignment_bytes": b"N"},
        {"allow_mmap": None},
        {"allow_mmap": b"K\x01"},
        {"subclass": None, "numpy_array_alignment_bytes": None},
        {"read": b"N"},
        {"order": None, "read": b"N"},
        {"shape": b"K\x03\x85"},
        {"dtype": DTYPE.replace(b"f8", b"S0").replace(b"<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff", b"|NNNK\x00K\x01")},
        {"padding": b"\x01\x00"},
        {"padding": b"\x02\xff"},
        {"padding": b""},
        {"wrapper": CLASS + b")\x81"},
        {"wrapper": CLASS},
    ],
)
def test_wrappers_that_joblib_does_not_write(changes: dict[str, Any]) -> None:
    with pytest.raises((PayloadError, LimitExceededError)):
        one_array(**changes)


def test_a_wrapper_is_used_once() -> None:
    state = b"}(" + b"".join(b"\x8c%c%b" % (len(key), key.encode()) + value for key, value in FIELDS.items()) + b"u"
    head = b"\x80\x04" + WRAPPER + b"\x94" + state + b"b"
    again = b"0h\0" + state + b"b"
    data = memoryview(bytearray(head + b"\x01\xff" + bytes(16) + again + b"\x01\xff" + bytes(16) + b"."))
    first = Region(len(head), len(head) + 2, 16, RAW)
    cut = len(head) + 18 + len(again)
    pairs = (("joblib.numpy_pickle", "NumpyArrayWrapper"), ("numpy", "ndarray"), ("numpy", "dtype"))
    with pytest.raises(PayloadError):
        Rehearsal(data, (first, Region(cut, cut + 2, 16, RAW)), dict.fromkeys(pairs, EVERY_ROLE), None).run()


def test_an_array_of_objects_needs_a_shape_too() -> None:
    data, regions, signed = array_of_objects(pickle.dumps(np.array(["a"], dtype=object), 4))
    Rehearsal(data, regions, signed, None).run()
    place = bytes(data).index(b"K\x01\x85")
    data[place : place + 3] = b"]0]"  # a list instead of a tuple
    with pytest.raises(PayloadError):
        Rehearsal(data, regions, signed, None).run()


def array_of_objects(inner: bytes) -> tuple[memoryview, Any, Any]:
    buffer = io.BytesIO()
    joblib.dump(np.array(["a"], dtype=object), buffer)
    data = buffer.getvalue()
    found = walk(data)
    (region,) = found.regions
    changed = data[: region.start] + inner + data[region.start + region.size :]
    moved = type(region)(region.cut, region.start, len(inner), region.kind)
    signed = {(use.module, use.name): EVERY_ROLE for use in found.globals} | {THING: EVERY_ROLE}
    return memoryview(bytearray(changed)), (moved,), signed


@pytest.mark.parametrize(
    "inner",
    [
        b"\x80\x05N.",
        b"\x80\x05" + CLASS + b")\x81}b.",
        b"\x80\x05" + name("joblib.numpy_pickle", "NumpyArrayWrapper") + b".",
        b"\x80\x05"
        + name("numpy._core.multiarray", "_reconstruct")
        + name("numpy", "ndarray")
        + b"K\0\x85C\x01b\x87R.",
    ],
)
def test_an_array_of_objects_is_an_array(inner: bytes) -> None:
    with pytest.raises(PayloadError):
        Rehearsal(*array_of_objects(inner), None).run()


def test_classes_are_kept() -> None:
    first = made_class(THING, EVERY_ROLE)
    assert made_class(THING, EVERY_ROLE) is first


def test_a_stand_in_spells_its_name() -> None:
    assert spell(("a\n\ud800", "b")) == "a\\n\\ud800.b"
    assert made_class(("m", "C"), EVERY_ROLE).__name__ == "m.C"
    assert Made.built is False


# Tuples.


def test_tuples_are_bounded() -> None:
    nesting = Nesting()
    value: Any = ("a",)
    for _ in range(DEPTH_MAX - 1):
        value = (value,)
        nesting.look(value)
    with pytest.raises(LimitExceededError):
        nesting.look((value,))


def test_shared_tuples_count_each_time() -> None:
    nesting = Nesting()
    value: Any = (1, 2)
    with pytest.raises(LimitExceededError):  # noqa: PT012
        for _ in range(60):
            value = (value, value)
            nesting.look(value)
    assert EXPANDED_TUPLE_MAX < 2**60


def test_a_flat_tuple_may_be_long() -> None:
    Nesting().look(tuple(range(EXPANDED_TUPLE_MAX + 1)))


def test_what_is_made_from_tuples_counts_like_them() -> None:
    nesting = Nesting()
    value: Any = Made()
    nesting.inherit(value, ((1, 2), 3))
    for _ in range(17):
        made = Made()
        nesting.inherit(made, (value, value))
        value = made
    nesting.look((value,))
    with pytest.raises(LimitExceededError):
        nesting.look((value, value, value, value))


def test_named_tuples_that_hash_for_ever() -> None:
    steps = b"".join(CLASS + b"h%ch%c\x86\x81\x940" % (number, number) for number in range(60))
    with pytest.raises(LimitExceededError):
        rehearse(b"})\x940", steps, b"h\x3cNs")


def test_collection_is_not_needed_to_forget() -> None:
    class Memory(bytearray):
        pass

    memory = Memory(b"\x80\x04" + CLASS + b"K\x01\x85\x94R.")
    gone = weakref.ref(memory)
    gc.disable()
    try:
        plan = Rehearsal(memoryview(memory), (), {THING: EVERY_ROLE}, None).run()
        del memory
        assert plan.uses
        assert gone() is None
    finally:
        gc.enable()
