"""What a file is, by its first bytes, whatever its name says.

An artifact, a pickle of protocol 2 or later, and joblib's compressors have marks. What is compressed is judged by the
beginning of what it holds; where that cannot be expanded, it counts as a model, so that nothing hides behind damage.
Protocols 0 and 1 have no mark: they count where opcodes lead to a call, or to the very end of the file. Members of
archives are many, and hold raw numbers, some of which begin as a pickle does: they are held to that rule at every
protocol, and count by what damaged compression gives before the damage.
"""

import bz2
import encodings.raw_unicode_escape  # noqa: F401 - of UNICODE; nothing is imported while a file is judged
import lzma
import pickletools
import warnings
import zlib
from collections.abc import Callable
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
_JOBLIB_0_9: Final = b"ZF0x"
_ZLIB_OR_GZIP_BITS: Final = 32 + zlib.MAX_WBITS


class _Decompressor(Protocol):
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
_LOOKUPS: Final = frozenset(("GLOBAL", "INST"))
_CODED_LOOKUPS: Final = frozenset(("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"))
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
    if head.startswith(_JOBLIB_0_9):
        return JOBLIB
    for marks, make in _COMPRESSORS:
        if head.startswith(marks):
            return JOBLIB if _holds_stream(head, make()) else None
    if head.startswith(_LZ4):
        return JOBLIB if _is_stream(first_block(head, _EXPANDED_MAX)) else None
    return PICKLE if _is_stream(head) else None


def goes_on(head: bytes) -> bool:
    """Tell whether all of a head reads as opcodes, so that only what follows it can tell what it is."""
    return bool(head) and _follow(head)[1]


def recognize_member(head: bytes) -> str | None:
    """Tell what a member of an archive is, as `recognize` does, and by the stricter rule."""
    for marks, make in _COMPRESSORS:
        if head.startswith(marks):
            output = _until_damage(head, make())
            return JOBLIB if output and any(_follow(output)) else None
    if head.startswith((_ZIP, _JOBLIB_0_9, _LZ4)):
        return recognize(head)
    return PICKLE if _follow(head)[0] else None


def _until_damage(head: bytes, decompressor: _Decompressor) -> bytes:
    output = b""
    try:
        for position in range(0, len(head), _STEP):
            output += decompressor.decompress(head[position : position + _STEP], _EXPANDED_MAX)
            if len(output) >= _EXPANDED_MAX:
                break
    except (zlib.error, lzma.LZMAError, OSError, EOFError):
        pass
    return output


def _holds_stream(head: bytes, decompressor: _Decompressor) -> bool:
    try:
        return _is_stream(decompressor.decompress(head, _EXPANDED_MAX))
    except (zlib.error, lzma.LZMAError, OSError):
        return True


def _is_stream(data: bytes) -> bool:
    if data.startswith(_PROTO):
        return data[1:2] <= bytes((_PROTOCOL_MAX,))
    return _follow(data)[0]


def _follow(data: bytes) -> tuple[bool, bool]:
    """Tell whether opcodes lead to a call, to STOP or to too many of them; and whether they lead beyond the data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes that no string has
        return _follow_opcodes(data)


def _follow_opcodes(data: bytes) -> tuple[bool, bool]:
    found = False
    stack: list[pickletools.StackObject] = []
    end = -1
    file = BytesIO(data)
    try:
        for number, (opcode, argument, position) in enumerate(pickletools.genops(file)):
            if not _fits(opcode, stack) or (opcode.name in _LOOKUPS and not _is_plausible(argument)):
                return False, False
            found = found or opcode.name in _LOOKUPS or opcode.name in _CODED_LOOKUPS
            if (found and opcode.name in _CALLS) or number == _OPCODES_MAX:
                return True, False
            end = position or 0
    except ValueError:  # no opcode, or none that is whole
        return False, file.tell() == len(data)
    return data.startswith(_PROTO) or end == len(data) - 1, False


def _fits(opcode: pickletools.OpcodeInfo, stack: list[pickletools.StackObject]) -> bool:
    """Tell whether the stack holds what an opcode takes, as text would not that happens to read as opcodes; take it."""
    mark, taken = pickletools.markobject, len(opcode.stack_before)
    if mark in opcode.stack_before:
        if mark not in stack:
            return False
        while stack.pop() is not mark:
            pass
        taken = opcode.stack_before.index(mark)
    if len(stack) < taken:
        return False
    del stack[len(stack) - taken :]
    stack += opcode.stack_after
    return True


def _is_plausible(lookup: object) -> bool:
    """Tell whether a module and a name stand there, and not the first two lines of a text."""
    names = str(lookup).split(" ")
    return len(names) == 2 and all(part.isidentifier() for name in names for part in name.split("."))
