"""Inputs and predictions as the bytes of an attachment, and back (docs/spec.md, section "Example")."""

import sys
from collections.abc import Callable
from typing import Any, Final

from safemodel.describe.example.arrays import (
    ARRAY,
    OBJECTS,
    array_from_wire,
    array_to_wire,
    objects_from_wire,
)
from safemodel.describe.example.frames import (
    FRAME,
    SERIES,
    frame_from_wire,
    frame_to_wire,
    series_from_wire,
    series_to_wire,
)
from safemodel.describe.example.plain import plain_from_wire, plain_to_wire
from safemodel.describe.example.sparse import SPARSE, sparse_from_wire, sparse_to_wire
from safemodel.errors import FormatError, LimitExceededError, PayloadError, SafemodelError
from safemodel.format import wire
from safemodel.format.limits import EXAMPLE_MAX
from safemodel.format.schema import Fields

LIST: Final = "list"
OUTPUTS: Final = "outputs"


def table_to_bytes(value: object, where: str) -> bytes:
    """Return a table as the bytes of an attachment; the same table gives the same bytes.

    Args:
        value: a NumPy array, a pandas data frame or series, a SciPy sparse matrix in CSR or CSC form, or a list of
            plain values such as texts; rows first.
        where: what it is, for messages.

    Raises:
        FormatError: it holds something else.
        LimitExceededError: it has more than EXAMPLE_MAX bytes.
    """
    return _encoded(_table_to_wire(value, where), where)


def table_from_bytes(data: bytes, where: str) -> Any:
    """Return the table of an attachment, with memory of its own.

    Raises:
        FormatError: the bytes are no table.
        LimitExceededError: they describe one that is too large.
        PayloadError: what it is made of, such as pandas, is not installed here.
    """
    return _guarded(_table_from_wire, _decoded(data, where), where)


def outputs_to_bytes(outputs: dict[str, object], where: str) -> bytes:
    """Return what each method gave as the bytes of an attachment. Raises as `table_to_bytes`."""
    return _encoded({name: _output_to_wire(value, f"{where}.{name}") for name, value in outputs.items()}, where)


def outputs_from_bytes(data: bytes, where: str) -> dict[str, Any]:
    """Return what each method gave. Raises as `table_from_bytes`."""
    value = _decoded(data, where)
    if not isinstance(value, dict):
        raise FormatError(f"{where} is no map of tables")
    return {name: _guarded(_output_from_wire, item, f"{where}.{name[:64]}") for name, item in value.items()}


def _encoded(value: object, where: str) -> bytes:
    data = wire.encode(value, where=where)
    if len(data) > EXAMPLE_MAX:
        raise LimitExceededError(
            f"{where} has {len(data)} bytes, an example has at most {EXAMPLE_MAX}", hint="give fewer rows, X[:5]"
        )
    return data


def _decoded(data: bytes, where: str) -> Any:
    return wire.decode(data, maximum=EXAMPLE_MAX, where=where)


def _guarded(read: Callable[[object, str], Any], value: object, where: str) -> Any:
    """What NumPy, SciPy and pandas refuse of what passed our checks is malformed too."""
    try:
        return read(value, where)
    except SafemodelError:
        raise
    except ImportError as error:
        raise PayloadError(
            f"{where} cannot be read here: {error}", hint="install what the example was made with"
        ) from error
    except Exception as error:
        raise FormatError(f"{where} is no table: {type(error).__name__}") from error


def _table_to_wire(value: Any, where: str) -> dict[str, Any]:
    import numpy as np

    pandas, sparse = sys.modules.get("pandas"), sys.modules.get("scipy.sparse")  # not there: this is none of theirs
    if pandas is not None and isinstance(value, pandas.DataFrame):
        return frame_to_wire(value, where)
    if pandas is not None and isinstance(value, pandas.Series):
        return series_to_wire(value, where)
    if sparse is not None and sparse.issparse(value):
        return sparse_to_wire(value, where)
    if isinstance(value, np.ndarray) and not isinstance(value, np.matrix | np.ma.MaskedArray):
        return array_to_wire(value, where)
    if type(value) is list:
        return {"kind": LIST, "items": plain_to_wire(value, where)}
    raise FormatError(
        f"{where} is of type {type(value).__name__}, which an example cannot hold",
        hint="expected a NumPy array, a pandas DataFrame, a SciPy sparse matrix or a list of texts",
    )


def _table_from_wire(value: object, where: str) -> Any:
    fields = Fields(value, where)
    kind = fields.take("kind", str)
    if kind not in _READERS:
        raise FormatError(f"{where} is of kind {kind[:64]!r}, expected one of {', '.join(_READERS)}")
    table = _READERS[kind](fields, where)
    fields.finish()
    return table


def _output_to_wire(value: Any, where: str) -> dict[str, Any]:
    """A list is what some methods give for several outputs: one array for each."""
    if type(value) is list:
        tables = [_table_to_wire(item, f"{where}[{number}]") for number, item in enumerate(value)]
        return {"kind": OUTPUTS, "tables": tables}
    return _table_to_wire(value, where)


def _output_from_wire(value: object, where: str) -> Any:
    if isinstance(value, dict) and value.get("kind") == OUTPUTS:
        fields = Fields(value, where)
        fields.take("kind", str)
        tables = list(fields.take_list("tables", _table_from_wire))
        fields.finish()
        return tables
    return _table_from_wire(value, where)


def _list_from_wire(fields: Fields, where: str) -> list[Any]:
    return [plain_from_wire(item, where) for item in fields.take("items", list)]


_READERS: Final[dict[str, Callable[[Fields, str], Any]]] = {
    ARRAY: array_from_wire,
    OBJECTS: objects_from_wire,
    SPARSE: sparse_from_wire,
    FRAME: frame_from_wire,
    SERIES: series_from_wire,
    LIST: _list_from_wire,
}
