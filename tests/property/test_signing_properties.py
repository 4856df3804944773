from binascii import b2a_base64
from collections.abc import Callable
from contextlib import suppress
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from safemodel.errors import KeyMaterialError, SignatureMismatchError
from safemodel.signing import (
    ALGORITHMS,
    EcdsaP256Signer,
    EcdsaP256VerifyingKey,
    Ed25519Signer,
    Ed25519VerifyingKey,
    HmacSha256Key,
    Signer,
    der,
    signer_from_pem,
    verifying_key_from_pem,
)
from safemodel.signing.pem import PemBlock, armor
from safemodel.signing.sshwire import encode_string

PASSPHRASE = b"correct horse"

GENERATORS: dict[str, Callable[[], Signer]] = {
    "ed25519": Ed25519Signer.generate,
    "ecdsa-p256-sha256": EcdsaP256Signer.generate,
    "hmac-sha256": HmacSha256Key.generate,
}

algorithms = st.sampled_from(ALGORITHMS)
messages = st.binary(max_size=200)


@cache
def signer_of(algorithm: str) -> Signer:
    return GENERATORS[algorithm]()


@cache
def key_files() -> tuple[bytes, ...]:
    ed25519, p256 = Ed25519Signer.generate(), EcdsaP256Signer.generate()
    return (
        ed25519.to_pem(None),
        ed25519.to_pem(PASSPHRASE),
        ed25519.verifying_key.to_pem(),
        p256.to_pem(None),
        p256.verifying_key.to_pem(),
        HmacSha256Key.generate().to_pem(),
        Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
    )


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


@given(algorithms, messages)
def test_what_is_signed_verifies(algorithm: str, message: bytes) -> None:
    signer = signer_of(algorithm)
    signer.verifying_key.verify(signer.sign(message), message)


@given(algorithms, messages, st.integers(0, 8 * 128))
def test_any_flipped_bit_of_the_signature_is_refused(algorithm: str, message: bytes, bit: int) -> None:
    signer = signer_of(algorithm)
    with pytest.raises(SignatureMismatchError):
        signer.verifying_key.verify(flip(signer.sign(message), bit), message)


@given(algorithms, st.binary(min_size=1, max_size=200), st.integers(0, 8 * 200))
def test_any_flipped_bit_of_the_message_is_refused(algorithm: str, message: bytes, bit: int) -> None:
    signer = signer_of(algorithm)
    with pytest.raises(SignatureMismatchError):
        signer.verifying_key.verify(signer.sign(message), flip(message, bit))


@given(algorithms, messages, st.binary(max_size=80))
def test_any_other_bytes_are_no_signature(algorithm: str, message: bytes, signature: bytes) -> None:
    with pytest.raises(SignatureMismatchError):
        signer_of(algorithm).verifying_key.verify(signature, message)


@given(st.binary(min_size=32, max_size=32))
def test_bytes_are_an_ed25519_key_with_one_encoding_or_none(raw: bytes) -> None:
    try:
        key = Ed25519VerifyingKey(raw)
    except KeyMaterialError:
        return
    assert verifying_key_from_pem(key.to_pem()) == key


@settings(max_examples=20)
@given(st.sampled_from([Ed25519Signer, EcdsaP256Signer]))
def test_key_id_is_the_same_through_every_encoding(kind: type[Ed25519Signer | EcdsaP256Signer]) -> None:
    signer = kind.generate()
    assert signer_from_pem(signer.to_pem(None)).key_id == signer.key_id
    assert verifying_key_from_pem(signer.verifying_key.to_pem()).key_id == signer.key_id
    if isinstance(signer.verifying_key, EcdsaP256VerifyingKey):
        raw = signer.verifying_key.raw
        compressed = bytes([2 + raw[-1] % 2]) + raw[1:33]
        assert EcdsaP256VerifyingKey.from_point(compressed).key_id == signer.key_id


@settings(max_examples=5, deadline=None)
@given(st.binary(min_size=1, max_size=2000))
def test_any_passphrase_decrypts_what_it_encrypted(passphrase: bytes) -> None:
    signer = Ed25519Signer.generate()
    assert signer_from_pem(signer.to_pem(passphrase), passphrase).key_id == signer.key_id


@given(st.binary(max_size=300))
def test_any_bytes_are_a_key_file_or_one_clear_error(data: bytes) -> None:
    with pytest.raises(KeyMaterialError):
        signer_from_pem(data, PASSPHRASE)
    with pytest.raises(KeyMaterialError):
        verifying_key_from_pem(data)


@settings(deadline=None)
@given(st.data())
def test_any_changed_key_file_is_a_key_or_one_clear_error(data: st.DataObject) -> None:
    block = PemBlock.from_bytes(data.draw(st.sampled_from(key_files())))
    body = bytearray(block.decode())
    start = data.draw(st.integers(0, len(body)))
    size = data.draw(st.integers(0, 4))
    body[start : start + size] = data.draw(st.binary(max_size=4))
    for read in (lambda pem: signer_from_pem(pem, PASSPHRASE), verifying_key_from_pem):
        with suppress(KeyMaterialError):
            read(armor(block.label, bytes(body)))


@given(st.sampled_from([b"ssh-ed25519", b"ecdsa-sha2-nistp256"]), st.binary(max_size=120))
def test_any_openssh_line_is_a_key_or_one_clear_error(algorithm: bytes, fields: bytes) -> None:
    for content in (fields, encode_string(algorithm) + fields, encode_string(algorithm) + encode_string(fields)):
        with suppress(KeyMaterialError):
            key = verifying_key_from_pem(algorithm + b" " + b2a_base64(content))
            assert content.endswith(key.raw)  # type: ignore[attr-defined]


@given(st.binary(max_size=100))
def test_any_bytes_are_walked_as_der_or_refused(data: bytes) -> None:
    try:
        total = sum(len(content) for _, content in der.elements(data))
    except KeyMaterialError:
        return
    assert total <= len(data)
