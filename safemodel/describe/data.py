"""The fingerprint of a table: rows, columns, types and a digest, never a value (docs/spec.md, "Fingerprints").

The digest depends on what the table holds, and not on how memory holds it: order, strides, byte order, sparse format
and chunks do not matter, types, names and the order of rows and columns do.
"""

import hashlib
import sys
from collections.abc import Iterable, Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, Final
from uuid import UUID

from safemodel.errors import FormatError
from safemodel.format import wire

_BLOCK: Final = 1 << 20  # bytes put into order at a time
_LIST: Final = 1 << 15  # values encoded at a time; a list of 2^16 has a longer head
_DEPTH_MAX: Final = 8  # lists inside one another in a cell
_FIXED: Final = "biufcmM"  # NumPy's kinds whose items are numbers of one width
_WRITTEN: Final = (date, time, timedelta, Decimal, UUID)
_HINT: Final = "give a NumPy array, a pandas DataFrame, a scipy sparse matrix or a list of texts"


def describe_data(table: Any) -> dict[str, Any]:
    """Describe a table.

    Args:
        table: a NumPy array, a pandas DataFrame or Series, a scipy sparse matrix or array, or a list of texts.

    Returns:
        `rows` and `digest`; of what has named columns, `columns` with their names and types; of anything else, `dtype`
        and `shape`.

    Raises:
        FormatError: another object, or one that holds values without a digest.
    """
    if isinstance(table, list | tuple):
        return _describe_texts(table)
    if not is_table(table):
        raise FormatError(f"data is of type {type(table).__name__}, which has no fingerprint", hint=_HINT)
    if _is_pandas(table):
        return _describe_frame(table.to_frame() if table.ndim == 1 else table)
    return _describe_sparse(table) if hasattr(table, "tocsr") else _describe_array(table)


def is_table(value: object) -> bool:
    """Tell whether a value is an array or a table that `describe_data` takes; lists are not looked into."""
    kind = type(value)
    numpy, sparse = sys.modules.get("numpy"), sys.modules.get("scipy.sparse")
    if numpy is not None and issubclass(kind, numpy.ndarray):
        return True
    return bool(sparse is not None and sparse.issparse(value)) or _is_pandas(value)


def _is_pandas(value: object) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and issubclass(type(value), pandas.DataFrame | pandas.Series)


def _describe_texts(texts: Any) -> dict[str, Any]:
    for number, each in enumerate(texts):
        if not isinstance(each, str):
            raise FormatError(f"data[{number}] is of type {type(each).__name__}, expected a text", hint=_HINT)
    values = _digest_of_objects(texts, f"data of {len(texts)} texts")
    return _described("array", [len(texts)], "str", values)


def _describe_array(array: Any) -> dict[str, Any]:
    import numpy as np

    if np.ma.isMaskedArray(array):
        raise FormatError("data is a masked array, which has no fingerprint", hint="fill it first: data.filled()")
    array = np.atleast_1d(np.asarray(array))
    return _described("array", [int(length) for length in array.shape], _dtype(array.dtype), _digest_of_array(array))


def _describe_sparse(matrix: Any) -> dict[str, Any]:
    rows = matrix.tocsr(copy=True)
    rows.sum_duplicates()  # which also sorts each row
    rows.eliminate_zeros()
    digest = hashlib.sha256()
    for positions in (rows.indptr, rows.indices):
        digest.update(positions.astype("<i8", copy=False).tobytes())
    digest.update(_digest_of_array(rows.data))
    return _described("sparse", [int(length) for length in matrix.shape], _dtype(rows.dtype), digest.digest())


def _described(kind: str, shape: list[int], dtype: str, values: bytes) -> dict[str, Any]:
    return {"rows": shape[0], "shape": shape, "dtype": dtype, "digest": _digest_of_whole([kind, shape, dtype, values])}


def _describe_frame(frame: Any) -> dict[str, Any]:
    columns, digests = [], []
    for number, label in enumerate(frame.columns):
        column = frame.iloc[:, number]
        columns.append({"name": _name(label), "dtype": _dtype(column.dtype)})
        digests.append(_digest_of_column(column, f"data column {_name(label)!r}"))
    named = [[column["name"], column["dtype"], values] for column, values in zip(columns, digests, strict=True)]
    return {"rows": len(frame), "columns": columns, "digest": _digest_of_whole(["table", len(frame), named])}


