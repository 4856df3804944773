"""Plain values in examples: items of lists, of arrays of objects, and labels (docs/spec.md, section "Example").

They keep what the wire format has no place for: a float is its eight bytes, so that NaN, infinity and negative zero
survive, and a map is a list of pairs, so that its order does.
"""

import struct
from typing import Any

from safemodel.errors import FormatError
from safemodel.format.schema import Fields, expect

_FLOAT = struct.Struct("<d")
_INTEGERS = range(-(2**63), 2**64)  # what msgpack can hold


def plain_to_wire(value: object, where: str) -> Any:
    """Return a plain value as it is stored.

    Args:
        value: None, a boolean, an integer of 64 bits, a float, a text, or a list or dict of such.
        where: its place, for messages.

    Raises:
        FormatError: it is something else.
    """
    if isinstance(value, list):
        return [plain_to_wire(item, f"{where}[{number}]") for number, item in enumerate(value)]
    if isinstance(value, dict):
        pairs = [
            [scalar_to_wire(key, f"a key of {where}"), plain_to_wire(item, f"{where}[{key!r}]")]
            for key, item in value.items()
        ]
        return {"pairs": pairs}
    return scalar_to_wire(value, where)


def plain_from_wire(value: object, where: str) -> Any:
    """Return the plain value that is stored so.

    Raises:
        FormatError: nothing is stored so.
    """
    if isinstance(value, list):
        return [plain_from_wire(item, where) for item in value]
    if isinstance(value, dict):
        fields = Fields(value, where)
        pairs = fields.take_list("pairs", _pair)
        fields.finish()
        mapping = dict(pairs)
        if len(mapping) != len(pairs):
            raise FormatError(f"{where} has the same key twice")
        return mapping
    return scalar_from_wire(value, where)


def scalar_to_wire(value: object, where: str) -> Any:
    """Return a plain value that is neither list nor map as it is stored. Raises as `plain_to_wire`."""
    value = _without_numpy(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value in _INTEGERS:
        return int(value)
    if isinstance(value, float):
        return _FLOAT.pack(value)
    if isinstance(value, str) and _is_unicode(value):
        return str(value)
    raise FormatError(
        f"{where} is of type {type(value).__name__}, which an example cannot hold",
        hint="give None, booleans, integers of 64 bits, floats, texts of valid Unicode, lists and dicts of them",
    )


def scalar_from_wire(value: object, where: str) -> Any:
    """Return the plain value that is stored so, neither list nor map. Raises as `plain_from_wire`."""
    if isinstance(value, bytes):
        if len(value) != _FLOAT.size:
            raise FormatError(f"{where} has a float of {len(value)} bytes, expected {_FLOAT.size}")
        return _FLOAT.unpack(value)[0]
    if value is None or isinstance(value, bool | int | str):
        return value
    raise FormatError(f"{where} is of type {type(value).__name__}, expected a plain value")


def _pair(value: object, where: str) -> tuple[Any, Any]:
    pair = expect(value, list, where)
    if len(pair) != 2:
        raise FormatError(f"{where} has {len(pair)} items, expected a key and a value")
    return scalar_from_wire(pair[0], where), plain_from_wire(pair[1], where)


def _without_numpy(value: object) -> object:
    """A boolean or number of NumPy as Python's own; its times, which would turn into integers, stay what they are."""
    import numpy as np

    return value.item() if isinstance(value, np.bool_ | np.integer | np.floating) else value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
