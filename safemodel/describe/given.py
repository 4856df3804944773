"""What the user gives with a model, as plain values that the manifest can hold."""

from collections.abc import Mapping
from typing import Any

from safemodel.errors import FormatError


def plain(value: object, where: str) -> Any:
    """Turn numbers, texts and collections, NumPy's included, into what the manifest holds.

    Args:
        value: booleans, numbers, strings, bytes, None, NumPy scalars and arrays, and lists and maps of them.
        where: its place, for messages: `metrics`.

    Returns:
        The same in Python's own types.

    Raises:
        FormatError: anything else; the message names the place.
    """
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, Mapping):
        return {_key(key, where): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{number}]") for number, item in enumerate(value)]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return plain(value.tolist(), where)
    raise FormatError(
        f"{where} is a {type(value).__name__}",
        hint="give numbers, strings, lists and maps of them, or convert it first",
    )


def _key(key: object, where: str) -> str:
    if isinstance(key, str):
        return str(key)
    raise FormatError(f"{where} has a key of type {type(key).__name__}, keys are strings")
