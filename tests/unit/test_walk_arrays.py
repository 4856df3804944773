"""Arrays in joblib's stream: the walk skips exactly what joblib reads, and refuses what joblib does not write."""

import copyreg
import io
import pickle
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from joblib.numpy_pickle import NumpyArrayWrapper

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.payload.walk import NESTED, RAW, Region, walk

RECORD = np.dtype([("id", "<i8"), ("name", "U3"), ("pair", ">f4", (2, 2)), ("inner", [("a", "i1"), ("b", "c16")])])
ARRAYS = {
    "bool": np.array([True, False]),
    "int8": np.arange(5, dtype="i1"),
    "big-endian": np.arange(5, dtype=">u4"),
    "half": np.arange(5, dtype="f2"),
    "long double": np.arange(5, dtype="g"),
    "complex": np.arange(5, dtype="c8"),
    "texts": np.array(["a", "bcd"]),
    "bytes": np.array([b"a", b"bcd"]),
    "void": np.zeros(3, "V7"),
    "dates": np.array(["2020-01-01", "NaT"], dtype="M8[ns]"),
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
    "objects": np.array(["a", None, 3.5, {"k": (1, 2)}], dtype=object),
    "no objects": np.array([], dtype=object),
    "structure of objects": np.array([(1, "a"), (2, None)], dtype=[("n", "i4"), ("o", "O")]),
    "np.matrix": np.zeros((2, 2)).view(np.matrix),
}


def dump(value: object, protocol: int | None = None) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer, protocol=protocol)
    return buffer.getvalue()


@contextmanager
def regions_read() -> Iterator[list[tuple[int, int, bool]]]:
    """Note where `joblib.load` starts and stops to read each array."""
    found: list[tuple[int, int, bool]] = []
    real = NumpyArrayWrapper.read

    def read(self: Any, unpickler: Any, *others: Any) -> Any:
        number = len(found)
        found.append((unpickler.file_handle.tell(), 0, self.dtype.hasobject))
        array = real(self, unpickler, *others)
        found[number] = (found[number][0], unpickler.file_handle.tell(), self.dtype.hasobject)
        return array

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NumpyArrayWrapper, "read", read)
        yield found


def check_against_joblib(data: bytes) -> tuple[Region, ...]:
    found = walk(data).regions
    with regions_read() as expected:
        joblib.load(io.BytesIO(data))
    assert [(region.cut, region.start + region.size, region.kind == NESTED) for region in found] == expected
    return found


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ARRAYS)
def test_skips_exactly_what_joblib_reads(name: str, protocol: int) -> None:
    array = ARRAYS[name]
    data = dump(
        {"before": [1, "x"], "array": array, "again": array, "other": array[:1] if array.ndim else array}, protocol
    )
    regions = check_against_joblib(data)
    assert len(regions) == 3
    if not array.dtype.hasobject:
        fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        assert data[regions[0].start :][: regions[0].size] == array.tobytes("F" if fortran else "C")
        assert (regions[0].start % 16, regions[0].kind) == (0, RAW)


def test_skips_many_arrays_after_a_full_memo() -> None:
    """The second and later wrappers come from the memo, here with LONG_BINGET."""
    arrays = [np.zeros(shape, dtype) for shape in (3, (300, 2), (70_000, 1), (1, 1, 1), (1, 1, 1, 1)) for dtype in "fd"]
    data = dump([[f"text {number}" for number in range(400)], *arrays, *arrays, 300 * [[]]])
    regions = check_against_joblib(data)
    assert [region.size for region in regions] == [array.nbytes for array in 2 * arrays]


def test_skips_a_memmap(tmp_path: Path) -> None:
    array = np.memmap(tmp_path / "array", dtype="f8", mode="w+", shape=(3,))
    assert len(check_against_joblib(dump({"mapped": array}))) == 1


