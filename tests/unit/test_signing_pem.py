import pytest

from safemodel.errors import KeyMaterialError
from safemodel.signing import Ed25519Signer, der
from safemodel.signing.pem import PemBlock, armor

PUBLIC = Ed25519Signer.generate().verifying_key.to_pem()


def test_block_is_read_back_as_it_was_written() -> None:
    data = bytes(range(256))
    block = PemBlock.from_bytes(armor("PUBLIC KEY", data))
    assert (block.label, block.decode()) == ("PUBLIC KEY", data)
    assert block.to_bytes() == armor("PUBLIC KEY", data)
    assert max(map(len, block.to_bytes().splitlines())) == 64


@pytest.mark.parametrize(
    "data",
    [
        PUBLIC.replace(b"\n", b"\r\n"),
        b"Subject: someone\n" + PUBLIC + b"a comment\n",
        PUBLIC.rstrip(b"\n"),
        armor("EC PARAMETERS", b"\x06\x00") + PUBLIC,
    ],
    ids=["windows", "text-around", "no-last-newline", "ec-parameters"],
)
def test_what_other_tools_write_is_read(data: bytes) -> None:
    assert PemBlock.from_bytes(data).decode() == PemBlock.from_bytes(PUBLIC).decode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \n",
        b"just text",
        b"\x30\x2a\x30\x05",
        b"\xff\xfe-\0-\0",
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 someone@somewhere",
        PUBLIC + PUBLIC,
        PUBLIC[: len(PUBLIC) // 2],
        PUBLIC[PUBLIC.index(b"\n") :],
        PUBLIC.replace(b"END PUBLIC", b"END PRIVATE"),
        PUBLIC.replace(b"-----BEGIN", b" -----BEGIN"),
        PUBLIC.lower(),
        armor("EC PARAMETERS", b"\x06\x00"),
        PUBLIC * 500,
    ],
    ids=lambda data: f"{data[:12]!r}-{len(data)}",
)
def test_what_is_not_one_whole_block_is_refused(data: bytes) -> None:
    with pytest.raises(KeyMaterialError):
        PemBlock.from_bytes(data)


@pytest.mark.parametrize("body", [b"AAA", b"A===", b"AA==AA==", b"\xc3\xa9AAA", b"AA-_", b"Comment: x\n\nAAAA"])
def test_what_is_not_base64_is_refused(body: bytes) -> None:
    with pytest.raises(KeyMaterialError):
        PemBlock("PUBLIC KEY", body).decode()


def test_traditional_encryption_is_refused() -> None:
    with pytest.raises(KeyMaterialError):
        PemBlock("EC PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA").decode()


@pytest.mark.parametrize("size", [0, 127, 128, 255, 256, 65535])
def test_der_lengths_are_read_back(size: int) -> None:
    value = der.encode(der.OCTET_STRING, b"x" * size)
    assert list(der.elements(value)) == [(der.OCTET_STRING, b"x" * size)]


@pytest.mark.parametrize(
    ("number", "encoded"), [(0, "020100"), (127, "02017f"), (128, "02020080"), (16384, "02024000")]
)
def test_der_integers_never_look_negative(number: int, encoded: str) -> None:
    assert der.encode_integer(number).hex() == encoded


def test_der_elements_come_in_the_order_of_the_bytes() -> None:
    inner = der.encode(der.SEQUENCE, der.encode_integer(2), der.encode(der.OBJECT_IDENTIFIER, der.OID_EC))
    value = der.encode(der.SEQUENCE, der.encode_integer(1), inner, der.encode_integer(3))
    assert [tag for tag, _ in der.elements(value)] == [2, 2, 6, 2]
    assert der.object_identifiers(value) == [der.OID_EC]


def test_der_nesting_does_not_exhaust_the_stack() -> None:
    assert list(der.elements(b"\x30\x00" * 30_000)) == []


@pytest.mark.parametrize("data", ["02", "0201", "028101", "0280", "02ff", "0284ffffffff", "3003020100" + "02"])
def test_der_that_claims_more_than_there_is_is_refused(data: str) -> None:
    with pytest.raises(KeyMaterialError):
        list(der.elements(bytes.fromhex(data)))


def test_der_without_a_known_algorithm_has_a_name_for_messages() -> None:
    assert der.algorithm_name(b"") == "unknown"
    assert der.algorithm_name(der.encode(der.OBJECT_IDENTIFIER, der.OID_ED25519)) == "Ed25519"
