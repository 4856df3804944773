"""Examples that a careless or malicious signer could sign: nothing but our errors comes out, and no memory is taken.

What an attachment holds is decoded before anything is unpickled, and what would crash NumPy, SciPy or pandas is found
first.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import safemodel
from safemodel.describe.example.storage import outputs_from_bytes, table_from_bytes, table_to_bytes
from safemodel.errors import FormatError, LimitExceededError, SafemodelError
from safemodel.format import wire
from safemodel.format.limits import EXAMPLE_MAX

ARRAY = {"kind": "array", "dtype": "<f8", "order": "C", "shape": [2, 2], "data": bytes(32)}
TEXTS = {"kind": "array", "dtype": "<U1", "order": "C", "shape": [1], "data": b"a\0\0\0"}
OBJECTS = {"kind": "objects", "shape": [2], "items": ["a", None]}


def integers(*numbers: int, dtype: str = "<i4") -> dict[str, Any]:
    data = np.array(numbers, dtype).tobytes()
    return {"kind": "array", "dtype": dtype, "order": "C", "shape": [len(numbers)], "data": data}


SPARSE = {
    "kind": "sparse",
    "format": "csr",
    "matrix": True,
    "shape": [2, 3],
    "data": integers(5, 6),
    "indices": integers(0, 2),
    "indptr": integers(0, 1, 2),
}
COLUMN = integers(1, 2)
RANGE = {"name": None, "range": [0, 2, 1]}
FRAME = {"kind": "frame", "columns": {"name": None, "range": [0, 1, 1]}, "index": RANGE, "values": [COLUMN]}
CATEGORIES = {"kind": "categories", "codes": integers(0, 1, dtype="|i1"), "categories": OBJECTS, "ordered": False}
LABELS = {"kind": "objects", "shape": [2], "items": ["a", "b"]}
NULLABLE = {
    "kind": "nullable",
    "dtype": "Int64",
    "values": integers(1, 2, dtype="<i8"),
    "missing": {"kind": "array", "dtype": "|b1", "order": "C", "shape": [2], "data": b"\0\1"},
}
STRINGS = {"kind": "texts", "dtype": "str", "items": ["a", None]}


def column(**changes: Any) -> dict[str, Any]:
    return FRAME | {"values": [changes]}


GOOD: dict[str, dict[str, Any]] = {
    "array": ARRAY,
    "texts": TEXTS,
    "objects": OBJECTS,
    "sparse": SPARSE,
    "frame": FRAME,
    "categories": column(**CATEGORIES | {"categories": LABELS}),
    "nullable": column(**NULLABLE),
    "strings": column(**STRINGS),
    "series": {"kind": "series", "name": "a", "index": RANGE, "values": COLUMN},
    "list": {"kind": "list", "items": ["a", [1, b"\0" * 8], {"pairs": [["a", None]]}]},
}
BAD: dict[str, object] = {
    "no map": [1, 2],
    "nothing": {},
    "an unknown kind": ARRAY | {"kind": "pickle"},
    "a kind that is no text": ARRAY | {"kind": 1},
    "an unknown field": ARRAY | {"object": b"cos\nsystem\n"},
    "no data": {name: part for name, part in ARRAY.items() if name != "data"},
    "dtype of objects": ARRAY | {"dtype": "|O"},
    "dtype of records": ARRAY | {"dtype": "f8,O"},
    "dtype of raw memory": ARRAY | {"dtype": "|V8"},
    "dtype in another order of bytes": ARRAY | {"dtype": ">f8"},
    "dtype of no width": TEXTS | {"dtype": "<U0", "data": b""},
    "dtype of huge width": TEXTS | {"dtype": "<U9999999"},
    "dtype with a shape": ARRAY | {"dtype": "(2,)f8"},
    "a shape beyond the data": ARRAY | {"shape": [2, 3]},
    "a shape below the data": ARRAY | {"shape": [2, 1]},
    "a huge shape": ARRAY | {"shape": [2**62, 2**62]},
    "a huge empty shape": ARRAY | {"shape": [0, 2**62], "data": b""},
    "empty shapes that multiply": ARRAY | {"shape": [0, 2**20, 2**20], "data": b""},
    "a negative shape": ARRAY | {"shape": [-2, -2]},
    "a shape of booleans": ARRAY | {"shape": [True, True]},
    "a thousand dimensions": ARRAY | {"shape": [1] * 1000, "data": bytes(8)},
    "an unknown order": ARRAY | {"order": "K"},
    "the other name of the same order": integers(1) | {"order": "F"},
    "data that is text": ARRAY | {"data": "\0" * 32},
    "a boolean of 2": {"kind": "array", "dtype": "|b1", "order": "C", "shape": [1], "data": b"\2"},
    "a character beyond Unicode": TEXTS | {"data": b"\xff\xff\xff\xff"},
    "fewer objects than the shape": OBJECTS | {"shape": [3]},
    "objects of a huge shape": OBJECTS | {"shape": [2**40]},
    "an object that is a list": OBJECTS | {"items": ["a", ["b"]]},
    "an object that is a map": OBJECTS | {"items": ["a", {"pairs": []}]},
    "a float of other size": OBJECTS | {"items": ["a", b"\0" * 7]},
    "indices beyond the columns": SPARSE | {"indices": integers(0, 3)},
    "negative indices": SPARSE | {"indices": integers(0, -1)},
    "pointers that end early": SPARSE | {"indptr": integers(0, 1, 1)},
    "pointers that go down and end at the end": SPARSE | {"indptr": integers(0, 2**30, 2)},
    "pointers that go down and end at zero": SPARSE
    | {"indptr": integers(0, -5, 0), "indices": integers(), "data": integers()},
    "pointers that do not start at zero": SPARSE | {"indptr": integers(-1, 1, 2)},
    "too few pointers": SPARSE | {"indptr": integers(0, 2)},
    "too many rows": SPARSE | {"shape": [2**31, 3]},
    "rows that nothing points to": SPARSE | {"shape": [2**31 - 1, 3]},
    "fewer values than indices": SPARSE | {"data": integers(5)},
    "values that are texts": SPARSE | {"data": TEXTS},
    "indices of two kinds": SPARSE | {"indptr": integers(0, 1, 2, dtype="<i8")},
    "indices that are no integers": SPARSE | {"indices": ARRAY, "indptr": ARRAY},
    "indices of two dimensions": SPARSE | {"indices": integers(0, 2) | {"shape": [1, 2]}},
    "another form of sparse": SPARSE | {"format": "lil"},
    "more rows of sparse than an array can have": SPARSE
    | {"format": "csc", "shape": [2**31 - 1, 1], "data": integers(), "indices": integers(), "indptr": integers(0, 0)},
    "three dimensions of sparse": SPARSE | {"shape": [2, 3, 1]},
    "parts that are no arrays": SPARSE | {"data": OBJECTS},
    "rows that are too few": FRAME | {"index": RANGE | {"range": [0, 3, 1]}},
    "names that are too few": FRAME | {"columns": RANGE},
    "a huge range": FRAME | {"index": RANGE | {"range": [0, 2**40, 1]}},
    "a range without a step": FRAME | {"index": RANGE | {"range": [0, 2, 0]}},
    "a range of two numbers": FRAME | {"index": RANGE | {"range": [0, 2]}},
    "a range and labels": FRAME | {"index": RANGE | {"labels": LABELS}},
    "a range beyond 64 bits": FRAME | {"index": RANGE | {"range": [2**64 - 2, 2**64 - 1, 1]}},
    "a name that is a list": FRAME | {"index": RANGE | {"name": []}},
    "a column of two dimensions": column(**ARRAY),
    "a column of texts of fixed width": column(**TEXTS | {"shape": [2], "data": bytes(8)}),
    "a column of days": column(**integers(1, 2, dtype="<i8") | {"dtype": "<M8[D]"}),
    "a column of an unknown kind": column(**COLUMN | {"kind": "sparse"}),
    "codes beyond the categories": column(**CATEGORIES | {"categories": LABELS, "codes": integers(0, 2)}),
    "codes below none": column(**CATEGORIES | {"categories": LABELS, "codes": integers(0, -2)}),
    "codes that are no integers": column(**CATEGORIES | {"categories": LABELS, "codes": integers(0, 1, dtype="<f8")}),
    "a category twice": column(**CATEGORIES | {"categories": LABELS | {"items": ["a", "a"]}}),
    "a category that is missing": column(**CATEGORIES),
    "a nullable dtype that there is not": column(**NULLABLE | {"dtype": "object"}),
    "values of another width": column(**NULLABLE | {"dtype": "Int8"}),
    "a mask of another length": column(**NULLABLE | {"values": integers(1, dtype="<i8")}),
    "a mask of integers": column(**NULLABLE | {"missing": integers(1, 2)}),
    "texts of an unknown dtype": column(**STRINGS | {"dtype": "U1"}),
    "texts that are numbers": column(**STRINGS | {"items": [1, 2]}),
    "a list that is none": {"kind": "list", "items": {"a": 1}},
    "a map that is none": {"kind": "list", "items": [{"a": 1}]},
    "a pair of three": {"kind": "list", "items": [{"pairs": [[1, 2, 3]]}]},
    "a key that is a list": {"kind": "list", "items": [{"pairs": [[[], 1]]}]},
    "a key twice": {"kind": "list", "items": [{"pairs": [["a", 1], ["a", 2]]}]},
}


def encoded(value: object) -> bytes:
    return wire.encode(value, where="test")


@pytest.mark.parametrize("name", GOOD)
def test_what_the_others_start_from_is_accepted(name: str) -> None:
    assert table_from_bytes(encoded(GOOD[name]), "test") is not None


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_table_is_refused(name: str) -> None:
    with pytest.raises(FormatError):
        table_from_bytes(encoded(BAD[name]), "test")
    with pytest.raises(FormatError):
        outputs_from_bytes(encoded({"predict": BAD[name]}), "test")


def test_malformed_outputs_are_refused() -> None:
    unfit: list[object] = [[], 1, {"predict": {"kind": "outputs"}}, {"predict": {"kind": "outputs", "tables": [{}]}}]
    for value in unfit:
        with pytest.raises(FormatError):
            outputs_from_bytes(encoded(value), "test")
    nested = {"kind": "outputs", "tables": [{"kind": "outputs", "tables": []}]}
    with pytest.raises(FormatError):
        outputs_from_bytes(encoded({"predict": nested}), "test")


def test_a_table_is_read_up_to_its_limit_and_depth() -> None:
    with pytest.raises(LimitExceededError):
        table_from_bytes(encoded({"kind": "list", "items": ["x" * EXAMPLE_MAX]}), "test")
    packed = b"\x82\xa5items" + b"\x91" * 20_000 + b"\x90" + b"\xa4kind\xa4list"
    with pytest.raises(FormatError):
        table_from_bytes(packed, "test")


SEEDS = [encoded(value) for value in GOOD.values()] + [
    table_to_bytes(value, "test")
    for value in (
        np.asfortranarray(np.eye(3)),
        sparse.csc_array(np.eye(3)),
        pd.DataFrame({"a": pd.Categorical(["x", "y"]), "b": pd.to_datetime(["2024-01-01", None]), "c": ["p", "q"]}),
    )
]
LEAVES = st.sampled_from(
    [
        None,
        True,
        0,
        1,
        -1,
        2,
        3,
        2**31,
        2**63,
        "",
        "array",
        "<f8",
        "<U1",
        "|O",
        b"",
        bytes(8),
        b"\xff" * 8,
        [],
        {},
        COLUMN,
    ]
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value, with each of its keys."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


@given(st.sampled_from(SEEDS), st.data())
def test_only_our_errors_come_of_changed_parts(seed: bytes, data: st.DataObject) -> None:
    value = wire.decode(seed, maximum=EXAMPLE_MAX, where="test")
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(list(places(value))))
        drawn = data.draw(LEAVES | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text())
        container[key] = deepcopy(drawn)
    _read_and_use(encoded(value))


def test_only_our_errors_come_of_changed_bytes() -> None:
    chance = random.Random(0)
    for _ in range(3000):
        changed = bytearray(chance.choice(SEEDS))
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(changed))] = chance.choice((0, 1, 2, 0x7F, 0xFF, chance.randrange(256)))
        _read_and_use(bytes(changed))


def _read_and_use(data: bytes) -> None:
    """Read a table, and touch all of it, as a model would: what is accepted must be sound."""
    with suppress(SafemodelError):
        table = table_from_bytes(data, "test")
        repr(table)
        if hasattr(table, "toarray") and max(table.shape) < 1000:
            assert table.toarray().shape == table.shape
        with suppress(FormatError):  # a lone surrogate has no place in a list, and one in an array of objects neither
            assert table_to_bytes(table_from_bytes(table_to_bytes(table, "test"), "test"), "test")


CLAIMS: dict[str, tuple[Any, dict[str, bytes]]] = {
    "names that are no texts": ({"inputs": 1, "predictions": 2, "tolerance": 0.5}, {}),
    "one name": ({"inputs": "a.1", "tolerance": 0.5}, {"a.1": encoded(ARRAY)}),
    "an attachment that is missing": ({"inputs": "a.1", "predictions": "b.1", "tolerance": 0.5}, {}),
    "the payload": ({"inputs": "payload.joblib", "predictions": "payload.joblib", "tolerance": 0.5}, {}),
    "the manifest": ({"inputs": "manifest.msgpack", "predictions": "signatures.msgpack", "tolerance": 0.5}, {}),
    "the digests": ({"inputs": "digests", "predictions": "digests", "tolerance": 0.5}, {}),
    "inputs that are too large": (
        {"inputs": "a.1", "predictions": "b.1", "tolerance": 0.5},
        {"a.1": bytes(EXAMPLE_MAX + 1), "b.1": b""},
    ),
    "inputs that are a pickle": (
        {"inputs": "a.1", "predictions": "b.1", "tolerance": 0.5},
        {"a.1": b"cos\nsystem\n(S'true'\ntR.", "b.1": b""},
    ),
    "a method that does not predict": (
        {"inputs": "a.1", "predictions": "b.1", "tolerance": 0.5},
        {"a.1": encoded(ARRAY), "b.1": encoded({"fit": ARRAY})},
    ),
    "no method": (
        {"inputs": "a.1", "predictions": "b.1", "tolerance": 0.5},
        {"a.1": encoded(ARRAY), "b.1": encoded({})},
    ),
    **{
        f"a tolerance of {tolerance!r}": (
            {"inputs": "a.1", "predictions": "b.1"} | ({} if tolerance is None else {"tolerance": tolerance}),
            {"a.1": encoded(ARRAY), "b.1": encoded({"predict": ARRAY})},
        )
        for tolerance in (None, 1, True, 1.0, -0.5, 1e308, "0.5")
    },
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_malformed_example_is_refused_before_anything_is_unpickled(
    name: str, forge: Callable[..., Path], release: Any, canary: list[str]
) -> None:
    described, attachments = CLAIMS[name]
    path = forge(example=described, attachments=attachments)
    with pytest.raises(FormatError):
        safemodel.load(path, trust=release.public, reproduce=True)
    with safemodel.verify(path, trust=release.public) as artifact, pytest.raises(FormatError):
        artifact.reproduce()
    assert canary == []
