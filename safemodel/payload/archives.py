"""ZIP archives of other makers: what kind they are, and the models inside, read by the standard library within bounds.

A scanner that stops where a loader goes on is blind (CVE-2025-1889, CVE-2025-1945, CVE-2025-10156). So every member is
looked at by its content, whatever its name, and what cannot be read as its headers say makes the archive malformed:
entries that overlap, names and sizes that differ, a wrong CRC-32, encryption where a loader ignores the flag for it, a
second directory for readers that look for it elsewhere than the standard library.
"""

import encodings.cp437  # noqa: F401 - of names without the UTF-8 flag; nothing is imported while a file is judged
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.format.limits import EXPANSION_FACTOR, EXPANSION_FREE, KIB, MIB, OPCODES_MAX
from safemodel.format.source import Source

ZIP: Final = "zip"
NPZ: Final = "npz"
PYTORCH: Final = "pytorch"
TORCHSCRIPT: Final = "torchscript"
SKOPS: Final = "skops"
KERAS: Final = "keras"

DEPTH_MAX: Final = 3  # archives inside one another
MEMBER_HEAD: Final = 72 * KIB  # of a member, to tell what it is; the header of an array file is at most 64 KiB

_READ_MAX: Final = 8 * MIB  # at once: the directory, of 50,000 members and more
_TAIL_MAX: Final = 22 + 65_535  # the end record and its comment
END_RECORD: Final = b"PK\x05\x06"
_HEADER_SIZE: Final = 30  # of a local header without name and extra field
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_ENDS: Final = re.compile(rb"PK(?:\x05\x06|\x06[\x06\x07])")
_DIRECTORY: Final = b"PK\x01\x02"
_END_RECORD_64: Final = b"PK\x06\x06"
_END_RECORD_64_SIZE: Final = 56
# Of each record at the end: where it says where something begins, and with what (APPNOTE.TXT, 4.3.14 to 4.3.16).
_POINTERS: Final = {
    END_RECORD: (16, 4, _DIRECTORY),
    _END_RECORD_64: (48, 8, _DIRECTORY),
    b"PK\x06\x07": (8, 8, _END_RECORD_64),
}
_STEP: Final = 1 * MIB
_FACTOR_OF_ALL: Final = 16  # times the file's size, for all members together
_FREE_OF_ALL: Final = 1024 * MIB
_TORCH: Final = re.compile(r"(?:[^/]+/)?data\.pkl")
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    IndexError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def has_end_record(source: Source, head: bytes) -> bool:
    """Tell whether a ZIP reader could find an archive that ends where the file ends, whatever stands before it."""
    size = min(source.size, _TAIL_MAX)
    tail = head[-size:] if len(head) == source.size else source.read(source.size - size, size)
    return size > 0 and END_RECORD in tail


class Budget:
    """How many bytes the members of a file may expand to and how many opcodes are walked, in nested archives too.

    Args:
        size: of the file.
    """

    def __init__(self, size: int) -> None:
        self._left = _FREE_OF_ALL + _FACTOR_OF_ALL * size
        self._opcodes = OPCODES_MAX

    def spend(self, count: int) -> None:
        """Take away what was read.

        Raises:
            LimitExceededError: nothing is left.
        """
        self._left -= count
        if self._left < 0:
            raise LimitExceededError("the members of the archive expand to more than is read")

    def walk(self, opcodes: int) -> None:
        """Take away what was walked; what is too much shows before the next walk."""
        self._opcodes -= opcodes

    def check(self) -> None:
        """Refuse a further walk where nothing is left.

        Raises:
            LimitExceededError: nothing is left.
        """
        if self._opcodes < 0:
            raise LimitExceededError("the members of the archive hold more opcodes than are walked")


