"""Writing an artifact in one pass: the payload streams to its fixed place, the structure follows.

The payload's data starts at the same offset whatever its size, so the headers before it can be written last.
"""

import zlib
from collections.abc import Mapping
from types import TracebackType
from typing import BinaryIO, Self

from safemodel.format.container import (
    DIGESTS,
    INDEX,
    MANIFEST,
    MIMETYPE,
    MIMETYPE_ENTRY,
    SIGNATURES,
    Entry,
    Layout,
    derive_layout,
)
from safemodel.format.digests import EntryHasher, digest
from safemodel.format.envelope import SignatureSet
from safemodel.format.limits import ALIGNMENT, CHUNK_SIZE_DEFAULT
from safemodel.format.manifest import ChunkDigests


class ArtifactWriter:
    """Writes one artifact into an empty file; a context manager.

    Args:
        file: seekable, readable and writable, empty.
        codec: the suffix of the payload's name.
        algorithm: of the chunk digests.
        chunk_size: bytes.
    """

    def __init__(self, file: BinaryIO, codec: str, algorithm: str, chunk_size: int = CHUNK_SIZE_DEFAULT) -> None:
        self._file = file
        self._codec = codec
        self._algorithm = algorithm
        self._chunk_size = chunk_size
        self._hasher = EntryHasher(algorithm, chunk_size)
        self._contents: dict[str, bytes] = {}
        self._entries: tuple[Entry, ...] = ()
        file.seek(ALIGNMENT)

    def write(self, data: bytes | memoryview) -> None:
        """Append to the payload; the bytes must not change before `describe`."""
        self._hasher.update(data, stable=True)
        self._file.write(data)

    def describe(self, others: Mapping[str, bytes]) -> tuple[tuple[Entry, ...], ChunkDigests]:
        """End the payload and take the other entries.

        Args:
            others: the entries after the payload, without digests: `index` and attachments.

        Returns:
            What the manifest must say: every entry before it, and the chunk digests.
        """
        payload_digests, crc32, size = self._hasher.finish()
        ordered = {name: others[name] for name in sorted(others, key=lambda name: (name != INDEX, name))}
        digests = b"".join([self._chunks(MIMETYPE), payload_digests, *map(self._chunks, ordered.values())])
        self._contents = {MIMETYPE_ENTRY: MIMETYPE} | ordered | {DIGESTS: digests}
        first, *rest = (_entry(name, data) for name, data in self._contents.items())
        self._entries = (first, Entry(f"payload.{self._codec}", size, crc32), *rest)
        return self._entries, ChunkDigests(self._algorithm, self._chunk_size, digest(self._algorithm, digests))

    def finish(self, manifest: bytes, signatures: SignatureSet) -> None:
        """Write everything but the payload, which is there already."""
        last = {MANIFEST: manifest, SIGNATURES: signatures.to_bytes()}
        layout = derive_layout((*self._entries, *(_entry(name, data) for name, data in last.items())))
        self._file.seek(layout.header_offsets[1])
        self._file.write(layout.headers[1])
        _write_entries(self._file, layout, self._contents | last)

    def _chunks(self, data: bytes) -> bytes:
        pieces = (data[start : start + self._chunk_size] for start in range(0, len(data), self._chunk_size))
        return b"".join(digest(self._algorithm, piece) for piece in pieces)

    def __enter__(self) -> Self:
        self._hasher.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hasher.__exit__(kind, error, trace)


def replace_signatures(file: BinaryIO, layout: Layout, signatures: SignatureSet) -> None:
    """Write other signatures into an artifact; everything that was signed stays where it is.

    Args:
        file: the artifact, writable.
        layout: its present layout.
        signatures: the new records.
    """
    contents = {SIGNATURES: signatures.to_bytes()}
    changed = derive_layout((*layout.entries[:-1], _entry(SIGNATURES, contents[SIGNATURES])))
    _write_entries(file, changed, contents)


def _entry(name: str, data: bytes) -> Entry:
    return Entry(name, len(data), zlib.crc32(data))


def _write_entries(file: BinaryIO, layout: Layout, contents: Mapping[str, bytes]) -> None:
    for entry, header, offset in zip(layout.entries, layout.headers, layout.header_offsets, strict=True):
        if entry.name in contents:
            file.seek(offset)
            file.write(header)
            file.write(contents[entry.name])
    file.seek(layout.directory_offset)
    file.write(layout.trailer)
    file.truncate()
