"""What a file is, by its first bytes, whatever its name says.

An artifact, a pickle of protocol 2 or later, and joblib's compressors have marks. What is compressed is judged by the
beginning of what it holds, in however many members; where that cannot be expanded, or gives too little to tell, it
counts as a model, so that nothing hides behind damage.

Protocols 0 and 1 have no mark: they count where opcodes lead to a call, or to the very end of the file, be it through
several pickles. How numbers and texts are written is hardly looked at: unpicklers take more than `pickletools` does.
Members of archives are many, and hold raw numbers, some of which begin as a pickle does: they are held to that rule at
every protocol, and count by what damaged compression gives before the damage.
"""

import bz2
import lzma
import pickletools
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from typing import Final, Protocol

from safemodel.format.container import MIMETYPE
from safemodel.format.limits import KIB, LZMA_MEMORY_MAX, MIB
from safemodel.payload.lz4 import first_block

ARTIFACT: Final = "artifact"
JOBLIB: Final = "joblib"
PICKLE: Final = "pickle"

HEAD_MAX: Final = MIB  # of a file, for `recognize`: bzip2 gives nothing before a block of 900 kB is complete

_PROTO: Final = b"\x80"
_EXPANDED_MAX: Final = 8 * KIB
_STEP: Final = 256  # bytes of compressed data at a time, where the next may be damaged
_OPCODES_MAX: Final = 65_536  # looked at; text that reads as so many opcodes is none
_PROTOCOL_MAX: Final = 5
_ZIP: Final = b"PK\x03\x04"
_MIMETYPE_OFFSET: Final = 38  # docs/spec.md, section "Container"
_JOBLIB_0_9: Final = re.compile(rb"ZF(?:0x|\s*[-+]?(?:0[xX]_?)?[0-9a-fA-F][0-9a-fA-F_]*\s*\Z)")  # then int(..., 16)
_JOBLIB_0_9_END: Final = 2 + len(hex(2**64))
_ZLIB_OR_GZIP_BITS: Final = 32 + zlib.MAX_WBITS


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


