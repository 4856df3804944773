import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from safemodel.errors import KeyMaterialError, SignatureMismatchError, SigningError
from safemodel.signing import EcdsaP256Signer, EcdsaP256VerifyingKey
from safemodel.signing.ecdsa_p256 import low_s

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MESSAGE = b"the signed bytes"

# RFC 6979, section A.2.5
SECRET = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
POINT = bytes.fromhex(
    "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
)


@pytest.fixture(scope="module")
def signer() -> EcdsaP256Signer:
    return EcdsaP256Signer(ec.derive_private_key(SECRET, ec.SECP256R1()))


def test_key_id_is_pinned(signer: EcdsaP256Signer) -> None:
    assert signer.verifying_key.raw == POINT
    assert signer.key_id.hex() == "fbc972fc756d16baa0c8a601f87f1563c49067e0609b6090b296cdb1f7c21d1e"


def test_every_signature_has_a_low_s_and_verifies(signer: EcdsaP256Signer) -> None:
    for number in range(32):  # half of what OpenSSL makes is high
        signature = signer.sign(bytes([number]))
        assert decode_dss_signature(signature)[1] <= N // 2
        signer.verifying_key.verify(signature, bytes([number]))


def test_rfc_6979_signature_with_high_s_verifies_only_after_normalising() -> None:
    r = 0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716
    s = 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8
    key = EcdsaP256VerifyingKey(POINT)
    with pytest.raises(SignatureMismatchError):
        key.verify(encode_dss_signature(r, s), b"sample")
    key.verify(low_s(encode_dss_signature(r, s)), b"sample")


def test_low_s_leaves_a_low_s_alone(signer: EcdsaP256Signer) -> None:
    signature = signer.sign(MESSAGE)
    assert low_s(signature) == signature


def test_low_s_of_other_bytes_is_a_backend_failure() -> None:
    with pytest.raises(SigningError):
        low_s(bytes(64))


def test_twin_with_high_s_is_refused(signer: EcdsaP256Signer) -> None:
    r, s = decode_dss_signature(signer.sign(MESSAGE))
    with pytest.raises(SignatureMismatchError):
        signer.verifying_key.verify(encode_dss_signature(r, N - s), MESSAGE)


@pytest.mark.parametrize("r", [0, 1, N - 1, N, N + 1, 2**256])
@pytest.mark.parametrize("s", [0, 1, N // 2, N // 2 + 1, N - 1, N, 2**256])
def test_values_out_of_range_and_guesses_are_refused(signer: EcdsaP256Signer, r: int, s: int) -> None:
    with pytest.raises(SignatureMismatchError):
        signer.verifying_key.verify(encode_dss_signature(r, s), MESSAGE)


def test_r_plus_the_order_is_refused(signer: EcdsaP256Signer) -> None:
    r, s = decode_dss_signature(signer.sign(MESSAGE))
    with pytest.raises(SignatureMismatchError):
        signer.verifying_key.verify(encode_dss_signature(r + N, s), MESSAGE)


def long_length(signature: bytes) -> bytes:
    return b"\x30\x81" + signature[1:]


def padded_integer(signature: bytes) -> bytes:
    r = signature[4 : 4 + signature[3]]
    return bytes([0x30, signature[1] + 1, 0x02, len(r) + 1, 0]) + r + signature[4 + len(r) :]


def indefinite_length(signature: bytes) -> bytes:
    return b"\x30\x80" + signature[2:] + b"\0\0"


def fixed_width(signature: bytes) -> bytes:
    r, s = decode_dss_signature(signature)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@pytest.mark.parametrize("rewrite", [long_length, padded_integer, indefinite_length, fixed_width])
def test_other_encodings_of_a_valid_signature_are_refused(signer: EcdsaP256Signer, rewrite: object) -> None:
    assert callable(rewrite)
    with pytest.raises(SignatureMismatchError):
        signer.verifying_key.verify(rewrite(signer.sign(MESSAGE)), MESSAGE)


@pytest.mark.parametrize("extra", [b"\0", b"\x05\x00"])
def test_trailing_bytes_are_refused(signer: EcdsaP256Signer, extra: bytes) -> None:
    with pytest.raises(SignatureMismatchError):
        signer.verifying_key.verify(signer.sign(MESSAGE) + extra, MESSAGE)


def test_compressed_point_is_the_same_key() -> None:
    compressed = bytes([0x02 + POINT[-1] % 2]) + POINT[1:33]
    assert EcdsaP256VerifyingKey.from_point(compressed) == EcdsaP256VerifyingKey(POINT)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",  # infinity
        POINT[:-1],
        POINT + b"\0",
        POINT[:-1] + bytes([POINT[-1] ^ 1]),  # not on the curve
        b"\x06" + POINT[1:],  # hybrid
        b"\x07" + POINT[1:],
        b"\x02" + POINT[1:33],  # compressed: `from_point` reads it, a raw key is not written so
        b"\x04" + b"\xff" * 64,  # coordinates beyond p
    ],
    ids=lambda raw: raw[:2].hex() + f"-{len(raw)}",
)
def test_what_is_not_an_uncompressed_point_is_refused(raw: bytes) -> None:
    with pytest.raises(KeyMaterialError):
        EcdsaP256VerifyingKey(raw)


@pytest.mark.parametrize("raw", [b"", b"\0", b"\x06" + POINT[1:], b"\x02" + b"\xff" * 32])
def test_from_point_refuses_what_is_no_point(raw: bytes) -> None:
    with pytest.raises(KeyMaterialError):
        EcdsaP256VerifyingKey.from_point(raw)
