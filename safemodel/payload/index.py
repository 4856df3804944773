"""The ``index`` entry: where the arrays of the payload lie (docs/spec.md, section "Index").

32 bytes per region, little-endian, in file order, nothing else. The digests cover the entry, and its numbers are still
checked against the payload's size before any of them is used.
"""

import struct
from collections.abc import Iterable
from functools import partial
from itertools import starmap
from typing import Final

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.format.limits import INDEX_MAX
from safemodel.payload.findings import ALIGNMENT, NESTED, RAW, Region

REGION: Final = struct.Struct("<QQQQ")  # cut, start, size, kind
_region: Final = partial(tuple.__new__, Region)  # what `Region._make` does, in C
PADDING_MAX: Final = 1 + ALIGNMENT  # a byte that says how many follow, and these


def encode_index(regions: Iterable[Region]) -> bytes:
    """Write the index of a payload.

    Args:
        regions: as `walk` found them, in file order.

    Returns:
        32 bytes per region.

    Raises:
        LimitExceededError: more than `INDEX_MAX` bytes.
    """
    data = b"".join(starmap(REGION.pack, regions))
    _check_size(len(data))
    return data


def decode_index(data: bytes, payload_size: int) -> tuple[Region, ...]:
    """Read an index and check every number in it.

    Args:
        data: the entry's bytes.
        payload_size: bytes of the uncompressed payload.

    Returns:
        The regions: ascending, apart from one another, and inside the payload.

    Raises:
        LimitExceededError: more than `INDEX_MAX` bytes.
        PayloadError: a region that the walk could not have written.
    """
    _check_size(len(data))
    if len(data) % REGION.size:
        raise PayloadError(f"the index has {len(data)} bytes, expected a multiple of {REGION.size}")
    regions = tuple(map(_region, REGION.iter_unpack(data)))
    free = 0
    for number, region in enumerate(regions):
        cut, start, size, kind = region
        shape_holds = 0 <= start - cut <= PADDING_MAX if kind == RAW else kind == NESTED and start == cut and size
        if not shape_holds or not free < cut or not start + size < payload_size:  # opcodes come before and after
            raise PayloadError(f"region {number} of the index does not fit into the payload")
        free = start + size
    return regions


def _check_size(size: int) -> None:
    if size > INDEX_MAX:
        raise LimitExceededError(f"the index would have {size} bytes, at most {INDEX_MAX} are allowed")
