"""The manifest: everything that a signature covers (docs/spec.md, section "Manifest").

Core fields are checked here, once, on the exact bytes whose signature held; an unknown one is a newer format. The
descriptive maps (`model`, `training`, `environment`) are kept as they are, and no decision reads them, but for the one
about `environment`, which only warns or refuses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from safemodel.errors import FormatError, UnsupportedVersionError
from safemodel.format import wire
from safemodel.format.container import Entry, Layout
from safemodel.format.digests import ALGORITHMS
from safemodel.format.limits import (
    CHUNK_SIZE_MAX,
    CHUNK_SIZE_MIN,
    DIGEST_SIZE,
    MANIFEST_MAX,
    TOTAL_MAX,
)
from safemodel.format.names import check_model_name, check_model_version
from safemodel.format.schema import Fields, expect, expect_range, expect_size

FORMAT: Final = 0  # 1 from the first release on
CODECS: Final = ("joblib",)
COMPRESSIONS: Final = ("none", "zlib", "gzip", "bz2", "xz", "lzma")
ROLES: Final = ("build", "call", "newobj", "reference", "setitems")


@dataclass(frozen=True, slots=True)
class Creator:
    """The tool that wrote the artifact, so that a writer with a flaw can be barred."""

    tool: str
    version: str


@dataclass(frozen=True, slots=True)
class ChunkDigests:
    """How the `digests` entry was made, and its own digest."""

    algorithm: str
    chunk_size: int
    digest: bytes


@dataclass(frozen=True, slots=True, order=True)
class GlobalReference:
    """A global that the payload names, and the sorted roles in which it uses it."""

    module: str
    name: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """What the static walk counted; quotas when loading."""

    opcodes: int
    arrays: int
    memo: int
    depth: int


@dataclass(frozen=True, slots=True)
class Payload:
    """The serialized model: its codec, the exact globals it needs, and its quotas."""

    codec: str
    codec_version: str
    compression: str
    raw_size: int
    globals: tuple[GlobalReference, ...]
    counts: Counts


@dataclass(frozen=True, slots=True)
class Extension:
    """A field of a later writer: a critical one must be understood, others may be ignored."""

    critical: bool
    value: Any


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the signature covers.

    Attributes:
        name: `acme/churn`.
        version: normalised PEP 440 version, or None.
        created: seconds since 1970 UTC; a claim of the signer.
        expires: seconds since 1970 UTC, or None.
        entries: every entry before the manifest.
    """

    creator: Creator
    name: str
    version: str | None
    created: int
    expires: int | None
    entries: tuple[Entry, ...]
    digest: ChunkDigests
    payload: Payload
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    example: Mapping[str, Any] = field(default_factory=dict)
    extensions: Mapping[str, Extension] = field(default_factory=dict)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Manifest":
        """Parse a manifest.

        Raises:
            FormatError: not canonical, or a field is missing or out of its range.
            UnsupportedVersionError: made by a newer writer.
        """
        value = wire.decode(data, maximum=MANIFEST_MAX, where="the manifest")
        fields = Fields(value, "manifest")
        _check_format(fields.take("format", int))
        manifest = cls(
            creator=_read_creator(fields.take("creator", dict)),
            name=check_model_name(fields.take("name", str)),
            version=_read_version(fields.take_or_nil("version", str)),
            created=_read_time(fields.take("created", int), "manifest.created"),
            expires=_read_expiry(fields.take_or_nil("expires", int)),
            entries=fields.take_list("entries", _read_entry),
            digest=_read_digest(fields.take("digest", dict)),
            payload=_read_payload(fields.take("payload", dict)),
            model=fields.take_optional_map("model"),
            training=fields.take_optional_map("training"),
            environment=fields.take_optional_map("environment"),
            example=fields.take_optional_map("example"),
            extensions=_read_extensions(fields.take_optional_map("extensions")),
        )
        fields.finish()
        return manifest

    def to_bytes(self) -> bytes:
        """Return the canonical bytes, the ones that are signed."""
        data = wire.encode(self.to_value(), where="manifest")
        if len(data) > MANIFEST_MAX:
            raise FormatError(
                f"the manifest has {len(data)} bytes, at most {MANIFEST_MAX} fit", hint="shorten the metadata"
            )
        return data

    def to_value(self) -> dict[str, Any]:
        """Return the manifest as plain maps and lists, as it stands in the file."""
        required: dict[str, Any] = {
            "format": FORMAT,
            "creator": {"tool": self.creator.tool, "version": self.creator.version},
            "name": self.name,
            "version": self.version,
            "created": self.created,
            "expires": self.expires,
            "entries": [{"name": entry.name, "size": entry.size, "crc32": entry.crc32} for entry in self.entries],
            "digest": {
                "algorithm": self.digest.algorithm,
                "chunk_size": self.digest.chunk_size,
                "digest": self.digest.digest,
            },
            "payload": _payload_value(self.payload),
        }
        optional = {
            "model": self.model,
            "training": self.training,
            "environment": self.environment,
            "example": self.example,
            "extensions": {
                name: {"critical": extension.critical, "value": extension.value}
                for name, extension in self.extensions.items()
            },
        }
        return required | {name: value for name, value in optional.items() if value}

    def check_layout(self, layout: Layout) -> None:
        """Check the signed entries against the container's structure (spec, "Reading", step 3).

        Raises:
            FormatError: they describe another file.
        """
        described = layout.entries[:-2]  # all but the manifest and the signatures
        if self.entries != described:
            raise FormatError("the entries of the container are not those that the manifest lists")
        codec_entry = described[1]
        if codec_entry.name != f"payload.{self.payload.codec}":
            raise FormatError(f"the payload is {codec_entry.name!r}, the manifest names codec {self.payload.codec!r}")
        if self.payload.compression == "none" and self.payload.raw_size != codec_entry.size:
            raise FormatError(f"the payload has {codec_entry.size} bytes, the manifest says {self.payload.raw_size}")


