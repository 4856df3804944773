"""The little DER (X.690) that keys need, so that hostile key files are judged before a parser gets them.

Nothing is interpreted here beyond tags and lengths, and lengths are checked against the bytes that are there.
"""

from collections.abc import Iterator

from safemodel.errors import KeyMaterialError

INTEGER = 0x02
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
SEQUENCE = 0x30

_CONSTRUCTED = 0x20

OID_ED25519 = bytes.fromhex("2b6570")  # RFC 8410
OID_EC = bytes.fromhex("2a8648ce3d0201")  # RFC 5480
OID_P256 = bytes.fromhex("2a8648ce3d030107")
OID_PRIME_FIELD = bytes.fromhex("2a8648ce3d0101")  # in the place of a curve's name: parameters in full

_NAMES = {
    OID_ED25519: "Ed25519",
    OID_EC: "elliptic-curve",
    OID_P256: "P-256",
    OID_PRIME_FIELD: "with explicit parameters",
    bytes.fromhex("2b81040022"): "P-384",
    bytes.fromhex("2b81040023"): "P-521",
    bytes.fromhex("2b8104000a"): "secp256k1",
    bytes.fromhex("2a864886f70d010101"): "RSA",
    bytes.fromhex("2a864886f70d01010a"): "RSA-PSS",
    bytes.fromhex("2a8648ce380401"): "DSA",
    bytes.fromhex("2b6571"): "Ed448",
    bytes.fromhex("2b656e"): "X25519",
    bytes.fromhex("2b656f"): "X448",
}


def encode(tag: int, *parts: bytes) -> bytes:
    """Return one DER value with the parts as its content, at most 65535 bytes."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes(1 if size < 0x100 else 2, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def encode_integer(value: int) -> bytes:
    """Return a non-negative INTEGER."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Iterate over all primitive values, as (tag, content), in the order of the bytes.

    Raises:
        KeyMaterialError: a length is not DER or reaches past the end.
    """
    position = 0
    while position < len(data):
        tag = data[position]
        start, end = _content(data, position + 1)
        if tag & _CONSTRUCTED:
            position = start  # its content comes next, without recursion that nesting could exhaust
        else:
            yield tag, data[start:end]
            position = end


def _content(data: bytes, position: int) -> tuple[int, int]:
    first = data[position] if position < len(data) else 0x80
    start = position + 1
    size = first
    if first >= 0x80:
        start += first & 0x7F
        size = int.from_bytes(data[position + 1 : start], "big")
    if first in (0x80, 0xFF) or start + size > len(data):
        raise KeyMaterialError("expected a key in DER, found truncated or foreign bytes", hint="the file is damaged")
    return start, start + size


def object_identifiers(data: bytes) -> list[bytes]:
    """Return the contents of all OBJECT IDENTIFIERs: of SPKI and PKCS#8 the algorithm first, then the curve."""
    return [content for tag, content in elements(data) if tag == OBJECT_IDENTIFIER]


def algorithm_name(data: bytes) -> str:
    """Return words for the algorithm of an SPKI, PKCS#8 or SEC 1 key that is not encrypted, for messages."""
    names = (_NAMES.get(identifier, "") for identifier in object_identifiers(data)[:2])
    return " ".join(filter(None, names)) or "unknown"
