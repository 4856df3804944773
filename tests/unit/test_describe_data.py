"""The fingerprint of a table says what it holds, however memory holds it, and shows none of it."""

import hashlib
import struct
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import msgpack
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from safemodel.describe.data import describe_data
from safemodel.errors import FormatError

NUMBERS = np.arange(24.0).reshape(6, 4)
FRAME = pd.DataFrame(
    {
        "age": [31, 42, 53],
        "income": [1.5, np.nan, 2.5],
        "city": pd.Series(["Bern", None, "Brno"], dtype=object),
        "plan": pd.Categorical(["a", "b", None]),
        "since": pd.to_datetime(["2026-01-01", None, "2026-01-03"]),
        "zoned": pd.to_datetime(["2026-01-01", None, "2026-01-03"], utc=True),
        "count": pd.array([1, None, 3], dtype="Int64"),
        "name": pd.array(["x", None, "z"], dtype="string"),
        "paid": [True, False, True],
        "mixed": pd.Series([1, Decimal("1.5"), date(2026, 1, 2)], dtype=object),
    }
)


def digest(table: Any) -> str:
    return str(describe_data(table)["digest"])


def by_the_specification(*parts: object) -> str:
    return f"sha256:{hashlib.sha256(msgpack.packb(list(parts))).hexdigest()}"


def test_an_array() -> None:
    values = hashlib.sha256(struct.pack("<24d", *range(24))).digest()
    assert describe_data(NUMBERS) == {
        "rows": 6,
        "shape": [6, 4],
        "dtype": "float64",
        "digest": by_the_specification("array", [6, 4], "float64", values),
    }


def test_texts() -> None:
    values = hashlib.sha256(b"\xa3red\xa5green").digest()
    found = describe_data(["red", "green"])
    expected = {"rows": 2, "shape": [2], "dtype": "str"}
    assert found == expected | {"digest": by_the_specification("array", [2], "str", values)}
    assert describe_data(np.array(["red", "green"])) == found
    assert digest(["green", "red"]) != found["digest"]


def test_a_sparse_matrix() -> None:
    matrix = sparse.csr_array(np.array([[0, 1.5], [0, 0], [2.5, 0]]))
    data = hashlib.sha256(struct.pack("<2d", 1.5, 2.5)).digest()
    values = hashlib.sha256(struct.pack("<4q", 0, 1, 1, 2) + struct.pack("<2q", 1, 0) + data).digest()
    assert describe_data(matrix) == {
        "rows": 3,
        "shape": [3, 2],
        "dtype": "float64",
        "digest": by_the_specification("sparse", [3, 2], "float64", values),
    }


def test_a_frame() -> None:
    frame = pd.DataFrame({"n": np.array([1, 2], "i4"), "t": pd.Series(["a", None], dtype=object)})
    columns = [
        ["n", "int32", hashlib.sha256(struct.pack("<2i", 1, 2)).digest()],
        ["t", "object", hashlib.sha256(b"\xa1a\xc0").digest()],
    ]
    assert describe_data(frame) == {
        "rows": 2,
        "columns": [{"name": "n", "dtype": "int32"}, {"name": "t", "dtype": "object"}],
        "digest": by_the_specification("table", 2, columns),
    }


@pytest.mark.parametrize(
    "same",
    [
        np.asfortranarray,
        lambda array: np.repeat(array, 2, axis=1)[:, ::2],
        lambda array: array.astype(">f8"),
        lambda array: array[::-1].copy()[::-1],
    ],
)
def test_memory_does_not_matter(same: Callable[[Any], Any]) -> None:
    assert describe_data(same(NUMBERS)) == describe_data(NUMBERS)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    large, before = np.asfortranarray(NUMBERS), [digest(NUMBERS), digest(FRAME), digest(["a"] * 100)]
    monkeypatch.setattr("safemodel.describe.data._BLOCK", 100)
    monkeypatch.setattr("safemodel.describe.data._LIST", 17)
    assert [digest(large), digest(FRAME), digest(["a"] * 100)] == before


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr"])
def test_the_sparse_format_does_not_matter(form: str) -> None:
    matrix = sparse.random_array((20, 10), density=0.3, rng=np.random.default_rng(0), format="csr")
    matrix.data[0] = 0.0
    before = matrix.copy()
    assert digest(matrix.asformat(form)) == digest(matrix)
    twice = sparse.coo_matrix(([1.0, 2.0], ([0, 0], [1, 1])), shape=(1, 3))
    assert digest(twice) == digest(sparse.csr_matrix([[0, 3.0, 0]]))
    assert twice.nnz == 2
    assert (matrix.indices == before.indices).all()
    assert matrix.nnz == before.nnz


