"""Reading an artifact's structure without keys: nothing that this returns has been verified by anybody."""

import zlib
from dataclasses import dataclass

from safemodel.errors import FormatError
from safemodel.format.container import MANIFEST, SIGNATURES, Entry, Layout, read_layout
from safemodel.format.envelope import SignatureSet, artifact_digest
from safemodel.format.manifest import Manifest
from safemodel.format.source import Source


@dataclass(frozen=True, slots=True)
class UnverifiedArtifact:
    """What a file says about itself; anybody can have written it.

    Attributes:
        layout: the container's structure, which is canonical.
        manifest_bytes: the exact bytes that the signatures are said to cover.
        signatures: records, each with the id of the key that is said to have made it.
    """

    layout: Layout
    manifest_bytes: bytes
    signatures: SignatureSet

    @property
    def digest(self) -> str:
        """The artifact's digest: SHA-256 of the manifest's bytes, 64 hexadecimal digits."""
        return artifact_digest(self.manifest_bytes).hex()

    @property
    def manifest(self) -> Manifest:
        """The manifest, parsed and checked against the container.

        Raises:
            FormatError: it is malformed or describes another file.
        """
        manifest = Manifest.from_bytes(self.manifest_bytes)
        manifest.check_layout(self.layout)
        return manifest

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of the keys that are said to have signed, 64 hexadecimal digits each."""
        return tuple(record.key_id.hex() for record in self.signatures.records)


def read_unverified(source: Source) -> UnverifiedArtifact:
    """Read structure, manifest bytes and signature records (docs/spec.md, section "Reading", steps 1 and 2).

    Args:
        source: the artifact's bytes.

    Returns:
        The artifact, unverified; its manifest is not parsed yet.

    Raises:
        FormatError: not a canonical artifact.
    """
    layout = read_layout(source)
    manifest_bytes = _read_entry(source, layout, MANIFEST)
    signatures = _read_entry(source, layout, SIGNATURES)
    return UnverifiedArtifact(layout, manifest_bytes, SignatureSet.from_bytes(signatures))


def _read_entry(source: Source, layout: Layout, name: str) -> bytes:
    entry = layout.entry(name)  # of a size that the container has capped
    data = source.read(layout.offset_of(name), entry.size)
    _check_crc32(entry, data)
    return data


def _check_crc32(entry: Entry, data: bytes) -> None:
    # Nothing signed fixes the CRC-32 of these two entries, so it is recomputed: one meaning, one sequence of bytes.
    if zlib.crc32(data) != entry.crc32:
        raise FormatError(f"the CRC-32 of {entry.name} in the container is not that of its bytes")
