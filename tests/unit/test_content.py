"""The payload without its arrays: every chunk is hashed, and only those with opcodes are kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safemodel.errors import DigestMismatchError
from safemodel.format.content import Content
from safemodel.format.limits import CHUNK_SIZE_MIN
from safemodel.format.source import open_source
from safemodel.format.unverified import read_unverified

SIZE = 5 * CHUNK_SIZE_MIN + 100
PAYLOAD = bytes(range(1, 256)) * (SIZE // 255 + 1)


@pytest.fixture
def path(forge: Callable[..., Path]) -> Path:
    return forge(PAYLOAD[:SIZE], chunk_size=CHUNK_SIZE_MIN)


def opcodes(path: Path, arrays: Any) -> bytes:
    with open_source(path) as source:
        return bytes(Content.of(source, read_unverified(source)).check_with_opcodes(arrays))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.lists(st.integers(0, SIZE), max_size=6, unique=True).map(sorted))
def test_zeros_stand_where_a_chunk_lies_inside_an_array(path: Path, bounds: list[int]) -> None:
    arrays = list(zip(bounds[::2], bounds[1::2], strict=False))
    expected = bytearray(PAYLOAD[:SIZE])
    for start in range(0, SIZE, CHUNK_SIZE_MIN):
        end = min(start + CHUNK_SIZE_MIN, SIZE)
        if any(begin <= start and end <= stop for begin, stop in arrays):
            expected[start:end] = bytes(end - start)
    assert opcodes(path, arrays) == expected


@pytest.mark.parametrize("place", [0, CHUNK_SIZE_MIN, SIZE - 1])
def test_what_is_left_out_is_hashed_too(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[4096 + place] ^= 1  # where the payload starts
    path.write_bytes(data)
    for arrays in ([], [(0, SIZE)], [(CHUNK_SIZE_MIN, 3 * CHUNK_SIZE_MIN)]):
        with pytest.raises(DigestMismatchError):
            opcodes(path, arrays)
