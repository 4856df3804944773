"""PEM (RFC 7468) of key files: one key per file, and no guess at anything else.

Text around the block is allowed, as `openssl x509 -text` writes it, and so is the `EC PARAMETERS` block that
`openssl ecparam -genkey` writes before the key.
"""

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from safemodel.errors import KeyMaterialError
from safemodel.signing.signer import MAKE_A_KEY

PUBLIC_KEY = "PUBLIC KEY"
PRIVATE_KEY = "PRIVATE KEY"
ENCRYPTED_PRIVATE_KEY = "ENCRYPTED PRIVATE KEY"
EC_PRIVATE_KEY = "EC PRIVATE KEY"  # SEC 1, what `openssl ecparam -genkey` and `openssl ec` write
EC_PARAMETERS = "EC PARAMETERS"
CERTIFICATE = "CERTIFICATE"
OPENSSH_PRIVATE_KEY = "OPENSSH PRIVATE KEY"

COPY_AGAIN = "the file is damaged; copy it again"
SIGN_WITH_PRIVATE = "sign with its private key, the file without .pub"

_BOUNDARY = re.compile(rb"^-----(BEGIN|END) ([A-Z0-9 ]{1,64})-----[ \t]*\r?$", re.MULTILINE)
_DEK_INFO = re.compile(rb"^DEK-Info:", re.MULTILINE)
_LINE = 64


@dataclass(frozen=True, slots=True)
class PemBlock:
    """One block of a PEM file.

    Attributes:
        label: such as `PUBLIC KEY`.
        body: what is between the two boundaries.
    """

    label: str
    body: bytes

    @classmethod
    def from_bytes(cls, data: bytes) -> "PemBlock":
        """Read a key file's content.

        Raises:
            KeyMaterialError: it does not hold exactly one key.
        """
        blocks = [block for block in _blocks(data) if block.label != EC_PARAMETERS]
        if not blocks:
            raise KeyMaterialError(f"expected a key in PEM, found {_kind_of_content(data)}", hint=_hint_for(data))
        if len(blocks) > 1:
            labels = ", ".join(block.label for block in blocks[:4])
            raise KeyMaterialError(f"expected one key, found {len(blocks)} PEM blocks: {labels}", hint="split the file")
        return blocks[0]

    def to_bytes(self) -> bytes:
        """Return the block with its boundaries."""
        label = self.label.encode("ascii")
        return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label, self.body.strip(), label)

    def decode(self) -> bytes:
        """Return the bytes that the body's base64 stands for.

        Raises:
            KeyMaterialError: it is not base64.
        """
        if _DEK_INFO.search(self.body):  # RFC 1421: key from MD5 of the passphrase; a short IV makes parsers panic
            raise KeyMaterialError(
                "expected a private key in PKCS#8, found one that is encrypted the traditional way",
                hint="convert it with 'openssl pkcs8 -topk8 -scrypt -in KEY -out NEWKEY'",
            )
        try:
            return binascii.a2b_base64(b"".join(self.body.split()), strict_mode=True)
        except binascii.Error:
            raise KeyMaterialError("expected base64 in the PEM block, found other text", hint=COPY_AGAIN) from None

    def refuse(self, expected: str, hints: Mapping[str, str]) -> KeyMaterialError:
        """Return the error for a block of another label than was expected.

        Args:
            expected: such as `a public key`.
            hints: by label; the other labels get a general one.
        """
        found = _FOUND.get(self.label, f"a PEM block {self.label!r}")
        return KeyMaterialError(f"expected {expected}, found {found}", hint=hints.get(self.label, MAKE_A_KEY))


def armor(label: str, data: bytes) -> bytes:
    """Return bytes as a PEM file's content, in lines of 64 characters."""
    text = binascii.b2a_base64(data, newline=False)
    lines = (text[start : start + _LINE] for start in range(0, len(text), _LINE))
    return PemBlock(label, b"\n".join(lines)).to_bytes()


_FOUND = {
    PUBLIC_KEY: "a public key",
    PRIVATE_KEY: "a private key",
    ENCRYPTED_PRIVATE_KEY: "a private key",
    EC_PRIVATE_KEY: "a private key",
    CERTIFICATE: "a certificate",
    "RSA PRIVATE KEY": "an RSA private key",
    "RSA PUBLIC KEY": "an RSA public key",
    "DSA PRIVATE KEY": "a DSA private key",
    OPENSSH_PRIVATE_KEY: "an OpenSSH private key",
}


def _blocks(data: bytes) -> list[PemBlock]:
    boundaries = list(_BOUNDARY.finditer(data))
    blocks = []
    for begin, end in zip(boundaries[::2], boundaries[1::2], strict=False):
        if begin[1] != b"BEGIN" or end[1] != b"END" or begin[2] != end[2]:
            break
        blocks.append(PemBlock(begin[2].decode("ascii"), data[begin.end() : end.start()]))
    if len(boundaries) != 2 * len(blocks):
        raise KeyMaterialError("expected a whole PEM block, found a BEGIN or END line alone", hint=COPY_AGAIN)
    return blocks


def _kind_of_content(data: bytes) -> str:
    if not data.strip():
        return "an empty file"
    if is_openssh_public_key(data):
        return "an OpenSSH public key"
    return "binary data" if b"\0" in data or data[0] >= 0x80 or data[0] < 0x20 else "other text"


def _hint_for(data: bytes) -> str:
    if is_openssh_public_key(data):
        return SIGN_WITH_PRIVATE
    if data[:1] == b"0":  # the tag of a SEQUENCE: DER
        return "if it is a key in DER, convert it with 'openssl pkey -inform DER -in FILE -out FILE.pem'"
    return MAKE_A_KEY


def is_openssh_public_key(data: bytes) -> bool:
    """Whether this is no PEM but what OpenSSH has in its .pub files."""
    return data.startswith((b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-"))
