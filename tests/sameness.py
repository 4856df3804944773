"""Whether two models are the same: every attribute that pickling keeps, and what they predict, bit for bit."""

import types
from typing import Any

import numpy as np

ORDER_FLAGS = ("c_contiguous", "f_contiguous", "writeable", "aligned")
PREDICTING = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "score_samples",
    "transform",
    "kneighbors",
    "apply",
)

_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, np.ufunc)
_PLAIN = (str, bytes, bytearray, int, float, complex, np.generic, np.dtype, type(None), type, slice, range)
_ATOMS = (*_PLAIN, *_FUNCTIONS)

Met = dict[tuple[int, int], tuple[object, object]]


def difference(mine: Any, theirs: Any, place: str = "", met: Met | None = None) -> str | None:
    """Where two values differ first: type, dtype, order, flags, contents; None if nowhere."""
    met = {} if met is None else met
    if type(mine) is not type(theirs):
        return f"{place}: {type(mine)} and {type(theirs)}"
    if isinstance(mine, _ATOMS):
        same = mine == theirs or (mine != mine and theirs != theirs)
        return None if same and str(mine) == str(theirs) else f"{place}: {mine!r} and {theirs!r}"
    if (id(mine), id(theirs)) in met:
        return None
    met[id(mine), id(theirs)] = mine, theirs  # kept, so that no other object gets their ids
    if isinstance(mine, np.ndarray):
        return _array_difference(mine, theirs, place, met)
    if isinstance(mine, set | frozenset):
        mine, theirs = sorted(mine, key=repr), sorted(theirs, key=repr)
    if isinstance(mine, dict):
        mine, theirs = _parts_of_dict(mine), _parts_of_dict(theirs)
    if isinstance(mine, list | tuple):
        if len(mine) != len(theirs):
            return f"{place}: {len(mine)} and {len(theirs)} items"
        pairs = enumerate(zip(mine, theirs, strict=True))
        return next((found for i, (a, b) in pairs if (found := difference(a, b, f"{place}[{i}]", met))), None)
    reduced, expected = mine.__reduce_ex__(4), theirs.__reduce_ex__(4)
    if isinstance(reduced, str):
        return None if mine is theirs else place
    return difference(_contents(reduced), _contents(expected), f"{place}<{type(mine).__name__}>", met)


def _contents(reduced: tuple[Any, ...]) -> list[Any]:
    """Arguments, state, items and pairs of what `__reduce_ex__` gives."""
    return [*reduced[1:3], *(list(items) for items in reduced[3:5] if items is not None)]


def _parts_of_dict(value: dict[Any, Any]) -> tuple[Any, ...]:
    """Keys, values and attributes, as of a plain dict: scipy's matrices of keys have their own ideas of them."""
    return (*dict.keys(value), *dict.values(value), vars(value) if hasattr(value, "__dict__") else None)


def _array_difference(mine: Any, theirs: Any, place: str, met: Met) -> str | None:
    if mine.dtype != theirs.dtype or mine.dtype.byteorder != theirs.dtype.byteorder or mine.shape != theirs.shape:
        return f"{place}: {mine.dtype} {mine.shape} and {theirs.dtype} {theirs.shape}"
    if any(getattr(mine.flags, flag) != getattr(theirs.flags, flag) for flag in ORDER_FLAGS):
        return f"{place}: {mine.flags} and {theirs.flags}"
    if isinstance(mine, np.ma.MaskedArray):
        mine, theirs = ((each.filled(), np.ma.getmaskarray(each), each.fill_value) for each in (mine, theirs))
        return difference(mine, theirs, place, met)
    if mine.dtype.names is None and not mine.dtype.hasobject:  # records may have padding, which is not theirs to keep
        return None if mine.tobytes() == theirs.tobytes() else f"{place}: other values"
    return difference(mine.tolist(), theirs.tolist(), place, met)


def predictions(model: Any, rows: Any) -> dict[str, Any]:
    """What each method that predicts makes of the rows: a value, or the class of its error."""
    return {name: _outcome(getattr(model, name), rows) for name in PREDICTING if hasattr(model, name)}


def _outcome(method: Any, rows: Any) -> Any:
    try:
        with np.errstate(all="ignore"):
            return method(rows)
    except Exception as error:
        return type(error)
