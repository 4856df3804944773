"""numpy's dtypes, made again from what a payload says of them.

A dtype is pickled as `dtype(spec, False, True)` and a state, which numpy believes (numpy/core/src/multiarray/
descriptor.c, `arraydescr_setstate`): a forged one reads outside of the buffer, or takes numbers for object pointers.
So no state is ever set. The dtype is made with numpy's own checked constructor, and must pickle to the very state that
the payload has.
"""

import sys
from functools import lru_cache
from typing import Any, Final, Literal, NoReturn

import numpy as np

from safemodel.errors import PayloadError

Dtype = np.dtype[Any]

_FLAT: Final = frozenset((int, str, type(None)))  # in the state of a dtype that has no parts
_FLAT_KEPT: Final = 256

FOREIGN: Final[Literal["<", ">"]] = ">" if sys.byteorder == "little" else "<"

_FLAG_ALIGNED: Final = 0x80
_SPECS: Final = frozenset("biufcmMOSUV")  # numpy's letters; no digits, no commas, no names


def derive_dtype(spec: object, state: object) -> Dtype:
    """Make a dtype.

    Args:
        spec: the first argument of `numpy.dtype`, a text such as "f8", or the class `numpy.record`.
        state: what BUILD would set, with real dtypes in it.

    Returns:
        The dtype.

    Raises:
        PayloadError: numpy does not write this spec with this state.
    """
    if type(spec) is str and type(state) is tuple and _FLAT.issuperset(map(type, state)):
        return _derive_flat(spec, state)
    return _derive(spec, state)


def _derive(spec: object, state: object) -> Dtype:
    try:
        dtype = _construct(spec, state)
        reduced = dtype.__reduce__()
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise PayloadError("a numpy dtype has a state that numpy does not write") from error
    if reduced[1] != (spec, False, True) or reduced[2] != state:
        _refuse()
    return dtype


_derive_flat = lru_cache(maxsize=_FLAT_KEPT)(_derive)  # they are few, and numpy's own instances


def _construct(spec: object, state: object) -> Dtype:
    if type(state) is not tuple or len(state) not in (8, 9):
        _refuse()
    order, base, names, fields, size = state[1:6]
    if names is not None:
        return _structure(spec, state[7], names, fields, size)
    if type(spec) is not str or spec[:1] not in _SPECS or not spec[1:].isdecimal():
        _refuse()
    if base is not None:
        return np.dtype(base) if isinstance(base[0], np.dtype) else _refuse()
    if len(state) == 9:
        return _times(spec, order, state[8])
    return _ordered(np.dtype(spec), order)


def _ordered(dtype: Dtype, order: str) -> Dtype:
    """A dtype of this machine's order stays numpy's own instance of it."""
    return dtype.newbyteorder(order) if order == FOREIGN else dtype


def _times(spec: str, order: str, metadata: Any) -> Dtype:
    """A datetime64 or timedelta64: its unit is in the metadata."""
    other, (unit, count, begin, _) = metadata
    if other or begin != 1:
        _refuse()
    return _ordered(np.dtype(f"{spec}[{count}{unit.decode('ascii')}]"), order)


def _structure(spec: object, flags: int, names: Any, fields: Any, size: int) -> Dtype:
    """A structure: fields with offsets, and titles where there are any."""
    described = [fields[name] for name in names]
    if not all(isinstance(field[0], np.dtype) for field in described):
        _refuse()  # numpy takes None for float64, also when it compares
    layout: Any = {
        "names": list(names),
        "formats": [field[0] for field in described],
        "offsets": [field[1] for field in described],
        "itemsize": size,
    }
    if any(len(field) > 2 for field in described):
        layout["titles"] = [field[2] if len(field) > 2 else None for field in described]
    dtype = np.dtype(layout, align=bool(flags & _FLAG_ALIGNED))
    return dtype if isinstance(spec, str) else np.dtype((np.record, dtype))


def is_foreign(dtype: Dtype) -> bool:
    """Tell whether joblib swaps the bytes of an array of this dtype when it loads it.

    A structured one only if every field is foreign (joblib/numpy_pickle_utils.py,
    `_is_numpy_array_byte_order_mismatch`).
    """
    if dtype.fields and dtype.byteorder == "|":
        return all(field[0].byteorder == FOREIGN for field in dtype.fields.values())
    return dtype.byteorder == FOREIGN


def _refuse() -> NoReturn:
    raise PayloadError("a numpy dtype has arguments or a state that numpy does not write")
