"""ECDSA on P-256 with SHA-256 (FIPS 186-5), for HSMs, cloud KMS and OpenSSF Model Signing.

There is one accepted signature per (r, s): strict DER, and s at most n/2. Of every valid signature (r, n - s) is valid
too, so without this rule anyone could make a second artifact out of one. What signs here normalises; a signature by
`openssl` or an HSM has a high s half of the time and is normalised with `low_s` before it goes into an artifact.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from safemodel.errors import KeyMaterialError, SigningError
from safemodel.signing.pem import PUBLIC_KEY, armor
from safemodel.signing.pkcs8 import encode_private_key
from safemodel.signing.signer import SecretHolder, compute_key_id, signature_mismatch

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

ALGORITHM = "ecdsa-p256-sha256"

# RFC 5480 with the curve by name; explicit parameters could name another generator (CVE-2020-0601) and are not read.
_SPKI_UNCOMPRESSED = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_SPKI_COMPRESSED = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")

_COORDINATE = 32
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True, repr=False)
class EcdsaP256VerifyingKey:
    """A public key on P-256.

    Args:
        raw: the uncompressed point, 65 bytes (SEC 1, section 2.3.3).

    Raises:
        KeyMaterialError: not an uncompressed point of the curve.
    """

    algorithm: ClassVar[str] = ALGORITHM
    raw: bytes

    def __post_init__(self) -> None:
        if self.raw[:1] != b"\x04":
            raise _not_a_point()
        _point(self.raw)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key_id.hex()}>"

    @classmethod
    def from_point(cls, data: bytes) -> "EcdsaP256VerifyingKey":
        """Read a point, compressed or not."""
        return cls(_uncompressed(_point(data)))

    @classmethod
    def from_spki(cls, data: bytes) -> "EcdsaP256VerifyingKey | None":
        """Read DER, or return None where it is another kind of key or another way to write this one."""
        for prefix in (_SPKI_UNCOMPRESSED, _SPKI_COMPRESSED):
            if data.startswith(prefix):
                return cls.from_point(data[len(prefix) :])
        return None

    @classmethod
    def from_public_key(cls, key: object) -> "EcdsaP256VerifyingKey | None":
        """Take over a key of `cryptography`, or return None where it is another kind of key."""
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

        if isinstance(key, EllipticCurvePublicKey) and _is_p256(key):
            return cls(_uncompressed(key))
        return None

    def to_pem(self) -> bytes:
        """Return SPKI PEM, as `openssl pkey -pubout` writes it."""
        return armor(PUBLIC_KEY, _SPKI_UNCOMPRESSED + self.raw)

    @property
    def key_id(self) -> bytes:
        """32 bytes, as `compute_key_id` makes them."""
        return compute_key_id(ALGORITHM, self.raw)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a signature: DER of (r, s), 1 <= r < n, 1 <= s <= n/2.

        Raises:
            SignatureMismatchError: it is not this key's signature of this message, or not in this encoding.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        if not _is_canonical(signature):
            raise signature_mismatch(self, "is not in strict DER with 1 <= r < n and 1 <= s <= n/2")
        try:
            _point(self.raw).verify(signature, message, ECDSA(SHA256()))
        except InvalidSignature:
            raise signature_mismatch(self) from None


class EcdsaP256Signer(SecretHolder):
    """A private key on P-256 in memory."""

    __slots__ = ("_private_key", "_verifying_key")

    algorithm: ClassVar[str] = ALGORITHM

    def __init__(self, private_key: "EllipticCurvePrivateKey") -> None:
        self._private_key = private_key
        self._verifying_key = EcdsaP256VerifyingKey(_uncompressed(private_key.public_key()))

    @classmethod
    def generate(cls) -> "EcdsaP256Signer":
        """Make a new key."""
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

        return cls(generate_private_key(SECP256R1()))

    @classmethod
    def from_private_key(cls, key: object) -> "EcdsaP256Signer | None":
        """Take over a key of `cryptography`, or return None where it is another kind of key."""
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

        return cls(key) if isinstance(key, EllipticCurvePrivateKey) and _is_p256(key) else None

    def to_pem(self, passphrase: bytes | None) -> bytes:
        """Return PKCS#8 PEM, encrypted unless the passphrase is None."""
        return encode_private_key(self._private_key, passphrase)

    @property
    def verifying_key(self) -> EcdsaP256VerifyingKey:
        """The key that verifies what this one signs."""
        return self._verifying_key

    @property
    def key_id(self) -> bytes:
        """The key id of `verifying_key`."""
        return self._verifying_key.key_id

    def sign(self, message: bytes) -> bytes:
        """Return the signature: DER of (r, s) with low s, at most 71 bytes."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        return low_s(self._private_key.sign(message, ECDSA(SHA256())))


def low_s(signature: bytes) -> bytes:
    """Return the equivalent signature that verifiers accept; for signers in front of an HSM or a cloud KMS.

    Args:
        signature: DER of (r, s).

    Raises:
        SigningError: the backend gave something else.
    """
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    try:
        r, s = decode_dss_signature(signature)
    except ValueError as error:
        raise SigningError("expected an ECDSA signature in DER from the backend, found other bytes") from error
    return encode_signature(r, s)


def encode_signature(r: int, s: int) -> bytes:
    """Return the signature that verifiers accept, for backends that give two numbers.

    Raises:
        SigningError: a number is not one of a signature on P-256.
    """
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    if not (0 < r < _ORDER and 0 < s < _ORDER):
        raise SigningError("expected an ECDSA signature on P-256 from the backend, found other numbers")
    return encode_dss_signature(r, min(s, _ORDER - s))


def _is_canonical(signature: bytes) -> bool:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    try:
        r, s = decode_dss_signature(signature)
    except ValueError:
        return False
    # Encoded again, so that the rule does not rest on how strict the decoder is.
    return 1 <= r < _ORDER and 1 <= s <= _ORDER // 2 and encode_dss_signature(r, s) == signature


def _point(data: bytes) -> "EllipticCurvePublicKey":
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

    try:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), data)
    except ValueError:
        raise _not_a_point() from None


def _uncompressed(key: "EllipticCurvePublicKey") -> bytes:
    numbers = key.public_numbers()
    return b"\x04" + numbers.x.to_bytes(_COORDINATE, "big") + numbers.y.to_bytes(_COORDINATE, "big")


def _is_p256(key: "EllipticCurvePrivateKey | EllipticCurvePublicKey") -> bool:
    return key.curve.name == "secp256r1"


def _not_a_point() -> KeyMaterialError:
    return KeyMaterialError("expected a point of P-256, found other bytes", hint="get the key again from its owner")
