"""Payload files are opened by their content, as far as allowed and not a byte further."""

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import numpy as np
import pytest

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.format.limits import EXPANSION_FACTOR, EXPANSION_FREE
from safemodel.payload import streams
from safemodel.payload.streams import open_stream
from safemodel.payload.walk import walk

RAW = b"\x80\x04" + os.urandom(3000) + bytes(5000) + b"."
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "xz": lzma.compress,
}


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("level", [1, 3, 9])
def test_opens_what_joblib_writes(name: str, level: int, tmp_path: Path) -> None:
    value = {"array": np.arange(1000), "texts": [f"text {number}" for number in range(1000)]}
    path = tmp_path / "model.pkl"  # the suffix does not count
    joblib.dump(value, path, compress=(name, level))
    plain = io.BytesIO()
    joblib.dump(value, plain)
    stream, found = open_stream(path.read_bytes())
    assert found == name
    assert walk(stream).globals == walk(plain.getvalue()).globals


def test_opens_what_is_not_compressed() -> None:
    data = bytearray(RAW)
    stream, name = open_stream(data)
    assert name == "none"
    assert stream.obj is data
    assert open_stream(RAW, size=len(RAW))[0] == RAW


@pytest.mark.parametrize("name", COMPRESSORS)
def test_expands(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = COMPRESSORS[name](RAW)
    for step in (1, 7, 4096, 10**6):
        monkeypatch.setattr(streams, "_STEP", step)
        for bounds in ({}, {"size": len(RAW)}, {"limit": len(RAW)}):
            stream, found = open_stream(data, **bounds)
            assert (bytes(stream), found) == (RAW, name)


@pytest.mark.parametrize("name", COMPRESSORS)
def test_stops_at_the_limit(name: str) -> None:
    with pytest.raises(LimitExceededError):
        open_stream(COMPRESSORS[name](RAW), limit=len(RAW) - 1)


@pytest.mark.parametrize("name", COMPRESSORS)
def test_the_signed_size_is_exact(name: str) -> None:
    data = COMPRESSORS[name](RAW)
    with pytest.raises(LimitExceededError):
        open_stream(data, size=len(RAW) - 1)
    with pytest.raises(PayloadError):
        open_stream(data, size=len(RAW) + 1)
    with pytest.raises(PayloadError):
        open_stream(RAW, size=len(RAW) + 1)


@pytest.mark.parametrize("name", COMPRESSORS)
def test_a_bomb_stops_early(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = COMPRESSORS[name](bytes(5_000_000))
    monkeypatch.setattr(streams, "EXPANSION_FREE", 10_000)
    monkeypatch.setattr(streams, "_STEP", 50_000)
    allowed = 10_000 + EXPANSION_FACTOR * len(bomb)
    taken = 0
    real = streams._collect

    def collect(pieces: Iterator[bytes], limit: int) -> memoryview:
        def counted() -> Iterator[bytes]:
            nonlocal taken
            for piece in pieces:
                taken += len(piece)
                yield piece

        return real(counted(), limit)

    monkeypatch.setattr(streams, "_collect", collect)
    with pytest.raises(LimitExceededError):
        open_stream(bomb)
    assert taken <= allowed + 50_000


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("tail", [b"\0", b"more", RAW])
def test_nothing_follows(name: str, tail: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    data = COMPRESSORS[name](RAW)
    for step in (64, 10**6):
        monkeypatch.setattr(streams, "_STEP", step)
        for after in (tail, COMPRESSORS[name](tail)):  # gzip, bz2 and xz allow several in one file
            with pytest.raises(PayloadError):
                open_stream(data + after)


@pytest.mark.parametrize("name", COMPRESSORS)
def test_a_damaged_stream_is_refused(name: str) -> None:
    data = COMPRESSORS[name](RAW)
    for size in range(0, len(data), 97):
        if size >= 6:
            with pytest.raises(PayloadError):
                open_stream(data[:size])
    refused = 0
    for position in range(6, len(data), 53):
        damaged = data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :]
        try:
            stream, _ = open_stream(damaged)
        except PayloadError:
            refused += 1
        else:
            assert name == "lzma" or stream == RAW  # .lzma has no check of its own
    assert refused


@pytest.mark.parametrize("head", [b"ZF0x5", b"\x04\x22\x4d\x18more", b"PK\x03\x04"])
def test_refuses_with_advice(head: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        open_stream(head + RAW)
    assert caught.value.hint


def test_a_decoder_that_asks_for_too_much_memory_is_refused() -> None:
    data = bytearray(lzma.compress(RAW, lzma.FORMAT_ALONE))
    open_stream(data)
    data[1:5] = (2**29).to_bytes(4, "little")  # the size of its dictionary
    with pytest.raises(PayloadError):
        open_stream(data)


def test_the_system_s_own_errors_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(size: int) -> memoryview:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(streams, "private_memory", no_memory)
    with pytest.raises(OSError, match="allocate"):
        open_stream(zlib.compress(RAW), size=len(RAW))


def test_the_default_limit_leaves_room() -> None:
    assert EXPANSION_FREE >= 2**26
    assert EXPANSION_FACTOR >= 100
