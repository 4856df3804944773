"""What descriptive maps claim: read where it is of its type, left out where it is not."""

from typing import Any

import pytest

from safemodel.export import claims


@pytest.mark.parametrize(
    ("value", "expected"),
    [({"a": 1}, {"a": 1}), ([1], {}), (None, {}), ({"attachment": "big", "bytes": 3, "sha256": "ab"}, {})],
)
def test_maps(value: object, expected: Any) -> None:
    assert claims.as_map(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("one", ["one"]), (["one", 2, " ", "two"], ["one", "two"]), (3, []), ("", [])]
)
def test_texts(value: object, expected: list[str]) -> None:
    assert claims.as_texts(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(3, 3), (0, 0), (-1, None), (True, None), (1.0, None), ("1", None)])
def test_counts(value: object, expected: int | None) -> None:
    assert claims.as_count(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("text", "text"), (True, "true"), (None, "null"), (0.1, "0.1"), ([1, b"\0\xff"], '[1, "00ff"]')],
)
def test_values_as_text(value: object, expected: str) -> None:
    assert claims.shown(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "1970-01-01T00:00:00Z"), (253402300799, "9999-12-31T23:59:59Z"), (253402300800, None)]
)
def test_moments(seconds: int, expected: str | None) -> None:
    assert claims.moment(seconds) == expected


@pytest.mark.parametrize(
    ("address", "is_kept"),
    [
        ("https://example.com/acme/churn.git", True),
        ("http://localhost:8080", True),
        ("https://user:secret@example.com/acme", False),
        ("https://token@example.com", False),
        ("https://example.com/?token=secret", False),
        ("https://example.com/#x", False),
        ("git@example.com:acme/churn", False),
        ("file:///etc", False),
        ("javascript:alert(1)", False),
        (7, False),
    ],
)
def test_addresses_that_may_hold_a_secret_are_left_out(address: object, is_kept: bool) -> None:
    found = claims.repository({"source": {"repository": address}})
    assert found == (address if is_kept else None)


@pytest.mark.parametrize("value", ["c" * 39, "C" * 40, "c" * 40 + "\n", 7, None, ["c" * 40]])
def test_what_is_no_commit_or_digest(value: object) -> None:
    assert claims.commit({"source": {"commit": value}}) is None
    assert claims.data_digest({"data": {"digest": value}}) is None


def test_metrics_that_are_one_number() -> None:
    metrics = {"roc_auc": 0.91, "folds": 5, "is_good": True, "curve": [1, 2], "note": "fine"}
    assert list(claims.numbers(metrics)) == [("folds", "5"), ("roc_auc", "0.91")]
