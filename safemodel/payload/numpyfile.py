"""Files of single arrays, `.npy`: an array of objects is a header and a pickle (NEP 1).

The header is a literal of Python, which NumPy evaluates. Here it is read by a grammar of its own, just as large as what
NumPy writes: two strings side by side, or an escape that spells the O of objects, are refused.
"""

import re
from collections.abc import Iterator
from typing import Final

from safemodel.errors import PayloadError
from safemodel.payload.foreign import NUMPY_MARK

_HEADER_MAX: Final = 64 * 1024  # bytes; NumPy itself reads 10,000
_LENGTH_WIDTHS: Final = {1: 2, 2: 4, 3: 4}
_KEYS: Final = {"descr", "fortran_order", "shape"}
_DEPTH_MAX: Final = 32
_WORD: Final = re.compile(r"""\s*(?:('[^'\\\n]*'|"[^"\\\n]*")|(-?\d+L?|True|False|None)|([][(){}:,]))\s*""")
_CLOSING: Final = {"(": ")", "[": "]"}

_Value = str | int | tuple["_Value", ...] | list["_Value"]  # a tuple for (...), a list for [...]; numbers are all 0


def objects_at(head: bytes) -> int | None:
    """Return where the pickle of an array of objects begins.

    Args:
        head: the first bytes of the file, at least 70 KiB of it or all.

    Returns:
        Its offset; None for an array of numbers or texts, which holds no pickle.

    Raises:
        PayloadError: the header cannot be read.
    """
    major = head[len(NUMPY_MARK)] if len(head) > len(NUMPY_MARK) else 0
    width = _LENGTH_WIDTHS.get(major)
    if width is None:
        raise PayloadError(f"expected an array file of version 1 to 3, found {major}")
    start = len(NUMPY_MARK) + 2 + width
    length = int.from_bytes(head[start - width : start], "little")
    if length > _HEADER_MAX or start + length > len(head):
        raise PayloadError(f"the header of the array file has {length} bytes, or is cut")
    return start + length if _holds_objects(_dtype(head[start : start + length])) else None


def _dtype(header: bytes) -> _Value:
    """Return the `descr` of a header, which has just the keys that NumPy writes."""
    words = _words(header.decode("latin-1"))
    found: dict[str, _Value] = {}
    try:
        _expect(next(words), "{")
        while (word := next(words)) != "}":
            key = _value(word, words, 0)
            _expect(next(words), ":")
            found[str(key)] = _value(next(words), words, 0)
            if (word := next(words)) == "}":
                break
            _expect(word, ",")
        _expect(next(words, ""), "")
    except StopIteration:
        raise _unlike_numpy() from None
    if found.keys() != _KEYS:
        raise _unlike_numpy()
    return found["descr"]


def _words(text: str) -> Iterator[str]:
    position = 0
    while position < len(text):
        word = _WORD.match(text, position)
        if word is None:
            raise _unlike_numpy()
        yield word[0].strip()
        position = word.end()


def _value(word: str, words: Iterator[str], depth: int) -> _Value:
    if word[0] in "'\"":
        return word[1:-1]
    if word not in _CLOSING:
        if word in "{}[]():,":
            raise _unlike_numpy()
        return 0
    if depth == _DEPTH_MAX:
        raise PayloadError("the dtype of the array file is nested too deep")
    items: list[_Value] = []
    while (inner := next(words)) != _CLOSING[word]:
        items.append(_value(inner, words, depth + 1))
        if (inner := next(words)) == _CLOSING[word]:
            break
        _expect(inner, ",")
    return items if word == "[" else tuple(items)


def _expect(found: str, wanted: str) -> None:
    if found != wanted:
        raise _unlike_numpy()


def _unlike_numpy() -> PayloadError:
    return PayloadError("the header of the array file is none that NumPy writes")


def _holds_objects(dtype: _Value) -> bool:
    """Tell whether a dtype has objects anywhere: `|O`, also in a field, with a shape, or in a list such as `i4,O`."""
    if isinstance(dtype, str):
        return "O" in dtype or "object" in dtype
    if isinstance(dtype, list):  # of fields
        return any(_holds_objects(_dtype_of(field)) for field in dtype)
    if isinstance(dtype, tuple) and dtype:  # (dtype, shape)
        return _holds_objects(dtype[0])
    raise _unlike_numpy()


def _dtype_of(field: _Value) -> _Value:
    """Return the dtype of (name, dtype) or (name, dtype, shape); NumPy takes lists and texts of that length too."""
    if isinstance(field, tuple) and len(field) > 1:
        return field[1]
    raise _unlike_numpy()
