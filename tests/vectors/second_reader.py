"""A second reader, written from docs/spec.md alone: it shares no code with safemodel, and is made to be read.

It takes the whole artifact as bytes and does steps 1 to 3 and 5 of section "Reading", without the verifier's own
decisions. Whatever it does not accept raises `Refused`.
"""

import hashlib
import hmac
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import blake3
import msgpack
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

MIMETYPE = b"application/vnd.safemodel+zip"
PAYLOAD_TYPE = b"application/vnd.safemodel.manifest.v1+sha256"
CAPS = {"index": 2**26, "digests": 2**26, "manifest.msgpack": 2**20, "signatures.msgpack": 2**16}
FIXED = ("mimetype", "index", "digests", "manifest.msgpack", "signatures.msgpack")
DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
PART = "[a-z0-9]([a-z0-9._-]*[a-z0-9])?"
NUMBER = "(0|[1-9][0-9]*)"
VERSION = rf"{NUMBER}(\.{NUMBER})*((a|b|rc){NUMBER})?(\.post{NUMBER})?(\.dev{NUMBER})?"
ROLES = ("build", "call", "newobj", "reference", "setitems")
COMPRESSIONS = ("none", "zlib", "gzip", "bz2", "xz", "lzma")
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Refused(Exception):
    """The bytes are not an artifact that this key signed."""


class Entry(NamedTuple):
    """What the directory says of an entry."""

    name: str
    size: int
    crc32: int


class Region(NamedTuple):
    """One record of the index."""

    cut: int
    start: int
    size: int
    kind: int


class Artifact(NamedTuple):
    """What was read: the manifest as plain maps, the contents by name, and the index."""

    manifest: dict[str, Any]
    contents: dict[str, bytes]
    regions: list[Region]
    digest: bytes


PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | bytes  # bytes: an HMAC secret


def demand(condition: object, rule: str) -> None:
    """Refuse unless the condition holds."""
    if not condition:
        raise Refused(rule)


def read(data: bytes, key: PublicKey) -> Artifact:
    """Read an artifact that this key must have signed."""
    contents, entries = read_container(data)
    digest = hashlib.sha256(contents["manifest.msgpack"]).digest()
    check_signatures(contents["signatures.msgpack"], digest, key)
    manifest = read_manifest(contents["manifest.msgpack"], entries)
    check_digests(manifest["digest"], list(contents.values())[:-3], contents["digests"])
    regions = read_index(contents["index"], manifest["payload"]["raw_size"])
    return Artifact(manifest, contents, regions, digest)


# Container


def read_container(data: bytes) -> tuple[dict[str, bytes], list[Entry]]:
    """Section "Container": take the directory as a hint, derive every structural byte, demand equality."""
    entries = hinted_entries(data)
    check_entries(entries)
    headers, trailer_at, trailer = derive(entries)
    contents: dict[str, bytes] = {}
    for entry, (header_at, header) in zip(entries, headers, strict=True):
        content_at = header_at + len(header)
        demand(data[header_at:content_at] == header, "the local header follows from the list")
        contents[entry.name] = data[content_at : content_at + entry.size]
    demand(data[trailer_at:] == trailer, "directory and end records follow from the list")
    demand(contents["mimetype"] == MIMETYPE, "the mimetype")
    for entry in (entries[0], entries[-2], entries[-1]):
        demand(zlib.crc32(contents[entry.name]) == entry.crc32, "the CRC-32 of mimetype, manifest and signatures")
    return contents, entries


def derive(entries: list[Entry]) -> tuple[list[tuple[int, bytes]], int, bytes]:
    """Every structural byte: local headers with their offsets, then directory and end records with theirs."""
    headers: list[tuple[int, bytes]] = []
    directory = b""
    offset = 0
    for entry in entries:
        header = local_record(entry, offset)
        headers.append((offset, header))
        directory += central_record(entry, offset)
        offset += len(header) + entry.size
    return headers, offset, directory + end_records(len(entries), len(directory), offset)


