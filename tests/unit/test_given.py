"""What the user gives with a model becomes plain values, or an error that names the place."""

import numpy as np
import pytest

from safemodel.describe.given import plain
from safemodel.errors import FormatError


def test_numpy_values_become_python_values() -> None:
    given = {"auc": np.float64(0.5), "counts": np.array([[1, 2]]), "n": np.int64(3), "flags": (True, None, "x", b"y")}
    expected = {"auc": 0.5, "counts": [[1, 2]], "n": 3, "flags": [True, None, "x", b"y"]}
    assert plain(given, "metrics") == expected
    assert type(plain(np.int64(3), "n")) is int


@pytest.mark.parametrize(
    ("value", "place"),
    [({"a": [1, object()]}, r"metrics\.a\[1\]"), ({1: 2}, "metrics"), (np.array([object()]), r"metrics\[0\]")],
)
def test_anything_else_is_refused(value: object, place: str) -> None:
    with pytest.raises(FormatError, match=place):
        plain(value, "metrics")
