"""Chunk digests: cutting, hashing, checking, and the threads that do it."""

import errno
import hashlib
import io
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from safemodel import system
from safemodel.errors import DigestMismatchError, FormatError, UnsupportedVersionError
from safemodel.format import digests as digests_module
from safemodel.format.container import (
    DIGESTS,
    INDEX,
    MANIFEST,
    MIMETYPE,
    MIMETYPE_ENTRY,
    SIGNATURES,
    Entry,
    derive_layout,
)
from safemodel.format.digests import ALGORITHMS, Chunk, ChunkTable, EntryHasher, combine_crc32, digest, hash_chunks
from safemodel.format.limits import KIB, MIB
from safemodel.format.source import Source, open_source

CHUNK = 64 * KIB


def one_by_one(algorithm: str, data: bytes, chunk_size: int = CHUNK) -> bytes:
    """The digests of all chunks of one content, without any of the code under test."""
    new: Callable[[bytes], Any] = blake3 if algorithm == "blake3" else hashlib.sha256
    return b"".join(new(data[start : start + chunk_size]).digest() for start in range(0, len(data), chunk_size))


def chunks_of(size: int, chunk_size: int = CHUNK) -> list[Chunk]:
    starts = range(0, size, chunk_size)
    return [Chunk(1, number, start, min(chunk_size, size - start), start) for number, start in enumerate(starts)]


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Have four threads work, on any machine and on little data; none may be left at the end."""
    count = getattr(request, "param", 4)
    monkeypatch.setattr(system, "thread_count", lambda: count)
    monkeypatch.setattr(digests_module, "_THREAD_WORTH", CHUNK)
    before = threading.active_count()
    yield count
    assert threading.active_count() == before


@pytest.fixture(scope="module")
def data() -> bytes:
    return os.urandom(40 * CHUNK + 1000)


@pytest.fixture
def source(data: bytes) -> Source:
    return open_source(io.BytesIO(data))


class Counting(Source):
    """Zeroes; remembers who read them."""

    def __init__(self, size: int) -> None:
        super().__init__(size, None, "zeroes")
        self.readers: list[threading.Thread] = []
        self.largest = 0

    def close(self) -> None:
        pass

    def _read_some(self, view: memoryview, offset: int) -> int:
        self.readers.append(threading.current_thread())
        self.largest = max(self.largest, len(view))
        view[:] = bytes(len(view))
        return len(view)


class TestDigest:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_of_any_buffer(self, algorithm: str, kind: type) -> None:
        assert digest(algorithm, kind(b"content")) == one_by_one(algorithm, b"content")

    @pytest.mark.parametrize("algorithm", ["", "md5", "BLAKE3", "sha-256", "none"])
    def test_unknown_algorithms(self, algorithm: str, source: Source) -> None:
        with pytest.raises(UnsupportedVersionError):
            digest(algorithm, b"")
        with pytest.raises(UnsupportedVersionError):
            hash_chunks(source, [], algorithm, expected=None)
        with pytest.raises(UnsupportedVersionError):
            EntryHasher(algorithm, CHUNK)


class TestChunkTable:
    @pytest.fixture
    def table(self) -> ChunkTable:
        return self.table_of(2 * CHUNK + 1, CHUNK)

    @staticmethod
    def table_of(payload: int, attachment: int) -> ChunkTable:
        sizes = {"payload.joblib": payload, INDEX: 0, "notes.txt": attachment, DIGESTS: 99, MANIFEST: 1, SIGNATURES: 1}
        first = Entry(MIMETYPE_ENTRY, len(MIMETYPE), zlib.crc32(MIMETYPE))
        return ChunkTable(derive_layout([first, *(Entry(name, size, 0) for name, size in sizes.items())]), CHUNK)

    def test_cuts_every_entry_before_the_digests(self, table: ChunkTable) -> None:
        notes = 4096 + 2 * CHUNK + 1 + 35 + 39
        assert list(table) == [
            Chunk(0, 0, 38, 29, 0),
            Chunk(1, 1, 4096, CHUNK, 0),
            Chunk(1, 2, 4096 + CHUNK, CHUNK, CHUNK),
            Chunk(1, 3, 4096 + 2 * CHUNK, 1, 2 * CHUNK),
            Chunk(3, 4, notes, CHUNK, 0),
        ]
        assert len(table) == 5

    def test_is_a_sequence(self, table: ChunkTable) -> None:
        chunks = list(table)
        assert [table[number] for number in range(5)] == chunks
        assert table[-1] == chunks[-1]
        assert table[1:4] == chunks[1:4]
        for number in (5, -6):
            with pytest.raises(IndexError):
                table[number]

    def test_knows_the_chunks_of_an_entry(self, table: ChunkTable) -> None:
        assert [table.of_entry(entry) for entry in range(4)] == [table[0:1], table[1:4], [], table[4:5]]

    def test_takes_no_memory_for_chunks(self) -> None:
        table = self.table_of(2**52, 0)
        assert len(table) == 1 + 2**52 // CHUNK
        assert table[-1].within == 2**52 - CHUNK

    @given(st.integers(0, 5 * CHUNK), st.integers(0, 5 * CHUNK))
    def test_covers_each_content_once(self, payload: int, attachment: int) -> None:
        table = self.table_of(payload, attachment)
        for entry, size in ((1, payload), (2, 0), (3, attachment)):
            chunks = table.of_entry(entry)
            assert sum(chunk.size for chunk in chunks) == size
            assert all(0 < chunk.size <= CHUNK for chunk in chunks)
            assert all(a.offset + a.size == b.offset and a.size == CHUNK for a, b in pairwise(chunks))
        assert [chunk.number for chunk in table] == list(range(len(table)))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
class TestHashChunks:
    @pytest.mark.parametrize("threads", [1, 2, 8], indirect=True)
    @pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, 3 * CHUNK, 40 * CHUNK + 1000])
    def test_returns_the_digests_in_order(self, algorithm: str, data: bytes, source: Source, size: int) -> None:
        expected = one_by_one(algorithm, data[:size])
        assert hash_chunks(source, chunks_of(size), algorithm, expected=None) == expected
        assert hash_chunks(source, chunks_of(size), algorithm, expected=expected) == expected

    def test_reads_large_chunks_in_pieces(self, algorithm: str, data: bytes, source: Source) -> None:
        chunks = chunks_of(len(data), 2 * MIB)
        assert hash_chunks(source, chunks, algorithm, expected=None) == one_by_one(algorithm, data, 2 * MIB)

    def test_keeps_the_bytes_that_were_hashed(self, algorithm: str, data: bytes, source: Source) -> None:
        memory = system.private_memory(30 * CHUNK + 1000)
        hash_chunks(source, chunks_of(len(data))[10:], algorithm, expected=None, into=memory)
        assert memory == data[10 * CHUNK :]

    def test_any_selection_of_chunks(self, algorithm: str, data: bytes, source: Source) -> None:
        chunks = [chunks_of(len(data))[number] for number in (40, 3, 3, 17)]
        memory = system.private_memory(3 * CHUNK + 1000)
        found = hash_chunks(source, chunks, algorithm, expected=None, into=memory)
        assert found == b"".join(one_by_one(algorithm, data[c.offset : c.offset + c.size]) for c in chunks)
        assert memory == b"".join(data[c.offset : c.offset + c.size] for c in chunks)

    @pytest.mark.parametrize("wrong", [[0], [40], [17], [5, 6, 7, 8, 39]])
    def test_names_the_first_chunk_that_differs(
        self, algorithm: str, data: bytes, source: Source, wrong: list[int]
    ) -> None:
        expected = bytearray(one_by_one(algorithm, data))
        for number in wrong:
            expected[32 * number + 31] ^= 1
        chunk = chunks_of(len(data))[wrong[0]]
        with pytest.raises(DigestMismatchError) as caught:
            hash_chunks(source, chunks_of(len(data)), algorithm, expected=bytes(expected))
        assert f"{chunk.offset} to {chunk.offset + chunk.size - 1} " in str(caught.value)
        assert caught.value.code == "digest-mismatch"


class TestHashing:
    """What does not depend on the algorithm."""

    @pytest.mark.parametrize("length", [0, 31, 40 * 32, 42 * 32])
    def test_wants_one_expected_digest_for_each_chunk(self, data: bytes, source: Source, length: int) -> None:
        with pytest.raises(FormatError):
            hash_chunks(source, chunks_of(len(data)), "blake3", expected=bytes(length))

    @pytest.mark.parametrize("size", [0, CHUNK - 1, CHUNK + 1])
    def test_wants_memory_of_the_right_size(self, source: Source, size: int) -> None:
        with pytest.raises(ValueError, match="memory"):
            hash_chunks(source, chunks_of(CHUNK), "blake3", expected=None, into=system.private_memory(size))

    def test_takes_a_table(self, source: Source, data: bytes) -> None:
        table = TestChunkTable.table_of(5 * CHUNK, 100)
        digests = hash_chunks(source, table, "blake3", expected=None)
        assert digests[32:64] == one_by_one("blake3", data[4096 : 4096 + CHUNK])

    def test_reads_little_at_a_time(self) -> None:
        source = Counting(16 * MIB)
        hash_chunks(source, chunks_of(source.size, 4 * MIB), "blake3", expected=None)
        assert source.largest == MIB

    def test_the_calling_thread_and_others_read_at_once(self, threads: int) -> None:
        meeting = threading.Barrier(threads, timeout=60)

        class Meeting(Counting):
            def _read_some(self, view: memoryview, offset: int) -> int:
                if threading.current_thread() not in self.readers:
                    meeting.wait()
                return super()._read_some(view, offset)

        source = Meeting(16 * CHUNK)
        hash_chunks(source, chunks_of(source.size), "blake3", expected=None)
        assert len(set(source.readers)) == threads

    @pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK])
    def test_starts_no_thread_for_little(self, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        monkeypatch.setattr(threading.Thread, "start", None)  # calling it would raise
        hash_chunks(Counting(size), chunks_of(size, CHUNK), "blake3", expected=None)

    def test_does_with_the_threads_it_gets(self, data: bytes, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
        real = threading.Thread.start
        started: list[threading.Thread] = []

        def start_one(thread: threading.Thread) -> None:
            if started:
                raise RuntimeError("can't start new thread")
            started.append(thread)
            real(thread)

        monkeypatch.setattr(threading.Thread, "start", start_one)
        chunks = chunks_of(len(data))
        assert hash_chunks(source, chunks, "blake3", expected=None) == one_by_one("blake3", data)
        with EntryHasher("blake3", CHUNK) as hasher:
            hasher.update(data)
            assert hasher.finish()[0] == one_by_one("blake3", data)

    def test_the_error_of_reading_is_passed_on(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "file"
        path.write_bytes(data)
        with open_source(path) as source:
            os.truncate(path, 5 * CHUNK)
            with pytest.raises(FormatError):
                hash_chunks(source, chunks_of(len(data)), "blake3", expected=None)

    def test_too_little_memory_is_an_oserror(
        self, data: bytes, source: Source, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def none_left(size: int) -> memoryview:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")

        monkeypatch.setattr(system, "private_memory", none_left)
        with pytest.raises(OSError, check=lambda error: error.errno == errno.ENOMEM):
            hash_chunks(source, chunks_of(len(data)), "blake3", expected=None)

    def test_chunks_that_nobody_hashed_are_no_success(
        self, data: bytes, source: Source, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(digests_module._Hashing, "_take", lambda _: None)
        with pytest.raises(DigestMismatchError):
            hash_chunks(source, chunks_of(len(data)), "blake3", expected=one_by_one("blake3", data))

    def test_an_error_does_not_keep_the_memory(self, data: bytes, source: Source) -> None:
        memory = system.private_memory(len(data))
        with pytest.raises(DigestMismatchError):
            hash_chunks(source, chunks_of(len(data)), "blake3", expected=bytes(41 * 32), into=memory)
        memory.release()  # BufferError if any view of it were alive


class TestProgress:
    @pytest.mark.parametrize("threads", [1, 4], indirect=True)
    def test_rises_to_the_end_in_the_calling_thread(self, data: bytes, source: Source) -> None:
        seen: list[tuple[int, int]] = []
        callers: set[threading.Thread] = set()

        def progress(done: int, total: int) -> None:
            seen.append((done, total))
            callers.add(threading.current_thread())

        hash_chunks(source, chunks_of(len(data)), "blake3", expected=None, progress=progress)
        assert seen == sorted(seen)
        assert seen[-1] == (len(data), len(data))
        assert seen.count(seen[-1]) == 1
        assert callers == {threading.current_thread()}

    def test_does_not_tell_of_an_end_that_failed(self, data: bytes, source: Source) -> None:
        seen: list[int] = []
        with pytest.raises(DigestMismatchError):
            hash_chunks(
                source,
                chunks_of(len(data)),
                "blake3",
                expected=bytes(32 * 41),
                progress=lambda done, total: seen.append(total - done),
            )
        assert 0 not in seen

    @pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
    def test_an_error_in_it_stops_every_thread(self, error: type[BaseException]) -> None:
        source = Counting(2**40)

        def progress(done: int, total: int) -> None:
            if done > 3 * MIB:
                raise error

        with pytest.raises(error):
            hash_chunks(source, chunks_of(2**40, 2**30), "blake3", expected=None, progress=progress)
        assert len(source.readers) < 2**40 // MIB // 10

    def test_goes_on_while_only_others_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told = threading.Event()
        monkeypatch.setattr(digests_module, "_REPORT_SECONDS", 0.001)

        class Slow(Counting):
            def _read_some(self, view: memoryview, offset: int) -> int:
                if threading.current_thread() is not threading.main_thread():
                    told.wait(10)
                return super()._read_some(view, offset)

        seen: list[int] = []

        def progress(done: int, total: int) -> None:
            seen.append(done)
            if seen.count(done) == 2:  # nothing was done in between, and still it was told
                told.set()

        hash_chunks(Slow(8 * CHUNK), chunks_of(8 * CHUNK), "blake3", expected=None, progress=progress)
        assert told.is_set()


class TestEntryHasher:
    @pytest.mark.parametrize("threads", [1, 2, 8], indirect=True)
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    @pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 40 * CHUNK + 1000])
    @pytest.mark.parametrize("step", [999, 5000, CHUNK, 3 * CHUNK + 1])
    def test_equals_hashing_the_whole(self, algorithm: str, data: bytes, size: int, step: int) -> None:
        with EntryHasher(algorithm, CHUNK) as hasher:
            for start in range(0, size, step):
                hasher.update(data[start : min(start + step, size)])
            found = hasher.finish()
            assert hasher.finish() == found
        assert found == (one_by_one(algorithm, data[:size]), zlib.crc32(data[:size]), size)

    @given(st.lists(st.binary(max_size=200), max_size=40))
    def test_any_sequence_of_writes(self, writes: list[bytes]) -> None:
        with EntryHasher("sha256", 64) as hasher:
            for data in writes:
                hasher.update(data)
            whole = b"".join(writes)
            assert hasher.finish() == (one_by_one("sha256", whole, 64), zlib.crc32(whole), len(whole))

    @pytest.mark.parametrize("size", [100, 10_000, 3 * CHUNK])
    def test_the_caller_may_use_the_buffer_again(self, data: bytes, size: int) -> None:
        buffer = bytearray(size)
        with EntryHasher("blake3", CHUNK) as hasher:
            for start in range(0, 6 * size, size):
                buffer[:] = data[start : start + size]
                hasher.update(memoryview(buffer))
                buffer[:] = bytes(size)
            digests, crc32, _ = hasher.finish()
        assert (digests, crc32) == (one_by_one("blake3", data[: 6 * size]), zlib.crc32(data[: 6 * size]))

    def test_a_stable_buffer_is_not_copied(self, data: bytes) -> None:
        with EntryHasher("blake3", CHUNK) as hasher:
            buffer = bytearray(data[:CHUNK])
            hasher.update(memoryview(buffer)[:5000], stable=True)
            buffer[0] ^= 1
            assert hasher.finish()[1] == zlib.crc32(buffer[:5000])

    @pytest.mark.parametrize("shape", [(2, 3), (0, 3), ()])
    def test_arrays_of_any_shape(self, shape: tuple[int, ...]) -> None:
        array = np.full(shape, 1.5)
        with EntryHasher("blake3", CHUNK) as hasher:
            hasher.update(array.data)
            assert hasher.finish()[1:] == (zlib.crc32(array.tobytes()), array.nbytes)

    @pytest.mark.parametrize("where", ["threads", "caller"])
    def test_an_error_of_hashing_is_raised(self, data: bytes, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
        def failing(*_: object) -> int:
            if (threading.current_thread() is threading.main_thread()) == (where == "caller"):
                raise MemoryError
            return 0

        monkeypatch.setattr(zlib, "crc32", failing)

        def run() -> None:
            with EntryHasher("blake3", CHUNK) as hasher:
                hasher.update(data)
                hasher.finish()

        with pytest.raises(MemoryError):
            run()

    def test_an_error_of_the_caller_leaves_no_thread(self, data: bytes) -> None:
        def run() -> None:
            with EntryHasher("blake3", CHUNK) as hasher:
                hasher.update(data)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            run()  # the fixture counts the threads


class TestCombineCrc32:
    @given(st.binary(max_size=300), st.binary(max_size=300))
    def test_equals_the_crc32_of_both(self, first: bytes, second: bytes) -> None:
        combined = combine_crc32(zlib.crc32(first), zlib.crc32(second), len(second))
        assert combined == zlib.crc32(first + second)

    @pytest.mark.parametrize("size", [2**20, 2**24 - 1])
    def test_large_sizes(self, size: int) -> None:
        assert combine_crc32(zlib.crc32(b"first"), zlib.crc32(bytes(size)), size) == zlib.crc32(b"first" + bytes(size))
