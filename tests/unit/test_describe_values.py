"""Parameters are whatever a user gave: each becomes a short, repeatable and private value, and none breaks a dump."""

import enum
import functools
import hashlib
import math
import os
import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import Ridge

from safemodel.describe.values import class_name, summary, text, texts
from safemodel.format import wire

DIGEST = re.compile("[0-9a-f]{64}")


class Colour(enum.IntEnum):
    RED = 1


class Hostile:
    """Raises wherever it can."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError


class HostileList(list[int]):
    def __iter__(self) -> Any:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError(name)


class OfHostileClass(metaclass=Meta):
    pass


class Broken(float):
    def __float__(self) -> float:
        raise RuntimeError


class HostileArray(np.ndarray[Any, Any]):
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


def holding_itself() -> list[Any]:
    found: list[Any] = [1]
    found.append(found)
    return found


def wide(depth: int) -> Any:
    """A few lists that show as many billion values."""
    return [wide(depth - 1)] * 50 if depth else 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2**64, str(2**64)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (10**5000, "an integer of 16610 bits"),
        (0.5, 0.5),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        ("text", "text"),
        ("lone \ud800", "lone \\ud800"),
        ((1, 2), [1, 2]),
        ({2, 1}, [1, 2]),
        ({"a": 1, 2: None, None: 1.5, True: 0}, {"a": 1, "2": None, "null": 1.5, "true": 0}),
        (OrderedDict(b=1), {"b": 1}),
        (Colour.RED, f"{__name__}.Colour.RED"),
        (np.float64(0.5), 0.5),
        (np.int32(7), 7),
        (np.bool_(True), True),
        (np.float32(math.inf), "inf"),
        (np.str_("x"), "x"),
        (np.dtype("f4"), "float32"),
        (np.float64, "numpy.float64"),
        (np.log1p, "numpy.log1p"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (len, "len"),
        (os.path.join, f"{os.path.__name__}.join"),
        (lambda: None, f"{__name__}.<lambda>"),
        (functools.partial(len), "functools.partial"),
        (Ridge(), "sklearn.linear_model._ridge.Ridge"),
        (Ridge, "sklearn.linear_model._ridge.Ridge"),
        (PurePosixPath("/data/x"), "/data/x"),
        (object(), "object"),
        (Hostile(), f"{__name__}.Hostile"),
        (OfHostileClass(), f"{__name__}.OfHostileClass"),
        ([Hostile(), 1], [f"{__name__}.Hostile", 1]),
        (np.zeros(3).view(HostileArray), f"{__name__}.HostileArray"),
        (HostileList([1, 2]), [1, 2]),
        (holding_itself(), [1, [1, [1, [1, [1, [1, [1, [1, "list"]]]]]]]]),
    ],
    ids=lambda value: str(type(value)),
)
def test_each_kind_of_value(value: object, expected: object) -> None:
    found = summary(value)
    assert found == expected
    assert type(found) is type(expected)


def test_negative_zero_is_zero() -> None:
    assert math.copysign(1, summary(-0.0)) == 1


def test_subclasses_of_plain_values_do_not_run() -> None:
    assert summary(Broken(1.5)) == 1.5


def test_a_long_text_is_shortened_with_its_digest() -> None:
    long = "é" * 10_000_000
    found = summary(long)
    assert found == {"shortened": long[:200], "length": len(long), "sha256": hashlib.sha256(long.encode()).hexdigest()}


def test_a_long_collection_is_shortened_with_its_digest() -> None:
    long = list(range(2000))
    found = summary(long)
    assert found["length"] == 2000
    assert found["shortened"].startswith("[0, 1, 2, ")
    assert found["sha256"] == hashlib.sha256(wire.encode(long)).hexdigest()


@pytest.mark.parametrize("value", [range(100_000), wide(6), {str(number): number for number in range(20_000)}])
def test_more_than_is_looked_at_has_no_digest(value: Any) -> None:
    found = summary(list(value) if isinstance(value, range) else value)
    assert set(found) == {"shortened", "length"}
    assert len(wire.encode(found)) < 1000


def test_bytes_are_never_shown() -> None:
    assert summary(b"secret") == {"shortened": "", "length": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}


@pytest.mark.parametrize(
    "rows",
    [
        np.full((4, 2), 0.123),
        np.full((4, 2), 0.123, object),
        pd.DataFrame({"a": [0.123] * 4, "b": 0.123}),
        pd.Series([0.123] * 4),
        sparse.csr_array(np.full((4, 2), 0.123)),
        sparse.coo_matrix(np.full((4, 2), 0.123)),
        [[0.123, 1], [2, 3]],
        [(0.123, "red"), (2, "green")],
        [[math.nan, 123], [123, 4]],
        pd.DataFrame({"a": [0.123] * 4, "b": 0.123}).to_dict("records"),
        pd.DataFrame({"a": [0.123] * 4, "b": 0.123}).to_dict(),
        {"init": [[0.123, 1], [2, 3]]},
        [np.full(4, 0.123), np.full(3, 0.123)],
        np.ma.masked_array([0.123]),
        np.array([object()]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_rows_are_never_shown(rows: object) -> None:
    assert "123" not in DIGEST.sub("", repr(summary({"rows": rows})))


@pytest.mark.parametrize(
    "value", [{"C": [0.5, 1.0], "l1_ratio": [0.1, 0.2]}, [{"C": [0.5]}, {"C": [1.0]}], [{}, {"a": 1}]]
)
def test_grids_of_parameters_are_shown(value: object) -> None:
    assert summary(value) == value


def test_arrays_have_type_shape_and_digest() -> None:
    found = summary(np.zeros((3, 4), np.float32))
    assert {**found, "digest": None} == {"class": "numpy.ndarray", "dtype": "float32", "shape": [3, 4], "digest": None}
    assert found["digest"] != summary(np.ones((3, 4), np.float32))["digest"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("@home/alice/cache", "~/cache"),
        ("@Users/Alice Smith/cache", "~/cache"),
        ("@var/home/alice", "~"),
        ("@root/cache", "~/cache"),
        ("@rootless", "@rootless"),
        (r"C:\Users\Alice\cache", r"~\cache"),
        ("c:/users/alice/cache", "~/cache"),
        (r"\\server\Users\alice\x", r"~\x"),
        ("sqlite:///@home/alice/x.db", "sqlite:///~/x.db"),
        ("file://@home/alice", "file://~"),
        ("/srv/models", "/srv/models"),
        ("at home", "at home"),
    ],
)
@pytest.mark.parametrize("wrap", [str, lambda given: [given], lambda given: {given: 1}], ids=["text", "list", "key"])
def test_home_folders_are_replaced(given: str, kept: str, wrap: Callable[[str], Any]) -> None:
    assert summary(wrap(given.replace("@", "/"))) == wrap(kept.replace("@", "/"))


@pytest.mark.parametrize("path", [PurePosixPath("/", "home", "alice", "x"), PureWindowsPath(r"C:\Users\alice\x")])
def test_home_folders_in_paths_are_replaced(path: object) -> None:
    assert "alice" not in summary(path)


def test_ones_own_home_is_replaced_wherever_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert summary(tmp_path / "cache" / "x") == f"~{os.sep}{os.path.join('cache', 'x')}"


def test_no_home_is_cut_at_the_end_of_what_is_shown() -> None:
    assert "alice" not in str(summary(f"{'x' * 190}/home/alice/{'y' * 1000}"))


def test_many_texts() -> None:
    assert texts(["a", "b"]) == ["a", "b"]
    assert texts(["a", str(PurePosixPath("/", "home", "alice"))]) == ["a", "~"]
    assert texts(["a", "\ud800"]) == ["a", "\\ud800"]
    assert texts([("a", 1), 2]) == ['["a", 1]', "2"]  # type: ignore[list-item]


def test_names_are_bounded() -> None:
    assert len(class_name(type("x" * 10**6, (), {}))) == 200
    assert class_name(type("", (), {"__module__": 3})) == "unnamed"
    assert len(text("x" * 1000)) == 1000


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates() | st.decimals(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(PLAIN)
def test_whatever_it_is_can_be_stored(value: object) -> None:
    assert len(wire.encode(summary(value))) < 20_000
    assert summary(value) == summary(value)
