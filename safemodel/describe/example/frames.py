"""Data frames and series of pandas: labels, and columns each in the form of its dtype."""

from typing import TYPE_CHECKING, Any, Final

from safemodel.describe.example.arrays import (
    ARRAY,
    OBJECTS,
    array_from_wire,
    array_to_wire,
    objects_from_wire,
    vector_from_wire,
)
from safemodel.describe.example.plain import scalar_from_wire, scalar_to_wire
from safemodel.errors import FormatError
from safemodel.format.limits import EXAMPLE_MAX
from safemodel.format.schema import Fields, expect, expect_range

if TYPE_CHECKING:
    from safemodel.describe.example.arrays import Array

FRAME: Final = "frame"
SERIES: Final = "series"
_TEXTS: Final = "texts"
_CATEGORIES: Final = "categories"
_NULLABLE: Final = "nullable"
_NULLABLE_DTYPES: Final = (
    "boolean",
    *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)),
    "Float32",
    "Float64",
)


def frame_to_wire(frame: Any, where: str) -> dict[str, Any]:
    """Return a data frame as it is stored.

    Raises:
        FormatError: a column has another dtype, or labels have several levels.
        LimitExceededError: it is too large for an example.
    """
    columns = [
        _column_to_wire(frame.iloc[:, position], f"{where}[{label!r}]") for position, label in enumerate(frame.columns)
    ]
    return {
        "kind": FRAME,
        "columns": _axis_to_wire(frame.columns, f"{where}.columns"),
        "index": _axis_to_wire(frame.index, f"{where}.index"),
        "values": columns,
    }


def frame_from_wire(fields: Fields, where: str) -> Any:
    """Return the data frame that is stored so.

    Raises:
        FormatError: its parts contradict each other.
        LimitExceededError: it is too large for an example.
    """
    import pandas as pd

    columns = _axis_from_wire(fields.take("columns", dict), f"{where}.columns")
    index = _axis_from_wire(fields.take("index", dict), f"{where}.index")
    values = fields.take_list("values", _column_from_wire)
    if len(values) != len(columns) or any(len(column) != len(index) for column in values):
        raise FormatError(f"{where} has columns that its {len(index)} rows and {len(columns)} labels do not fit")
    frame = pd.DataFrame({position: column.set_axis(index) for position, column in enumerate(values)}, index=index)
    return frame.set_axis(columns, axis="columns")


def series_to_wire(series: Any, where: str) -> dict[str, Any]:
    """Return a series as it is stored. Raises as `frame_to_wire`."""
    return {
        "kind": SERIES,
        "name": scalar_to_wire(series.name, f"{where}.name"),
        "index": _axis_to_wire(series.index, f"{where}.index"),
        "values": _column_to_wire(series, where),
    }


def series_from_wire(fields: Fields, where: str) -> Any:
    """Return the series that is stored so. Raises as `frame_from_wire`."""
    name = scalar_from_wire(fields.take_any("name"), f"{where}.name")
    index = _axis_from_wire(fields.take("index", dict), f"{where}.index")
    values = _column_from_wire(fields.take("values", dict), f"{where}.values")
    if len(values) != len(index):
        raise FormatError(f"{where} has {len(values)} values and {len(index)} labels")
    return values.set_axis(index).rename(name)


def _axis_to_wire(axis: Any, where: str) -> dict[str, Any]:
    import pandas as pd

    if isinstance(axis, pd.MultiIndex):
        raise FormatError(
            f"{where} has several levels, which an example cannot hold", hint="give it one level: X.reset_index()"
        )
    name = scalar_to_wire(axis.name, f"{where}.name")
    if isinstance(axis, pd.RangeIndex):
        return {"name": name, "range": [axis.start, axis.stop, axis.step]}
    return {"name": name, "labels": _column_to_wire(axis.to_series(), where)}


def _axis_from_wire(value: object, where: str) -> Any:
    import pandas as pd

    fields = Fields(value, where)
    name = scalar_from_wire(fields.take_any("name"), f"{where}.name")
    if "range" in expect(value, dict, where):
        axis = pd.RangeIndex(_range(fields.take("range", list), where), name=name)
    else:
        labels = _column_from_wire(fields.take("labels", dict), f"{where}.labels")
        axis = pd.Index(labels, dtype=labels.dtype, name=name)
    fields.finish()
    return axis


def _range(value: list[object], where: str) -> range:
    start, stop, step = (expect(number, int, where) for number in value)
    found = range(start, stop, step)
    expect_range(len(found), 0, EXAMPLE_MAX, f"the length of {where}")
    return found


