"""msgpack in one canonical form (docs/spec.md, section "Wire").

Shortest integers, float64 only, no NaN, infinity or negative zero, map keys strings in ascending order of their UTF-8
bytes, no extension types. Decoding caps the size first, then encodes the value again and demands the same bytes, so
that a value has exactly one accepted encoding.
"""

import math
from collections.abc import Mapping
from typing import Any, Final, cast

import msgpack

from safemodel.errors import FormatError, LimitExceededError
from safemodel.format.limits import WIRE_DEPTH_MAX

_TEXT: Final = frozenset((str,))


def encode(value: object, *, where: str = "value") -> bytes:
    """Encode a value in the canonical form.

    Args:
        value: nil, booleans, integers of 64 bits, floats, strings, bytes, and lists and string-keyed maps of them.
        where: what the value is, for messages.

    Returns:
        The only encoding that `decode` accepts for it.

    Raises:
        FormatError: the value has no canonical form; the message names the place inside it.
    """
    try:
        return bytes(msgpack.packb(_canonical(value, where, 0), use_bin_type=True))
    except (OverflowError, ValueError) as error:  # an integer beyond 64 bits, a lone surrogate
        raise FormatError(f"{where} cannot be encoded: {error}") from error


def decode(data: bytes, *, maximum: int, where: str) -> Any:
    """Decode bytes that must be in canonical form.

    Args:
        data: the bytes, all of them.
        maximum: bytes accepted.
        where: what is decoded, for messages.

    Returns:
        The value; maps as dict, arrays as list.

    Raises:
        LimitExceededError: longer than `maximum` or nested too deep.
        FormatError: not msgpack, or not in the canonical form.
    """
    if len(data) > maximum:
        raise LimitExceededError(f"{where} has {len(data)} bytes, at most {maximum} are accepted")
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            ext_hook=_refuse_extension,
            max_str_len=maximum,
            max_bin_len=maximum,
            max_array_len=maximum,
            max_map_len=maximum,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise FormatError(f"{where} is not canonical msgpack: {type(error).__name__}") from error
    _check_decoded(value, where)
    if msgpack.packb(value, use_bin_type=True) != data:  # a key that came twice is there once
        raise FormatError(f"{where} is not in the canonical form of msgpack")
    return value


def _check_decoded(value: object, where: str) -> None:
    """Refuse what packing again would not show: deep nesting, floats that are not to be stored, keys out of order."""
    level, depth = [value], 0
    while level:
        if depth > WIRE_DEPTH_MAX:
            raise LimitExceededError(f"{where} is nested deeper than {WIRE_DEPTH_MAX}")
        deeper: list[object] = []
        for each in level:
            kind = type(each)
            if kind is dict:
                members = cast(dict[str, object], each)
                _check_keys(list(members), where)
                deeper += members.values()
            elif kind is list:
                deeper += cast(list[object], each)
            elif kind is float:
                _canonical_float(cast(float, each), where)
        level, depth = deeper, depth + 1


def _check_keys(keys: list[str], where: str) -> None:
    if not _TEXT.issuperset(map(type, keys)) or keys != sorted(keys):
        raise FormatError(f"{where} is not canonical msgpack: the keys of a map are not texts in ascending order")


def _canonical(value: object, where: str, depth: int) -> object:
    if depth > WIRE_DEPTH_MAX:
        raise LimitExceededError(f"{where} is nested deeper than {WIRE_DEPTH_MAX}")
    if value is None or isinstance(value, bool | int | str | bytes):
        return value
    if isinstance(value, float):
        return _canonical_float(value, where)
    if isinstance(value, list | tuple):
        return [_canonical(item, f"{where}[{number}]", depth + 1) for number, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {key: _canonical(value[key], f"{where}.{key}", depth + 1) for key in _sorted_keys(value, where)}
    raise FormatError(f"{where} is of type {type(value).__name__}, expected a number, string, bytes, list or map")


def _canonical_float(value: float, where: str) -> float:
    if not math.isfinite(value) or (value == 0 and math.copysign(1, value) < 0):
        raise FormatError(f"{where} is {value}, only finite numbers other than negative zero can be stored")
    return float(value)  # a subclass such as numpy.float64 is stored as what it is


def _sorted_keys(value: Mapping[Any, object], where: str) -> list[str]:
    for key in value:
        if not isinstance(key, str):
            raise FormatError(f"{where} has a key of type {type(key).__name__}, keys are strings")
    return sorted(value)  # the order of code points is the order of UTF-8 bytes


def _refuse_extension(code: int, data: bytes) -> object:
    raise ValueError("an extension type")
