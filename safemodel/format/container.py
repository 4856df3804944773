"""The container: a ZIP file, stored only, of which every structural byte follows from a list of (name, size, CRC-32).

`derive_layout` is the only place that knows those bytes (docs/spec.md, section "Container"; PKWARE APPNOTE 6.3.10). A
writer writes what it returns. A reader takes the central directory as a hint for the list, derives the layout again,
and demands equal bytes, so that no two readers can see different contents in one file: there is no room for a second
directory, overlapping or hidden entries, a comment, a prefix, a suffix or a gap.

Reading is bounded: it touches the end of the file, the directory and the local headers, and takes no memory that a
claimed size asks for. The CRC-32 of a content is carried, not checked.
"""

import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from safemodel.errors import FormatError, LimitExceededError
from safemodel.format.limits import (
    ALIGNMENT,
    DIGESTS_MAX,
    DIRECTORY_MAX,
    ENTRIES_MAX,
    INDEX_MAX,
    MANIFEST_MAX,
    NAME_MAX,
    NAME_MIN,
    SIGNATURES_MAX,
    TOTAL_MAX,
    ZIP64_FROM,
)
from safemodel.format.source import Source

MIMETYPE: Final = b"application/vnd.safemodel+zip"

MIMETYPE_ENTRY: Final = "mimetype"
PAYLOAD_PREFIX: Final = "payload."  # the codec follows
INDEX: Final = "index"
DIGESTS: Final = "digests"
MANIFEST: Final = "manifest.msgpack"
SIGNATURES: Final = "signatures.msgpack"

_LEADING: Final = 3  # entries before the attachments: mimetype, payload, index
_TRAILING: Final = 3  # entries after them: digests, manifest, signatures
_RESERVED: Final = frozenset([MIMETYPE_ENTRY, INDEX, DIGESTS, MANIFEST, SIGNATURES])
_CAPS: Final = {INDEX: INDEX_MAX, DIGESTS: DIGESTS_MAX, MANIFEST: MANIFEST_MAX, SIGNATURES: SIGNATURES_MAX}

# Names that are safe on every filesystem. Windows takes a device's name for the device whatever its extension.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]*[a-z0-9]")
_DEVICES: Final = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))]
)

_LOCAL: Final = struct.Struct("<4s5H3L2H")  # APPNOTE 4.3.7
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")  # 4.3.12
_ZIP64_END: Final = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_ZIP64_LOCATOR: Final = struct.Struct("<4sLQL")  # 4.3.15
_END: Final = struct.Struct("<4s4H2LH")  # 4.3.16
_FIELD: Final = struct.Struct("<2H")  # 4.5.1: id and size of an extra field
_QUAD: Final = struct.Struct("<Q")
_ALIGNMENT: Final = struct.Struct("<3H")  # an extra field, zeroes follow

_LOCAL_SIGNATURE: Final = b"PK\x03\x04"
_CENTRAL_SIGNATURE: Final = b"PK\x01\x02"
_ZIP64_END_SIGNATURE: Final = b"PK\x06\x06"
_ZIP64_LOCATOR_SIGNATURE: Final = b"PK\x06\x07"
_END_SIGNATURE: Final = b"PK\x05\x06"
_MADE_BY: Final = 0x032D  # 4.4.2: Unix, so that the attributes are read as a mode; version 4.5
_PLAIN_VERSION: Final = 10  # 4.4.3: version needed to extract
_ZIP64_VERSION: Final = 45
_DATE: Final = 0x0021  # 1980-01-01, the first that MS-DOS can tell
_ATTRIBUTES: Final = 0o100644 << 16
_SATURATED_16: Final = 0xFFFF  # 4.4.1.4: "look in the zip64 field"
_SATURATED_32: Final = 0xFFFFFFFF
_ZIP64_FIELD: Final = 0x0001  # 4.5.3
_ALIGNMENT_FIELD: Final = 0xD935  # zipalign's: the alignment, then zeroes
_END_RECORDS_MAX: Final = _ZIP64_END.size + _ZIP64_LOCATOR.size + _END.size

