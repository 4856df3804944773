"""Ed25519 (RFC 8032): 32-byte keys, 64-byte signatures.

A verifying key is refused unless it is a point of the curve in its one encoding and of large order. Under the eight
points of small order, OpenSSL and so `cryptography` accept signatures that anyone can make; y >= p would give one key
several key ids (Chalkias, Garillot, Nikolaenko, "Taming the many EdDSAs", 2020).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from safemodel.errors import KeyMaterialError
from safemodel.signing.pem import PUBLIC_KEY, armor
from safemodel.signing.pkcs8 import encode_private_key
from safemodel.signing.signer import SecretHolder, compute_key_id, signature_mismatch

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ALGORITHM = "ed25519"

_SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: no parameters, so there is only this one
_KEY_SIZE = 32

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_SIGN = 1 << 255
_ORDER_8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
_SMALL_ORDER = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})  # y; with either sign of x


@dataclass(frozen=True, slots=True, repr=False)
class Ed25519VerifyingKey:
    """An Ed25519 public key.

    Args:
        raw: 32 bytes, as RFC 8032 encodes the point.

    Raises:
        KeyMaterialError: not a point, not its canonical encoding, or of small order.
    """

    algorithm: ClassVar[str] = ALGORITHM
    raw: bytes

    def __post_init__(self) -> None:
        flaw = _flaw(self.raw)
        if flaw:
            raise KeyMaterialError(
                f"expected an Ed25519 public key, found {flaw}",
                hint="get the key again from its owner; no key generator makes this one",
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key_id.hex()}>"

    @classmethod
    def from_spki(cls, data: bytes) -> "Ed25519VerifyingKey | None":
        """Read DER, or return None where it is another kind of key."""
        return cls(data[len(_SPKI_PREFIX) :]) if data.startswith(_SPKI_PREFIX) else None

    @classmethod
    def from_public_key(cls, key: object) -> "Ed25519VerifyingKey | None":
        """Take over a key of `cryptography`, or return None where it is another kind of key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return cls(key.public_bytes_raw()) if isinstance(key, Ed25519PublicKey) else None

    def to_pem(self) -> bytes:
        """Return SPKI PEM, as `openssl pkey -pubout` writes it."""
        return armor(PUBLIC_KEY, _SPKI_PREFIX + self.raw)

    @property
    def key_id(self) -> bytes:
        """32 bytes, as `compute_key_id` makes them."""
        return compute_key_id(ALGORITHM, self.raw)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a signature of 64 bytes, by the equation without cofactor (RFC 8032, section 5.1.7).

        Raises:
            SignatureMismatchError: it is not this key's signature of this message.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            raise signature_mismatch(self) from None


class Ed25519Signer(SecretHolder):
    """An Ed25519 private key in memory."""

    __slots__ = ("_private_key", "_verifying_key")

    algorithm: ClassVar[str] = ALGORITHM

    def __init__(self, private_key: "Ed25519PrivateKey") -> None:
        self._private_key = private_key
        self._verifying_key = Ed25519VerifyingKey(private_key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> "Ed25519Signer":
        """Make a new key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_private_key(cls, key: object) -> "Ed25519Signer | None":
        """Take over a key of `cryptography`, or return None where it is another kind of key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(key) if isinstance(key, Ed25519PrivateKey) else None

    def to_pem(self, passphrase: bytes | None) -> bytes:
        """Return PKCS#8 PEM, encrypted unless the passphrase is None."""
        return encode_private_key(self._private_key, passphrase)

    @property
    def verifying_key(self) -> Ed25519VerifyingKey:
        """The key that verifies what this one signs."""
        return self._verifying_key

    @property
    def key_id(self) -> bytes:
        """The key id of `verifying_key`."""
        return self._verifying_key.key_id

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self._private_key.sign(message)


def _flaw(raw: bytes) -> str | None:
    """What is wrong with an encoded point, or None."""
    if len(raw) != _KEY_SIZE:
        return f"{len(raw)} bytes instead of {_KEY_SIZE}"
    y = int.from_bytes(raw, "little") & ~_SIGN
    if y >= _P:
        return "an encoding that is not canonical (y >= p)"
    if y in _SMALL_ORDER:
        return "a point of small order, under which anyone can sign"
    return None if _is_on_curve(y) else "bytes that are no point of the curve"


@lru_cache(maxsize=1024)  # of public numbers; services load many models signed by the same keys
def _is_on_curve(y: int) -> bool:
    # x^2 = (y^2 - 1) / (d*y^2 + 1) has a root iff numerator times denominator is a square (Euler's criterion).
    return pow((y * y - 1) * (_D * y * y + 1), (_P - 1) // 2, _P) == 1
