"""Key files: what is in the hands of whoever signs or verifies, as a path or as an object.

Rules kept here:

* PATH is the private key, of mode 0600 and encrypted unless that is turned off; PATH.pub is the public one. An HMAC key
  is PATH alone, since what verifies can also sign.
* Nothing is overwritten, and no half of a pair is left behind. Only a change of the passphrase replaces a file, as a
  whole or not at all.
* A key file is read once, from a regular file, up to a cap, and never guessed at: one PEM block of a known label, or
  the one line of an OpenSSH public key.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from safemodel import system
from safemodel.errors import KeyMaterialError
from safemodel.signing import der, ecdsa_p256, ed25519, hmac_sha256, pkcs8
from safemodel.signing.ecdsa_p256 import EcdsaP256Signer, EcdsaP256VerifyingKey
from safemodel.signing.ed25519 import Ed25519Signer, Ed25519VerifyingKey
from safemodel.signing.hmac_sha256 import HmacSha256Key
from safemodel.signing.passphrase import Passphrase, choose_passphrase, find_passphrase
from safemodel.signing.pem import (
    CERTIFICATE,
    OPENSSH_PRIVATE_KEY,
    PUBLIC_KEY,
    SIGN_WITH_PRIVATE,
    PemBlock,
    is_openssh_public_key,
)
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
_SHORT_NAMES = {"ecdsa-p256": ecdsa_p256.ALGORITHM}

_Path = str | os.PathLike[str]

_WRITE_PUBLIC = "use the file with .pub, or write one with 'openssl pkey -in KEY -pubout -out KEY.pub'"
_TO_VERIFY = dict.fromkeys(pkcs8.LABELS, _WRITE_PUBLIC) | {
    CERTIFICATE: "its public key comes out with 'openssl x509 -in FILE -pubkey -noout'",
    OPENSSH_PRIVATE_KEY: "use the file with .pub, or write one with 'ssh-keygen -y -f KEY > KEY.pub'",
}
_TO_SIGN = dict.fromkeys((PUBLIC_KEY, CERTIFICATE), SIGN_WITH_PRIVATE)
_TO_ENCRYPT = {
    OPENSSH_PRIVATE_KEY: "use 'ssh-keygen -p -f KEY'",
    hmac_sha256.PEM_LABEL: "an HMAC key is not encrypted; keep its file in a secret store",
}


def load_signer(key: object, *, passphrase: Passphrase | None = None) -> Signer:
    """Get ready to sign.

    Args:
        key: path of a private key's or HMAC key's file, the URI of a key elsewhere (`ssh-agent:`, `pkcs11:...`,
            `awskms:...`; docs/keys.md), a `Signer`, or a private key of `cryptography`.
        passphrase: text, its UTF-8 bytes, or a function that returns either; needed only for an encrypted key or a
            token's PIN, and None stands for SAFEMODEL_PASSPHRASE or a question on the terminal.

    Returns:
        The signer.

    Raises:
        KeyMaterialError: not a private key, or not with this passphrase.
        ConfigurationError: a URI that is not understood, or something that it needs is not installed.
        SigningError: what the URI names cannot be reached, or refuses.
        OSError: the file cannot be read.
    """
    if isinstance(key, str):
        from safemodel.signing import backends  # whoever only verifies needs none of them

        if backends.scheme_of(key):
            return backends.signer_from_uri(key, passphrase)
    if isinstance(key, str | os.PathLike):
        with _naming(key):
            return signer_from_pem(_read(key), passphrase, purpose=repr(os.fspath(key)))
    signer = key if isinstance(key, Signer) else _signer_from_private_key(key)
    if signer is None:
        raise _wrong_object(
            key, "a private key: its path or URI, a Signer, or an Ed25519 or P-256 key of 'cryptography'"
        )
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
        data: content of a key file: PKCS#8, SEC 1 as `openssl` writes it, OpenSSH's own format, or an HMAC key.
        passphrase: as for `load_signer`.
        purpose: what the passphrase is for, shown when asking.

    Returns:
        The signer.

    Raises:
        KeyMaterialError: not a private key, or not with this passphrase.
        ConfigurationError: an encrypted OpenSSH key, and bcrypt is not installed.
    """
    block = PemBlock.from_bytes(data)
    if block.label == hmac_sha256.PEM_LABEL:
        return HmacSha256Key(block.decode())
    key = _decode_private_key(block, lambda: find_passphrase(passphrase, purpose=purpose))
    return _pair_of(key)