_COMPRESSORS: Final[tuple[tuple[tuple[bytes, ...], Callable[[], _Decompressor]], ...]] = (
    (
        (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b\x08"),  # RFC 1950, RFC 1952
        lambda: zlib.decompressobj(_ZLIB_OR_GZIP_BITS),
    ),
    ((b"BZh",), bz2.BZ2Decompressor),
    ((b"\x5d\x00", b"\xfd7zXZ\x00"), lambda: lzma.LZMADecompressor(memlimit=LZMA_MEMORY_MAX)),
)
_LZ4: Final = b"\x04\x22\x4d\x18"
_LZ4_EMPTY_MAX: Final = 23  # bytes of a frame without blocks
_LOOKUPS: Final = frozenset(("GLOBAL", "INST"))
_CODED_LOOKUPS: Final = frozenset(("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"))
_NUMBER: Final = re.compile(rb"\s*(?:[-+]?(?:[0-9.]|inf|nan)|[\0\n])", re.IGNORECASE)
_BEGINNINGS: Final = {  # of the line behind an opcode
    **dict.fromkeys(("INT", "LONG", "FLOAT", "GET", "PUT"), _NUMBER),
    "STRING": re.compile(rb"['\"]"),
}
_OPCODES: Final = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
_CALLS: Final = frozenset(("INST", "OBJ", "REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX"))


def recognize(head: bytes) -> str | None:
    """Tell what a file is.

    Args:
        head: its first `HEAD_MAX` bytes, or all of it if it is shorter.

    Returns:
        `ARTIFACT`, `JOBLIB` for what joblib compresses, `PICKLE` for a stream of opcodes, or None for anything else.
    """
    if head.startswith(_ZIP):
        return ARTIFACT if head.startswith(MIMETYPE, _MIMETYPE_OFFSET) else None
    if _JOBLIB_0_9.match(head, 0, _JOBLIB_0_9_END):
        return JOBLIB
    for marks, make in _COMPRESSORS:
        if head.startswith(marks):
            return JOBLIB if _holds_stream(head, make) else None
    if head.startswith(_LZ4):
        return JOBLIB if _begins_stream(first_block(head, _EXPANDED_MAX), len(head) > _LZ4_EMPTY_MAX) else None
    return PICKLE if _is_stream(head) else None


def goes_on(head: bytes) -> bool:
    """Tell whether all of a head reads as opcodes, so that only what follows it can tell what it is."""
    return _follow(head)[1]


def recognize_member(head: bytes) -> str | None:
    """Tell what a member of an archive is, as `recognize` does, and by the stricter rule."""
    for marks, make in _COMPRESSORS:
        if head.startswith(marks):
            output = b"".join(_until_damage(head, make))
            return JOBLIB if output and any(_follow(output)) else None
    if head.startswith((_ZIP, _LZ4)) or _JOBLIB_0_9.match(head, 0, _JOBLIB_0_9_END):
        return recognize(head)
    return PICKLE if _follow(head)[0] else None


def _until_damage(head: bytes, make: Callable[[], _Decompressor]) -> Iterator[bytes]:
    with suppress(zlib.error, lzma.LZMAError, OSError):
        yield from _expanded(head, make)


def _expanded(head: bytes, make: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """Yield the beginning of what is compressed, through members that are short or empty.

    Raises:
        zlib.error, lzma.LZMAError, OSError: the first member is damaged; behind one that is whole, anything may follow.
    """
    decompressor, length, position, whole = make(), 0, 0, False
    while length < _EXPANDED_MAX and position < len(head):
        try:
            piece = decompressor.decompress(head[position : position + _STEP], _EXPANDED_MAX)
        except (zlib.error, lzma.LZMAError, OSError):
            if whole:
                return
            raise
        yield piece
        length += len(piece)
        position = min(position + _STEP, len(head))
        if decompressor.eof:
            position -= len(decompressor.unused_data)
            decompressor, whole = make(), True


def _holds_stream(head: bytes, make: Callable[[], _Decompressor]) -> bool:
    try:
        output = b"".join(_expanded(head, make))
    except (zlib.error, lzma.LZMAError, OSError):
        return True
    return _begins_stream(output, len(head) >= HEAD_MAX and len(output) < _EXPANDED_MAX)


def _begins_stream(output: bytes, is_cut: bool) -> bool:
    return _is_stream(output) or (is_cut and goes_on(output))


def _is_stream(data: bytes) -> bool:
    if data.startswith(_PROTO):
        return data[1:2] <= bytes((_PROTOCOL_MAX,))
    return _follow(data)[0]


def _follow(data: bytes) -> tuple[bool, bool]:
    """Tell whether opcodes lead to a call, to STOP or to too many of them; and whether they lead beyond the data."""
    file = BytesIO(data)
    try:
        return _leads_to_stream(file, data.startswith(_PROTO), len(data)), False
    except ValueError:  # no opcode, or none that is whole
        return False, file.tell() == len(data)


def _leads_to_stream(file: BytesIO, is_marked: bool, size: int) -> bool:
    """Follow opcodes through one pickle after the other; raises ValueError where they end."""
    found, stack = False, _Stack()
    for _ in range(_OPCODES_MAX):
        opcode = _OPCODES.get(file.read(1))
        if opcode is None:
            raise ValueError("no opcode")
        if not stack.takes(opcode) or not _is_plausible(opcode, _argument(opcode, file)):
            return False
        found = found or opcode.name in _LOOKUPS or opcode.name in _CODED_LOOKUPS
        if found and opcode.name in _CALLS:
            return True
        if opcode.name == "STOP":
            if is_marked or file.tell() == size:
                return True
            found, stack = False, _Stack()  # as for who loads several from one file
    return True


class _Stack:
    """How much is on an unpickler's stack, and where the marks are; text that reads as opcodes soon lacks something."""

    def __init__(self) -> None:
        self._size = 0
        self._marks: list[int] = []

    def takes(self, opcode: pickletools.OpcodeInfo) -> bool:
        """Tell whether the stack holds what an opcode takes; take it, and put on what it gives."""
        before, mark = opcode.stack_before, pickletools.markobject
        taken = len(before)
        if mark in before:
            if not self._marks:
                return False
            self._size, taken = self._marks[-1], before.index(mark)
        if self._size < taken:
            return False
        self._size -= taken
        while self._marks and self._marks[-1] >= self._size:
            self._marks.pop()
        if mark in opcode.stack_after:
            self._marks.append(self._size)
        self._size += len(opcode.stack_after)
        return True


def _argument(opcode: pickletools.OpcodeInfo, file: BytesIO) -> list[bytes]:
    """Read an argument; returns its lines where it is of lines."""
    if opcode.arg is None:
        return []
    if opcode.arg.n != pickletools.UP_TO_NEWLINE:
        opcode.arg.reader(file)
        return []
    lines = [file.readline() for _ in range(1 + (opcode.name in _LOOKUPS))]
    if not lines[-1].endswith(b"\n"):
        raise ValueError("a line is cut")
    return lines


def _is_plausible(opcode: pickletools.OpcodeInfo, lines: list[bytes]) -> bool:
    """Tell whether a number, a quoted text, or a module and a name stand there, and not the lines of some text."""
    if opcode.name in _LOOKUPS:
        names = [line[:-1].decode("utf-8", "replace") for line in lines]
        return all(part.isidentifier() for name in names for part in name.split("."))
    beginning = _BEGINNINGS.get(opcode.name)
    return beginning is None or not lines or beginning.match(lines[0]) is not None