@pytest.mark.parametrize("alignment", [None, "absent"])
def test_skips_arrays_without_padding(alignment: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written by joblib before 1.2, or to a file that cannot tell where it is."""
    real = NumpyArrayWrapper.__init__

    def init(self: Any, *arguments: Any, **others: Any) -> None:
        real(self, *arguments, **others | {"numpy_array_alignment_bytes": None})
        if alignment == "absent":
            del self.numpy_array_alignment_bytes

    monkeypatch.setattr(NumpyArrayWrapper, "__init__", init)
    data = dump([np.arange(5), np.arange(7)])
    regions = check_against_joblib(data)
    assert [region.start - region.cut for region in regions] == [0, 0]


def test_a_gigabyte_is_not_touched() -> None:
    """The bytes of an array are never read: here they are not even there to be read twice."""
    small = dump(np.zeros(16, "u1"))
    data = bytearray(small)
    region = walk(small).regions[0]
    data[region.start : region.start + region.size] = b"\x80\x04\x95" + 13 * b"\xff"  # what would mislead a scanner
    assert walk(data).regions == (region,)


# Forged wrappers and dtypes, written by the real pickler.


RECONSTRUCTOR = vars(copyreg)["_reconstructor"]


class Forged:
    def __init__(self, *reduced: object) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


F8 = (3, "<", None, None, None, -1, -1, 0)
FIELDS: dict[str, object] = {
    "subclass": np.ndarray,
    "shape": (2,),
    "order": "C",
    "dtype": np.dtype("f8"),
    "allow_mmap": True,
    "numpy_array_alignment_bytes": 16,
}


HEAD = b"\x80\x03cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81"
DATA = b"\x01\xff" + bytes(16)


def forged(state: object, tail: bytes = DATA + b".") -> bytes:
    """Return a stream that ends with a wrapper of this state, and then the tail."""
    return HEAD + pickle.dumps(state, 3)[2:-1] + b"b" + tail


def test_the_forger_writes_what_the_walk_takes() -> None:
    assert walk(forged(FIELDS)).counts.arrays == 1


BAD_FIELDS: dict[str, dict[str, object]] = {
    "a class that is no array": {"subclass": np.float64},
    "a class that is a text": {"subclass": "ndarray"},
    "a shape that is a list": {"shape": [2]},
    "a shape that is a number": {"shape": 2},
    "a shape of truth": {"shape": (True, 2)},
    "a shape of fractions": {"shape": (2.0,)},
    "a negative shape": {"shape": (-2,)},
    "two negatives": {"shape": (-2, -1)},
    "a length of 2**60": {"shape": (2**60,)},
    "an unknown order": {"order": "K"},
    "an order of bytes": {"order": b"C"},
    "allow_mmap as a number": {"allow_mmap": 1},
    "an alignment of 32": {"numpy_array_alignment_bytes": 32},
    "an alignment of truth": {"numpy_array_alignment_bytes": True},
    "a dtype that is a text": {"dtype": "f8"},
    "a dtype without its state": {"dtype": Forged(np.dtype, ("f8", False, True))},
    "an item of no bytes": {"dtype": np.dtype("S0")},
    "a method": {"read": np.prod},
    "a subarray as the dtype of an object": {"dtype": Forged(np.dtype, ("f8", False, True), (*F8[:7], 1))},
}


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_refuses_a_wrapper_with(name: str) -> None:
    with pytest.raises(PayloadError):
        walk(forged(FIELDS | BAD_FIELDS[name]))


@pytest.mark.parametrize("missing", [name for name in FIELDS if name != "numpy_array_alignment_bytes"])
def test_refuses_a_wrapper_without(missing: str) -> None:
    with pytest.raises(PayloadError):
        walk(forged({name: value for name, value in FIELDS.items() if name != missing}))


@pytest.mark.parametrize(
    "shape", [(3,), (2**40,), (2**32, 2**32), (2**31, 2**31, 0, 2**31), (2**54, 2**54, 0), 65 * (1,)], ids=repr
)
def test_stops_at_the_size_of(shape: tuple[int, ...]) -> None:
    with pytest.raises(LimitExceededError):
        walk(forged(FIELDS | {"shape": shape}))


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"\x01",
        b"\x00" + bytes(16) + b".",
        b"\x01\x00" + bytes(16) + b".",
        b"\x11" + 17 * b"\xff" + bytes(16) + b".",
    ],
)
def test_refuses_padding(tail: bytes) -> None:
    with pytest.raises((PayloadError, LimitExceededError)):
        walk(forged(FIELDS, tail))


def test_refuses_other_states() -> None:
    for state in (None, (None, dict(FIELDS)), [*FIELDS], OrderedDict(FIELDS), dict(FIELDS) | {1: 2}):
        with pytest.raises(PayloadError):
            walk(forged(state))


STATE = pickle.dumps(FIELDS, 3)[2:-1]


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b".",
        HEAD + b"\x85.",
        HEAD + b"2\x86.",
        HEAD + b"2" + STATE + b"b" + DATA + b"\x86.",  # a second name of it survives
        HEAD + b"2" + STATE + b"b" + DATA + b"0" + STATE + b"b" + DATA + b".",
        HEAD[:-1] + b"R" + STATE + b"b" + DATA + b".",
        HEAD[:-2] + b"K\x01\x85\x81" + STATE + b"b" + DATA + b".",
        HEAD[:-2] + b".",
        HEAD[:-2] + b"\x85.",
        HEAD[:-2] + b"}(K\x01K\x01ub.",
        HEAD + STATE + b"b" + DATA + b"}b.",
        HEAD + STATE + b"b" + DATA + b"(K\x01K\x01u.",
        HEAD + STATE + b"b" + DATA + b"K\x01a.",
    ],
)
def test_refuses_a_wrapper_used_in_another_way(data: bytes) -> None:
    with pytest.raises(PayloadError):
        walk(data)


def test_refuses_a_wrapper_inside_an_array_of_objects() -> None:
    inner = b"\x80\x03" + HEAD[2:] + STATE + b"b" + DATA + b"."
    outer = FIELDS | {"dtype": np.dtype("O"), "allow_mmap": False}
    with pytest.raises(PayloadError):
        walk(forged(outer, inner + b"."))
    assert walk(forged(outer, b"\x80\x05N..")).regions[0].kind == NESTED


@pytest.mark.parametrize("protocol", [0, 1])
def test_wrappers_of_protocols_0_and_1(protocol: int) -> None:
    made = Forged(RECONSTRUCTOR, (NumpyArrayWrapper, object, None), dict(FIELDS))
    found = walk(pickle.dumps(made, protocol)[:-1] + DATA + b".")
    assert found.counts.arrays == 1
    assert {use.name: use.roles for use in found.globals}["_reconstructor"] == ("call",)
    for arguments in (
        (NumpyArrayWrapper, object, 1),
        (NumpyArrayWrapper, dict, None),
        (NumpyArrayWrapper, object),
        (NumpyArrayWrapper, "object", None),
        (object, NumpyArrayWrapper, None),
        (NumpyArrayWrapper,),
    ):
        with pytest.raises(PayloadError):
            walk(pickle.dumps(Forged(RECONSTRUCTOR, arguments, dict(FIELDS)), protocol)[:-1] + DATA + b".")
    with pytest.raises(PayloadError):
        walk(pickle.dumps((NumpyArrayWrapper, object, None), protocol))


def test_refuses_arguments_of_a_wrapper_that_are_used_twice() -> None:
    arguments = b"(cjoblib.numpy_pickle\nNumpyArrayWrapper\nc__builtin__\nobject\nNtp0\n0"
    call = b"ccopy_reg\n_reconstructor\ng0\nR" + STATE + b"b" + DATA
    walk(arguments + call + b".")
    with pytest.raises(PayloadError):
        walk(arguments + call + b"0" + call + b".")


@pytest.mark.parametrize("changed", ["cls", "subclass", "order", "dtype", "key"])
def test_a_repeated_wrapper_is_looked_at_as_closely(changed: str) -> None:
    """Every part of a wrapper that comes from the memo may be another one than the last time."""
    data = bytearray(dump([np.zeros(2), np.zeros(2)]))
    second = data.index(b")\x81\x94}\x94(h", walk(bytes(data)).regions[0].start)
    slots = {"cls": second - 1, "subclass": second + 9, "order": second + 19, "dtype": second + 23, "key": second + 7}
    assert data[slots[changed] - 1] == ord("h")
    for slot in range(40):
        if slot != data[slots[changed]]:
            other = bytearray(data)
            other[slots[changed]] = slot
            with pytest.raises((PayloadError, LimitExceededError)):
                walk(other)


def test_what_a_repeated_wrapper_leaves_in_the_memo_is_not_used() -> None:
    data = dump([np.zeros(2), np.zeros(2), "end"])
    slots = walk(data).counts.memo
    for number in range(slots):
        used = data[:-2] + b"h%c" % number + data[-2:]
        opened = bytearray(used)
        frame = opened.rindex(b"\x95")
        opened[frame + 1 : frame + 9] = (int.from_bytes(opened[frame + 1 : frame + 9], "little") + 2).to_bytes(
            8, "little"
        )
        if number >= slots - 4 and number != slots - 1:
            with pytest.raises(PayloadError):
                walk(opened)


FRAMED = dump(np.zeros(2))
FRAME_SIZE = int.from_bytes(FRAMED[3:11], "little")


@pytest.mark.parametrize("longer", [1, 2, 18, 19])
def test_refuses_a_frame_that_reaches_into_an_array(longer: int) -> None:
    data = FRAMED[:3] + (FRAME_SIZE + longer).to_bytes(8, "little") + FRAMED[11:]
    with pytest.raises(PayloadError):
        walk(data)


def test_refuses_a_frame_that_reaches_past_a_nested_stream() -> None:
    data = dump(np.array(["a"], dtype=object))
    start = walk(data).regions[0].start
    size = int.from_bytes(data[start + 3 : start + 11], "little")
    longer = data[: start + 3] + (size + 1).to_bytes(8, "little") + data[start + 11 :]
    with pytest.raises(PayloadError):
        walk(longer)


def dtype_stream(spec: object, state: object, protocol: int = 4) -> bytes:
    return pickle.dumps(Forged(np.dtype, (spec, False, True), state), protocol)


@pytest.mark.parametrize("name", ARRAYS)
def test_takes_the_dtypes_that_numpy_writes(name: str) -> None:
    dtype = ARRAYS[name].dtype
    for protocol in range(6):
        for order in "<>":
            walk(pickle.dumps([dtype.newbyteorder(order), np.dtype([("field", dtype, (2,))])], protocol))


VOID = (3, "|", None, ("a", "b"), {"a": (np.dtype("i4"), 0), "b": (np.dtype("f8"), 4)}, 12, 1, 16)
FORGED_DTYPES: dict[str, tuple[object, object]] = {
    "an unknown specification": ("i3", F8),
    "a name": ("float64", F8),
    "fields in a text": ("i4,i4", F8),
    "a byte order in the specification": ("<f8", F8),
    "a type as specification": (float, F8),
    "another version": ("f8", (2, *F8[1:])),
    "a short state": ("f8", F8[:7]),
    "a state that is a list": ("f8", [*F8]),
    "no state": ("f8", "state"),
    "an unknown order": ("f8", (3, "x", *F8[2:])),
    "a size": ("f8", (*F8[:5], 4, -1, 0)),
    "an alignment": ("f8", (*F8[:5], -1, 4, 0)),
    "object flags on numbers": ("f8", (*F8[:7], 63)),
    "no flags on objects": ("O8", (3, "|", None, None, None, -1, -1, 0)),
    "flags that are a text": ("f8", (*F8[:7], "0")),
    "flags that are truth": ("f8", (*F8[:7], False)),
    "the aligned flag on numbers": ("f8", (*F8[:7], 0x80)),
    "fields on numbers": ("f8", (3, "<", None, ("a",), {"a": (np.dtype("f8"), 0)}, -1, -1, 0)),
    "fields on a text": ("U3", (3, "<", None, ("a",), {"a": (np.dtype("U3"), 0)}, 12, 4, 8)),
    "a larger text": ("U3", (3, "<", None, None, None, 16, 4, 8)),
    "a smaller text": ("S3", (3, "|", None, None, None, 2, 1, 0)),
    "a negative size": (np.record, (3, "|", None, None, None, -4, 1, 0)),
    "an alignment of 3": ("S3", (3, "|", None, None, None, 3, 3, 0)),
    "metadata": ("f8", (4, *F8[1:], {"a": 1})),
    "metadata on dates": ("M8", (4, *F8[1:], ({"a": 1}, (b"ns", 1, 1, 1)))),
    "a unit of three": ("M8", (4, *F8[1:], (None, (b"ns", 1, 1)))),
    "a unit of texts": ("M8", (4, *F8[1:], (None, (b"ns", "1", 1, 1)))),
    "a unit alone": ("M8", (4, *F8[1:], (None,))),
    "dates without a unit": ("M8", F8),
    "an offset past the end": ("V12", (*VOID[:4], {"a": (np.dtype("i4"), 0), "b": (np.dtype("f8"), 5)}, *VOID[5:])),
    "a negative offset": ("V12", (*VOID[:4], {"a": (np.dtype("i4"), -4), "b": (np.dtype("f8"), 4)}, *VOID[5:])),
    "an offset of truth": ("V12", (*VOID[:4], {"a": (np.dtype("i4"), False), "b": (np.dtype("f8"), 4)}, *VOID[5:])),
    "a field without a dtype": ("V12", (*VOID[:4], {"a": ("i4", 0), "b": (np.dtype("f8"), 4)}, *VOID[5:])),
    "a field of one": ("V12", (*VOID[:4], {"a": (np.dtype("i4"),), "b": (np.dtype("f8"), 4)}, *VOID[5:])),
    "a field that is no tuple": ("V12", (*VOID[:4], {"a": "i4", "b": (np.dtype("f8"), 4)}, *VOID[5:])),
    "a name too many": ("V12", (*VOID[:3], ("a", "b", "c"), *VOID[4:])),
    "a name too few": ("V12", (*VOID[:3], ("a",), *VOID[4:])),
    "a name that is a number": ("V12", (*VOID[:3], ("a", 1), *VOID[4:])),
    "names that are a list": ("V12", (*VOID[:3], ["a", "b"], *VOID[4:])),
    "names without fields": ("V12", (*VOID[:4], None, *VOID[5:])),
    "fields without names": ("V12", (*VOID[:3], None, *VOID[4:])),
    "fields that are a list": ("V12", (*VOID[:4], ["a", "b"], *VOID[5:])),
    "fields and a subarray": ("V12", (3, "|", (np.dtype("f4"), (3,)), *VOID[3:])),
    "fields without flags": ("V12", (*VOID[:7], 0)),
    "hidden objects": ("V8", (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 16)),
    "a subarray larger than its item": ("V8", (3, "|", (np.dtype("f8"), (2,)), None, None, 8, 8, 0)),
    "a subarray smaller than its item": ("V16", (3, "|", (np.dtype("f8"), (1,)), None, None, 16, 8, 0)),
    "a subarray of negative length": ("V8", (3, "|", (np.dtype("f8"), (-1, -1)), None, None, 8, 8, 0)),
    "a subarray of nothing": ("V8", (3, "|", ("f8", (1,)), None, None, 8, 8, 0)),
    "a subarray alone": ("V8", (3, "|", (np.dtype("f8"),), None, None, 8, 8, 0)),
    "a subarray of hidden objects": ("V8", (3, "|", (np.dtype("O"), (1,)), None, None, 8, 8, 0)),
    "a subarray of an unknown record": (
        "V8",
        (3, "|", (Forged(np.dtype, (np.record, False, True)), (1,)), None, None, 8, 8, 0),
    ),
}


@pytest.mark.parametrize("name", FORGED_DTYPES)
def test_refuses_a_dtype_with(name: str) -> None:
    with pytest.raises(PayloadError):
        walk(dtype_stream(*FORGED_DTYPES[name]))


@pytest.mark.parametrize(
    "arguments", [("f8",), ("f8", True, True), ("f8", False, False), ("f8", 0, 1), (), ("f8", False, True, {})]
)
def test_refuses_a_dtype_of(arguments: tuple[object, ...]) -> None:
    with pytest.raises(PayloadError):
        walk(pickle.dumps(Forged(np.dtype, arguments)))


def test_the_fields_of_a_dtype_are_not_changed_any_more() -> None:
    """numpy keeps the dict that it was given: what is put into it later would never be checked."""
    fields = {"a": (np.dtype("i4"), 0)}
    state = (3, "|", None, ("a",), fields, 4, 1, 16)
    shared = [Forged(np.dtype, ("V4", False, True), state), Forged(np.dtype, ("V4", False, True), state), fields]
    data = pickle.dumps(shared, 3)
    walk(data)  # two dtypes may share it
    assert data[-4:-3] == b"h"  # the fields, from the memo
    with pytest.raises(PayloadError):
        walk(data[:-2] + b"X\x01\0\0\0bNs" + data[-2:])


MADE = b"\x80\x03cnumpy\ndtype\nX\x02\0\0\0f8\x89\x88\x87Rq\0"
SET = pickle.dumps(F8, 3)[2:-1]


@pytest.mark.parametrize(
    "data",
    [
        MADE + SET + b"b" + SET + b"b.",
        MADE + b"0(h\0lh\0" + SET + b"b\x86.",
        MADE + b"}b.",
        MADE + b"(K\x01K\x01u.",
        MADE + b"K\x01a.",
    ],
)
def test_a_dtype_is_changed_once_and_before_its_use(data: bytes) -> None:
    walk(MADE + SET + b"b.")
    with pytest.raises(PayloadError):
        walk(data)


def test_other_ways_to_make_a_dtype_give_no_array() -> None:
    fields = {name: value for name, value in FIELDS.items() if name != "dtype"}
    made = b"X\x05\0\0\0dtypecnumpy\ndtype\nX\x02\0\0\0f8\x85\x81s"
    with pytest.raises(PayloadError):
        walk(HEAD + pickle.dumps(fields, 3)[2:-1] + made + b"b" + DATA + b".")
    walk(b"\x80\x03]" + made[10:-1] + b"a.")
