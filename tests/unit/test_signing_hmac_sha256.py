import hmac
import os
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from safemodel.errors import KeyMaterialError, SignatureMismatchError
from safemodel.signing import (
    EcdsaP256Signer,
    Ed25519Signer,
    HmacSha256Key,
    compute_key_id,
    refuse_public_as_secret,
)
from safemodel.signing.hmac_sha256 import PEM_LABEL
from safemodel.signing.pem import PemBlock

SECRET = bytes(range(32))


def hkdf(info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=info).derive(SECRET)


def test_mac_is_hmac_under_the_hkdf_output() -> None:
    expected = hmac.digest(hkdf(b"safemodel/v1/hmac-sha256/mac"), b"message", "sha256")
    assert HmacSha256Key(SECRET).sign(b"message") == expected


def test_key_id_is_pinned_and_made_with_an_info_of_its_own() -> None:
    key_id = HmacSha256Key(SECRET).key_id
    assert key_id == compute_key_id("hmac-sha256", hkdf(b"safemodel/v1/hmac-sha256/keyid"))
    assert key_id.hex() == "7f8a60a72bc8ed532f4422ba377627f8b9194a86434b6240cc8657d5fba9e189"


def test_one_object_signs_and_verifies() -> None:
    key = HmacSha256Key.generate()
    key.verifying_key.verify(key.sign(b"message"), b"message")


@pytest.mark.parametrize("mac", [b"", bytes(32), HmacSha256Key(SECRET).sign(b"message")[:31]], ids=len)
def test_other_mac_is_a_mismatch(mac: bytes) -> None:
    with pytest.raises(SignatureMismatchError):
        HmacSha256Key(SECRET).verify(mac, b"message")


def test_plain_hmac_under_the_secret_is_a_mismatch() -> None:
    with pytest.raises(SignatureMismatchError):
        HmacSha256Key(SECRET).verify(hmac.digest(SECRET, b"message", "sha256"), b"message")


def test_pem_holds_the_secret_and_nothing_else() -> None:
    block = PemBlock.from_bytes(HmacSha256Key(SECRET).to_pem())
    assert block.label == PEM_LABEL
    assert block.decode() == SECRET


SPKI = PemBlock.from_bytes(Ed25519Signer.generate().verifying_key.to_pem()).decode()


@pytest.mark.parametrize(
    "secret",
    [
        b"",
        SECRET[:31],
        SECRET + b"\x80",
        Ed25519Signer.generate().verifying_key.to_pem(),
        Ed25519Signer.generate().to_pem(None),
        SPKI,
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
        b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + SECRET,
        os.urandom(16).hex().encode(),
        b"correct horse battery staple 123",
        bytes(32),
        b"\xa5\x5a" * 16,
        bytes.fromhex("301e020101041000112233445566778899aabbccddeeffa00706052b8104001c"),  # SEC 1, secp128r1
        b"\x30\x1e" + SPKI[2:32],
    ],
    ids=[
        *("empty", "short", "long", "spki-pem", "pkcs8-pem", "spki", "openssh", "openssh-blob"),
        *("hexadecimal", "passphrase", "zero", "repeated", "sec1", "der"),
    ],
)
def test_what_is_not_32_random_bytes_is_refused(secret: bytes) -> None:
    with pytest.raises(KeyMaterialError):
        HmacSha256Key(secret)


def test_generating_draws_again_until_the_secret_is_acceptable(monkeypatch: pytest.MonkeyPatch) -> None:
    draws: Iterator[bytes] = iter([b"\x30\x1e\x02" + SECRET[3:], SECRET])
    monkeypatch.setattr(os, "urandom", lambda size: next(draws))
    assert HmacSha256Key.generate().key_id == HmacSha256Key(SECRET).key_id


def test_secret_that_is_a_listed_ed25519_key_is_refused() -> None:
    public = Ed25519Signer.generate().verifying_key
    with pytest.raises(KeyMaterialError):
        refuse_public_as_secret([HmacSha256Key(public.raw), public])


@pytest.mark.parametrize("start", [1, 33], ids=["x", "y"])
def test_secret_that_is_a_coordinate_of_a_listed_point_is_refused(start: int) -> None:
    public = EcdsaP256Signer.generate().verifying_key
    with pytest.raises(KeyMaterialError):
        refuse_public_as_secret([public, HmacSha256Key(public.raw[start : start + 32])])


def test_secret_that_is_a_listed_key_id_is_refused() -> None:
    other = HmacSha256Key.generate()
    with pytest.raises(KeyMaterialError):
        refuse_public_as_secret([other, HmacSha256Key(other.key_id)])


def test_unrelated_keys_stand_side_by_side() -> None:
    signers = (Ed25519Signer.generate(), EcdsaP256Signer.generate(), HmacSha256Key.generate())
    refuse_public_as_secret([*(signer.verifying_key for signer in signers), HmacSha256Key(SECRET)])
    refuse_public_as_secret([])
