"""What counts as the same prediction: floating-point numbers within the tolerance, everything else exactly."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from safemodel.describe.example.comparison import compare
from safemodel.errors import DriftError
from safemodel.trust.reproduction import ChangedLabel, Difference, Reproduction

TOLERANCE = 1e-6


def found(then: Any, now: Any, tolerance: float = TOLERANCE) -> Difference:
    return compare("predict", then, now, tolerance)


SAME: dict[str, tuple[Any, Any]] = {
    "rounding": (np.array([0.1, 1e300]), np.array([0.1 + 5e-17, 1e300 * (1 + 1e-9)])),
    "rounding around zero": (np.array([1.0, 1e-17]), np.array([1.0, -3e-17])),
    "what is no number": (np.array([np.nan, np.inf, -np.inf]), np.array([-np.nan, np.inf, -np.inf])),
    "zeros of both signs": (np.array([0.0]), np.array([-0.0])),
    "another precision": (np.array([0.5], np.float32), np.array([0.5])),
    "another width": (np.array([1, 2], np.int32), np.array([1, 2], np.int64)),
    "numbers and booleans": (np.array([1, 0]), np.array([True, False])),
    "complex": (np.array([1j]), np.array([1j + 1e-9])),
    "texts of another kind": (np.array(["a", "b"]), np.array(["a", "b"], object)),
    "objects": (np.array([None, np.nan, 1.5], object), np.array([None, float("nan"), 1.5], object)),
    "nothing": (np.empty((0, 3)), np.empty((0, 3))),
    "no columns": (np.empty((3, 0)), np.empty((3, 0))),
    "no dimension": (np.array(1.0), np.float64(1.0)),
    "an array for a column": (np.array([1.0]), pd.Series([1.0])),
    "sparse": (
        sparse.csr_matrix(([1.0, 2.0, 0.0], ([0, 0, 1], [0, 1, 1]))),
        sparse.csc_array(([1.0, 1.0, 1.0], ([0, 0, 0], [0, 1, 1])), shape=(2, 2)),
    ),
    "empty sparse": (sparse.csr_matrix((2, 0)), sparse.csr_matrix((2, 0))),
    "frames": (pd.DataFrame({"a": [1.0], "b": ["x"]}), pd.DataFrame({"a": [1.0 + 1e-9], "b": ["x"]})),
    "missing values": (
        pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": pd.array([0.5, None], "Float64"), "c": ["x", None]}),
        pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": [0.5, np.nan], "c": ["x", None]}),
    ),
    "times of another unit": (np.array(["2026-01-02", "NaT"], "M8[ns]"), np.array(["2026-01-02", "NaT"], "M8[us]")),
    "spans": (np.array([5, "NaT"], "m8[ns]"), np.array([5, "NaT"], "m8[ns]")),
    "several outputs": ([np.eye(2), np.eye(3)], [np.eye(2), np.eye(3)]),
}
OTHER: dict[str, tuple[Any, Any, int]] = {
    "a number": (np.array([1.0, 2.0]), np.array([1.0, 2.0001]), 1),
    "a small number beside large ones": (np.array([[1e6, 1.0]]), np.array([[1e6, 1.1]]), 1),
    "where it was zero": (np.array([0.0, 1.0]), np.array([1e-3, 1.0]), 1),
    "where all was zero": (np.zeros(2), np.array([0, 1e-17]), 1),
    "no number": (np.array([1.0, np.inf, 3.0, np.nan]), np.array([np.nan, -np.inf, np.inf, 1.0]), 4),
    "beyond what a float holds": (np.array([1.7e308]), np.array([-1.7e308]), 1),
    "an integer": (np.array([2**62]), np.array([2**62 + 1]), 1),
    "an unsigned integer": (np.array([2**63], np.uint64), np.array([-(2**63)]), 1),
    "a label": (np.array(["a", "b"]), np.array(["a", "c"]), 1),
    "a time and an integer": (np.array([5], "M8[ns]"), np.array([5]), 1),
    "a time and a span": (np.array([5], "M8[ns]"), np.array([5], "m8[ns]"), 1),
    "a span of another unit": (np.array([5], "m8[ns]"), np.array([5], "m8[ps]"), 1),
    "its type": (np.array(["1"], object), np.array([1], object), 1),
    "two columns of one row": (np.eye(2), np.array([[0.9, 0.1], [0, 1]]), 1),
    "an output": ([np.eye(2), np.eye(2)], [np.eye(2), np.zeros((2, 2))], 2),
    "sparse": (sparse.csr_matrix(np.eye(3)), sparse.csr_matrix(np.diag([1, 1, 0.5])), 1),
    "what only one stores": (sparse.csr_matrix((2, 2)), sparse.csr_matrix(([0.5], ([1], [1])), shape=(2, 2)), 1),
    "a column": (pd.DataFrame({"a": [1.0], "b": ["x"]}), pd.DataFrame({"a": [1.0], "b": ["y"]}), 1),
    "a shape": (np.eye(2), np.eye(3), 2),
    "a dimension": (np.zeros(2), np.zeros((2, 1)), 2),
    "names": (pd.DataFrame({"a": [1.0]}), pd.DataFrame({"b": [1.0]}), 1),
    "a name far behind": (
        pd.DataFrame(np.zeros((1, 99))).rename(columns=lambda number: f"column {number}"),
        pd.DataFrame(np.zeros((1, 99))).rename(columns=lambda number: f"column {number % 98}"),
        1,
    ),
    "a kind": (np.eye(2), sparse.csr_matrix(np.eye(2)), 2),
    "the number of outputs": ([np.eye(2)], [np.eye(2), np.eye(2)], 2),
    "nothing at all": (np.eye(2), None, 2),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same(name: str) -> None:
    difference = found(*SAME[name])
    assert difference.agrees
    assert difference.rows_differing == 0


@pytest.mark.parametrize("name", OTHER)
def test_others(name: str) -> None:
    then, now, rows = OTHER[name]
    difference = found(then, now)
    assert not difference.agrees
    assert difference.rows_differing == rows


def test_the_largest_differences() -> None:
    difference = found(np.array([[1.0, 4.0], [2.0, 8.0]]), np.array([[1.5, 4.0], [2.0, 9.0]]), tolerance=0.2)
    assert (difference.rows, difference.rows_differing) == (2, 1)
    assert (difference.largest_absolute, difference.largest_relative) == (1.0, 0.5)
    assert found(np.array(["a"]), np.array(["b"])).largest_absolute is None
    assert found(np.array([1.0]), np.array([np.nan])).largest_absolute == np.inf


def test_the_tolerance_bounds_the_relative_difference() -> None:
    then, now = np.array([2.0]), np.array([2.5])
    assert found(then, now, tolerance=0.25).agrees
    assert not found(then, now, tolerance=0.24).agrees
    assert found(then, then, tolerance=0.0).agrees


def test_labels_that_changed() -> None:
    difference = found(np.array(["no"] * 20), np.array(["yes"] * 20))
    assert difference.rows_differing == 20
    assert len(difference.changed) == 10
    assert difference.changed[3] == ChangedLabel(3, "'no'", "'yes'")
    long = found(np.array(["x" * 1000]), np.array(["y"])).changed[0]
    assert len(long.then) < 200


def test_what_a_reproduction_says() -> None:
    same = found(np.array([1.0]), np.array([1.0]))
    other = found(np.array(["a"]), np.array(["b"]))
    infinite = found(np.array([1.0]), np.array([np.inf]))
    failed = Difference("transform", 1, 1, reason="raises ValueError: no")
    good, bad = Reproduction(TOLERANCE, (same,)), Reproduction(TOLERANCE, (same, other, infinite, failed))
    assert good.check() is good
    assert good.agrees
    assert "agrees" in str(good)
    assert not bad.agrees
    assert all(text in str(bad) for text in ("drifts", "1 of 1 rows", "'a', now 'b'", "raises ValueError", "1e-06"))
    with pytest.raises(DriftError) as caught:
        bad.check()
    assert caught.value.code == "drift"
    assert caught.value.reproduction is bad
    value = bad.to_value()
    assert [each["agrees"] for each in value["methods"]] == [True, False, False, False]
    assert value["methods"][1]["changed"] == [{"row": 0, "then": "'a'", "now": "'b'"}]
    assert value["methods"][2]["largest_absolute"] is None
