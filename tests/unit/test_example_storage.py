"""What an example holds comes back as it was: kinds, dtypes, order, labels, and every bit of the numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sameness import difference
from scipy import sparse

from safemodel.describe.example.storage import (
    outputs_from_bytes,
    outputs_to_bytes,
    table_from_bytes,
    table_to_bytes,
)
from safemodel.errors import FormatError, LimitExceededError
from safemodel.format.limits import EXAMPLE_MAX

NAN_PAYLOADS = np.array([0x7FF8000000000000, 0x7FF8DEADBEEF0001, 0xFFF0000000000001], "<u8").view("<f8")


def round_trip(value: Any) -> Any:
    data = table_to_bytes(value, "example")
    again = table_from_bytes(data, "example")
    assert table_to_bytes(again, "example") == data
    return again


ARRAYS = {
    "negative zero": np.array([-0.0, 0.0]),
    "NaN payloads": NAN_PAYLOADS,
    "infinities": np.array([np.inf, -np.inf, np.nextafter(0, 1)]),
    "no rows": np.empty((0, 3)),
    "no columns": np.empty((3, 0), np.float32),
    "no dimension": np.array(1.5),
    "largest integers": np.array([2**64 - 1, 0], np.uint64),
    "smallest integers": np.array([-(2**63), 2**63 - 1]),
    "booleans": np.array([[True, False]]),
    "half precision": np.array([6e-8, 65504, np.nan], np.float16),
    "single precision": np.array([[1e-45, 3.4e38]], np.float32),
    "complex": np.array([complex(-0.0, np.nan)]),
    "small complex": np.array([1j], np.complex64),
    "texts": np.array(["", "a\0b", "äöü", "\U0001f600", "\ud800"]),
    "bytes": np.array([b"a\0b", b"\xff"]),
    "dates": np.array(["2024-02-29", "NaT"], "datetime64[D]"),
    "times": np.array([1, -(2**63)], "datetime64[ns]"),
    "spans": np.array([1, 2], "timedelta64[s]"),
    "Fortran order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "four dimensions": np.arange(16, dtype=np.int8).reshape(2, 2, 2, 2),
    "objects": np.array([["a", None, 1.5], [True, float("nan"), 2**64 - 1]], object),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name: str) -> None:
    assert difference(round_trip(ARRAYS[name]), ARRAYS[name]) is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.arange(12.0).reshape(3, 4)[::2, ::-1], np.array([[3.0, 2, 1, 0], [11, 10, 9, 8]])),
        (np.array([1, 2], ">i4"), np.array([1, 2], "<i4")),
        (np.array(["ä"], ">U3"), np.array(["ä"], "<U3")),
        (
            np.array([np.int64(1), np.float32(0.5), np.bool_(True), np.str_("a")], object),
            np.array([1, 0.5, 1, "a"], object),
        ),
    ],
)
def test_memory_becomes_contiguous_and_native(given: Any, kept: Any) -> None:
    found = round_trip(given)
    assert found.dtype == kept.dtype
    assert found.flags.c_contiguous
    assert found.tolist() == kept.tolist()


def test_a_table_may_be_written_into_and_shares_nothing() -> None:
    data = table_to_bytes(np.zeros(3), "example")
    first = table_from_bytes(data, "example")
    first[:] = 1
    assert table_from_bytes(data, "example").tolist() == [0, 0, 0]


FRAMES = {
    "numbers": pd.DataFrame({"b": [1.5, np.nan], "a": [1, 2]}, index=[7, 7]),
    "texts": pd.DataFrame({"a": ["x", None]}),
    "objects": pd.DataFrame({"a": pd.Series(["x", None, float("nan"), 1], dtype=object)}),
    "nullable texts": pd.DataFrame({"a": pd.array(["x", pd.NA], "string")}),
    "categories": pd.DataFrame({"a": pd.Categorical(["lo", None], ["hi", "lo", "mid"], ordered=True)}),
    "categories of numbers": pd.DataFrame({"a": pd.Categorical([2.5, 1.5])}),
    "times": pd.DataFrame({"a": pd.to_datetime(["2024-02-29", None]), "b": pd.to_timedelta([1, None], unit="s")}),
    "integers with missing ones": pd.DataFrame({"a": pd.array([1, None, 2**63 - 1], "Int64")}),
    "small ones": pd.DataFrame({"a": pd.array([1, None], "UInt8"), "b": pd.array([0.5, None], "Float32")}),
    "booleans with missing ones": pd.DataFrame({"a": pd.array([True, None], "boolean")}),
    "no rows": pd.DataFrame({"a": np.empty(0, np.float32), "b": pd.Series([], dtype=object)}),
    "no columns": pd.DataFrame(index=["a", "b"]),
    "nothing": pd.DataFrame(),
    "numbers as names": pd.DataFrame(np.eye(2)),
    "the same name twice": pd.DataFrame([[1, 2.5]], columns=["a", "a"]),
    "mixed names": pd.DataFrame([[1, 2, 3]], columns=pd.Index(["a", 1, None], dtype=object)),
    "named axes": pd.DataFrame({"a": [1]}, index=pd.RangeIndex(5, 6, name="i")).rename_axis("c", axis=1),
    "times as labels": pd.DataFrame({"a": [1, 2]}, index=pd.to_datetime(["2024-01-01", "2024-01-03"])),
    "categories as labels": pd.DataFrame({"a": [1, 2]}, index=pd.CategoricalIndex(["x", "y"])),
    "a step": pd.DataFrame({"a": range(10)})[::-2],
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames(name: str) -> None:
    pd.testing.assert_frame_equal(round_trip(FRAMES[name]), FRAMES[name], check_column_type="exact")


def test_series() -> None:
    series = pd.Series(["x", "y"], index=[3, 4], name="text")
    pd.testing.assert_series_equal(round_trip(series), series)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.csc_array])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, bool])
def test_sparse(kind: Any, dtype: Any) -> None:
    matrix = kind(np.array([[0, 1, 0], [-1, 0, 2]]), dtype=dtype)
    found = round_trip(matrix)
    assert type(found) is type(matrix)
    assert found.shape == matrix.shape
    for part in ("data", "indices", "indptr"):
        assert difference(getattr(found, part), getattr(matrix, part)) is None


def test_sparse_keeps_what_is_stored() -> None:
    unsorted = sparse.csr_array(
        (np.array([1.0, 0.0, -0.0]), np.array([2, 0, 0]), np.array([0, 3, 3])), shape=(2, 2**31 - 1)
    )
    found = round_trip(unsorted)
    assert found.indices.tolist() == [2, 0, 0]
    assert np.signbit(found.data[2])
    assert round_trip(sparse.csr_array((0, 0))).shape == (0, 0)


LISTS: dict[str, list[Any]] = {
    "texts": ["some words", "", "a\0b", "\U0001f600"],
    "maps": [{"b": 1, "a": 0.5}, {"b": "x", 3: None}],
    "tokens": [["some", "words"], []],
    "numbers": [1, -(2**63), 2**64 - 1, 0.5, -0.0, float("inf"), True, None],
    "nothing": [],
}


@pytest.mark.parametrize("name", LISTS)
def test_lists(name: str) -> None:
    found = round_trip(LISTS[name])
    assert repr(found) == repr(LISTS[name])


def test_outputs() -> None:
    outputs = {
        "predict": np.array(["a"]),
        "predict_proba": [np.eye(2), np.eye(3)],
        "transform": sparse.csr_matrix((1, 2)),
    }
    data = outputs_to_bytes(outputs, "predictions")
    found = outputs_from_bytes(data, "predictions")
    assert [each.shape for each in found["predict_proba"]] == [(2, 2), (3, 3)]
    assert outputs_to_bytes(found, "predictions") == data


UNFIT: dict[str, Callable[[], Any]] = {
    "a tuple": lambda: ("a", "b"),
    "a text": lambda: "abc",
    "a map": lambda: {"a": [1]},
    "an object": object,
    "objects in an array": lambda: np.array([object()]),
    "times in an array of objects": lambda: np.array([np.datetime64(1, "ns")], object),
    "integers beyond 64 bits": lambda: [2**64],
    "a lone surrogate": lambda: ["\ud800"],
    "a tuple in a list": lambda: [("a", 1)],
    "records": lambda: np.zeros(2, [("a", "f8")]),
    "bytes without meaning": lambda: np.zeros(2, "V8"),
    "extended precision": lambda: np.zeros(2, np.longdouble),
    "units of several days": lambda: np.zeros(1, "datetime64[7D]"),
    "a masked array": lambda: np.ma.masked_array([1, 2], [False, True]),
    "sparse with keys": lambda: sparse.dok_matrix((2, 2)),
    "sparse with one dimension": lambda: sparse.csr_array(np.array([1, 0])),
    "several levels of rows": lambda: pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([("a", "b")])),
    "several levels of columns": lambda: pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])),
    "time zones": lambda: pd.DataFrame({"a": pd.to_datetime(["2024-01-01"]).tz_localize("UTC")}),
    "periods": lambda: pd.DataFrame({"a": pd.period_range("2024", periods=1, freq="Y")}),
    "intervals as labels": lambda: pd.DataFrame({"a": [1]}, index=pd.IntervalIndex.from_breaks([0, 1])),
    "a sparse column": lambda: pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}),
    "objects in a column": lambda: pd.DataFrame({"a": [object()]}),
}

if hasattr(np.dtypes, "StringDType"):  # since NumPy 2.0
    UNFIT["texts of any width"] = lambda: np.array(["a"], np.dtypes.StringDType())


@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_kept_is_refused(name: str) -> None:
    with pytest.raises(FormatError) as caught:
        table_to_bytes(UNFIT[name](), "example")
    assert "example" in str(caught.value)


@pytest.mark.parametrize(
    "large",
    [
        np.zeros((EXAMPLE_MAX // 8 + 1, 1)),
        np.zeros(EXAMPLE_MAX // 8),  # with its description, it is a little more than what fits
        np.zeros((0, EXAMPLE_MAX)),
        pd.DataFrame({"a": np.zeros(100_000), "b": 1.5}),
        ["x" * EXAMPLE_MAX],
        sparse.csr_array(np.ones((1, EXAMPLE_MAX // 8 + 1))),
    ],
)
def test_what_is_too_large_is_refused_with_a_way_out(large: Any) -> None:
    with pytest.raises(LimitExceededError) as caught:
        table_to_bytes(large, "example")
    assert "X[:5]" in caught.value.hint
