import pytest

from safemodel.errors import KeyMaterialError, SignatureMismatchError
from safemodel.signing import Ed25519Signer, Ed25519VerifyingKey

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the prime-order subgroup

# RFC 8032, section 7.1, test 2
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
RAW = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)

Point = tuple[int, int]


def add(left: Point, right: Point) -> Point:
    (x1, y1), (x2, y2) = left, right
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x, y


def multiply(scalar: int, point: Point) -> Point:
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def point_at(y: int) -> Point | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (x, y) if x * x % P == square else None


def small_order_points() -> set[Point]:
    """The torsion subgroup, from the curve's equation alone."""
    for y in range(2, 100):
        point = point_at(y)
        if point is not None:
            torsion = multiply(ORDER, point)
            multiples = {multiply(factor, torsion) for factor in range(8)}
            if len(multiples) == 8:
                return multiples
    raise AssertionError("no point of order 8 found")


def encode(y: int, sign: int) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


def small_order_encodings() -> list[bytes]:
    """Of each point: its canonical encoding, y + p where that fits, and either sign, also of x = 0."""
    ys = {y for _, y in small_order_points()}
    ys |= {y + P for y in ys if y + P < 2**255}
    return sorted(encode(y, sign) for y in ys for sign in (0, 1))


def test_rfc_8032_vector_is_reproduced() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    signer = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(SEED))
    assert signer.verifying_key.raw == RAW
    assert signer.sign(b"\x72") == SIGNATURE
    Ed25519VerifyingKey(RAW).verify(SIGNATURE, b"\x72")


def test_key_id_is_pinned() -> None:
    expected = "b8abf17ede2719ac38c04e23ade44417e7ec90024e7c26b61c7fdff7411a4eda"
    assert Ed25519VerifyingKey(RAW).key_id.hex() == expected


def test_small_order_group_has_eight_points_with_fourteen_encodings() -> None:
    assert len(small_order_points()) == 8
    assert len(small_order_encodings()) == 14


@pytest.mark.parametrize("raw", small_order_encodings(), ids=bytes.hex)
def test_every_encoding_of_a_small_order_point_is_refused(raw: bytes) -> None:
    with pytest.raises(KeyMaterialError):
        Ed25519VerifyingKey(raw)


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", range(P, 2**255))
def test_every_y_from_p_on_is_refused(y: int, sign: int) -> None:
    with pytest.raises(KeyMaterialError):
        Ed25519VerifyingKey(encode(y, sign))


def test_what_is_no_point_of_the_curve_is_refused() -> None:
    y = next(y for y in range(2, 100) if point_at(y) is None)
    with pytest.raises(KeyMaterialError):
        Ed25519VerifyingKey(encode(y, 0))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(KeyMaterialError):
        Ed25519VerifyingKey(b"\x09" * size)


@pytest.mark.parametrize("signature", [b"", SIGNATURE[:63], SIGNATURE + b"\0", bytes(64)], ids=len)
def test_malformed_signature_is_a_mismatch(signature: bytes) -> None:
    with pytest.raises(SignatureMismatchError):
        Ed25519VerifyingKey(RAW).verify(signature, b"\x72")


def test_s_plus_the_order_is_refused() -> None:
    s = int.from_bytes(SIGNATURE[32:], "little") + ORDER
    with pytest.raises(SignatureMismatchError):
        Ed25519VerifyingKey(RAW).verify(SIGNATURE[:32] + s.to_bytes(32, "little"), b"\x72")


def test_equal_keys_are_equal_values() -> None:
    assert {Ed25519VerifyingKey(RAW), Ed25519VerifyingKey(RAW)} == {Ed25519VerifyingKey(RAW)}
