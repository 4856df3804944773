from collections.abc import Callable
from typing import NoReturn

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from safemodel.errors import KeyMaterialError
from safemodel.signing import EcdsaP256Signer, Ed25519Signer, der, signer_from_pem
from safemodel.signing.pem import PemBlock, armor

PASSPHRASE = b"correct horse"
SCRYPT = "2b06010401da47040b"
PBKDF2 = "2a864886f70d01050c"

Generate = Callable[[], Ed25519Signer | EcdsaP256Signer]

pairs = pytest.mark.parametrize("generate", [Ed25519Signer.generate, EcdsaP256Signer.generate])


def never_asked() -> NoReturn:
    raise AssertionError("no passphrase is needed here")


@pairs
def test_unencrypted_key_is_read_without_asking(generate: Generate) -> None:
    signer = generate()
    pem = signer.to_pem(None)
    assert PemBlock.from_bytes(pem).label == "PRIVATE KEY"
    assert signer_from_pem(pem, never_asked).key_id == signer.key_id


@pairs
def test_encrypted_key_is_read_by_us_and_by_cryptography(generate: Generate) -> None:
    signer = generate()
    pem = signer.to_pem(PASSPHRASE)
    assert PemBlock.from_bytes(pem).label == "ENCRYPTED PRIVATE KEY"
    assert signer_from_pem(pem, PASSPHRASE).key_id == signer.key_id
    foreign = type(signer).from_private_key(load_pem_private_key(pem, PASSPHRASE))
    assert foreign is not None
    assert foreign.key_id == signer.key_id


def test_key_encrypted_by_cryptography_is_read() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE))
    assert signer_from_pem(pem, PASSPHRASE).key_id == Ed25519Signer(key).key_id


def test_every_encryption_draws_salt_and_vector_again() -> None:
    signer = Ed25519Signer.generate()
    first, second = (list(der.elements(PemBlock.from_bytes(signer.to_pem(PASSPHRASE)).decode())) for _ in range(2))
    strings = [(one, two) for one, two in zip(first, second, strict=True) if one[0] == der.OCTET_STRING]
    assert len(strings) == 3
    assert all(one != two for one, two in strings)


def test_encryption_is_scrypt_with_the_documented_cost() -> None:
    encrypted = PemBlock.from_bytes(Ed25519Signer.generate().to_pem(PASSPHRASE)).decode()
    assert bytes.fromhex(SCRYPT) in der.object_identifiers(encrypted)
    numbers = [int.from_bytes(content, "big") for tag, content in der.elements(encrypted) if tag == der.INTEGER]
    assert numbers == [2**14, 8, 5]


@pytest.mark.parametrize("passphrase", [b"wrong", PASSPHRASE + b" ", PASSPHRASE[:-1]])
def test_wrong_passphrase_is_refused_and_not_shown(passphrase: bytes) -> None:
    pem = Ed25519Signer.generate().to_pem(PASSPHRASE)
    with pytest.raises(KeyMaterialError) as caught:
        signer_from_pem(pem, passphrase)
    assert PASSPHRASE.decode() not in str(caught.value)


def test_missing_passphrase_is_refused() -> None:
    with pytest.raises(KeyMaterialError):
        signer_from_pem(Ed25519Signer.generate().to_pem(PASSPHRASE))


def pem_of(key: object, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    data: bytes = key.private_bytes(Encoding.PEM, form, NoEncryption())  # type: ignore[attr-defined]
    return data


@pytest.mark.parametrize(
    "pem",
    [
        pem_of(ec.generate_private_key(ec.SECP384R1())),
        pem_of(ec.generate_private_key(ec.SECP384R1()), PrivateFormat.TraditionalOpenSSL),
        pem_of(ed448.Ed448PrivateKey.generate()),
        pem_of(x25519.X25519PrivateKey.generate()),
        pem_of(rsa.generate_private_key(65537, 2048)),
        pem_of(rsa.generate_private_key(65537, 2048), PrivateFormat.TraditionalOpenSSL),
    ],
    ids=["p384", "p384-sec1", "ed448", "x25519", "rsa", "rsa-pkcs1"],
)
def test_other_private_keys_are_refused(pem: bytes) -> None:
    with pytest.raises(KeyMaterialError):
        signer_from_pem(pem)


def test_other_private_key_is_refused_when_it_is_encrypted() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE))
    with pytest.raises(KeyMaterialError):
        signer_from_pem(pem, PASSPHRASE)
    pem = ed448.Ed448PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE)
    )
    with pytest.raises(KeyMaterialError):
        signer_from_pem(pem, PASSPHRASE)


