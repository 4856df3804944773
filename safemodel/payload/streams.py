"""Opening a payload by its content, whatever its name says: joblib's compressors, or none.

One compressed stream, nothing after it, and never more output than allowed. joblib itself goes on with further members,
and expands a few kilobytes to whatever size they ask for.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.format.limits import EXPANSION_FACTOR, EXPANSION_FREE, LZMA_MEMORY_MAX, MIB
from safemodel.system import private_memory

_STEP = 1 * MIB  # of input or output at a time


class _Decompressor(Protocol):
    """What `bz2` and `lzma` give."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: memoryview, /, max_length: int) -> bytes: ...


class _Inflater:
    """zlib behind the interface of the other two."""

    def __init__(self, window_bits: int) -> None:
        self._inner = zlib.decompressobj(window_bits)
        self._more = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and not self._more

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: memoryview, /, max_length: int) -> bytes:
        output = self._inner.decompress(self._inner.unconsumed_tail or data, max_length)
        self._more = len(output) == max_length
        return output


_FORMATS: Final[tuple[tuple[str, bytes, Callable[[], _Decompressor]], ...]] = (
    ("zlib", b"\x78", lambda: _Inflater(15)),
    ("gzip", b"\x1f\x8b", lambda: _Inflater(31)),
    ("bz2", b"BZ", bz2.BZ2Decompressor),
    ("lzma", b"\x5d\x00", lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, LZMA_MEMORY_MAX)),
    ("xz", b"\xfd7zXZ", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, LZMA_MEMORY_MAX)),
)
_REFUSED: Final = (
    (b"ZF", "the container of joblib before 0.10", "dump it again with a newer joblib, where it is trusted"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "dump it again with another compressor"),
    (b"PK", "a ZIP archive", "expected a joblib or pickle file"),
)


def open_stream(
    data: bytes | bytearray | memoryview, *, size: int | None = None, limit: int | None = None
) -> tuple[memoryview, str]:
    """Return the uncompressed stream of a joblib or pickle file.

    Args:
        data: the file's bytes.
        size: bytes that the stream must have, where something signed says so.
        limit: bytes that it may have at most; by default 64 MiB and 256 times the file's size. Not used with `size`.

    Returns:
        The stream, and how it was compressed: "none" (then it is `data` itself), "zlib", "gzip", "bz2", "lzma" or "xz".
        With `size`, a compressed stream is expanded into private memory.

    Raises:
        LimitExceededError: more output than allowed.
        PayloadError: damaged, followed by other bytes, of another size, or a format that is not read.
    """
    view = memoryview(data)
    head = bytes(view[:8])
    for prefix, what, hint in _REFUSED:
        if head.startswith(prefix):
            raise PayloadError(f"the payload is {what}", hint=hint)
    for name, prefix, make in _FORMATS:
        if head.startswith(prefix):
            return _open_compressed(view, name, make, size, limit), name
    if size is not None and size != len(view):
        raise PayloadError(f"the payload has {len(view)} bytes, expected {size}")
    return view, "none"


def _open_compressed(
    data: memoryview, name: str, make: Callable[[], _Decompressor], size: int | None, limit: int | None
) -> memoryview:
    try:
        if size is not None:
            return _fill(private_memory(size), _expand(data, make()))
        most = EXPANSION_FREE + EXPANSION_FACTOR * len(data) if limit is None else limit
        return _collect(_expand(data, make()), most)
    except (zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
        raise PayloadError(f"the {name} stream is damaged: {error}") from error
    except OSError as error:  # what bz2 raises for damaged data, and the system where memory runs out
        if error.errno is not None:
            raise
        raise PayloadError(f"the {name} stream is damaged: {error}") from error


def _expand(data: memoryview, decompressor: _Decompressor) -> Iterator[bytes]:
    """Yield the output of one stream, and refuse bytes after it."""
    position = 0
    while not decompressor.eof:
        piece = data[position : position + _STEP] if decompressor.needs_input else memoryview(b"")
        if decompressor.needs_input and not piece:
            raise PayloadError("the compressed stream ends too early")
        position += len(piece)
        yield decompressor.decompress(piece, _STEP)
    if decompressor.unused_data or position < len(data):
        raise PayloadError("bytes follow the compressed stream", hint="one stream was expected, and nothing after it")


def _collect(pieces: Iterator[bytes], limit: int) -> memoryview:
    output = bytearray()
    for piece in pieces:
        output += piece
        if len(output) > limit:
            raise LimitExceededError(f"the payload expands to more than {limit} bytes")
    return memoryview(output)


def _fill(memory: memoryview, pieces: Iterator[bytes]) -> memoryview:
    filled = 0
    for piece in pieces:
        if filled + len(piece) > len(memory):
            raise LimitExceededError(f"the payload expands to more than the {len(memory)} bytes that were signed")
        memory[filled : filled + len(piece)] = piece
        filled += len(piece)
    if filled != len(memory):
        raise PayloadError(f"the payload expands to {filled} bytes, expected {len(memory)}")
    return memory
