"""The content that a manifest describes: every chunk is read once into private memory and hashed there.

The `digests` entry is read only here, after the caller has decided to believe the manifest.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from safemodel import system
from safemodel.errors import DigestMismatchError, FormatError, LimitExceededError
from safemodel.format.container import DIGESTS, MANIFEST, SIGNATURES, Layout
from safemodel.format.digests import Chunk, ChunkTable, digest, hash_chunks
from safemodel.format.limits import DIGEST_SIZE, NAME_MAX
from safemodel.format.manifest import Manifest
from safemodel.format.source import Source
from safemodel.format.unverified import UnverifiedArtifact

Progress = Callable[[int, int], None]
PAYLOAD_NUMBER = 1  # of the payload among the entries
INDEX_NUMBER = 2


@dataclass(frozen=True, slots=True)
class Content:
    """A source with the digests that its chunks must have.

    Attributes:
        source: the artifact's bytes.
        layout: where they are.
        manifest_bytes: what describes them, as signed.
        manifest: the same, parsed.
        chunks: every chunk of every entry before `digests`.
        digests: the contents of `digests`, which match the manifest.
    """

    source: Source
    layout: Layout
    manifest_bytes: bytes
    manifest: Manifest
    chunks: ChunkTable
    digests: bytes

    @classmethod
    def of(cls, source: Source, unverified: UnverifiedArtifact) -> "Content":
        """Parse the manifest and read the `digests` entry that it names.

        Raises:
            FormatError: the manifest is malformed or describes another file.
            DigestMismatchError: the digests are not those that the manifest names.
        """
        manifest = unverified.manifest
        layout = unverified.layout
        chunks = ChunkTable(layout, manifest.digest.chunk_size)
        digests = _read_digests(source, layout, manifest, len(chunks))
        return cls(source, layout, unverified.manifest_bytes, manifest, chunks, digests)

    def check(self, *, progress: Progress | None = None) -> None:
        """Hash every chunk, keeping none.

        Raises:
            DigestMismatchError: a chunk has another digest; the message names the place.
        """
        self._hash(self.chunks, None, progress)

    def check_with_payload(self, *, progress: Progress | None = None) -> tuple[memoryview, memoryview]:
        """Hash every chunk, and return the payload and its index in private memory. Raises as `check`."""
        others = [chunk for chunk in self.chunks if chunk.entry != PAYLOAD_NUMBER]
        memory = system.private_memory(sum(chunk.size for chunk in others))
        self._hash(others, memory, None)
        first = self.layout.entries[0].size  # before the index
        index = memory[first : first + self.layout.entries[INDEX_NUMBER].size]
        return self._read(PAYLOAD_NUMBER, progress), index

    def check_with_opcodes(self, arrays: Sequence[tuple[int, int]]) -> memoryview:
        """Hash every chunk, and return the payload in private memory, but for chunks that lie inside an array.

        Those are zeros, and take no memory: whoever only walks the payload does not look at them.

        Args:
            arrays: where the bytes of arrays begin and end in the payload, ascending and apart from one another.

        Raises:
            DigestMismatchError: a chunk has another digest; the message names the place.
        """
        kept = [chunk for chunk in self.chunks.of_entry(PAYLOAD_NUMBER) if not _lies_inside(chunk, arrays)]
        numbers = {chunk.number for chunk in kept}
        self._hash([chunk for chunk in self.chunks if chunk.number not in numbers], None, None)
        memory = system.private_memory(self.layout.entries[PAYLOAD_NUMBER].size)
        for _, together in groupby(enumerate(kept), key=lambda each: each[1].number - each[0]):
            run = [chunk for _, chunk in together]
            self._hash(run, memory[run[0].within : run[-1].within + run[-1].size], None)
        return memory

    def read(self, name: str, *, progress: Progress | None = None) -> memoryview:
        """Return one entry before `digests` in private memory, where it was hashed.

        Raises:
            FormatError: there is no such entry.
            DigestMismatchError: the file was changed since.
        """
        return self._read(self.layout.entries.index(self.layout.entry(name)), progress)

    def attachment(self, name: str, maximum: int) -> bytes:
        """Return one of the attachments, which has at most so many bytes.

        Raises:
            FormatError: there is no such attachment.
            LimitExceededError: it is larger; nothing of it was read.
            DigestMismatchError: the file was changed since.
        """
        entry = next((entry for entry in self.layout.attachments if entry.name == name), None)
        if entry is None:
            raise FormatError(f"the artifact has no attachment {name[:NAME_MAX]!r}")
        if entry.size > maximum:
            raise LimitExceededError(f"the attachment {name!r} has {entry.size} bytes, at most {maximum} are accepted")
        return bytes(self.read(name))

    def pieces(self, name: str) -> Iterator[memoryview]:
        """Yield one entry before `digests` chunk by chunk, each hashed before it is handed out. Raises as `read`."""
        number = self.layout.entries.index(self.layout.entry(name))
        for chunk in self.chunks.of_entry(number):
            memory = system.private_memory(chunk.size)
            self._hash([chunk], memory, None)
            yield memory

    def file(self, signatures: bytes) -> Iterator[bytes | memoryview]:
        """Yield the whole file from its first byte to its last, each hashed before it is handed out, or derived.

        What is yielded is the artifact that was verified, whatever happens to the file meanwhile: contents are checked
        as `pieces` does, and every byte between them follows from the layout.

        Args:
            signatures: the bytes of the signatures entry, as they were judged.

        Raises:
            DigestMismatchError: the file was changed since.
        """
        kept = {DIGESTS: self.digests, MANIFEST: self.manifest_bytes, SIGNATURES: signatures}
        for entry, header in zip(self.layout.entries, self.layout.headers, strict=True):
            yield header
            if entry.name in kept:
                yield kept[entry.name]
            else:
                yield from self.pieces(entry.name)
        yield self.layout.trailer

    def _read(self, number: int, progress: Progress | None) -> memoryview:
        memory = system.private_memory(self.layout.entries[number].size)
        self._hash(self.chunks.of_entry(number), memory, progress)
        return memory

    def _hash(self, chunks: Sequence[Chunk], into: memoryview | None, progress: Progress | None) -> None:
        expected = b"".join(
            self.digests[chunk.number * DIGEST_SIZE : (chunk.number + 1) * DIGEST_SIZE] for chunk in chunks
        )
        hash_chunks(
            self.source, chunks, self.manifest.digest.algorithm, expected=expected, into=into, progress=progress
        )


def _lies_inside(chunk: Chunk, arrays: Sequence[tuple[int, int]]) -> bool:
    place = bisect_right(arrays, chunk.within, key=itemgetter(0)) - 1
    return place >= 0 and chunk.within + chunk.size <= arrays[place][1]


def _read_digests(source: Source, layout: Layout, manifest: Manifest, count: int) -> bytes:
    entry = layout.entry(DIGESTS)
    if entry.size != count * DIGEST_SIZE:
        raise FormatError(f"the digests entry has {entry.size} bytes, expected {count * DIGEST_SIZE}")
    data = source.read(layout.offset_of(DIGESTS), entry.size)
    if digest(manifest.digest.algorithm, data) != manifest.digest.digest:
        raise DigestMismatchError(
            "the digests entry is not the one that was signed",
            hint="the file is damaged or was changed, fetch it again",
        )
    return data