def _digest_of_whole(value: list[Any]) -> str:
    return f"sha256:{hashlib.sha256(wire.encode(value)).hexdigest()}"


def _digest_of_column(column: Any, where: str) -> bytes:
    import numpy as np

    if isinstance(column.dtype, np.dtype) and column.dtype.kind in _FIXED:
        return _digest_of_array(column.to_numpy())
    missing = column.isna().to_numpy()
    values = column.astype(object).to_numpy()
    return _digest_of_objects((None if gone else each for each, gone in zip(values, missing, strict=True)), where)


def _digest_of_array(array: Any) -> bytes:
    if not _is_portable(array.dtype):
        raise FormatError(f"data has the dtype {array.dtype}, which has no digest", hint="convert it first")
    if array.dtype.kind not in _FIXED:
        return _digest_of_objects((value for block in _blocks(array) for value in block.tolist()), "data")
    digest = hashlib.sha256()
    for block in _blocks(array):
        digest.update(_little_endian(block).data)
    return digest.digest()


def _is_portable(dtype: Any) -> bool:
    """Tell whether every machine has this type; long doubles are as wide as the machine likes."""
    widest = {"f": 8, "c": 16}.get(dtype.kind, dtype.itemsize)
    return dtype.kind in f"{_FIXED}OSUT" and dtype.itemsize <= widest


def _blocks(array: Any) -> Iterator[Any]:
    """Yield the items in row-major order, some at a time, each time as a flat array."""
    if array.size:
        step = max(1, _BLOCK // max(1, array[:1].nbytes))
        for start in range(0, len(array), step):
            yield array[start : start + step].ravel(order="C")


def _little_endian(block: Any) -> Any:
    """Return the bytes of numbers, where every NaN is the one of its width that has no sign and no payload."""
    import numpy as np

    numbers = block.astype(block.dtype.newbyteorder("<"), copy=False)
    if numbers.dtype.kind == "c":
        numbers = numbers.view(f"<f{numbers.dtype.itemsize // 2}")
    if numbers.dtype.kind == "f" and (gone := np.isnan(numbers)).any():
        numbers = np.where(gone, np.array(np.nan, numbers.dtype), numbers).astype(numbers.dtype)
    return np.ascontiguousarray(numbers).view(np.uint8)


def _digest_of_objects(values: Iterable[Any], where: str) -> bytes:
    """Digest values of any width: each in the wire's form, one after the other; what is missing as nil."""
    digest = hashlib.sha256()
    items = iter(values)
    while block := [_item(value, where) for value in islice(items, _LIST)]:
        encoded = wire.encode(block, where=where)
        digest.update(encoded[1 if len(block) < 16 else 3 :])  # without what says that a list begins
    return digest.digest()


def _item(value: Any, where: str, depth: int = 0) -> Any:
    if hasattr(value, "dtype") and hasattr(value, "item") and not getattr(value, "shape", ()):
        value = value.item()  # NumPy's scalars
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, bool | str | bytes):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else ["int", str(value)]
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, list | tuple) and depth < _DEPTH_MAX:
        return ["list", [_item(each, where, depth + 1) for each in value]]
    if isinstance(value, _WRITTEN) or type(value).__module__.startswith("pandas."):
        return [type(value).__name__, str(value)]
    raise FormatError(f"{where} holds a {type(value).__name__}, which has no digest", hint="turn it into a text first")


def _float(value: float) -> Any:
    if value != value:
        return None
    return ["float", value.hex()] if value in (float("inf"), float("-inf")) or str(value) == "-0.0" else value


def _dtype(dtype: Any) -> str:
    """Return a type's name without byte order, and of NumPy's texts without their width, which is memory's business."""
    kind = getattr(dtype, "kind", "")
    if type(dtype).__module__.startswith("numpy"):
        return {"U": "str", "T": "str", "S": "bytes"}.get(kind, str(dtype.name))
    return str(dtype)


def _name(label: object) -> str:
    return str(label).encode("utf-8", "backslashreplace").decode("utf-8")
