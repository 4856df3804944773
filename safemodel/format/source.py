"""The artifact's bytes: opened once, of a size fixed at that moment, read at positions.

Whatever happens to the path or the file afterwards, a read gives all the bytes that were asked for or raises. A source
says nothing about what the bytes are: a second read of the same place may differ, so only what was read into private
memory may be judged and used.
"""

import io
import os
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import BinaryIO, Final, Self

from safemodel import system
from safemodel.errors import FormatError
from safemodel.format.limits import KIB, READ_SIZE

SUFFIX = ".safemodel"
END_SIZE: Final = 16 * KIB  # directory, signatures, manifest and digests of most files lie in as much


class Source(ABC):
    """Bytes that can be read at any position, by several threads at once.

    Attributes:
        size: in bytes, as it was on opening.
        stem: the file's name without `.safemodel`, or None for a file object.
        label: what messages call it.
    """

    def __init__(self, size: int, stem: str | None, label: str) -> None:
        self.size = size
        self.stem = stem
        self.label = label
        self._end: bytes | None = None  # where the many small entries are; read at once

    @abstractmethod
    def close(self) -> None:
        """Let go of the file; reading afterwards raises ValueError, as with any closed file."""

    @abstractmethod
    def _read_some(self, view: memoryview, offset: int) -> int:
        """Read 1 to `len(view)` bytes, or 0 at the end."""

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fill a view with the bytes that start at an offset.

        Args:
            view: writable, contiguous bytes.
            offset: in the source, in bytes.

        Raises:
            FormatError: the source ends before the view is full.
            OSError: the system cannot read.
        """
        if not 0 <= offset <= self.size - len(view):
            raise FormatError(
                f"expected {len(view)} bytes at offset {offset}, found a file of {self.size} bytes: {self.label}"
            )
        while view:
            count = self._read_some(view[:READ_SIZE], offset)
            if count == 0:
                raise FormatError(
                    f"expected {self.size} bytes, found that the file became shorter while it was read: {self.label}",
                    hint="try again when nothing is writing to it",
                )
            view = view[count:]
            offset += count

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes that start at an offset; raises as `read_into` does.

        What lies in the last `END_SIZE` bytes is read once, with the first of it.
        """
        if length > self.size:  # before the memory is taken
            raise FormatError(f"expected {length} bytes, found a file of {self.size} bytes: {self.label}")
        end = max(self.size - END_SIZE, 0)
        if offset < end or offset + length > self.size:
            return self._read_now(offset, length)
        if self._end is None:
            self._end = self._read_now(end, self.size - end)
        return self._end[offset - end : offset - end + length]

    def _read_now(self, offset: int, length: int) -> bytes:
        data = bytearray(length)
        self.read_into(memoryview(data), offset)
        return bytes(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _FileSource(Source):
    """A regular file, held by its descriptor."""

    def __init__(self, path: str) -> None:
        self._file = io.FileIO(system.open_regular(path))
        super().__init__(os.fstat(self._file.fileno()).st_size, os.path.basename(path).removesuffix(SUFFIX), path)

    def close(self) -> None:
        self._file.close()

    def _read_some(self, view: memoryview, offset: int) -> int:
        return system.read_at(self._file.fileno(), view, offset)


class _ObjectSource(Source):
    """A caller's file object: the whole of it, whatever its position; the caller closes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = threading.Lock()
        super().__init__(file.seek(0, os.SEEK_END), None, f"<{type(file).__name__}>")

    def close(self) -> None:
        """Nothing: the object is the caller's."""

    def _read_some(self, view: memoryview, offset: int) -> int:
        with self._lock:
            self._file.seek(offset)
            data = self._file.read(len(view))
        if not isinstance(data, bytes) or len(data) > len(view):
            raise OSError(f"expected at most {len(view)} bytes, found that {self.label} breaks the file protocol")
        view[: len(data)] = data
        return len(data)


def open_source(filename: str | os.PathLike[str] | BinaryIO) -> Source:
    """Open an artifact, once.

    Args:
        filename: a path, or a seekable file object opened in binary mode, which is read from its beginning whatever
            its position and is left open.

    Returns:
        The source; close it, or use it in a `with` statement.

    Raises:
        FormatError: the path leads to a pipe, a socket or a device.
        OSError: the file cannot be opened.
        TypeError: the argument is neither of the two.
    """
    if isinstance(filename, str | os.PathLike):
        path = os.fspath(filename)
        if isinstance(path, str):
            return _FileSource(path)
    elif _is_seekable_binary(filename):
        return _ObjectSource(filename)
    raise TypeError(
        f"expected a path or a seekable file object opened in binary mode, found {type(filename).__name__}; "
        "wrap bytes in io.BytesIO"
    )


def _is_seekable_binary(file: object) -> bool:
    if not all(hasattr(file, name) for name in ("read", "seek", "seekable")):
        return False
    return bool(file.seekable()) and isinstance(file.read(0), bytes)  # type: ignore[attr-defined]