def verifying_key_from_pem(data: bytes) -> VerifyingKey:
    """Read a public key or an HMAC key.

    Args:
        data: content of a key file: SPKI or an HMAC key in PEM, or the line of an OpenSSH public key.

    Returns:
        The verifying key.

    Raises:
        KeyMaterialError: not a public key, or one that must not be used.
    """
    if is_openssh_public_key(data):
        from safemodel.signing import openssh  # few need it

        return openssh.verifying_key_from_line(data)
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
        algorithm: `ed25519`, `ecdsa-p256` (or in full `ecdsa-p256-sha256`) or `hmac-sha256`.
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
    algorithm = _SHORT_NAMES.get(algorithm, algorithm)
    if algorithm not in _SIGNERS:
        raise KeyMaterialError(f"expected one of {', '.join(ALGORITHMS)}, found algorithm {algorithm!r}")
    return _generate_pair(target, _SIGNERS[algorithm], passphrase)


def change_passphrase(
    path: _Path, *, old: Passphrase | None = None, new: Passphrase | Literal[False] | None = None
) -> VerifyingKey:
    """Encrypt a private key's file under another passphrase; the key and its public key stay the same.

    Args:
        path: of the file, which is replaced as a whole and then of mode 0600; text around the key is dropped.
        old: text, its UTF-8 bytes, or a function that returns either; needed only for an encrypted key, and None stands
            for SAFEMODEL_PASSPHRASE or a question on the terminal.
        new: likewise, but None always asks, twice; False writes the key unencrypted.

    Returns:
        The verifying key.

    Raises:
        KeyMaterialError: not a private key in PKCS#8 or SEC 1, not with this passphrase, or no new one; the file is as
            it was.
        OSError: the file cannot be read or replaced; it is as it was.
    """
    purpose = repr(os.fspath(path))
    with _naming(path):
        block = PemBlock.from_bytes(_read(path))
        if block.label not in pkcs8.LABELS:
            raise block.refuse("a private key whose passphrase can change", _TO_SIGN | _TO_ENCRYPT)
        signer = _pair_of(pkcs8.decode_private_key(block, lambda: find_passphrase(old, purpose=purpose)))
    data = signer.to_pem(None if new is False else choose_passphrase(new, purpose=purpose, variable=False))
    with system.atomic_file(path, mode=0o600) as file:
        file.write(data)
    return signer.verifying_key


def write_verifying_key(key: VerifyingKey, path: _Path) -> None:
    """Write a public key's file, for keys that were not made by `generate_keyfile`.

    Raises:
        KeyMaterialError: the key has no public side, such as an HMAC key.
        FileExistsError: there is a file already; it is left alone.
        OSError: the file cannot be written; none is left behind.
    """
    if not isinstance(key, _VERIFYING_KEYS):
        raise KeyMaterialError(
            f"expected an Ed25519 or P-256 key, found a key of {key.algorithm}", hint="it has no public side"
        )
    _require_absent(os.fsdecode(path))
    system.create_exclusive(path, key.to_pem(), mode=0o644)


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


def _decode_private_key(block: PemBlock, ask: Callable[[], bytes]) -> object:
    """A key of `cryptography`."""
    if block.label in pkcs8.LABELS:
        return pkcs8.decode_private_key(block, ask)
    if block.label != OPENSSH_PRIVATE_KEY:
        raise block.refuse("a private key", _TO_SIGN)
    from safemodel.signing import openssh  # few need it

    return openssh.decode_private_key(block, ask)


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


def _pair_of(key: object) -> Ed25519Signer | EcdsaP256Signer:
    signer = _signer_from_private_key(key)
    if signer is None:
        raise unsupported_key(_kind(key))
    return signer


def _signer_from_private_key(key: object) -> Ed25519Signer | EcdsaP256Signer | None:
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