def _check_format(number: int) -> None:
    if number != FORMAT:
        raise UnsupportedVersionError(
            f"the artifact has format {number}, this reader knows {FORMAT}", hint="update safemodel"
        )


def _read_creator(value: object) -> Creator:
    fields = Fields(value, "manifest.creator")
    creator = Creator(fields.take("tool", str), fields.take("version", str))
    fields.finish()
    return creator


def _read_version(version: str | None) -> str | None:
    return None if version is None else check_model_version(version)


def _read_time(seconds: int, where: str) -> int:
    return expect_range(seconds, 0, TOTAL_MAX, where)


def _read_expiry(seconds: int | None) -> int | None:
    return None if seconds is None else _read_time(seconds, "manifest.expires")


def _read_entry(value: object, where: str) -> Entry:
    fields = Fields(value, where)
    entry = Entry(
        fields.take("name", str),
        expect_range(fields.take("size", int), 0, TOTAL_MAX, f"{where}.size"),
        expect_range(fields.take("crc32", int), 0, 2**32 - 1, f"{where}.crc32"),
    )
    fields.finish()
    return entry


def _read_digest(value: object) -> ChunkDigests:
    fields = Fields(value, "manifest.digest")
    digest = ChunkDigests(
        _registered(fields.take("algorithm", str), ALGORITHMS, "manifest.digest.algorithm"),
        _read_chunk_size(fields.take("chunk_size", int)),
        expect_size(fields.take("digest", bytes), DIGEST_SIZE, "manifest.digest.digest"),
    )
    fields.finish()
    return digest


def _read_chunk_size(size: int) -> int:
    expect_range(size, CHUNK_SIZE_MIN, CHUNK_SIZE_MAX, "manifest.digest.chunk_size")
    if size & (size - 1):
        raise FormatError(f"manifest.digest.chunk_size is {size}, expected a power of two")
    return size


def _read_payload(value: object) -> Payload:
    fields = Fields(value, "manifest.payload")
    payload = Payload(
        codec=_registered(fields.take("codec", str), CODECS, "manifest.payload.codec"),
        codec_version=fields.take("codec_version", str),
        compression=_registered(fields.take("compression", str), COMPRESSIONS, "manifest.payload.compression"),
        raw_size=expect_range(fields.take("raw_size", int), 0, TOTAL_MAX, "manifest.payload.raw_size"),
        globals=_strictly_ascending(fields.take_list("globals", _read_global)),
        counts=_read_counts(fields.take("counts", dict)),
    )
    fields.finish()
    return payload


def _read_global(value: object, where: str) -> GlobalReference:
    fields = Fields(value, where)
    reference = GlobalReference(
        fields.take("module", str), fields.take("name", str), _read_roles(fields.take("roles", list), f"{where}.roles")
    )
    fields.finish()
    return reference


def _read_roles(value: list[object], where: str) -> tuple[str, ...]:
    roles = tuple(_registered(expect(role, str, where), ROLES, where) for role in value)
    if not roles or list(roles) != sorted(set(roles)):
        raise FormatError(f"{where} is not a sorted list of distinct roles")
    return roles


def _read_counts(value: object) -> Counts:
    where = "manifest.payload.counts"
    fields = Fields(value, where)
    names = ("opcodes", "arrays", "memo", "depth")
    counts = Counts(*(expect_range(fields.take(name, int), 0, TOTAL_MAX, f"{where}.{name}") for name in names))
    fields.finish()
    return counts


def _strictly_ascending(references: tuple[GlobalReference, ...]) -> tuple[GlobalReference, ...]:
    pairs = [(reference.module, reference.name) for reference in references]
    if pairs != sorted(set(pairs)):
        raise FormatError("manifest.payload.globals is not strictly ascending by module and name")
    return references


def _read_extensions(value: dict[str, Any]) -> dict[str, Extension]:
    return {name: _read_extension(name, item) for name, item in value.items()}


def _read_extension(name: str, value: object) -> Extension:
    where = f"manifest.extensions.{name}"
    fields = Fields(value, where)
    critical = fields.take("critical", bool)
    content = fields.take_any("value")
    fields.finish()
    if critical:
        raise UnsupportedVersionError(
            f"the artifact needs the extension {name!r}, which this reader does not know", hint="update safemodel"
        )
    return Extension(critical, content)


def _registered(value: str, registry: tuple[str, ...], where: str) -> str:
    if value not in registry:
        raise UnsupportedVersionError(
            f"{where} is {value[:64]!r}, this reader knows {', '.join(registry)}", hint="update safemodel"
        )
    return value


def _payload_value(payload: Payload) -> dict[str, Any]:
    counts = payload.counts
    return {
        "codec": payload.codec,
        "codec_version": payload.codec_version,
        "compression": payload.compression,
        "raw_size": payload.raw_size,
        "globals": [
            {"module": reference.module, "name": reference.name, "roles": list(reference.roles)}
            for reference in payload.globals
        ],
        "counts": {
            "opcodes": counts.opcodes,
            "arrays": counts.arrays,
            "memo": counts.memo,
            "depth": counts.depth,
        },
    }
