"""The raw bytes of an array, in the order in which joblib stores them."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from safemodel.format.limits import MIB

Array = NDArray[Any]

ARRAY_TYPES: Final = frozenset((np.ndarray, np.matrix, np.memmap))  # exactly these; joblib leaves subclasses to NumPy

_GATHERED: Final = MIB  # bytes of an array that is not contiguous which are copied at once


def order_of(array: Array) -> str:
    """Return "F" for an array that is contiguous in Fortran's order only, else "C"."""
    return "F" if array.flags.fnc else "C"


def blocks(array: Array) -> Iterator[bytes | memoryview]:
    """Yield the bytes of an array without objects.

    Args:
        array: of any shape, byte order and layout.

    Yields:
        Its bytes in `order_of(array)`: one view of its own memory if it is contiguous, else copies of about 1 MiB.
    """
    plain = np.asarray(array)  # the view of a matrix or memmap that reshapes like any array
    ordered = plain.T if plain.flags.fnc else plain
    if ordered.flags.c_contiguous:
        yield ordered.reshape(-1).view(np.uint8).data  # the buffer protocol itself knows no datetime64
    else:
        yield from _gathered(ordered)


def _gathered(array: Array) -> Iterator[bytes]:
    items = max(1, _GATHERED // array.itemsize)
    for block in np.nditer(array, ("external_loop", "buffered", "zerosize_ok"), buffersize=items, order="C"):
        yield np.asarray(block).tobytes()