def _column_to_wire(column: Any, where: str) -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, np.dtype):
        return array_to_wire(column.to_numpy(), where)
    if isinstance(dtype, pd.CategoricalDtype):
        return {
            "kind": _CATEGORIES,
            "codes": array_to_wire(column.cat.codes.to_numpy(), where),
            "categories": _column_to_wire(dtype.categories.to_series(), where),
            "ordered": dtype.ordered,
        }
    if isinstance(dtype, pd.StringDtype):
        texts = [None if missing else text for text, missing in zip(column, column.isna(), strict=True)]
        items = array_to_wire(np.array(texts, object), where)["items"]
        return {"kind": _TEXTS, "dtype": "string" if _misses_with_na(dtype) else "str", "items": items}
    if dtype.name in _NULLABLE_DTYPES:
        numpy_dtype = dtype.numpy_dtype
        values = column.to_numpy(dtype=numpy_dtype, na_value=numpy_dtype.type(0))
        missing = column.isna().to_numpy()
        return {
            "kind": _NULLABLE,
            "dtype": dtype.name,
            "values": array_to_wire(values, where),
            "missing": array_to_wire(missing, where),
        }
    raise FormatError(
        f"{where} has dtype {dtype}, which an example cannot hold",
        hint="convert it to numbers, booleans, texts, categories or datetimes without a zone, or leave it out",
    )


def _column_from_wire(value: object, where: str) -> Any:
    import pandas as pd

    fields = Fields(value, where)
    kind = fields.take("kind", str)
    if kind not in _READERS:
        raise FormatError(f"{where} is a column of kind {kind[:64]!r}, which there is not")
    values, dtype = _READERS[kind](fields, where)
    fields.finish()
    column = pd.Series(values, dtype=dtype)
    if column.dtype != dtype:
        raise FormatError(f"{where} has dtype {dtype}, which pandas does not keep")
    return column


def _array(fields: Fields, where: str) -> tuple[Any, Any]:
    array = array_from_wire(fields, where)
    return array, array.dtype


def _objects(fields: Fields, where: str) -> tuple[Any, Any]:
    array = objects_from_wire(fields, where)
    return array, array.dtype


def _texts(fields: Fields, where: str) -> tuple[Any, Any]:
    import numpy as np

    name = fields.take("dtype", str)
    items = fields.take_list("items", _text)
    array: Array = np.fromiter(items, object, len(items))
    return array, _string_dtype(name, where)


def _categories(fields: Fields, where: str) -> tuple[Any, Any]:
    import pandas as pd

    codes = vector_from_wire(fields, "codes", where)
    if codes.dtype.kind != "i":
        raise FormatError(f"{where}.codes has dtype {codes.dtype}, expected integers")
    labels = _column_from_wire(fields.take("categories", dict), f"{where}.categories")
    dtype = pd.CategoricalDtype(pd.Index(labels, dtype=labels.dtype), fields.take("ordered", bool))
    return pd.Categorical.from_codes(codes, dtype=dtype), dtype


def _nullable(fields: Fields, where: str) -> tuple[Any, Any]:
    import pandas as pd

    name = fields.take("dtype", str)
    if name not in _NULLABLE_DTYPES:
        raise FormatError(f"{where} has dtype {name[:64]!r}, which pandas does not have with missing values")
    dtype: Any = pd.api.types.pandas_dtype(name)
    values = vector_from_wire(fields, "values", where)
    missing = vector_from_wire(fields, "missing", where)
    if values.dtype != dtype.numpy_dtype or missing.dtype != bool:
        raise FormatError(f"{where} has values of dtype {values.dtype} and a mask of {missing.dtype}")
    return dtype.construct_array_type()(values, missing), dtype


_READERS: Final = {
    ARRAY: _array,
    OBJECTS: _objects,
    _TEXTS: _texts,
    _CATEGORIES: _categories,
    _NULLABLE: _nullable,
}


def _text(value: object, where: str) -> str | None:
    return None if value is None else expect(value, str, where)


def _misses_with_na(dtype: Any) -> bool:
    """Whether a missing text is pandas.NA; before pandas 2.3 it always was."""
    import pandas as pd

    return getattr(dtype, "na_value", pd.NA) is pd.NA


def _string_dtype(name: str, where: str) -> Any:
    import numpy as np
    import pandas as pd

    if name == "string":
        return pd.StringDtype()
    if name != "str":
        raise FormatError(f"{where} has texts of dtype {name[:64]!r}, expected str or string")
    try:
        return pd.StringDtype(na_value=np.nan)
    except TypeError:  # pandas before 2.3, where such texts were objects
        return np.dtype(object)