def hinted_entries(data: bytes) -> list[Entry]:
    demand(len(data) >= 22 and data[-22:-18] == b"PK\x05\x06", "the end record")
    offset = struct.unpack_from("<L", data, len(data) - 6)[0]
    if offset == 2**32 - 1 and len(data) >= 98:
        offset = struct.unpack_from("<Q", data, len(data) - 98 + 48)[0]
    entries: list[Entry] = []
    while data[offset : offset + 4] == b"PK\x01\x02" and len(entries) <= 64:
        demand(len(data) >= offset + 46, "whole records")
        crc32, size, _, name_size, extra_size, comment_size = struct.unpack_from("<3L3H", data, offset + 16)
        name_at = offset + 46
        if size == 2**32 - 1:
            demand(len(data) >= name_at + name_size + 12, "whole records")
            size = struct.unpack_from("<Q", data, name_at + name_size + 4)[0]
        entries.append(Entry(data[name_at : name_at + name_size].decode("latin-1"), size, crc32))
        offset = name_at + name_size + extra_size + comment_size
    return entries


def check_entries(entries: list[Entry]) -> None:
    names = [entry.name for entry in entries]
    demand(6 <= len(names) <= 64, "6 to 64 entries")
    demand((names[0], names[2], *names[-3:]) == FIXED and names[1].startswith("payload."), "the order of entries")
    attachments = names[3:-3]
    demand(attachments == sorted(set(attachments)), "attachments ascend")
    demand(not any(name in FIXED or name.startswith("payload.") for name in attachments), "reserved names")
    for entry in entries:
        demand(re.fullmatch("[a-z0-9][a-z0-9_.-]{0,62}[a-z0-9]", entry.name), "the grammar of names")
        demand(not DEVICES.fullmatch(entry.name), "no device names")
        demand(entry.size <= CAPS.get(entry.name, 2**53 - 1) and entry.size != 2**32 - 1, "the caps of sizes")


def local_record(entry: Entry, offset: int) -> bytes:
    name = entry.name.encode()
    extra = struct.pack("<2H2Q", 1, 16, entry.size, entry.size) if entry.size >= 2**32 else b""
    version = 45 if extra else 10
    if entry.name.startswith("payload."):
        padding = -(offset + 30 + len(name) + len(extra) + 6) % 4096
        extra += struct.pack("<3H", 0xD935, 2 + padding, 4096) + bytes(padding)
    sizes = (min(entry.size, 2**32 - 1),) * 2
    fixed = struct.pack("<5H3L2H", version, 0, 0, 0, 0x21, entry.crc32, *sizes, len(name), len(extra))
    return b"PK\x03\x04" + fixed + name + extra


def central_record(entry: Entry, offset: int) -> bytes:
    name = entry.name.encode()
    extra = struct.pack("<2Q", entry.size, entry.size) if entry.size >= 2**32 else b""
    if offset >= 2**32 - 1:
        extra += struct.pack("<Q", offset)
    if extra:
        extra = struct.pack("<2H", 1, len(extra)) + extra
    sizes = (min(entry.size, 2**32 - 1),) * 2
    fixed = struct.pack("<6H3L", 0x032D, 45 if extra else 10, 0, 0, 0, 0x21, entry.crc32, *sizes)
    rest = struct.pack("<5H2L", len(name), len(extra), 0, 0, 0, 0x81A40000, min(offset, 2**32 - 1))
    return b"PK\x01\x02" + fixed + rest + name + extra


def end_records(count: int, size: int, offset: int) -> bytes:
    if offset < 2**32 - 1:
        return b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, count, count, size, offset, 0)
    zip64 = b"PK\x06\x06" + struct.pack("<Q2H2L4Q", 44, 0x032D, 45, 0, 0, count, count, size, offset)
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, offset + size, 1)
    return zip64 + locator + b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)


# Wire


