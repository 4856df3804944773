"""NumPy arrays as bytes: little-endian, of simple dtypes, in the order that they have in memory."""

import math
import re
from typing import TYPE_CHECKING, Any, Final, Literal

from safemodel.describe.example.plain import scalar_from_wire, scalar_to_wire
from safemodel.errors import FormatError, LimitExceededError
from safemodel.format.limits import ARRAY_DIMENSIONS_MAX, EXAMPLE_MAX
from safemodel.format.schema import Fields, expect, expect_range, expect_size

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

_NUMBERS: Final = ["|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", "<c8", "<c16"]
_TIMES: Final = [f"<{kind}8[{unit}]" for kind in "Mm" for unit in ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns"]]
_SIMPLE: Final = frozenset([*_NUMBERS, *_TIMES])
_TEXT: Final = re.compile(r"(<U|\|S)[1-9][0-9]{0,6}", re.ASCII)
_CODE_POINT_MAX: Final = 0x10FFFF

ARRAY: Final = "array"
OBJECTS: Final = "objects"


def array_to_wire(array: "Array", where: str) -> dict[str, Any]:
    """Return an array as it is stored.

    Args:
        array: of booleans, numbers, times, fixed-width texts or bytes, or of objects that are plain values.
        where: its place, for messages.

    Raises:
        FormatError: it has another dtype, or holds other objects.
        LimitExceededError: it is too large for an example.
    """
    _check_size(array.shape, array.dtype.itemsize, where)
    shape = list(array.shape)
    if array.dtype.kind == "O":
        items = [scalar_to_wire(item, f"{where}[{number}]") for number, item in enumerate(array.ravel())]
        return {"kind": OBJECTS, "shape": shape, "items": items}
    name = array.dtype.str.replace(">", "<")
    if not _is_simple(name):
        raise FormatError(
            f"{where} has dtype {array.dtype}, which an example cannot hold",
            hint="convert it to numbers, booleans, texts or datetimes",
        )
    order: Literal["C", "F"] = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    data = array.astype(name, copy=False).tobytes(order)
    return {"kind": ARRAY, "dtype": name, "order": order, "shape": shape, "data": data}


def array_from_wire(fields: Fields, where: str) -> "Array":
    """Return the array that is stored so, writable and with memory of its own.

    Raises:
        FormatError: its parts contradict each other, or it holds what NumPy must not see.
        LimitExceededError: it is too large for an example.
    """
    import numpy as np

    name = fields.take("dtype", str)
    if not _is_simple(name):
        raise FormatError(f"{where}.dtype is none that an example can hold")
    dtype = np.dtype(name)
    order = fields.take("order", str)
    shape = _shape(fields, dtype.itemsize, where)
    data = expect_size(fields.take("data", bytes), math.prod(shape) * dtype.itemsize, f"{where}.data")
    _check_data(dtype.kind, data, where)
    if order == "C":
        return np.ndarray(shape, dtype, buffer=bytearray(data), order="C")
    array: Array = np.ndarray(shape, dtype, buffer=bytearray(data), order="F")
    if order != "F" or array.flags.c_contiguous:  # one form for one meaning
        raise FormatError(f"{where}.order is not the order of the array")
    return array


def objects_from_wire(fields: Fields, where: str) -> "Array":
    """Return the array of objects that is stored so. Raises as `array_from_wire`."""
    import numpy as np

    shape = _shape(fields, np.dtype(object).itemsize, where)
    items = fields.take_list("items", scalar_from_wire)
    if len(items) != math.prod(shape):
        raise FormatError(f"{where} has {len(items)} items, its shape says {math.prod(shape)}")
    array: Array = np.fromiter(items, object, len(items))
    return array.reshape(shape)


def vector_from_wire(fields: Fields, name: str, where: str) -> "Array":
    """Take a field that holds an array of one dimension. Raises as `array_from_wire`."""
    where = f"{where}.{name}"
    inner = Fields(fields.take(name, dict), where)
    if inner.take("kind", str) != ARRAY:
        raise FormatError(f"{where} is no array")
    array = array_from_wire(inner, where)
    inner.finish()
    if array.ndim != 1:
        raise FormatError(f"{where} has {array.ndim} dimensions, expected one")
    return array


def _is_simple(name: str) -> bool:
    return name in _SIMPLE or _TEXT.fullmatch(name) is not None


def _shape(fields: Fields, itemsize: int, where: str) -> tuple[int, ...]:
    sizes = expect(fields.take_any("shape"), list, f"{where}.shape")
    expect_range(len(sizes), 0, ARRAY_DIMENSIONS_MAX // 2, f"the number of dimensions of {where}")  # 32 in NumPy 1
    shape = tuple(expect_range(expect(size, int, where), 0, EXAMPLE_MAX, f"{where}.shape") for size in sizes)
    _check_size(shape, itemsize, where)
    return shape


def _check_size(shape: tuple[int, ...], itemsize: int, where: str) -> None:
    """An empty dimension counts as one: others beside it may not be so large that NumPy cannot multiply them."""
    size = math.prod(max(length, 1) for length in shape) * itemsize
    if size > EXAMPLE_MAX:
        raise LimitExceededError(
            f"{where} takes {size} bytes, an example has at most {EXAMPLE_MAX}", hint="give fewer rows, X[:5]"
        )


def _check_data(kind: str, data: bytes, where: str) -> None:
    import numpy as np

    if kind == "b" and data.strip(b"\x00\x01"):
        raise FormatError(f"{where} has a boolean that is neither 0 nor 1")
    if kind == "U" and np.frombuffer(data, "<u4").max(initial=0) > _CODE_POINT_MAX:
        raise FormatError(f"{where} has a character that is none of Unicode")
