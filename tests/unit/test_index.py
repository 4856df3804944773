"""The index entry: what it holds, and every number in it that cannot be."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.format.limits import INDEX_MAX
from safemodel.payload import index
from safemodel.payload.findings import NESTED, RAW, Region
from safemodel.payload.index import REGION, decode_index, encode_index

SIZE = 1000
REGIONS = (Region(10, 26, 100, RAW), Region(127, 127, 50, NESTED), Region(200, 200, 0, RAW), Region(300, 317, 682, RAW))


def raw(*numbers: int) -> bytes:
    return REGION.pack(*numbers)


def test_round_trip() -> None:
    data = encode_index(REGIONS)
    assert len(data) == 32 * len(REGIONS)
    assert decode_index(data, SIZE) == REGIONS


def test_no_arrays() -> None:
    assert encode_index(()) == b""
    assert decode_index(b"", 0) == ()


BAD = {
    "half a region": raw(10, 26, 100, RAW)[:-1],
    "an unknown kind": raw(10, 26, 100, 2),
    "a cut at the first byte": raw(0, 1, 100, RAW),
    "data before its cut": raw(27, 26, 100, RAW),
    "too much padding": raw(10, 28, 100, RAW),
    "padding of a nested stream": raw(10, 11, 100, NESTED),
    "a nested stream of nothing": raw(10, 10, 0, NESTED),
    "data up to the end": raw(10, 26, SIZE - 26, RAW),
    "data past the end": raw(10, 26, SIZE, RAW),
    "a size of 2**64 - 1": raw(10, 26, 2**64 - 1, RAW),
    "a cut of 2**64 - 1": raw(2**64 - 1, 2**64 - 1, 1, RAW),
    "the same region twice": 2 * raw(10, 26, 100, RAW),
    "no opcode between": raw(10, 26, 100, RAW) + raw(126, 126, 1, RAW),
    "regions that overlap": raw(10, 26, 100, RAW) + raw(100, 116, 1, RAW),
    "regions that descend": raw(200, 216, 10, RAW) + raw(10, 26, 10, RAW),
}


@pytest.mark.parametrize("name", BAD)
def test_refuses(name: str) -> None:
    with pytest.raises(PayloadError):
        decode_index(BAD[name], SIZE)


def test_stops_at_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LimitExceededError):
        decode_index(bytes(INDEX_MAX + 32), SIZE)
    monkeypatch.setattr(index, "INDEX_MAX", 96)
    with pytest.raises(LimitExceededError):
        encode_index(REGIONS)


@given(st.binary(max_size=96), st.integers(min_value=0, max_value=2**40))
def test_only_our_errors(data: bytes, size: int) -> None:
    try:
        regions = decode_index(data, size)
    except (PayloadError, LimitExceededError):
        return
    assert encode_index(regions) == data
    assert all(region.start + region.size < size for region in regions)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 17), st.integers(1, 50), st.booleans())))
def test_what_is_written_is_read(steps: Sequence[tuple[int, int, int, bool]]) -> None:
    regions, position = [], 0
    for gap, padding, size, nested in steps:
        cut = position + gap
        start = cut if nested else cut + padding
        regions.append(Region(cut, start, size, NESTED if nested else RAW))
        position = start + size
    assert decode_index(encode_index(regions), position + 1) == tuple(regions)
