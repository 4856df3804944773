"""OpenSSH's key files, also those that `ssh-keygen` would not make."""

import sys
from binascii import b2a_base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from safemodel.errors import ConfigurationError, KeyMaterialError
from safemodel.signing import load_signer, load_verifying_key, signer_from_pem, verifying_key_from_pem
from safemodel.signing.pem import PemBlock, armor
from safemodel.signing.sshwire import encode_string

ED25519 = ed25519.Ed25519PrivateKey.generate()
P256 = ec.generate_private_key(ec.SECP256R1())
RAW = ED25519.public_key().public_bytes_raw()
POINT = P256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
COMPRESSED = P256.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
PASSPHRASE = b"correct horse"

Pair = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
pairs = pytest.mark.parametrize("key", [ED25519, P256], ids=["ed25519", "p256"])


def line(algorithm: bytes, *fields: bytes, named: bytes | None = None) -> bytes:
    blob = b"".join(map(encode_string, (algorithm if named is None else named, *fields)))
    return algorithm + b" " + b2a_base64(blob, newline=False)


def public(key: Pair | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


def private(key: Pair, passphrase: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption)


@pairs
@pytest.mark.parametrize("comment", [b"", b" ", b" someone@somewhere", b" two words\n", b"\tx\r\n\r\n", b" \xff\x1b"])
def test_a_public_key_has_the_id_that_it_has_in_pem(key: Pair, comment: bytes) -> None:
    assert verifying_key_from_pem(public(key) + comment) == load_verifying_key(key.public_key())


@pytest.mark.parametrize(
    "content",
    [
        b"ssh-ed25519",
        b"ssh-ed25519 ",
        b"ssh-ed25519 AAAA",
        b"ssh-ed25519 A",
        b"ssh-ed25519  = x",
        line(b"ssh-ed25519"),
        line(b"ssh-ed25519", RAW[:31]),
        line(b"ssh-ed25519", RAW + b"\0"),
        line(b"ssh-ed25519", RAW, b""),
        line(b"ssh-ed25519", bytes(32)),
        line(b"ssh-ed25519", b"\1" + bytes(31)),
        line(b"ssh-ed25519", b"\xff" * 32),
        line(b"ssh-ed25519", RAW, named=b"ssh-rsa"),
        line(b"ssh-ed25519", b"nistp256", POINT, named=b"ecdsa-sha2-nistp256"),
        line(b"ecdsa-sha2-nistp256", RAW, named=b"ssh-ed25519"),
        line(b"ecdsa-sha2-nistp256", b"nistp256"),
        line(b"ecdsa-sha2-nistp256", b"nistp384", POINT),
        line(b"ecdsa-sha2-nistp256", b"\xff", POINT),
        line(b"ecdsa-sha2-nistp256", b"nistp256", COMPRESSED),
        line(b"ecdsa-sha2-nistp256", b"nistp256", b"\0"),
        line(b"ecdsa-sha2-nistp256", b"nistp256", b"\x04" + bytes(64)),
        line(b"ecdsa-sha2-nistp256", b"nistp256", POINT, b""),
        line(b"ecdsa-sha2-nistp384", b"nistp384", POINT),
        line(b"ssh-ed25519-cert-v01@openssh.com", RAW),
        line(b"sk-ssh-ed25519@openssh.com", RAW, b"ssh:"),
        line(b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", POINT, b"ssh:"),
        line(b"ssh-dss", b"\1"),
        line(b"ssh-\x1b[2J" + b"x" * 1000, RAW),
        public(rsa.generate_private_key(65537, 2048)),
        public(ED25519) + b"\n" + public(P256),
        b"\n" + public(ED25519),
        b"# comment\n" + public(ED25519),
        b"no-pty " + public(ED25519),
    ],
    ids=range(33),
)
def test_other_lines_are_one_clear_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_bytes(content)
    with pytest.raises(KeyMaterialError) as caught:
        load_verifying_key(tmp_path / "key.pub")
    assert caught.value.hint
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


@pairs
def test_private_keys_sign(key: Pair, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"a comment\n" + private(key).replace(b"\n", b"\r\n"))
    signer = load_signer(tmp_path / "key")
    assert signer.verifying_key == load_verifying_key(key.public_key())
    signer.verifying_key.verify(signer.sign(b"message"), b"message")
    with pytest.raises(KeyMaterialError):
        load_verifying_key(tmp_path / "key")


def test_a_public_line_does_not_sign() -> None:
    with pytest.raises(KeyMaterialError):
        signer_from_pem(public(ED25519))


def test_two_halves_of_different_keys_are_refused() -> None:
    data = PemBlock.from_bytes(private(ED25519)).decode()
    other = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(KeyMaterialError):
        signer_from_pem(armor("OPENSSH PRIVATE KEY", data.replace(RAW, other)))


def test_a_wrong_passphrase_is_refused_and_not_shown() -> None:
    pem = private(ED25519, PASSPHRASE)
    assert signer_from_pem(pem, PASSPHRASE).verifying_key == load_verifying_key(ED25519.public_key())
    with pytest.raises(KeyMaterialError) as caught:
        signer_from_pem(pem, b"battery staple")
    assert "battery" not in str(caught.value)


def never_asked() -> bytes:
    raise AssertionError("asked for the passphrase of a key that cannot be used")


def test_an_encrypted_key_needs_bcrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    assert signer_from_pem(private(ED25519)).algorithm == "ed25519"
    with pytest.raises(ConfigurationError) as caught:
        signer_from_pem(private(ED25519, PASSPHRASE), never_asked)
    assert "'ssh'" in caught.value.hint


def head(
    *, cipher: bytes = b"aes256-ctr", kdf: bytes = b"bcrypt", rounds: int = 16, keys: int = 1, blob: bytes | None = None
) -> bytes:
    """The unencrypted head of a private key, and nothing that could be decrypted."""
    options = encode_string(bytes(16)) + rounds.to_bytes(4, "big") if kdf == b"bcrypt" else b""
    public = encode_string(b"ssh-ed25519") + encode_string(RAW) if blob is None else blob
    fields = encode_string(cipher) + encode_string(kdf) + encode_string(options) + keys.to_bytes(4, "big")
    return b"openssh-key-v1\0" + fields + encode_string(public) + encode_string(bytes(160))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"openssh-key-v2\0" + head()[15:],
        head()[:40],
        head(rounds=1025),
        head(rounds=2**32 - 1),
        head(keys=0),
        head(keys=2),
        head(blob=b""),
        head(blob=encode_string(b"ssh-rsa") + encode_string(b"\3") + encode_string(b"\xff" * 256)),
        head(blob=encode_string(b"ssh-ed25519") + encode_string(bytes(32))),
        head(cipher=b"\xff"),
        head(kdf=b"\xff"),
    ],
    ids=[
        *("empty", "version", "cut", "costly", "endless", "no-key", "two-keys", "no-blob", "rsa", "small-order"),
        *("cipher", "kdf"),
    ],
)
def test_heads_are_judged_before_anyone_is_asked(data: bytes) -> None:
    with pytest.raises(KeyMaterialError):
        signer_from_pem(armor("OPENSSH PRIVATE KEY", data), never_asked)


@pytest.mark.parametrize(
    "data",
    [
        head(),
        head(rounds=0),
        head(cipher=b"rot13"),
        head(kdf=b"md5"),
        head(cipher=b"none"),
        head(cipher=b"none", kdf=b"none"),
        PemBlock.from_bytes(private(ED25519)).decode()[:-1],
    ],
    ids=["damaged", "no-rounds", "cipher", "kdf", "no-cipher", "not-encrypted", "cut"],
)
def test_what_cannot_be_decrypted_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(KeyMaterialError) as caught:
        signer_from_pem(armor("OPENSSH PRIVATE KEY", data), PASSPHRASE)
    assert caught.value.hint
