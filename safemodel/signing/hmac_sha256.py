"""HMAC-SHA256 (RFC 2104): one secret that both makes and checks a MAC, for closed circles such as one team's CI.

Rules kept here:

* The secret is exactly 32 random bytes, in a PEM label of its own. What parses as a key of another kind, or is text,
  is refused: public keys taken for MAC secrets are the classic forgery (CVE-2015-9235, CVE-2022-29217).
* The MAC key and the key id are both derived from it, by HKDF (RFC 5869) with different infos, so that neither the id
  in an artifact nor a MAC made elsewhere with the same secret says anything about the MAC key.
"""

import hmac
import os
from collections.abc import Iterable
from typing import ClassVar

from safemodel.errors import KeyMaterialError
from safemodel.signing.pem import armor
from safemodel.signing.signer import SecretHolder, VerifyingKey, compute_key_id, signature_mismatch

ALGORITHM = "hmac-sha256"
PEM_LABEL = "SAFEMODEL HMAC KEY"

_SECRET_SIZE = 32
# SEC 1, PKCS#1 and PKCS#8 start with an INTEGER, SPKI with a SEQUENCE; SEC 1 on a 128-bit curve has just 32 bytes.
_DER_KEYS = (b"\x30\x1e\x02", b"\x30\x1e\x30")
_DISTINCT_MIN = 16  # 32 random bytes have fewer distinct values once in 10**15
_MAC_INFO = b"safemodel/v1/hmac-sha256/mac"
_KEY_ID_INFO = b"safemodel/v1/hmac-sha256/keyid"


class HmacSha256Key(SecretHolder):
    """A shared secret: signer and verifying key in one. Whoever can verify can also sign.

    Args:
        secret: 32 random bytes.

    Raises:
        KeyMaterialError: they are not.
    """

    __slots__ = ("_key_id", "_mac_key", "_secret")

    algorithm: ClassVar[str] = ALGORITHM

    def __init__(self, secret: bytes) -> None:
        flaw = _flaw(secret)
        if flaw:
            raise KeyMaterialError(
                f"expected an HMAC secret of {_SECRET_SIZE} random bytes, found {flaw}",
                hint="make one with 'safemodel keygen PATH --algorithm hmac-sha256'",
            )
        self._secret = secret
        self._mac_key = _hkdf(secret, _MAC_INFO)
        self._key_id = compute_key_id(ALGORITHM, _hkdf(secret, _KEY_ID_INFO))

    @classmethod
    def generate(cls) -> "HmacSha256Key":
        """Make a new key."""
        secret = os.urandom(_SECRET_SIZE)
        while _flaw(secret):  # once in 2**22
            secret = os.urandom(_SECRET_SIZE)
        return cls(secret)

    def to_pem(self) -> bytes:
        """Return the secret in its own PEM label."""
        return armor(PEM_LABEL, self._secret)

    @property
    def key_id(self) -> bytes:
        """32 bytes, as `compute_key_id` makes them."""
        return self._key_id

    @property
    def verifying_key(self) -> "HmacSha256Key":
        """Itself."""
        return self

    def sign(self, message: bytes) -> bytes:
        """Return the MAC, 32 bytes."""
        return hmac.digest(self._mac_key, message, "sha256")

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a MAC, in constant time.

        Raises:
            SignatureMismatchError: it is not the MAC of this message.
        """
        if not hmac.compare_digest(self.sign(message), signature):
            raise signature_mismatch(self)

    def is_part_of(self, public: bytes) -> bool:
        """Whether the secret stands in bytes that are public: a raw public key, a coordinate of a point, a key id."""
        return self._secret in public


def refuse_public_as_secret(keys: Iterable[VerifyingKey]) -> None:
    """Check that no HMAC secret among the keys is public knowledge.

    Args:
        keys: all that one verifier trusts.

    Raises:
        KeyMaterialError: an HMAC secret is the raw public key, a coordinate or the key id of another of them.
    """
    listed = tuple(keys)
    public = [key.key_id + getattr(key, "raw", b"") for key in listed]
    for key in listed:
        if isinstance(key, HmacSha256Key) and any(map(key.is_part_of, public)):
            raise KeyMaterialError(
                f"the secret of HMAC key {key.key_id.hex()} is a public key or key id, so anyone can sign with it",
                hint="make a new one with 'safemodel keygen PATH --algorithm hmac-sha256'",
            )


def _hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256 and no salt, for the 32 bytes that one round of expansion gives."""
    return hmac.digest(hmac.digest(bytes(32), secret, "sha256"), info + b"\x01", "sha256")


def _flaw(secret: bytes) -> str | None:
    """What shows that these are not 32 random bytes, or None."""
    if secret and all(0x20 <= byte < 0x7F or byte in b"\t\r\n" for byte in secret):
        return "text, such as PEM, an OpenSSH key, hexadecimal digits or a passphrase"
    if len(secret) != _SECRET_SIZE:
        return f"{len(secret)} bytes"
    if secret.startswith(_DER_KEYS):
        return "a key in DER"
    return "repeated bytes" if len(set(secret)) < _DISTINCT_MIN else None