def test_the_bits_of_missing_numbers_do_not_matter() -> None:
    other = np.frombuffer(struct.pack("<Q", 0xFFF8000000000123), "<f8")
    assert np.isnan(other).all()
    assert digest(other) == digest(np.array([np.nan]))
    assert digest(np.array([complex(np.nan, 1)])) == digest(np.array([complex(other[0], 1)]))


@pytest.mark.parametrize(
    "other",
    [
        NUMBERS.astype("f4"),
        NUMBERS.astype("i8"),
        NUMBERS.T,
        NUMBERS.reshape(4, 6),
        NUMBERS.ravel(),
        NUMBERS[::-1],
        NUMBERS + 1e-9,
        np.where(NUMBERS == 0, -0.0, NUMBERS),
        sparse.csr_array(NUMBERS),
        pd.DataFrame(NUMBERS),
        NUMBERS.astype(object),
    ],
    ids=lambda value: f"{type(value).__name__}{value.shape}",
)
def test_what_it_holds_does_matter(other: Any) -> None:
    assert digest(other) != digest(NUMBERS)


def test_frames_of_every_type() -> None:
    found = describe_data(FRAME)
    names = {column["name"]: column["dtype"] for column in found["columns"]}
    assert names | {"since": "", "zoned": ""} == {
        "age": "int64",
        "income": "float64",
        "city": "object",
        "plan": "category",
        "since": "",
        "zoned": "",
        "count": "Int64",
        "name": "string",
        "paid": "bool",
        "mixed": "object",
    }
    assert names["zoned"].endswith("UTC]")
    assert describe_data(FRAME.copy().set_index(pd.Index(["x", "y", "z"]))) == found  # the index is not part of it
    assert digest(pd.concat([FRAME[:1], FRAME[1:]])) == found["digest"]


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.rename(columns={"age": "years"}),
        lambda frame: frame[list(reversed(frame.columns))],
        lambda frame: frame[::-1],
        lambda frame: frame.drop(columns="paid"),
        lambda frame: frame.astype({"age": "int32"}),
        lambda frame: frame.astype({"plan": object}),
        lambda frame: frame.assign(plan=["a", "b", "b"]),
        lambda frame: frame.assign(city=["Bern", "", "Brno"]),
        lambda frame: frame.assign(name=pd.array(["x", None, "y"], dtype="string")),
        lambda frame: frame.assign(count=pd.array([1, 2, 3], dtype="Int64")),
    ],
)
def test_every_part_of_a_frame_matters(change: Callable[[Any], Any]) -> None:
    assert digest(change(FRAME)) != digest(FRAME)


def test_names_that_are_no_texts_or_twice_there() -> None:
    frame = pd.DataFrame(np.eye(3), columns=[0, "a", "a"])
    assert [column["name"] for column in describe_data(frame)["columns"]] == ["0", "a", "a"]
    assert describe_data(pd.Series([1, 2], name="y"))["columns"] == [{"name": "y", "dtype": "int64"}]


@pytest.mark.parametrize("empty", [np.empty((0, 3)), np.empty((3, 0)), [], pd.DataFrame(), sparse.csr_array((0, 2))])
def test_empty_tables(empty: Any) -> None:
    assert describe_data(empty)["rows"] == (3 if getattr(empty, "shape", None) == (3, 0) else 0)


def test_one_number_is_one_row() -> None:
    assert describe_data(np.array(3.0))["shape"] == [1]


CELLS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.integers())


@given(st.lists(CELLS.filter(lambda cell: not isinstance(cell, str) or cell.isascii())))
def test_any_cells_have_a_digest(cells: list[Any]) -> None:
    array = np.empty(len(cells), object)
    array[:] = cells
    assert digest(array) == digest(array.copy())


@pytest.mark.parametrize(
    "table",
    [
        "text",
        {"a": [1]},
        [1, 2],
        [["a"]],
        object(),
        np.zeros(3, "i4,f8"),
        np.ma.masked_array([1.0], [True]),
        np.array([object()]),
        pd.DataFrame({"a": [object()]}),
        pd.Series([np.eye(2)]),
        ["lone \ud800"],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_fingerprint(table: Any) -> None:
    with pytest.raises(FormatError):
        describe_data(table)


@pytest.mark.skipif(np.dtype("longdouble").itemsize <= 8, reason="long doubles are doubles here")
@pytest.mark.parametrize("dtype", ["longdouble", "clongdouble"])
def test_numbers_that_only_some_machines_have(dtype: str) -> None:
    with pytest.raises(FormatError):
        describe_data(np.zeros(3, dtype))


def test_a_cell_that_holds_itself() -> None:
    cell: list[Any] = []
    cell.append(cell)
    array = np.empty(1, object)
    array[0] = cell
    with pytest.raises(FormatError):
        describe_data(array)
