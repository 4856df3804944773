"""OpenSSH's own key files: the one line of a public key, and private keys in the format of OpenSSH's PROTOCOL.key.

Rules kept here:

* One key, Ed25519 (RFC 8709) or P-256 (RFC 5656), under the key id that it has in PEM. Certificates are refused: they
  say who may log in, and nothing of it would be checked. So are keys of FIDO tokens (`sk-`), which sign other bytes.
* A private key is judged by its unencrypted head, algorithm and cost of the key derivation, before anyone is asked for
  a passphrase.
"""

import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from safemodel.errors import KeyMaterialError
from safemodel.signing.ecdsa_p256 import EcdsaP256VerifyingKey
from safemodel.signing.ed25519 import Ed25519VerifyingKey
from safemodel.signing.pem import COPY_AGAIN, OPENSSH_PRIVATE_KEY, PemBlock, armor
from safemodel.signing.signer import missing_extra, unsupported_key
from safemodel.signing.sshwire import Reader

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

ED25519 = "ssh-ed25519"
P256 = "ecdsa-sha2-nistp256"

_CURVE = "nistp256"
_MAGIC = b"openssh-key-v1\0"
_ROUNDS_MAX = 1024  # of bcrypt_pbkdf: some ten seconds; ssh-keygen uses 16 or 24
_NAME_MAX = 64  # characters of a foreign algorithm's name that are shown

_MAKE_ANOTHER = "make one with 'ssh-keygen -t ed25519 -f KEY' or 'safemodel keygen KEY'"


def verifying_key_from_line(data: bytes) -> Ed25519VerifyingKey | EcdsaP256VerifyingKey:
    """Read a public key file: algorithm, base64 and an optional comment, which is ignored.

    Raises:
        KeyMaterialError: it is not one such line, or the key must not be used.
    """
    lines = data.strip().splitlines()
    if len(lines) != 1:
        raise KeyMaterialError(f"expected one OpenSSH public key, found {len(lines)} lines", hint="split the file")
    algorithm, text = [*lines[0].split(None, 2), b""][:2]
    _require_known(algorithm.decode("ascii", "replace"))
    try:
        blob = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise _damaged("an OpenSSH public key", "text that is not base64") from None
    if not blob.startswith(len(algorithm).to_bytes(4, "big") + algorithm):
        raise _damaged("an OpenSSH public key", "one of another algorithm than its line says")
    return verifying_key_from_blob(blob)


def verifying_key_from_blob(blob: bytes) -> Ed25519VerifyingKey | EcdsaP256VerifyingKey:
    """Read a public key as it is inside of OpenSSH's files and messages.

    Raises:
        KeyMaterialError: another algorithm, foreign bytes, or a key that must not be used.
    """
    reader = Reader(blob)
    try:
        algorithm = reader.name()
        _require_known(algorithm)
        curve = reader.name() if algorithm == P256 else ""
        raw = reader.string()
        reader.end()
    except ValueError as error:
        raise _damaged("an OpenSSH public key", "other bytes") from error
    if algorithm == ED25519:
        return Ed25519VerifyingKey(raw)
    if curve != _CURVE:
        raise _damaged("an OpenSSH public key on nistp256", "another curve")
    return EcdsaP256VerifyingKey(raw)


def decode_private_key(block: PemBlock, ask: Callable[[], bytes]) -> "PrivateKeyTypes":
    """Read a private key.

    Args:
        block: labelled OPENSSH PRIVATE KEY.
        ask: returns the passphrase; called only when the key is encrypted.

    Returns:
        A key of `cryptography`.

    Raises:
        KeyMaterialError: wrong passphrase, or no such key.
        ConfigurationError: it is encrypted, and bcrypt is not installed.
    """
    data = block.decode()
    head = _Head.from_bytes(data)
    public = verifying_key_from_blob(head.public)
    if head.rounds > _ROUNDS_MAX:
        raise KeyMaterialError(
            f"expected a key derivation of at most {_ROUNDS_MAX} rounds, found {head.rounds}",
            hint="encrypt the key again with 'ssh-keygen -p -a 64 -f KEY'",
        )
    if head.is_encrypted:
        _require_bcrypt()
    key = _load(data, ask() if head.is_encrypted else None)
    if public.from_public_key(key.public_key()) != public:  # cryptography does not compare the two halves of Ed25519
        raise _damaged("an OpenSSH private key", "one whose private half belongs to another public key")
    return key


@dataclass(frozen=True, slots=True)
class _Head:
    """What a private key file says without its passphrase (PROTOCOL.key, section 1)."""

    is_encrypted: bool
    rounds: int
    public: bytes

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        try:
            return cls._read(Reader(data))
        except ValueError as error:
            raise _damaged("an OpenSSH private key", "other bytes") from error

    @classmethod
    def _read(cls, reader: Reader) -> Self:
        if reader.take(len(_MAGIC)) != _MAGIC:
            raise ValueError("another format")
        is_encrypted = reader.name() != "none"
        derivation = reader.name()
        options = Reader(reader.string())
        if reader.uint32() != 1:
            raise ValueError("not one key")
        return cls(is_encrypted, _rounds(options) if derivation == "bcrypt" else 0, reader.string())


def _rounds(options: Reader) -> int:
    options.string()  # the salt
    return options.uint32()


def _load(data: bytes, passphrase: bytes | None) -> "PrivateKeyTypes":
    from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    try:
        return load_ssh_private_key(armor(OPENSSH_PRIVATE_KEY, data), passphrase)
    except UnsupportedAlgorithm as error:
        raise KeyMaterialError(
            "expected an OpenSSH private key, found one encrypted in a way that is not supported",
            hint="encrypt it again with 'ssh-keygen -p -Z aes256-ctr -f KEY'",
        ) from error
    except (ValueError, TypeError, NotImplementedError, InvalidTag) as error:
        raise (_damaged("an OpenSSH private key", "other bytes") if passphrase is None else _undecryptable()) from error


def _undecryptable() -> KeyMaterialError:
    return KeyMaterialError(
        "the OpenSSH private key cannot be decrypted: the passphrase is wrong, or the file is damaged",
        hint="try it with 'ssh-keygen -y -f KEY'",
    )


def _require_bcrypt() -> None:
    try:
        import bcrypt  # noqa: F401 - cryptography's loader uses it
    except ImportError:
        raise missing_extra("an encrypted OpenSSH key", "bcrypt", "ssh") from None


def _require_known(algorithm: str) -> None:
    if algorithm not in (ED25519, P256):
        raise unsupported_key(repr(algorithm[:_NAME_MAX]), _MAKE_ANOTHER)


def _damaged(expected: str, found: str) -> KeyMaterialError:
    return KeyMaterialError(f"expected {expected}, found {found}", hint=COPY_AGAIN)
