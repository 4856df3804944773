"""Files of single arrays, `.npy`: an array of objects is a header and a pickle (NEP 1)."""

import ast
from typing import Final

from safemodel.errors import PayloadError
from safemodel.payload.foreign import NUMPY_MARK

_HEADER_MAX: Final = 64 * 1024  # bytes; NumPy itself reads 10,000
_LENGTH_WIDTHS: Final = {1: 2, 2: 4, 3: 4}
_KEYS: Final = {"descr", "fortran_order", "shape"}
_DEPTH_MAX: Final = 32


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
    return start + length if _holds_objects(_header(head[start : start + length])["descr"]) else None


def _header(text: bytes) -> dict[str, object]:
    try:
        header = ast.literal_eval(text.decode("utf-8").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise PayloadError("the header of the array file is no dictionary") from error
    if not isinstance(header, dict) or header.keys() != _KEYS:
        raise PayloadError("the header of the array file has other keys than NumPy writes")
    return header


def _holds_objects(descr: object, depth: int = 0) -> bool:
    """Tell whether a dtype has objects anywhere: `|O`, also in a field, also in brackets and with a count."""
    if depth > _DEPTH_MAX:
        raise PayloadError("the dtype of the array file is nested too deep")
    if isinstance(descr, str):
        return "O" in descr or "object" in descr
    if isinstance(descr, tuple | list):
        fields = descr if all(isinstance(field, tuple) for field in descr) else descr[:1]
        return any(_holds_objects(_dtype_of(field), depth + 1) for field in fields)
    raise PayloadError("the dtype of the array file is none that NumPy writes")


def _dtype_of(field: object) -> object:
    """The dtype of a field `(name, dtype[, shape])`, or what a pair `(dtype, shape)` begins with."""
    return field[1] if isinstance(field, tuple) and len(field) > 1 else field
