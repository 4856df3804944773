"""Chunk digests: how every content before the `digests` entry is cut, hashed and checked (docs/spec.md, "Digests").

Chunks never span entries and are computed, not stored. A chunk is read into private memory and hashed there, so that
what was checked is what is used, whatever happens to the file meanwhile. Hashing uses plain threads that are joined
before the call returns, also when it raises, so that forking afterwards is safe.
"""

import threading
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from queue import SimpleQueue
from types import TracebackType
from typing import Final, Protocol, Self, overload

from safemodel import system
from safemodel.errors import DigestMismatchError, FormatError, UnsupportedVersionError
from safemodel.format.container import DIGESTS, Layout
from safemodel.format.limits import DIGEST_SIZE, MIB, READ_SIZE
from safemodel.format.source import Source

ALGORITHMS: Final = ("blake3", "sha256")

Buffer = bytes | bytearray | memoryview
Progress = Callable[[int, int], None]

_THREAD_WORTH: Final = 4 * MIB  # bytes; hashing fewer takes no longer than starting a thread for them
_REPORT_SECONDS: Final = 0.1  # between reports while only other threads still work
_KEPT_PART_MIN: Final = 4096  # bytes; smaller parts are copied together, since each kept one costs memory and calls


class _Hasher(Protocol):
    def update(self, data: Buffer, /) -> object: ...
    def digest(self) -> bytes: ...


def _hasher_of(algorithm: str) -> Callable[[], _Hasher]:
    if algorithm == "blake3":
        from blake3 import blake3

        return blake3
    if algorithm == "sha256":
        from hashlib import sha256

        return sha256
    raise UnsupportedVersionError(
        f"expected a digest algorithm out of {', '.join(ALGORITHMS)}, found {algorithm[:64]!r}", hint="update safemodel"
    )


def digest(algorithm: str, data: Buffer) -> bytes:
    """Return the digest of data, 32 bytes; UnsupportedVersionError for an unknown algorithm."""
    hasher = _hasher_of(algorithm)()
    hasher.update(data)
    return hasher.digest()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of one entry's content that has a digest of its own.

    Attributes:
        entry: number of the entry in the layout.
        number: of the chunk, running over the file.
        offset: in the file, bytes.
        size: bytes, at least 1.
        within: offset in the entry, bytes.
    """

    entry: int
    number: int
    offset: int
    size: int
    within: int


class ChunkTable(Sequence[Chunk]):
    """Every chunk of every entry before `digests`, in file order; computed on demand.

    Args:
        layout: of the file.
        chunk_size: bytes, a power of two; the last chunk of an entry may be smaller, an empty entry has none.
    """

    def __init__(self, layout: Layout, chunk_size: int) -> None:
        covered = layout.entries.index(layout.entry(DIGESTS))
        self._sizes = [entry.size for entry in layout.entries[:covered]]
        self._offsets = layout.data_offsets
        self._chunk_size = chunk_size
        self._firsts = list(accumulate((-(-size // chunk_size) for size in self._sizes), initial=0))

    def __len__(self) -> int:
        return self._firsts[-1]

    @overload
    def __getitem__(self, number: int) -> Chunk: ...
    @overload
    def __getitem__(self, number: slice) -> list[Chunk]: ...
    def __getitem__(self, number: int | slice) -> Chunk | list[Chunk]:
        numbers = range(len(self))[number]  # the rules for negative numbers, slices and IndexError
        return self._chunk(numbers) if isinstance(numbers, int) else [self._chunk(each) for each in numbers]

    def of_entry(self, entry: int) -> list[Chunk]:
        """Return the chunks of one entry, given its number in the layout."""
        return self[self._firsts[entry] : self._firsts[entry + 1]]

    def _chunk(self, number: int) -> Chunk:
        entry = bisect_right(self._firsts, number) - 1
        within = (number - self._firsts[entry]) * self._chunk_size
        size = min(self._chunk_size, self._sizes[entry] - within)
        return Chunk(entry, number, self._offsets[entry] + within, size, within)


def hash_chunks(
    source: Source,
    chunks: Sequence[Chunk],
    algorithm: str,
    *,
    expected: bytes | None,
    into: memoryview | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Read every chunk once, at most `READ_SIZE` at a time, and hash it while it is in the processor's cache.

    Args:
        source: the artifact's bytes.
        chunks: which of them, in any number.
        algorithm: one of `ALGORITHMS`.
        expected: the digests they must have, concatenated; None to compute only.
        into: private memory, writable and as long as all chunks together, that gets their bytes one after another.
            Without it, a small buffer per thread is used again and again.
        progress: called from the calling thread with (bytes done, bytes in all); what it raises stops everything.

    Returns:
        The digests, concatenated in the order of the chunks.

    Raises:
        DigestMismatchError: names the first chunk that has another digest than expected.
        FormatError: the source became shorter, or `expected` is not one digest for each chunk.
        UnsupportedVersionError: the algorithm is unknown.
        OSError: the source cannot be read.
    """
    work = _Hashing(source, chunks, algorithm, expected, into)
    threads: list[threading.Thread] = []
    try:
        _start_threads(threads, work.help, work.helpers())
        for _ in work.steps():
            work.report(progress)
        for thread in threads:
            while thread.is_alive():
                thread.join(_REPORT_SECONDS)
                work.report(progress)
    finally:
        work.stop()
        _join(threads)
    digests = work.result()
    if progress is not None:
        progress(work.total, work.total)
    return digests


