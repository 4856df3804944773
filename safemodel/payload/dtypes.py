"""numpy's dtypes, read from what their pickles say and without numpy.

A dtype is pickled as `dtype(spec, False, True)` and a state that is set right after (numpy/core/src/multiarray/
descriptor.c, `arraydescr_reduce`). numpy believes the state: a forged one reads outside of the buffer or takes numbers
for object pointers. So whatever the state repeats must agree with the spec and the fields, and it is set once, before
anything holds the dtype.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from safemodel.errors import PayloadError
from safemodel.payload.opcodes import integer
from safemodel.payload.values import Container, Global, Item, Made, Use

DTYPE: Final = ("numpy", "dtype")
RECORD: Final = ("numpy", "record")

_SPEC = re.compile(r"b1|[iu][1248]|f(?:2|4|8|16)|c(?:8|16|32)|O8|[Mm]8|[SUV](?:0|[1-9][0-9]{0,9})")
_FLAGS = {"O": 0x3F, "U": 0x08}  # of the dtypes that have any (numpy/core/include/numpy/ndarraytypes.h)
_REFCOUNTED = 0x01
_FROM_FIELDS = 0x1B  # what a structure takes over from its fields
_STRUCTURE = 0x10
_ALIGNED = 0x80  # may be set on a structure: its offsets are as a C compiler's
_ALIGNMENTS = (1, 2, 4, 8, 16)
_SEALED = "dict of fields"  # numpy keeps the very dict, so nothing is put into it any more


@dataclass(frozen=True, slots=True)
class Dtype:
    """What the walk must know of a dtype.

    Attributes:
        kind: numpy's letter.
        size: bytes of one item; None until the state tells it, for a record.
        flags: numpy's, derived and not believed.
    """

    kind: str
    size: int | None
    flags: int = 0

    @property
    def objects(self) -> bool:
        """Whether items hold object pointers, so that joblib pickles the array instead of writing its bytes."""
        return bool(self.flags & _REFCOUNTED)


class DtypeValue(Made):
    """A dtype that the stream made.

    Attributes:
        dtype: as far as it is known.
        complete: its state was set.
    """

    __slots__ = ("complete", "dtype")

    def __init__(self, use: Use, arguments: Container) -> None:
        super().__init__(use, "call")
        self.dtype = _read_arguments(arguments)
        self.complete = False

    def set_state(self, state: Item) -> None:
        """Take the state.

        Raises:
            PayloadError: it is not what numpy writes for this dtype, or it comes late.
        """
        if self.complete or self.owner is not None:
            raise PayloadError("the state of a numpy dtype is set a second time or after its use")
        self.dtype = _apply_state(self.dtype, _tuple_parts(state))
        self.complete = True


def _refusal(what: str) -> PayloadError:
    return PayloadError(f"a numpy dtype has {what} that numpy does not write")


def _tuple_parts(item: Item | None) -> list[Item]:
    if not isinstance(item, Container) or item.kind != "tuple" or item.parts is None:
        raise _refusal("a part")
    return item.parts


def _read_arguments(arguments: Container) -> Dtype:
    parts = _tuple_parts(arguments)
    if len(parts) != 3 or parts[1:] != [b"\x89", b"\x88"]:
        raise _refusal("arguments")
    spec = parts[0]
    if isinstance(spec, Global) and (spec.use.module, spec.use.name) == RECORD:
        return Dtype("V", None)
    if not isinstance(spec, str) or not _SPEC.fullmatch(spec):
        raise _refusal("a specification")
    count = int(spec[1:])
    return Dtype(spec[0], 4 * count if spec[0] == "U" else count, _FLAGS.get(spec[0], 0))


def _apply_state(dtype: Dtype, state: list[Item]) -> Dtype:
    """Check a state against the dtype that the arguments made."""
    version = 4 if dtype.kind in "Mm" else 3
    if len(state) != 5 + version or integer(state[0]) != version or state[1] not in ("<", ">", "|", "="):
        raise _refusal("a state")
    if dtype.kind in "Mm":
        _check_unit(state[8])
    base, names, fields = state[2:5]
    size, alignment, flags = (_required_integer(item) for item in state[5:8])
    if dtype.kind not in "SUV":
        if (base, names, fields, size, alignment) != (b"N", b"N", b"N", -1, -1):
            raise _refusal("a size")
    elif (size != dtype.size and dtype.size is not None) or size < 0 or alignment not in _ALIGNMENTS:
        raise _refusal("a size")
    elif dtype.kind == "V":
        dtype = _apply_layout(dtype, size, base, names, fields)
    elif (base, names, fields) != (b"N", b"N", b"N"):
        raise _refusal("fields")
    if flags not in (dtype.flags, dtype.flags | _ALIGNED if fields != b"N" else dtype.flags):
        raise _refusal("flags")
    return replace(dtype, flags=flags)


def _check_unit(item: Item) -> None:
    """Check what follows the state of dates and durations: no metadata, and (unit, multiple, 1, 1)."""
    parts = _tuple_parts(item)
    metadata = parts[0] if len(parts) == 2 else None
    empty = isinstance(metadata, Container) and metadata.kind == "dict" and metadata.parts == []
    unit = _tuple_parts(parts[-1]) if metadata == b"N" or empty else []
    if len(unit) != 4 or any(integer(number) is None for number in unit[1:]):
        raise _refusal("metadata")


def _apply_layout(dtype: Dtype, size: int, base: Item, names: Item, fields: Item) -> Dtype:
    """Read a void dtype: plain bytes, a subarray or a structure."""
    if (names, fields) == (b"N", b"N"):
        flags = 0 if base == b"N" else _read_subarray(base, size)
    elif base == b"N":
        flags = _read_structure(_tuple_parts(names), fields, size)
    else:
        raise _refusal("both fields and a subarray")
    return replace(dtype, size=size, flags=flags)


def _read_subarray(base: Item, size: int) -> int:
    """Return the flags of a subarray."""
    parts = _tuple_parts(base)
    inner = _known_dtype(parts[0]) if len(parts) == 2 else None
    if inner is None:
        raise _refusal("a subarray")
    expected = inner.size or 0
    for item in _tuple_parts(parts[1]):
        length = _required_integer(item)
        expected *= length
        if length < 0 or expected > size:
            raise _refusal("a subarray")
    if expected != size:
        raise _refusal("a subarray")
    return inner.flags


def _read_structure(names: list[Item], fields: Item, size: int) -> int:
    """Return the flags of a structure."""
    if not isinstance(fields, Container) or fields.kind not in ("dict", _SEALED) or fields.parts is None:
        raise _refusal("fields")
    fields.kind = _SEALED
    by_name = dict(zip(fields.parts[::2], fields.parts[1::2], strict=True))
    titles: list[Item] = []
    flags = _STRUCTURE
    for name in names:
        if not isinstance(name, str) or name not in by_name:
            raise _refusal("a name")
        parts = _tuple_parts(by_name[name])
        inner = _known_dtype(parts[0]) if len(parts) in (2, 3) else None
        offset = _required_integer(parts[1]) if inner is not None else -1
        if inner is None or offset < 0 or offset + (inner.size or 0) > size:
            raise _refusal("a field")
        titles += parts[2:]
        flags |= inner.flags & _FROM_FIELDS
    if len(fields.parts) != 2 * len(by_name) or not by_name.keys() <= {*names, *titles}:
        raise _refusal("fields without names")
    return flags


def _known_dtype(item: Item) -> Dtype | None:
    """Return a dtype whose size is known."""
    return item.dtype if isinstance(item, DtypeValue) and item.dtype.size is not None else None


def _required_integer(item: Item) -> int:
    number = integer(item)
    if number is None:
        raise _refusal("a number")
    return number
