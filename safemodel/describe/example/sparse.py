"""Sparse matrices and arrays of SciPy: their three arrays, in CSR or CSC form."""

from typing import TYPE_CHECKING, Any, Final

from safemodel.describe.example.arrays import array_to_wire, vector_from_wire
from safemodel.errors import FormatError
from safemodel.format.limits import EXAMPLE_MAX
from safemodel.format.schema import Fields, expect, expect_range

if TYPE_CHECKING:
    from safemodel.describe.example.arrays import Array

SPARSE: Final = "sparse"
_FORMATS: Final = ("csr", "csc")
_COLUMNS_MAX: Final = 2**31 - 1  # of which only the stored values take memory; models turn rows into arrays


def sparse_to_wire(value: Any, where: str) -> dict[str, Any]:
    """Return a sparse matrix or array as it is stored.

    Raises:
        FormatError: it is in another form than CSR or CSC.
        LimitExceededError: it is too large for an example.
    """
    from scipy import sparse

    if value.format not in _FORMATS or value.ndim != 2:
        raise FormatError(
            f"{where} is sparse, of form {value.format!r} with {value.ndim} dimensions, expected csr or csc with two",
            hint="convert it: X.tocsr()",
        )
    return {
        "kind": SPARSE,
        "format": value.format,
        "matrix": isinstance(value, sparse.spmatrix),
        "shape": [int(length) for length in value.shape],
        **{part: array_to_wire(getattr(value, part), f"{where}.{part}") for part in ("data", "indices", "indptr")},
    }


def sparse_from_wire(fields: Fields, where: str) -> Any:
    """Return the sparse matrix or array that is stored so.

    Raises:
        FormatError: its parts contradict each other.
        LimitExceededError: it is too large for an example.
    """
    from scipy import sparse

    name = fields.take("format", str)
    matrix = fields.take("matrix", bool)
    shape = fields.take_list("shape", _length)
    data, indices, pointers = (vector_from_wire(fields, part, where) for part in ("data", "indices", "indptr"))
    if name not in _FORMATS or len(shape) != 2:
        raise FormatError(f"{where} is no sparse matrix in the form csr or csc")
    expect_range(shape[0], 0, EXAMPLE_MAX, f"the number of rows of {where}")
    major, minor = shape if name == "csr" else reversed(shape)
    _check_parts(data, indices, pointers, major, minor, where)
    return getattr(sparse, f"{name}_{'matrix' if matrix else 'array'}")((data, indices, pointers), shape=shape)


def _length(value: object, where: str) -> int:
    return expect_range(expect(value, int, where), 0, _COLUMNS_MAX, where)


def _check_parts(data: "Array", indices: "Array", pointers: "Array", major: int, minor: int, where: str) -> None:
    """Check what SciPy's compiled code relies on; SciPy itself passes pointers that go down and end at 0."""
    if data.dtype.kind not in "biufc" or not indices.dtype == pointers.dtype in ("<i4", "<i8"):
        raise FormatError(f"{where} is not made of numbers and of integers that point to them")
    if (
        len(pointers) != major + 1
        or pointers[0] != 0
        or pointers[-1] != len(indices)
        or (pointers[1:] < pointers[:-1]).any()
    ):
        raise FormatError(f"{where} has pointers that do not cut its {len(indices)} indices into {major} parts")
    if len(data) != len(indices) or (indices < 0).any() or (indices >= minor).any():
        raise FormatError(f"{where} has indices outside of it, or another number of values")
