"""C's pickler, told how joblib stores arrays and what must not be stored.

Arrays of exactly NumPy's three types are stored by joblib; their subclasses, and arrays inside an array of objects, by
NumPy's own `__reduce__`. Arrays without items, of which models of many trees have two in each, are stored as a call of
their class: a wrapper takes three times the bytes, and several times as long to load. Nothing here changes the model,
and nothing keeps it alive afterwards.
"""

import pickle
from typing import Any, BinaryIO, Final, cast

import numpy as np
from joblib.numpy_pickle import NumpyArrayWrapper

from safemodel.payload.arraybytes import ARRAY_TYPES, Array, order_of
from safemodel.payload.joblibstream import JoblibStream, Outlet
from safemodel.payload.unpicklable import is_named, refuse

PROTOCOL: Final = 4  # the oldest that C's pickler memoizes without numbers, and joblib's own up to Python 3.13
_OBJECTS_PROTOCOL: Final = 5  # joblib's from 1.5 on, for an array of objects


def write_model(value: object, outlet: Outlet) -> None:
    """Pickle a value into an outlet.

    Args:
        value: the model.
        outlet: takes the stream.

    Raises:
        Exception: whatever the model's own pickling or the outlet raises.
    """
    stream = JoblibStream(outlet, _write_objects)
    _ModelPickler(stream).dump(value)
    stream.finish()


def _write_objects(array: Array, outlet: Outlet) -> None:
    _Pickler(outlet, _OBJECTS_PROTOCOL).dump(array)


class _Pickler(pickle.Pickler):
    """Refuses what pickle would take and no loader could use."""

    def __init__(self, file: Outlet | JoblibStream, protocol: int) -> None:
        super().__init__(cast(BinaryIO, file), protocol)
        self._accepted: set[type] = set()

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind not in self._accepted:
            refuse(obj)
            if not is_named(obj):
                self._accepted.add(kind)
        return NotImplemented


class _ModelPickler(_Pickler):
    """Puts joblib's wrapper in the place of each array."""

    def __init__(self, stream: JoblibStream) -> None:
        super().__init__(stream, PROTOCOL)
        self._stream = stream

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) not in ARRAY_TYPES:
            return super().reducer_override(obj)
        return _called(obj) if not obj.size and _is_plain(obj) else self._wrap(obj)

    def _wrap(self, array: Array) -> tuple[Any, ...]:
        if not array.itemsize:
            refuse(array)
        state = {  # joblib's attributes, in joblib's order
            "subclass": type(array),
            "shape": array.shape,
            "order": order_of(array),
            "dtype": array.dtype,
            "allow_mmap": not array.dtype.hasobject,
            "numpy_array_alignment_bytes": self._stream.announce(array),
        }
        return __newobj_ex__, (NumpyArrayWrapper, (self._stream.start_mark,), state)


def _called(array: Array) -> tuple[Any, ...]:
    """Make an array without items by its shape and dtype, as every version of NumPy and joblib reads it."""
    return np.ndarray, (array.shape, array.dtype)


def _is_plain(array: Array) -> bool:
    """Tell whether joblib would load it as it is: of no other class, byte order or kind, and not to be refused."""
    dtype = array.dtype
    return type(array) is np.ndarray and dtype.isnative and not dtype.hasobject and dtype.itemsize > 0


def __newobj_ex__() -> None:
    """Never called: C's pickler knows by this name that it should write NEWOBJ_EX."""
