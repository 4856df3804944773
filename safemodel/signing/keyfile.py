"""Key files: what is in the hands of whoever signs or verifies, as a path or as an object.

Rules kept here:

* PATH is the private key, of mode 0600 and encrypted unless that is turned off; PATH.pub is the public one. An HMAC key
  is PATH alone, since what verifies can also sign.
* Nothing is overwritten, and no half of a pair is left behind.
* A key file is read once, from a regular file, up to a cap, and never guessed at: one PEM block of a known label.
"""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from safemodel import system
from safemodel.errors import KeyMaterialError
from safemodel.signing import der, ecdsa_p256, ed25519, hmac_sha256, pkcs8
from safemodel.signing.ecdsa_p256 import EcdsaP256Signer, EcdsaP256VerifyingKey
from safemodel.signing.ed25519 import Ed25519Signer, Ed25519VerifyingKey
from safemodel.signing.hmac_sha256 import HmacSha256Key
from safemodel.signing.passphrase import Passphrase, choose_passphrase, find_passphrase
from safemodel.signing.pem import CERTIFICATE, PUBLIC_KEY, PemBlock
from safemodel.signing.signer import Signer, VerifyingKey, unsupported_key

KEYFILE_MAX = 64 * 1024  # bytes; a key takes some hundred, the text that openssl can put before it some thousand
PUBLIC_SUFFIX = ".pub"

# The registry of docs/spec.md, section "Signature algorithms".
_SIGNERS: Mapping[str, type[Ed25519Signer | EcdsaP256Signer]] = {
    ed25519.ALGORITHM: Ed25519Signer,
    ecdsa_p256.ALGORITHM: EcdsaP256Signer,
}
_VERIFYING_KEYS = (Ed25519VerifyingKey, EcdsaP256VerifyingKey)
ALGORITHMS = (*_SIGNERS, hmac_sha256.ALGORITHM)

_Path = str | os.PathLike[str]

_WRITE_PUBLIC = "use the file with .pub, or write one with 'openssl pkey -in KEY -pubout -out KEY.pub'"
_TO_VERIFY = dict.fromkeys(pkcs8.LABELS, _WRITE_PUBLIC) | {
    CERTIFICATE: "its public key comes out with 'openssl x509 -in FILE -pubkey -noout'"
}
_TO_SIGN = dict.fromkeys((PUBLIC_KEY, CERTIFICATE), "sign with its private key, the file without .pub")


def load_signer(key: object, *, passphrase: Passphrase | None = None) -> Signer:
    """Get ready to sign.

    Args:
        key: path of a private key's or HMAC key's file, a `Signer`, or a private key of `cryptography`.
        passphrase: text, its UTF-8 bytes, or a function that returns either; needed only for an encrypted key, and None
            stands for SAFEMODEL_PASSPHRASE or a question on the terminal.

    Returns:
        The signer.

    Raises:
        KeyMaterialError: not a private key, or not with this passphrase.
        OSError: the file cannot be read.
    """
    if isinstance(key, str | os.PathLike):
        with _naming(key):
            return signer_from_pem(_read(key), passphrase, purpose=repr(os.fspath(key)))
    signer = key if isinstance(key, Signer) else _signer_from_private_key(key)
    if signer is None:
        raise _wrong_object(key, "a private key: its path, a Signer, or an Ed25519 or P-256 key of 'cryptography'")
    return signer


def load_verifying_key(key: object) -> VerifyingKey:
    """Get ready to verify.

    Args:
        key: path of a public key's or HMAC key's file, a `VerifyingKey`, or a public key of `cryptography`.

    Returns:
        The verifying key.

    Raises:
        KeyMaterialError: not a public key, or one that must not be used.
        OSError: the file cannot be read.
    """
    if isinstance(key, str | os.PathLike):
        with _naming(key):
            return verifying_key_from_pem(_read(key))
    found = key if isinstance(key, VerifyingKey) else _verifying_key_from_public_key(key)
    if found is None:
        raise _wrong_object(key, "a public key: its path, a VerifyingKey, or an Ed25519 or P-256 key of 'cryptography'")
    return found


def signer_from_pem(data: bytes, passphrase: Passphrase | None = None, *, purpose: str = "the private key") -> Signer:
    """Read a private key or an HMAC key.

    Args:
        data: content of a key file: PKCS#8, SEC 1 as `openssl` writes it, or an HMAC key.
        passphrase: as for `load_signer`.
        purpose: what the passphrase is for, shown when asking.

    Returns:
        The signer.

    Raises:
        KeyMaterialError: not a private key, or not with this passphrase.
    """
    block = PemBlock.from_bytes(data)
    if block.label == hmac_sha256.PEM_LABEL:
        return HmacSha256Key(block.decode())
    if block.label not in pkcs8.LABELS:
        raise block.refuse("a private key", _TO_SIGN)
    key = pkcs8.decode_private_key(block, lambda: find_passphrase(passphrase, purpose=purpose))
    signer = _signer_from_private_key(key)
    if signer is None:
        raise unsupported_key(_kind(key))
    return signer