def decode(data: bytes, cap: int) -> Any:
    """Section "Wire": decode, encode again, demand equality."""
    demand(len(data) <= cap, "the cap of the entry")
    try:
        value = msgpack.unpackb(data, strict_map_key=True, max_ext_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise Refused("msgpack") from error
    demand(encode(value, 0) == data, "the canonical form")
    return value


def encode(value: Any, depth: int) -> bytes:
    demand(depth <= 32, "nesting")
    match value:
        case None | False | True:
            return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
        case int():
            return encode_integer(value)
        case float():
            data = struct.pack(">d", value)
            demand(value - value == 0 and data != b"\x80" + bytes(7), "no NaN, infinity or negative zero")
            return b"\xcb" + data
        case str():
            text = value.encode()
            return head(len(text), (0xA0, 32), (0xD9, 0xDA, 0xDB)) + text
        case bytes():
            return head(len(value), None, (0xC4, 0xC5, 0xC6)) + value
        case list():
            items = b"".join(encode(item, depth + 1) for item in value)
            return head(len(value), (0x90, 16), (None, 0xDC, 0xDD)) + items
        case dict():
            demand(all(type(key) is str for key in value), "keys are strings")
            keys = sorted(value, key=str.encode)
            items = b"".join(encode(key, depth + 1) + encode(value[key], depth + 1) for key in keys)
            return head(len(value), (0x80, 16), (None, 0xDE, 0xDF)) + items
    raise Refused("a type of the wire format")


def encode_integer(value: int) -> bytes:
    if -32 <= value < 128:
        return struct.pack("b", value) if value < 0 else bytes([value])
    if value > 0:
        size = next(size for size in (1, 2, 4, 8) if value < 256**size)
        return bytes([{1: 0xCC, 2: 0xCD, 4: 0xCE, 8: 0xCF}[size]]) + value.to_bytes(size, "big")
    size = next(size for size in (1, 2, 4, 8) if value >= -(256**size) // 2)
    return bytes([{1: 0xD0, 2: 0xD1, 4: 0xD2, 8: 0xD3}[size]]) + value.to_bytes(size, "big", signed=True)


def head(size: int, short: tuple[int, int] | None, tags: tuple[int | None, int, int]) -> bytes:
    """The first bytes of a string, byte string, array or map: the shortest form that holds its size."""
    if short and size < short[1]:
        return bytes([short[0] | size])
    for tag, width in zip(tags, (1, 2, 4), strict=True):
        if tag is not None and size < 256**width:
            return bytes([tag]) + size.to_bytes(width, "big")
    raise Refused("a size of 32 bits")


# Signatures


def check_signatures(data: bytes, digest: bytes, key: PublicKey) -> None:
    """Section "Signatures": at least one record is by this key, and it must hold."""
    records = decode(data, CAPS["signatures.msgpack"])
    demand(type(records) is list and len(records) <= 16, "at most 16 records")
    message = b"DSSEv1 44 " + PAYLOAD_TYPE + b" 32 " + digest
    last = b""
    found = False
    for record in records:
        demand(type(record) is dict and set(record) == {"keyid", "sig"}, "the fields of a record")
        key_id, signature = record["keyid"], record["sig"]
        demand(type(key_id) is bytes and len(key_id) == 32 and key_id > last, "records ascend by key id")
        demand(type(signature) is bytes and len(signature) <= 8192, "the cap of a signature")
        if key_id == key_id_of(key):
            check_signature(key, signature, message)
            found = True
        last = key_id
    demand(found, "a signature by the trusted key")


def key_id_of(key: PublicKey) -> bytes:
    """Section "Key ids"."""
    match key:
        case ed25519.Ed25519PublicKey():
            algorithm, raw = b"ed25519", key.public_bytes_raw()
        case bytes():
            algorithm, raw = b"hmac-sha256", hkdf(key, b"safemodel/v1/hmac-sha256/keyid")
        case _:
            numbers = key.public_numbers()
            algorithm, raw = (
                b"ecdsa-p256-sha256",
                b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big"),
            )
    return hashlib.sha256(b"safemodel/v1/keyid\0" + algorithm + b"\0" + raw).digest()


def check_signature(key: PublicKey, signature: bytes, message: bytes) -> None:
    """Section "Signature algorithms"."""
    try:
        match key:
            case ed25519.Ed25519PublicKey():
                key.verify(signature, message)
            case bytes():
                mac = hmac.digest(hkdf(key, b"safemodel/v1/hmac-sha256/mac"), message, "sha256")
                demand(hmac.compare_digest(mac, signature), "the MAC")
            case _:
                r, s = decode_dss_signature(signature)
                demand(1 <= r < P256_ORDER and 1 <= s <= P256_ORDER // 2, "the ranges of r and s")
                demand(encode_dss_signature(r, s) == signature, "strict DER")
                key.verify(signature, message, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError) as error:
        raise Refused("the signature") from error


def hkdf(secret: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869) without salt, 32 bytes."""
    return hmac.digest(hmac.digest(bytes(32), secret, "sha256"), info + b"\x01", "sha256")


# Manifest


def read_manifest(data: bytes, entries: list[Entry]) -> dict[str, Any]:
    """Section "Manifest": every field, and the agreement with the container."""
    manifest: dict[str, Any] = decode(data, CAPS["manifest.msgpack"])
    required = {"format", "creator", "name", "version", "created", "expires", "entries", "digest", "payload"}
    descriptive = {"model", "training", "environment", "example", "extensions"}
    demand(type(manifest) is dict and required <= set(manifest) <= required | descriptive, "the fields of the manifest")
    demand(manifest["format"] == 0 and type(manifest["format"]) is int, "the format's number")
    fields(manifest["creator"], tool=str, version=str)
    check_name_and_version(manifest["name"], manifest["version"])
    for moment in (manifest["created"], manifest["expires"]):
        demand(moment is None or is_count(moment), "seconds")
    demand(manifest["created"] is not None, "a creation time")
    listed = manifest["entries"]
    demand(type(listed) is list, "a list of entries")
    for entry in listed:
        fields(entry, name=str, size=int, crc32=int)
    demand([Entry(**entry) for entry in listed] == entries[:-2], "the entries are those of the container")
    check_digest_fields(manifest["digest"])
    check_payload_fields(manifest["payload"], entries[1])
    for name in descriptive & set(manifest):
        demand(type(manifest[name]) is dict and manifest[name], "a map that is not empty")
    for extension in manifest.get("extensions", {}).values():
        demand(type(extension) is dict and set(extension) == {"critical", "value"}, "the fields of an extension")
        demand(extension["critical"] is False, "no critical extension that this reader does not know")
    return manifest


def check_name_and_version(name: Any, version: Any) -> None:
    demand(type(name) is str and len(name) <= 128 and re.fullmatch(f"{PART}(/{PART})*", name), "a model's name")
    demand(
        version is None or (type(version) is str and len(version) <= 64 and re.fullmatch(VERSION, version)), "a version"
    )


def check_digest_fields(digest: Any) -> None:
    fields(digest, algorithm=str, chunk_size=int, digest=bytes)
    demand(digest["algorithm"] in ("blake3", "sha256"), "a digest of the registry")
    demand(digest["chunk_size"] in {2**power for power in range(16, 27)}, "a power of two, 64 KiB to 64 MiB")
    demand(len(digest["digest"]) == 32, "32 bytes")


def check_payload_fields(payload: Any, entry: Entry) -> None:
    fields(payload, codec=str, codec_version=str, compression=str, raw_size=int, globals=list, counts=dict)
    demand(payload["codec"] == "joblib" and entry.name == "payload.joblib", "a codec of the registry")
    demand(payload["compression"] in COMPRESSIONS and is_count(payload["raw_size"]), "a compression of the registry")
    demand(payload["compression"] != "none" or payload["raw_size"] == entry.size, "the raw size")
    last: tuple[str, str] | None = None
    for reference in payload["globals"]:
        fields(reference, module=str, name=str, roles=list)
        roles, pair = reference["roles"], (reference["module"], reference["name"])
        demand(roles and all(type(role) is str and role in ROLES for role in roles), "roles of the registry")
        demand(roles == sorted(set(roles)) and (last is None or last < pair), "globals and roles ascend")
        last = pair
    fields(payload["counts"], opcodes=int, arrays=int, memo=int, depth=int)
    demand(all(map(is_count, payload["counts"].values())), "counts")


def fields(value: Any, **types: type) -> None:
    demand(type(value) is dict and set(value) == set(types), "exactly the fields of the spec")
    demand(all(type(value[name]) is kind for name, kind in types.items()), "the types of the spec")


def is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


# Digests and index


def check_digests(digest: dict[str, Any], contents: list[bytes], digests: bytes) -> None:
    """Section "Digests": every chunk of every entry before `digests`."""
    hasher: Any = {"blake3": blake3.blake3, "sha256": hashlib.sha256}[digest["algorithm"]]
    demand(hasher(digests).digest() == digest["digest"], "the digest of the digests")
    chunks = [hasher(chunk).digest() for content in contents for chunk in pieces(content, digest["chunk_size"])]
    demand(b"".join(chunks) == digests, "the digest of every chunk")


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def read_index(data: bytes, raw_size: int) -> list[Region]:
    """Section "Index": records of 32 bytes, ascending and inside the payload."""
    demand(len(data) % 32 == 0, "whole records")
    regions = [Region(*numbers) for numbers in struct.iter_unpack("<4Q", data)]
    end = 0
    for region in regions:
        padding = region.start - region.cut
        demand(end < region.cut and padding >= 0, "opcodes before each region")
        demand(padding <= 17 if region.kind == 0 else padding == 0 < region.size, "the padding of each kind")
        demand(region.kind in (0, 1), "a kind of region")
        end = region.start + region.size
        demand(end < raw_size, "opcodes after each region")
    return regions