class Archive:
    """An opened archive.

    Args:
        source: the file, or an archive inside one.
        budget: what may be read of it.

    Raises:
        PayloadError: it cannot be read as a ZIP archive.
    """

    def __init__(self, source: Source, budget: Budget) -> None:
        self._source = source
        self._budget = budget
        with _reported():
            self._zip = zipfile.ZipFile(_SourceFile(source))
        self.members = [member for member in self._zip.infolist() if not member.is_dir() or member.file_size]
        self.kind = _kind({member.filename for member in self.members})

    def check(self) -> None:
        """Check what every reader must see alike.

        Raises:
            PayloadError: members overlap, or there are two directories.
        """
        self._check_places()
        self._check_directory()

    def head(self, member: zipfile.ZipInfo, most: int) -> bytes:
        """Return the first bytes of a member; its CRC-32 is checked only where that is all of it."""
        return b"".join(self._read(member, most))[:most]

    def read(self, member: zipfile.ZipInfo) -> bytes:
        """Return all of a member, its CRC-32 checked.

        Raises:
            LimitExceededError: it expands to more than is read.
            PayloadError: it is not as its headers say.
        """
        limit = EXPANSION_FREE + EXPANSION_FACTOR * member.compress_size
        if member.file_size > limit:
            raise LimitExceededError(f"the member expands to more than {limit} bytes")
        return b"".join(self._read(member, member.file_size + 1))

    def _read(self, member: zipfile.ZipInfo, most: int) -> Iterator[bytes]:
        with _reported(), self._zip.open(member) as file:
            while most > 0:
                data = file.read(min(most, _STEP))
                self._budget.spend(len(data))
                if not data:
                    return
                most -= len(data)
                yield data

    def _check_directory(self) -> None:
        """Refuse a second directory, where the offset of the first is taken from the beginning of the file.

        The standard library takes what lies right before the end record, PyTorch's reader what the offset says.
        """
        source = self._source
        first = max(source.size - _TAIL_MAX, 0)
        tail = source.read(first, source.size - first)
        for end in _ENDS.finditer(tail):
            offset, width, mark = _POINTERS[end[0]]
            place = int.from_bytes(tail[end.start() + offset :][:width], "little")
            known = self._zip.start_dir if mark == _DIRECTORY else first + end.start() - _END_RECORD_64_SIZE
            if place != known and place < source.size - len(mark) and source.read(place, len(mark)) == mark:
                raise PayloadError("the archive has a second directory")

    def _check_places(self) -> None:
        """Refuse members that share bytes, as those of a bomb do (D. Fifield, "A better zip bomb", 2019)."""
        end = 0
        for member in sorted(self.members, key=lambda member: member.header_offset):
            if member.header_offset < end:
                raise PayloadError("members of the archive overlap")
            end = member.header_offset + _HEADER_SIZE + member.compress_size


def is_encrypted(member: zipfile.ZipInfo) -> bool:
    """Tell whether a member is said to be encrypted."""
    return bool(member.flag_bits & _ENCRYPTED)


@contextmanager
def _reported() -> Iterator[None]:
    """Turn what the standard library raises for a damaged archive into our own error."""
    try:
        yield
    except _DAMAGE as error:
        raise PayloadError(f"the archive cannot be read: {type(error).__name__}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise PayloadError("a member of the archive is damaged") from error  # what bz2 raises


def _kind(names: set[str]) -> str:
    data = next(filter(_TORCH.fullmatch, names), None)
    if data is not None:
        return TORCHSCRIPT if f"{data.removesuffix('data.pkl')}constants.pkl" in names else PYTORCH
    if "schema.json" in names:
        return SKOPS
    if {"config.json", "metadata.json"} <= names and _any_ends(names, ".weights.h5"):
        return KERAS
    return NPZ if names and all(name.endswith(".npy") for name in names) else ZIP


def _any_ends(names: Iterable[str], suffix: str) -> bool:
    return any(name.endswith(suffix) for name in names)


class _SourceFile(io.RawIOBase, BinaryIO):
    """A source as the standard library reads a file: never much at once, whatever sizes the archive announces."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._position = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise ValueError("a position before the beginning")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._source.size - self._position, 0)
        count = left if size is None or size < 0 else min(size, left)
        if count > _READ_MAX:
            raise LimitExceededError(f"the directory of the archive has more than {_READ_MAX} bytes")
        data = self._source.read(self._position, count)
        self._position += count
        return data
