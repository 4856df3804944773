"""What the user gives with a model, as plain values that the manifest can hold."""

import math
from collections.abc import Mapping
from typing import Any

from safemodel.errors import FormatError, LimitExceededError
from safemodel.format.limits import NOTES_MAX, WIRE_DEPTH_MAX


def given(
    *,
    metrics: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    data: Any = None,
    notes: str | None = None,
) -> dict[str, Any]:
    """Return what the user says of a model's making, for the map `training`; the arguments are those of `dump`.

    Raises:
        FormatError: a value has no place in the format.
    """
    _check_map(metrics, "metrics")
    _check_map(metadata, "metadata")
    found: dict[str, Any] = {}
    if metrics:
        found["metrics"] = plain_metrics(metrics)
    if metadata:
        found["metadata"] = plain(metadata, "metadata")
    if data is not None:
        from safemodel.describe.data import describe_data  # late: `pack` has no data

        found["data"] = describe_data(data)
    if notes:
        found["notes"] = checked_notes(notes)
    return found


def plain(value: object, where: str) -> Any:
    """Turn numbers, texts and collections, NumPy's included, into what the manifest holds.

    Args:
        value: booleans, finite numbers, strings, bytes, None, NumPy scalars and arrays, and lists and maps of them.
        where: its place, for messages: `metrics`.

    Returns:
        The same in Python's own types.

    Raises:
        FormatError: anything else; the message names the place.
    """
    return _plain(value, where, 0)


def plain_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics as plain values; a `confusion_matrix` must be one, and `labels` name its rows.

    Raises:
        FormatError: a value has no place in the format, or the matrix is none.
    """
    found: dict[str, Any] = plain(metrics, "metrics")
    if "confusion_matrix" in found:
        _check_confusion_matrix(found["confusion_matrix"], found.get("labels"))
    return found


def checked_notes(notes: str) -> str:
    """Return notes, which are text of a bounded length.

    Raises:
        FormatError: no text, or one too long.
    """
    if not isinstance(notes, str):
        raise FormatError(f"notes is of type {type(notes).__name__}, expected Markdown text")
    if len(notes.encode("utf-8", "surrogatepass")) > NOTES_MAX:
        raise LimitExceededError(f"notes has more than {NOTES_MAX} bytes", hint="keep the rest in a file of its own")
    return notes


def _check_map(value: object, where: str) -> None:
    if value is not None and not isinstance(value, Mapping):
        raise FormatError(f"{where} is of type {type(value).__name__}, expected a map", hint=f"{where}={{'name': ...}}")


def _plain(value: object, where: str, depth: int) -> Any:
    if depth > WIRE_DEPTH_MAX:
        raise LimitExceededError(f"{where[:80]}... is nested deeper than {WIRE_DEPTH_MAX}")
    if isinstance(value, float):
        return _finite(value, where)
    if value is None or isinstance(value, bool | int | str | bytes):
        return value
    if isinstance(value, Mapping):
        return {_key(key, where): _plain(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{number}]", depth + 1) for number, item in enumerate(value)]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return _plain(value.tolist(), where, depth + 1)
    raise FormatError(
        f"{where} is of type {type(value).__name__}",
        hint="give numbers, strings, lists and maps of them, or convert it first",
    )


def _finite(value: float, where: str) -> float:
    if math.isfinite(value):
        return float(value) + 0.0  # the wire has no negative zero
    raise FormatError(f"{where} is {value}, expected a finite number", hint="leave it out, or say it in a text")


def _key(key: object, where: str) -> str:
    if isinstance(key, str):
        return str(key)
    raise FormatError(f"{where} has a key of type {type(key).__name__}, keys are strings")


def _check_confusion_matrix(matrix: Any, labels: Any) -> None:
    where = "metrics.confusion_matrix"
    if not isinstance(matrix, list) or not all(isinstance(row, list) and len(row) == len(matrix) for row in matrix):
        raise FormatError(
            f"{where} is no square list of lists", hint="give what sklearn.metrics.confusion_matrix returns"
        )
    if not all(isinstance(count, int | float) and not isinstance(count, bool) for row in matrix for count in row):
        raise FormatError(f"{where} holds what is no number")
    if labels is not None and (not isinstance(labels, list) or len(labels) != len(matrix)):
        raise FormatError(f"metrics.labels is no list of {len(matrix)}, one for each row of the confusion matrix")