_NOT_AN_ARTIFACT: Final = "it is no artifact, or it is damaged or incomplete; fetch it again; pack a joblib file first"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the container.

    Attributes:
        name: lower-case letters, digits and inner `_-.`.
        size: of the content, bytes.
        crc32: of the content.
    """

    name: str
    size: int
    crc32: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is, and every byte that is not content. All offsets and sizes are in bytes.

    Attributes:
        entries: in file order.
        header_offsets: of each entry's local header.
        headers: each entry's local header with its extra fields.
        data_offsets: of each entry's content.
        directory_offset: where the trailer starts.
        trailer: central directory and end records.
        size: of the whole file.
    """

    entries: tuple[Entry, ...]
    header_offsets: tuple[int, ...]
    headers: tuple[bytes, ...]
    data_offsets: tuple[int, ...]
    directory_offset: int
    trailer: bytes
    size: int

    @property
    def attachments(self) -> tuple[Entry, ...]:
        """The entries between `index` and `digests`."""
        return self.entries[_LEADING:-_TRAILING]

    def entry(self, name: str) -> Entry:
        """Return the entry of that name; FormatError when there is none."""
        return self.entries[self._position(name)]

    def offset_of(self, name: str) -> int:
        """Return where that entry's content starts; FormatError when there is none."""
        return self.data_offsets[self._position(name)]

    def _position(self, name: str) -> int:
        for position, entry in enumerate(self.entries):
            if entry.name == name:
                return position
        raise FormatError(f"expected an entry {name!r}, found {', '.join(entry.name for entry in self.entries)}")


_MIMETYPE: Final = Entry(MIMETYPE_ENTRY, len(MIMETYPE), zlib.crc32(MIMETYPE))


def derive_layout(entries: Sequence[Entry]) -> Layout:
    """Derive every structural byte of an artifact.

    Args:
        entries: all of them, in file order.

    Returns:
        The only layout that these entries may have. The payload's content starts at `ALIGNMENT`, whatever its size.

    Raises:
        FormatError: a name, the order, or a size of exactly 2**32-1, which Info-ZIP misreads.
        LimitExceededError: too many entries, or too large ones.
    """
    _check_entries(entries)
    header_offsets, headers, data_offsets = [], [], []
    offset = 0
    for entry in entries:
        header = _local_header(entry, offset)
        header_offsets.append(offset)
        headers.append(header)
        data_offsets.append(offset + len(header))
        offset += len(header) + entry.size
    directory = b"".join(map(_central_record, entries, header_offsets))
    trailer = directory + _end_records(len(entries), len(directory), offset)
    _check_total(offset + len(trailer))
    return Layout(
        tuple(entries),
        tuple(header_offsets),
        tuple(headers),
        tuple(data_offsets),
        offset,
        trailer,
        offset + len(trailer),
    )


def read_layout(source: Source) -> Layout:
    """Read the structure of an artifact (docs/spec.md, section "Reading", step 1).

    Args:
        source: the artifact's bytes.

    Returns:
        The layout, which the structural bytes of the source equal.

    Raises:
        FormatError: not a canonical container.
        LimitExceededError: it would exceed a cap of the format.
        OSError: the source cannot be read.
    """
    _check_total(source.size)
    directory_offset = _hinted_directory_offset(source)
    trailer = source.read(directory_offset, source.size - directory_offset)
    layout = derive_layout(_hinted_entries(trailer))
    if layout.directory_offset != directory_offset:
        raise FormatError(
            f"expected the directory at offset {layout.directory_offset}, found it at {directory_offset}",
            hint=_NOT_AN_ARTIFACT,
        )
    _demand(layout.trailer, trailer, directory_offset)
    _demand_headers(layout, source)
    return layout


def _check_entries(entries: Sequence[Entry]) -> None:
    if len(entries) > ENTRIES_MAX:
        raise LimitExceededError(f"expected at most {ENTRIES_MAX} entries, found {len(entries)}")
    _check_order([entry.name for entry in entries])
    for entry in entries:
        _check_name(entry.name)
        _check_numbers(entry)
    if entries[0] != _MIMETYPE:
        raise FormatError(f"expected {_MIMETYPE}, found {entries[0]}", hint=_NOT_AN_ARTIFACT)