def verifying_key_from_pem(data: bytes) -> VerifyingKey:
    """Read a public key or an HMAC key.

    Args:
        data: content of a key file: SPKI, or an HMAC key.

    Returns:
        The verifying key.

    Raises:
        KeyMaterialError: not a public key, or one that must not be used.
    """
    block = PemBlock.from_bytes(data)
    if block.label == hmac_sha256.PEM_LABEL:
        return HmacSha256Key(block.decode())
    if block.label != PUBLIC_KEY:
        raise block.refuse("a public key", _TO_VERIFY)
    return _verifying_key_from_spki(block.decode())


def generate_keyfile(
    path: _Path, *, algorithm: str = ed25519.ALGORITHM, passphrase: Passphrase | Literal[False] | None = None
) -> VerifyingKey:
    """Make a key and write PATH and PATH.pub, or only PATH for an HMAC key.

    Args:
        path: of the private key's file.
        algorithm: `ed25519`, `ecdsa-p256-sha256` or `hmac-sha256`.
        passphrase: text, its UTF-8 bytes, or a function that returns either; None stands for SAFEMODEL_PASSPHRASE or a
            question on the terminal; False writes the key unencrypted. An HMAC key is never encrypted.

    Returns:
        The verifying key.

    Raises:
        KeyMaterialError: no such algorithm, or no passphrase.
        FileExistsError: there is a file already; it is left alone.
        OSError: a file cannot be written; none is left behind.
    """
    target = os.fsdecode(path)
    if target.endswith(PUBLIC_SUFFIX):
        raise KeyMaterialError(
            f"a private key's file must not be named {target!r}", hint=f"leave {PUBLIC_SUFFIX!r} away; it is added"
        )
    if algorithm == hmac_sha256.ALGORITHM:
        return _generate_secret(target, passphrase)
    if algorithm not in _SIGNERS:
        raise KeyMaterialError(f"expected one of {', '.join(ALGORITHMS)}, found algorithm {algorithm!r}")
    return _generate_pair(target, _SIGNERS[algorithm], passphrase)


def _generate_secret(target: str, passphrase: Passphrase | Literal[False] | None) -> HmacSha256Key:
    if passphrase is not None and passphrase is not False:
        raise KeyMaterialError("an HMAC key's file cannot be encrypted", hint="leave the passphrase away")
    _require_absent(target)
    key = HmacSha256Key.generate()
    system.create_exclusive(target, key.to_pem(), mode=0o600)
    return key


def _generate_pair(
    target: str, kind: type[Ed25519Signer | EcdsaP256Signer], passphrase: Passphrase | Literal[False] | None
) -> VerifyingKey:
    public = target + PUBLIC_SUFFIX
    _require_absent(target, public)
    secret = None if passphrase is False else choose_passphrase(passphrase, purpose=repr(target))
    signer = kind.generate()
    system.create_exclusive(target, signer.to_pem(secret), mode=0o600)
    try:
        system.create_exclusive(public, signer.verifying_key.to_pem(), mode=0o644)
    except BaseException:
        os.unlink(target)
        raise
    return signer.verifying_key


def _require_absent(*paths: str) -> None:
    for path in paths:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "a key file is never overwritten; move it away or choose another", path)


def _read(path: _Path) -> bytes:
    with open(system.open_regular(path), "rb") as file:
        data = file.read(KEYFILE_MAX + 1)
    if len(data) > KEYFILE_MAX:
        raise KeyMaterialError(f"expected a key of at most {KEYFILE_MAX} bytes, found more", hint="name the key's file")
    return data


@contextmanager
def _naming(path: _Path) -> Iterator[None]:
    """Put the path before what is wrong with the file."""
    try:
        yield
    except KeyMaterialError as error:
        raise KeyMaterialError(f"{os.fspath(path)!r}: {error.args[0]}", hint=error.hint) from error.__cause__


def _verifying_key_from_spki(data: bytes) -> VerifyingKey:
    for kind in _VERIFYING_KEYS:
        key = kind.from_spki(data)
        if key is not None:
            return key
    if {der.OID_P256, der.OID_PRIME_FIELD}.intersection(der.object_identifiers(data)[:2]):
        raise KeyMaterialError(
            "expected P-256 by name and a compressed or uncompressed point, found another way to write the key",
            hint="try 'openssl pkey -pubin -in FILE -pubout -ec_param_enc named_curve -ec_conv_form uncompressed'",
        )
    raise unsupported_key(der.algorithm_name(data))


def _verifying_key_from_public_key(key: object) -> VerifyingKey | None:
    for kind in _VERIFYING_KEYS:
        verifying_key = kind.from_public_key(key)
        if verifying_key is not None:
            return verifying_key
    return None


def _signer_from_private_key(key: object) -> Signer | None:
    for kind in _SIGNERS.values():
        signer = kind.from_private_key(key)
        if signer is not None:
            return signer
    return None


def _kind(key: object) -> str:
    """A word for a private key of `cryptography`: RSA, or the name of a curve."""
    curve = getattr(key, "curve", None)
    return str(curve.name) if curve is not None else type(key).__name__.removesuffix("PrivateKey")


def _wrong_object(key: object, expected: str) -> KeyMaterialError:
    return KeyMaterialError(
        f"expected {expected}, found an object of type {type(key).__name__}",
        hint="a key's PEM text goes through signer_from_pem or verifying_key_from_pem",
    )