class _Hashing:
    """The shared state of one `hash_chunks` call.

    Chunks are handed out in ascending order, and those handed out before a failure are finished, so the failure that
    is reported is the first one in the file, whichever thread meets it.
    """

    def __init__(
        self, source: Source, chunks: Sequence[Chunk], algorithm: str, expected: bytes | None, into: memoryview | None
    ) -> None:
        self._source = source
        self._chunks = chunks
        self._new_hasher = _hasher_of(algorithm)
        self._starts = list(accumulate((chunk.size for chunk in chunks), initial=0))
        self.total = self._starts[-1]
        if expected is not None and len(expected) != len(chunks) * DIGEST_SIZE:
            raise FormatError(f"expected {len(chunks)} digests, found {len(expected)} bytes of them")
        if into is not None and len(into) != self.total:
            raise ValueError(f"expected memory for {self.total} bytes, found {len(into)}")
        self._expected = expected
        self._into = into
        self._lock = threading.Lock()
        self._positions = iter(range(len(chunks)))
        self._stopped = False
        self._done = 0
        self._digests: dict[int, bytes] = {}
        self._failures: dict[int, Exception] = {}

    def helpers(self) -> int:
        """How many threads are worth starting besides the calling one."""
        most = min(len(self._chunks), 1 + self.total // _THREAD_WORTH)
        return min(system.thread_count(), most) - 1 if most > 1 else 0  # the count takes longer than a small file

    def help(self) -> None:
        """Hash until nothing is left; what another thread does."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[None]:
        """Take and hash chunks until nothing is left, pausing after each piece that was read and hashed."""
        memory = self._into
        while (position := self._take()) is not None:
            try:
                if memory is None:
                    memory = system.private_memory(min(READ_SIZE, self.total))
                yield from self._hash(position, memory)
            except Exception as error:
                self._failures[position] = error

    def stop(self) -> None:
        """Make every thread end at its next piece."""
        self._stopped = True

    def report(self, progress: Progress | None) -> None:
        """Tell how far it is; the end is told only once every digest has been compared."""
        if progress is not None and self._done < self.total:
            progress(self._done, self.total)

    def result(self) -> bytes:
        """Return the digests in order, or raise the first failure."""
        if self._failures:
            failures, self._failures = self._failures, {}  # kept, it would keep this object and the memory alive
            raise failures.pop(min(failures))
        if len(self._digests) != len(self._chunks):
            raise DigestMismatchError(
                f"expected {len(self._chunks)} chunks, found that {len(self._digests)} were hashed"
            )
        return b"".join(self._digests[position] for position in range(len(self._chunks)))

    def _take(self) -> int | None:
        with self._lock:
            return None if self._stopped or self._failures else next(self._positions, None)

    def _hash(self, position: int, memory: memoryview) -> Iterator[None]:
        chunk = self._chunks[position]
        hasher = self._new_hasher()
        for within in range(0, chunk.size, READ_SIZE):
            if self._stopped:
                return
            start = 0 if self._into is None else self._starts[position] + within
            piece = memory[start : start + min(READ_SIZE, chunk.size - within)]
            self._source.read_into(piece, chunk.offset + within)
            hasher.update(piece)
            with self._lock:
                self._done += len(piece)
            yield
        self._accept(position, hasher.digest())

    def _accept(self, position: int, found: bytes) -> None:
        start = position * DIGEST_SIZE
        if self._expected is not None and found != self._expected[start : start + DIGEST_SIZE]:
            chunk = self._chunks[position]
            raise DigestMismatchError(
                f"bytes {chunk.offset} to {chunk.offset + chunk.size - 1} have another digest: {self._source.label}",
                hint="the file is damaged or was changed; fetch it again",
            )
        self._digests[position] = found


class EntryHasher:
    """Chunk digests and CRC-32 of one entry, made by other threads while the caller writes it; a context manager.

    A chunk is a task: its BLAKE3 or SHA-256 and its CRC-32 are computed piece by piece, while the piece is in the
    cache, and the CRC-32s are combined at the end.

    Args:
        algorithm: one of `ALGORITHMS`.
        chunk_size: bytes.

    Raises:
        UnsupportedVersionError: the algorithm is unknown.
    """

    def __init__(self, algorithm: str, chunk_size: int) -> None:
        self._new_hasher = _hasher_of(algorithm)
        self._chunk_size = chunk_size
        self._parts: list[Buffer] = []
        self._filled = 0
        self._count = 0
        self._results: dict[int, tuple[bytes, int]] = {}
        self._failures: list[Exception] = []
        self._threads: list[threading.Thread] | None = None
        self._tasks: SimpleQueue[tuple[int, list[Buffer]] | None] = SimpleQueue()
        self._room = threading.Semaphore(2 * system.thread_count())

    def update(self, data: Buffer, *, stable: bool = False) -> None:
        """Append to the content.

        Args:
            data: C-contiguous bytes of any length. `bytes` are hashed where they are, anything else is copied first.
            stable: the caller promises not to change `data` before `finish`, so that no copy is needed.
        """
        stable = stable or isinstance(data, bytes)
        view = memoryview(data)
        view = view.cast("B") if view.nbytes else memoryview(b"")  # shapes with a zero cannot be cast
        while view:
            part = view[: self._chunk_size - self._filled]
            self._append(part if stable else bytes(part))
            view = view[len(part) :]
            if self._filled == self._chunk_size:
                self._seal()

    def finish(self) -> tuple[bytes, int, int]:
        """Wait for everything.

        Returns:
            The concatenated digests of the chunks, the CRC-32 of the whole content, and its size in bytes.
        """
        last = self._filled
        if last:
            self._hash(self._count, self._parts)
        self.close()
        if self._failures:
            raise self._failures.pop()
        numbers = range(self._count + (last > 0))
        crc32 = 0
        for number in numbers:
            size = self._chunk_size if number < self._count else last
            crc32 = combine_crc32(crc32, self._results[number][1], size)
        return b"".join(self._results[number][0] for number in numbers), crc32, self._count * self._chunk_size + last

    def close(self) -> None:
        """Let the threads end, and wait until they have."""
        threads, self._threads = self._threads or [], []
        for _ in threads:
            self._tasks.put(None)
        _join(threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, part: Buffer) -> None:
        small = len(part) < _KEPT_PART_MIN
        if small and self._parts and isinstance(self._parts[-1], bytearray):
            self._parts[-1] += part
        else:
            self._parts.append(bytearray(part) if small else part)
        self._filled += len(part)

    def _seal(self) -> None:
        if self._threads is None:
            self._threads = []
            _start_threads(self._threads, self._work, system.thread_count() - 1)
        if self._threads and self._room.acquire(blocking=False):
            self._tasks.put((self._count, self._parts))
        else:  # the others have enough to do, so the calling thread is better used here than waiting
            self._hash(self._count, self._parts)
        self._count += 1
        self._parts = []
        self._filled = 0

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                self._hash(*task)
            except Exception as error:
                self._failures.append(error)
            finally:
                self._room.release()

    def _hash(self, number: int, parts: list[Buffer]) -> None:
        hasher = self._new_hasher()
        crc32 = 0
        for part in parts:
            view = memoryview(part)
            for start in range(0, len(view), READ_SIZE):
                piece = view[start : start + READ_SIZE]
                hasher.update(piece)
                crc32 = zlib.crc32(piece, crc32)
        self._results[number] = hasher.digest(), crc32


def combine_crc32(first: int, second: int, size: int) -> int:
    """Return the CRC-32 of two stretches of bytes one after the other.

    Args:
        first: CRC-32 of the first.
        second: CRC-32 of the second.
        size: of the second, bytes.

    Source: `crc32_combine` of zlib 1.3, crc32.c; the CRC of A followed by n zero bytes is A times x^(8n).
    """
    return _multiply(_power(size), first) ^ second


@lru_cache(maxsize=2)
def _power(size: int) -> int:
    """x to the power of 8 * size, modulo CRC-32's polynomial."""
    power, square = 1 << 31, 1 << 23  # x^0 and x^8: coefficients are reflected, so bit 31 stands for x^0
    while size:
        if size & 1:
            power = _multiply(power, square)
        square = _multiply(square, square)
        size >>= 1
    return power


def _multiply(a: int, b: int) -> int:
    """The product of two polynomials over GF(2), modulo CRC-32's."""
    product = 0
    while a:
        if a & 1 << 31:
            product ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ (0xEDB88320 if b & 1 else 0)
    return product


def _start_threads(threads: list[threading.Thread], target: Callable[[], None], count: int) -> None:
    """Start threads and append them to the list, fewer where the system gives no more."""
    for _ in range(count):
        thread = threading.Thread(target=target, name="safemodel-hashing", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return
        threads.append(thread)


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()