def _check_order(names: list[str]) -> None:
    leading, attachments, trailing = names[:_LEADING], names[_LEADING:-_TRAILING], names[-_TRAILING:]
    if len(names) < _LEADING + _TRAILING or not (
        leading == [MIMETYPE_ENTRY, leading[1], INDEX]
        and leading[1].startswith(PAYLOAD_PREFIX)
        and trailing == [DIGESTS, MANIFEST, SIGNATURES]
    ):
        raise FormatError(
            "expected the entries mimetype, payload.<codec>, index, attachments, digests, manifest.msgpack, "
            f"signatures.msgpack, found {', '.join(repr(name[:NAME_MAX]) for name in names) or 'none'}",
            hint=_NOT_AN_ARTIFACT,
        )
    if attachments != sorted(set(attachments)):
        raise FormatError("expected the attachments in strictly ascending order of their names")
    for name in attachments:
        if name in _RESERVED or name.startswith(PAYLOAD_PREFIX):
            raise FormatError(f"expected another name for an attachment, {name[:NAME_MAX]!r} is reserved")


def _check_name(name: str) -> None:
    if not (NAME_MIN <= len(name) <= NAME_MAX and _NAME.fullmatch(name)) or name.split(".")[0] in _DEVICES:
        raise FormatError(
            f"{name[:NAME_MAX]!r} is no name for an entry",
            hint=f"use {NAME_MIN} to {NAME_MAX} lower-case letters, digits and inner '_-.', and no device's name",
        )


def _check_numbers(entry: Entry) -> None:
    cap = _CAPS.get(entry.name, TOTAL_MAX)
    if entry.size > cap:
        raise LimitExceededError(f"expected at most {cap} bytes, found {entry.size}: {entry.name}")
    if entry.size == ZIP64_FROM:
        raise FormatError(
            f"a size of exactly {ZIP64_FROM} bytes cannot be packed, because unzip misreads it: {entry.name}",
            hint="make it one byte longer or shorter",
        )
    if entry.size < 0 or not 0 <= entry.crc32 <= _SATURATED_32:
        raise FormatError(f"expected a size and a CRC-32, found {entry.size} and {entry.crc32}: {entry.name}")


def _check_total(size: int) -> None:
    if size > TOTAL_MAX:
        raise LimitExceededError(f"expected a file of at most {TOTAL_MAX} bytes, found {size}")


def _local_header(entry: Entry, offset: int) -> bytes:
    name = entry.name.encode("ascii")
    zip64 = _zip64_field([entry.size, entry.size]) if entry.size >= ZIP64_FROM else b""
    extra = zip64
    if entry.name.startswith(PAYLOAD_PREFIX):
        extra += _alignment_field(offset + _LOCAL.size + len(name) + len(zip64))
    size = min(entry.size, _SATURATED_32)
    return (
        _LOCAL.pack(_LOCAL_SIGNATURE, _version(zip64), 0, 0, 0, _DATE, entry.crc32, size, size, len(name), len(extra))
        + name
        + extra
    )


def _central_record(entry: Entry, offset: int) -> bytes:
    name = entry.name.encode("ascii")
    sizes = [entry.size, entry.size] if entry.size >= ZIP64_FROM else []
    offsets = [offset] if offset >= ZIP64_FROM else []
    extra = _zip64_field(sizes + offsets)
    size = min(entry.size, _SATURATED_32)
    return (
        _CENTRAL.pack(
            *(_CENTRAL_SIGNATURE, _MADE_BY, _version(extra), 0, 0, 0, _DATE, entry.crc32, size, size),
            *(len(name), len(extra), 0, 0, 0, _ATTRIBUTES, min(offset, _SATURATED_32)),
        )
        + name
        + extra
    )


