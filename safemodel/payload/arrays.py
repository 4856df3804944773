"""Where the data of an array lies, from the state of joblib's wrapper (joblib/numpy_pickle.py, `NumpyArrayWrapper`).

joblib pickles the wrapper, closes the frame, and writes the data right after the wrapper's BUILD: from joblib 1.2 on
one byte that says how much padding follows, that padding, then the items; before, the items at once; an array of
objects as a pickle stream of its own. A wrapper with any other state is refused: its attributes can stand in for its
methods.
"""

from typing import Final, TypeGuard

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.format.limits import ARRAY_DIMENSIONS_MAX, ARRAY_SIZE_MAX
from safemodel.payload.dtypes import Dtype, DtypeValue
from safemodel.payload.findings import ALIGNMENT, RAW, Region
from safemodel.payload.opcodes import integer
from safemodel.payload.values import SAME, Container, Global, Item, Value, WrapperClass

WRAPPER: Final = ("joblib.numpy_pickle", "NumpyArrayWrapper")

# joblib writes all three alike, and with numpy 2 reads them as plain arrays.
_SUBCLASSES = (("numpy", "ndarray"), ("numpy", "memmap"), ("numpy", "matrix"))
_REQUIRED = {"subclass", "shape", "order", "dtype", "allow_mmap"}
_PADDED = _REQUIRED | {"numpy_array_alignment_bytes"}
_ORDERS = ("C", "F")
_NAMES = ("subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes")


class Array(Value):
    """An array, in the place of its wrapper.

    Attributes:
        dtype: of the items.
        size_of_items: their bytes; of no use where they are objects.
        padded: whether padding comes first.
    """

    __slots__ = ("dtype", "padded", "size_of_items")

    def __init__(self, dtype: Dtype, lengths: list[int], *, padded: bool) -> None:
        super().__init__()
        self.dtype = dtype
        self.size_of_items = _size(lengths, dtype.size or 0)
        self.padded = padded

    def region(self, data: memoryview, cut: int) -> Region:
        """Locate the items.

        Args:
            data: the stream.
            cut: the first byte after the wrapper's BUILD.

        Returns:
            A raw region that ends inside the stream.

        Raises:
            LimitExceededError: more bytes than there are.
            PayloadError: padding that joblib does not write.
        """
        size = self.size_of_items
        _check_left(size, len(data) - cut)
        start = cut + _padding(data, cut) if self.padded else cut
        _check_left(size, len(data) - start)
        return Region(cut, start, size, RAW)


def read_array(state: Item) -> Array:
    """Read the state of a wrapper.

    Args:
        state: what BUILD sets.

    Returns:
        The array.

    Raises:
        LimitExceededError: larger than numpy can address.
        PayloadError: a state that joblib does not write.
    """
    fields = _fields(state)
    dtype, subclass, order = fields["dtype"], fields["subclass"], fields["order"]
    alignment = fields.get("numpy_array_alignment_bytes", b"N")
    if not _is_complete(dtype) or not dtype.dtype.size:
        raise _refusal("a dtype")
    if not _is_array_class(subclass):
        raise _refusal("a class")
    if order not in _ORDERS or fields["allow_mmap"] not in (b"\x88", b"\x89"):
        raise _refusal("an order")
    if alignment != b"N" and integer(alignment) != ALIGNMENT:
        raise _refusal("an alignment")
    return Array(dtype.dtype, _lengths(fields["shape"]), padded=alignment != b"N")


def read_repeated(items: list[Item], lengths: list[int]) -> Array | None:
    """Read a wrapper whose names and dtype come from the memo, as joblib writes it from the second array on.

    Args:
        items: the class, then keys and values of its state without those of the shape, allow_mmap and the alignment.
        lengths: the shape.

    Returns:
        The array, or None where the wrapper must be looked at opcode by opcode.

    Raises:
        LimitExceededError: larger than numpy can address.
    """
    cls, subclass, order, dtype = items[0], items[2], items[5], items[7]
    names = (items[1], items[3], items[4], items[6], items[8], items[9])
    if names != _NAMES or not isinstance(cls, WrapperClass):
        return None
    if not _is_array_class(subclass) or order not in _ORDERS or not _is_complete(dtype) or not dtype.dtype.size:
        return None
    array = Array(dtype.dtype, lengths, padded=True)
    cls.use.met("newobj", array, SAME)
    subclass.put(array, SAME)
    dtype.put(array, SAME)
    return array


def _fields(state: Item) -> dict[Item, Item]:
    if not isinstance(state, Container) or state.kind != "dict" or state.parts is None:
        raise _refusal("a state")
    fields = dict(zip(state.parts[::2], state.parts[1::2], strict=True))
    if len(state.parts) != 2 * len(fields) or fields.keys() not in (_REQUIRED, _PADDED):
        raise _refusal("a field")
    return fields


def _lengths(shape: Item) -> list[int]:
    if not isinstance(shape, Container) or shape.kind != "tuple" or shape.parts is None:
        raise _refusal("a shape")
    lengths = [length for length in map(integer, shape.parts) if length is not None and length >= 0]
    if len(lengths) != len(shape.parts):
        raise _refusal("a shape")
    return lengths


def _size(lengths: list[int], item_size: int) -> int:
    """Return the bytes of all items.

    The product is capped as if dimensions of zero were one: numpy refuses such shapes, and 64-bit products wrap
    (joblib issue 859).
    """
    if len(lengths) > ARRAY_DIMENSIONS_MAX:
        raise LimitExceededError(f"an array has {len(lengths)} dimensions, at most {ARRAY_DIMENSIONS_MAX} are allowed")
    size = item_size
    for length in lengths:
        size *= length or 1
    if size > ARRAY_SIZE_MAX:
        raise LimitExceededError(f"an array has {size} bytes, at most {ARRAY_SIZE_MAX} are allowed")
    return 0 if 0 in lengths else size


def _is_complete(item: Item) -> TypeGuard[DtypeValue]:
    return isinstance(item, DtypeValue) and item.complete


def _is_array_class(item: Item) -> TypeGuard[Global]:
    return isinstance(item, Global) and (item.use.module, item.use.name) in _SUBCLASSES


def _padding(data: memoryview, cut: int) -> int:
    """Return how many bytes lie between the cut and the items."""
    length = data[cut] if cut < len(data) else 0
    padding = bytes(data[cut + 1 : cut + 1 + length])
    if not 1 <= length <= ALIGNMENT or padding != b"\xff" * length:
        raise _refusal("padding")
    return 1 + length


def _check_left(size: int, left: int) -> None:
    if size > left:
        raise LimitExceededError(f"an array of {size} bytes is announced, {left} bytes are left")


def _refusal(what: str) -> PayloadError:
    return PayloadError(f"an array has {what} that joblib does not write")