def test_sec1_key_on_p256_is_read() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = pem_of(key, PrivateFormat.TraditionalOpenSSL)
    assert signer_from_pem(pem).key_id == EcdsaP256Signer(key).key_id


def encrypted_with(kdf: str, *numbers: bytes) -> bytes:
    parameters = der.encode(der.SEQUENCE, der.encode(der.OCTET_STRING, b"s" * 16), *numbers)
    cipher = algorithm("60864801650304012a", der.encode(der.OCTET_STRING, b"v" * 16))
    scheme = algorithm("2a864886f70d01050d", der.encode(der.SEQUENCE, algorithm(kdf, parameters), cipher))
    data = der.encode(der.SEQUENCE, scheme, der.encode(der.OCTET_STRING, bytes(64)))
    return armor("ENCRYPTED PRIVATE KEY", data)


def algorithm(identifier: str, parameters: bytes) -> bytes:
    return der.encode(der.SEQUENCE, der.encode(der.OBJECT_IDENTIFIER, bytes.fromhex(identifier)), parameters)


def integers(*numbers: int) -> list[bytes]:
    return list(map(der.encode_integer, numbers))


@pytest.mark.parametrize(
    "pem",
    [
        encrypted_with(SCRYPT, *integers(2**40, 8, 1)),
        encrypted_with(SCRYPT, *integers(2**20, 8, 1)),
        encrypted_with(SCRYPT, *integers(2**14, 8, 2**20)),
        encrypted_with(SCRYPT, *integers(0, 8, 1)),
        encrypted_with(SCRYPT, b"\x02\x01\xff", *integers(8, 1)),
        encrypted_with(PBKDF2, *integers(10_000_001)),
        encrypted_with(PBKDF2, *integers(2**40)),
        encrypted_with(PBKDF2, *integers(2**4000)),
        encrypted_with(PBKDF2, *integers(0)),
        encrypted_with(PBKDF2, b"\x02\x01\xff"),
        encrypted_with(PBKDF2),
        armor("ENCRYPTED PRIVATE KEY", b""),
        armor("ENCRYPTED PRIVATE KEY", b"\x30\x82"),
    ],
    ids=[
        *("scrypt-n", "scrypt-2**20", "scrypt-p", "scrypt-zero", "scrypt-negative"),
        *("pbkdf2-over", "pbkdf2-2**40", "pbkdf2-2**4000", "pbkdf2-zero", "pbkdf2-negative", "pbkdf2-none"),
        *("empty", "cut"),
    ],
)
def test_costly_or_senseless_key_derivation_is_refused_before_anyone_is_asked(pem: bytes) -> None:
    with pytest.raises(KeyMaterialError):
        signer_from_pem(pem, never_asked)


@pytest.mark.parametrize(
    "pem",
    [
        encrypted_with(SCRYPT, *integers(3, 8, 1)),  # no power of two
        encrypted_with(SCRYPT, *integers(2)),
        encrypted_with("2a0304", *integers(1)),
        armor("ENCRYPTED PRIVATE KEY", der.encode(der.SEQUENCE, der.encode_integer(1))),
    ],
    ids=["scrypt-n", "scrypt-short", "unknown", "no-scheme"],
)
def test_derivation_that_the_backend_does_not_know_is_refused(pem: bytes) -> None:
    with pytest.raises(KeyMaterialError):
        signer_from_pem(pem, PASSPHRASE)


@pytest.mark.parametrize("label", ["PRIVATE KEY", "EC PRIVATE KEY"])
@pytest.mark.parametrize(
    "data", [b"", b"\x30", b"\x02\x01\x00", der.encode(der.OBJECT_IDENTIFIER, der.OID_ED25519)], ids=len
)
def test_damaged_private_key_is_refused(label: str, data: bytes) -> None:
    with pytest.raises(KeyMaterialError):
        signer_from_pem(armor(label, data))