def _end_records(count: int, directory_size: int, offset: int) -> bytes:
    if offset < ZIP64_FROM:
        return _END.pack(_END_SIGNATURE, 0, 0, count, count, directory_size, offset, 0)
    record_size = _ZIP64_END.size - 12  # 4.3.14.1: without the signature and this field
    return (
        _ZIP64_END.pack(
            *(_ZIP64_END_SIGNATURE, record_size, _MADE_BY, _ZIP64_VERSION, 0, 0),
            *(count, count, directory_size, offset),
        )
        + _ZIP64_LOCATOR.pack(_ZIP64_LOCATOR_SIGNATURE, 0, offset + directory_size, 1)
        + _END.pack(_END_SIGNATURE, 0, 0, _SATURATED_16, _SATURATED_16, _SATURATED_32, _SATURATED_32, 0)
    )


def _version(zip64: bytes) -> int:
    return _ZIP64_VERSION if zip64 else _PLAIN_VERSION


def _zip64_field(numbers: list[int]) -> bytes:
    if not numbers:
        return b""
    return struct.pack(f"<2H{len(numbers)}Q", _ZIP64_FIELD, 8 * len(numbers), *numbers)


def _alignment_field(offset: int) -> bytes:
    padding = -(offset + _ALIGNMENT.size) % ALIGNMENT
    return _ALIGNMENT.pack(_ALIGNMENT_FIELD, 2 + padding, ALIGNMENT) + bytes(padding)


def _hinted_directory_offset(source: Source) -> int:
    """Where the end of the file says that the directory starts; nothing else there is used before it is compared."""
    length = min(source.size, _END_RECORDS_MAX)
    tail = source.read(source.size - length, length)
    if length < _END.size or not tail.startswith(_END_SIGNATURE, length - _END.size):
        raise FormatError(f"expected a ZIP end record in the last {_END.size} bytes, found none", hint=_NOT_AN_ARTIFACT)
    offset: int = _END.unpack_from(tail, length - _END.size)[6]
    if offset == _SATURATED_32 and length == _END_RECORDS_MAX:
        offset = _ZIP64_END.unpack_from(tail)[9]
    if offset > source.size:
        raise FormatError(
            f"expected the directory inside a file of {source.size} bytes, found offset {offset}", hint=_NOT_AN_ARTIFACT
        )
    if source.size - offset > DIRECTORY_MAX + _END_RECORDS_MAX:
        raise LimitExceededError(f"expected a directory of at most {DIRECTORY_MAX} bytes, found {source.size - offset}")
    return offset


def _hinted_entries(trailer: bytes) -> list[Entry]:
    """What the central directory claims, believed only when the layout derived from it has the same bytes."""
    entries: list[Entry] = []
    position = 0
    while trailer.startswith(_CENTRAL_SIGNATURE, position):
        try:
            entry, position = _hinted_entry(trailer, position)
        except struct.error:
            raise FormatError(
                "expected whole directory records, found a truncated one", hint=_NOT_AN_ARTIFACT
            ) from None
        entries.append(entry)
    return entries


def _hinted_entry(trailer: bytes, position: int) -> tuple[Entry, int]:
    record = _CENTRAL.unpack_from(trailer, position)
    crc32, size, (name_size, extra_size, comment_size) = record[7], record[9], record[10:13]
    name_at = position + _CENTRAL.size
    extra_at = name_at + name_size
    if size == _SATURATED_32:
        size = _QUAD.unpack_from(trailer, extra_at + _FIELD.size)[0]
    name = trailer[name_at:extra_at].decode("latin-1")  # total; which names are allowed is judged elsewhere
    return Entry(name, size, crc32), extra_at + extra_size + comment_size


def _demand_headers(layout: Layout, source: Source) -> None:
    head = layout.headers[0] + MIMETYPE + layout.headers[1]  # nothing lies between them
    _demand(head, source.read(0, len(head)), 0)
    for offset, header in zip(layout.header_offsets[2:], layout.headers[2:], strict=True):
        _demand(header, source.read(offset, len(header)), offset)


def _demand(expected: bytes, found: bytes, offset: int) -> None:
    if expected != found:
        raise FormatError(
            f"expected a canonical container, found other bytes in the structure at offset {offset}",
            hint=_NOT_AN_ARTIFACT,
        )
