"""Whatever is pickled, `joblib.load` reads the same from it as from `joblib.dump`'s file, which is never smaller."""

import io
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from safemodel.payload.pickling import pickle_into

Array = NDArray[Any]

LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "as it is": lambda array: array,
    "Fortran's order": np.asfortranarray,
    "transposed": lambda array: array.T,
    "every other item": lambda array: np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array,
    "backwards": lambda array: array[::-1] if array.ndim else array,
    "broadcast": lambda array: np.broadcast_to(array, (3, *array.shape)),
    "axes swapped": lambda array: np.swapaxes(array, 0, -1) if array.ndim else array,
}

dtypes = (
    hnp.scalar_dtypes()
    | hnp.byte_string_dtypes(min_len=1, max_len=5)
    | hnp.unicode_string_dtypes(min_len=1, max_len=5)
    | hnp.array_dtypes(hnp.scalar_dtypes(), min_size=1, max_size=3, allow_subarrays=True)
    | st.sampled_from((np.dtype("V3"), np.dtype([("a", "i1"), ("b", ">f8")], align=True)))
)


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    """Arrays of any shape, dtype and layout; their bytes are arbitrary, since no item is looked at."""
    dtype = draw(dtypes)
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    size = int(np.prod(shape, dtype=int)) * dtype.itemsize
    content = draw(st.binary(min_size=size, max_size=size))
    array = np.frombuffer(bytearray(content), np.uint8).view(dtype) if size else np.empty(0, dtype)
    return LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))](array.reshape(shape))


def _objects(items: list[Any]) -> Array:
    array = np.empty(len(items), object)
    for number, item in enumerate(items):
        array[number] = item
    return array


leaves = (
    arrays()
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=300)
    | st.sampled_from(("x" * 70_000, b"\x95" * 70_000, "u" * 65_535, b"\0" * 65_536))
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=5), inner, max_size=5)
        | st.tuples(inner, inner)
        | st.lists(inner, max_size=3).map(_objects)
        | inner.map(lambda value: [value, value])
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(values)
def test_joblib_reads_the_same_from_no_more_bytes(value: Any) -> None:
    ours, theirs = io.BytesIO(), io.BytesIO()
    pickle_into(value, ours.write)
    joblib.dump(value, theirs)
    assert len(ours.getvalue()) <= len(theirs.getvalue())
    ours.seek(0)
    theirs.seek(0)
    assert _described(joblib.load(ours)) == _described(joblib.load(theirs))
    assert not ours.read()


def _described(value: Any) -> Any:
    """Everything about a value that joblib keeps, as what can be compared."""
    if isinstance(value, np.ndarray):
        flags = (value.flags.c_contiguous, value.flags.f_contiguous, value.flags.writeable)
        content = _content(value)
        return type(value), value.dtype, value.shape, flags, content
    if isinstance(value, dict):
        return [(key, _described(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [_described(item) for item in value]
    return type(value), value


def _content(array: Array) -> Any:
    if array.dtype.names:  # the bytes between the fields are anything
        return [_described(array[name]) for name in array.dtype.names]
    return [_described(item) for item in array.flat] if array.dtype.hasobject else array.tobytes()
