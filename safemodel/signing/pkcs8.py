"""Private keys in PKCS#8 (RFC 5958), encrypted with a passphrase by PBES2 (RFC 8018), interchangeable with `openssl`.

`cryptography` reads every kind, but writes only PBKDF2 with 2048 iterations, so encryption is put together here: scrypt
(RFC 7914) with N = 2**14, r = 8, p = 5 and AES-256-CBC. N is the largest that `openssl` reads (its limit: 32 MiB), and
p = 5 makes up for it: the OWASP Password Storage Cheat Sheet rates this like N = 2**17, p = 1.

What a key file says of its key derivation is bounded before it is believed: a few bytes could ask for hours, for all
memory, or for a number that makes the parser panic.
"""

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from safemodel.errors import KeyMaterialError
from safemodel.signing import der
from safemodel.signing.pem import COPY_AGAIN, EC_PRIVATE_KEY, ENCRYPTED_PRIVATE_KEY, PRIVATE_KEY, PemBlock, armor
from safemodel.signing.signer import unsupported_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

LABELS = (PRIVATE_KEY, ENCRYPTED_PRIVATE_KEY, EC_PRIVATE_KEY)

_PBES2 = bytes.fromhex("2a864886f70d01050d")
_SCRYPT = bytes.fromhex("2b06010401da47040b")
_AES_256_CBC = bytes.fromhex("60864801650304012a")

_SCRYPT_N = 2**14
_SCRYPT_R = 8
_SCRYPT_P = 5
_SALT_SIZE = 16
_KEY_SIZE = 32
_BLOCK_SIZE = 16

_SCRYPT_WORK_MAX = 2**22  # N*r*p: 512 MiB at most, some seconds; ours is 2**19.3
_ITERATIONS_MAX = 10_000_000  # PBKDF2: some seconds; OWASP wants 600,000


def encode_private_key(key: "PrivateKeyTypes", passphrase: bytes | None) -> bytes:
    """Write a private key.

    Args:
        key: of `cryptography`.
        passphrase: None writes it unencrypted.

    Returns:
        PEM.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    data = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    if passphrase is None:
        return armor(PRIVATE_KEY, data)
    return armor(ENCRYPTED_PRIVATE_KEY, _encrypt(data, passphrase))


def decode_private_key(block: PemBlock, ask: Callable[[], bytes]) -> "PrivateKeyTypes":
    """Read a private key.

    Args:
        block: with one of the labels in `LABELS`.
        ask: returns the passphrase; called only when the key is encrypted.

    Returns:
        A key of `cryptography`, not of any algorithm in particular.

    Raises:
        KeyMaterialError: wrong passphrase, or no such key.
    """
    data = block.decode()
    if block.label == ENCRYPTED_PRIVATE_KEY:
        _check_derivation(data)
        return _load(data, ask())
    _check_algorithm(data)
    return _load(data, None)


def _load(data: bytes, passphrase: bytes | None) -> "PrivateKeyTypes":
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        return load_der_private_key(data, passphrase)
    except (UnsupportedAlgorithm, InternalError) as error:  # the latter for what OpenSSL refuses, such as N = 3
        raise _unreadable("a kind that is not supported") from error
    except (ValueError, TypeError) as error:
        raise (_unreadable("damaged bytes") if passphrase is None else _undecryptable()) from error


def _check_algorithm(data: bytes) -> None:
    """Refuse other algorithms before they are parsed: checking a large RSA key takes minutes."""
    identifiers = der.object_identifiers(data)
    if der.OID_PRIME_FIELD in identifiers[:2]:
        hint = "name its curve with 'openssl pkey -in KEY -ec_param_enc named_curve -out NEWKEY'"
        raise unsupported_key(der.algorithm_name(data), hint)
    if der.OID_ED25519 not in identifiers[:1] and der.OID_P256 not in identifiers[:2]:
        raise unsupported_key(der.algorithm_name(data))


def _check_derivation(data: bytes) -> None:
    """Refuse a key derivation that would take too long (PKCS#5: iterations; scrypt: N, r, p)."""
    numbers = [int.from_bytes(content, "big", signed=True) for tag, content in der.elements(data) if tag == der.INTEGER]
    is_scrypt = _SCRYPT in der.object_identifiers(data)
    cost, most = (numbers[:3], _SCRYPT_WORK_MAX) if is_scrypt else (numbers[:1], _ITERATIONS_MAX)
    if not cost or min(cost) < 1 or math.prod(cost) > most:
        raise KeyMaterialError(
            f"expected a key derivation of at most {most} steps, found other numbers in the encrypted key",
            hint="encrypt the key again with 'openssl pkcs8 -topk8 -scrypt'",
        )


def _unreadable(found: str) -> KeyMaterialError:
    return KeyMaterialError(f"expected a private key in PKCS#8, found {found}", hint=COPY_AGAIN)


def _undecryptable() -> KeyMaterialError:
    return KeyMaterialError(
        "the private key cannot be decrypted: the passphrase is wrong, or the file is damaged",
        hint="try it with 'openssl pkey -in KEY -noout'",
    )


def _encrypt(data: bytes, passphrase: bytes) -> bytes:
    """EncryptedPrivateKeyInfo, RFC 5958 section 3."""
    salt = os.urandom(_SALT_SIZE)
    vector = os.urandom(_BLOCK_SIZE)
    cipher = _algorithm(_AES_256_CBC, der.encode(der.OCTET_STRING, vector))
    scheme = _algorithm(_PBES2, der.encode(der.SEQUENCE, _scrypt_parameters(salt), cipher))
    encrypted = _aes_cbc(_scrypt(passphrase, salt), vector, data)
    return der.encode(der.SEQUENCE, scheme, der.encode(der.OCTET_STRING, encrypted))


def _scrypt_parameters(salt: bytes) -> bytes:
    numbers = map(der.encode_integer, (_SCRYPT_N, _SCRYPT_R, _SCRYPT_P))
    return _algorithm(_SCRYPT, der.encode(der.SEQUENCE, der.encode(der.OCTET_STRING, salt), *numbers))


def _algorithm(identifier: bytes, parameters: bytes) -> bytes:
    return der.encode(der.SEQUENCE, der.encode(der.OBJECT_IDENTIFIER, identifier), parameters)


def _scrypt(passphrase: bytes, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt, _KEY_SIZE, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P).derive(passphrase)


def _aes_cbc(key: bytes, vector: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    padding = _BLOCK_SIZE - len(data) % _BLOCK_SIZE  # PKCS#7
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    return encryptor.update(data + bytes([padding]) * padding) + encryptor.finalize()
