import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from safemodel import system
from safemodel.errors import KeyMaterialError
from safemodel.signing import (
    ALGORITHMS,
    EcdsaP256Signer,
    Ed25519Signer,
    HmacSha256Key,
    generate_keyfile,
    load_signer,
    load_verifying_key,
    signer_from_pem,
    verifying_key_from_pem,
)
from safemodel.signing.keyfile import KEYFILE_MAX
from safemodel.signing.pem import armor

posix = pytest.mark.skipif(sys.platform == "win32", reason="no POSIX permission bits or pipes in folders")
pairs = pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-p256-sha256"])


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pairs
def test_pair_signs_and_verifies(algorithm: str, tmp_path: Path) -> None:
    path = tmp_path / "release.key"
    made = generate_keyfile(path, algorithm=algorithm, passphrase="secret")
    signer = load_signer(path, passphrase="secret")
    verifying_key = load_verifying_key(tmp_path / "release.key.pub")
    assert made.algorithm == signer.algorithm == verifying_key.algorithm == algorithm
    assert made.key_id == signer.key_id == verifying_key.key_id
    verifying_key.verify(signer.sign(b"message"), b"message")


def test_hmac_key_is_one_file_that_signs_and_verifies(tmp_path: Path) -> None:
    path = tmp_path / "team.key"
    generate_keyfile(path, algorithm="hmac-sha256")
    load_verifying_key(path).verify(load_signer(path).sign(b"message"), b"message")
    assert [file.name for file in tmp_path.iterdir()] == ["team.key"]


def test_paths_may_be_text(tmp_path: Path) -> None:
    path = str(tmp_path / "release.key")
    generate_keyfile(path, passphrase=False)
    assert load_signer(path).key_id == load_verifying_key(path + ".pub").key_id


@posix
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_private_files_are_for_their_owner_only(algorithm: str, tmp_path: Path) -> None:
    path = tmp_path / "release.key"
    previous = os.umask(0)
    try:
        generate_keyfile(path, algorithm=algorithm, passphrase="secret" if algorithm != "hmac-sha256" else None)
    finally:
        os.umask(previous)
    assert permissions(path) == 0o600
    if algorithm != "hmac-sha256":
        assert permissions(tmp_path / "release.key.pub") == 0o644


def test_key_is_encrypted_unless_that_is_turned_off(tmp_path: Path) -> None:
    with pytest.raises(KeyMaterialError):
        generate_keyfile(tmp_path / "release.key")
    assert list(tmp_path.iterdir()) == []
    generate_keyfile(tmp_path / "release.key", passphrase=False)
    assert b"ENCRYPTED" not in (tmp_path / "release.key").read_bytes()
    generate_keyfile(tmp_path / "another.key", passphrase=lambda: b"secret")
    assert b"ENCRYPTED" in (tmp_path / "another.key").read_bytes()


@pytest.mark.parametrize("passphrase", ["", b""])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_empty_passphrase_makes_no_key(algorithm: str, passphrase: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(KeyMaterialError):
        generate_keyfile(tmp_path / "release.key", algorithm=algorithm, passphrase=passphrase)
    assert list(tmp_path.iterdir()) == []


def test_passphrase_of_the_environment_is_used_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFEMODEL_PASSPHRASE", "secret")
    made = generate_keyfile(tmp_path / "release.key")
    generate_keyfile(tmp_path / "team.key", algorithm="hmac-sha256")
    assert load_signer(tmp_path / "release.key").key_id == made.key_id
    monkeypatch.delenv("SAFEMODEL_PASSPHRASE")
    with pytest.raises(KeyMaterialError):
        load_signer(tmp_path / "release.key")


def test_passphrase_for_a_key_that_is_not_encrypted_is_not_needed(tmp_path: Path) -> None:
    made = generate_keyfile(tmp_path / "release.key", passphrase=False)
    assert load_signer(tmp_path / "release.key", passphrase="secret").key_id == made.key_id


@pytest.mark.parametrize("algorithm", ["rsa", "ecdsa-p384", "none", ""])
def test_algorithm_that_is_not_registered_is_refused(algorithm: str, tmp_path: Path) -> None:
    with pytest.raises(KeyMaterialError):
        generate_keyfile(tmp_path / "release.key", algorithm=algorithm, passphrase=False)


def test_private_key_is_not_written_to_a_public_name(tmp_path: Path) -> None:
    with pytest.raises(KeyMaterialError):
        generate_keyfile(tmp_path / "release.pub", passphrase=False)


def never_asked() -> bytes:
    raise AssertionError("asked for a passphrase although no key can be written")


@pytest.mark.parametrize("existing", ["release.key", "release.key.pub"])
@pairs
def test_nothing_is_overwritten(algorithm: str, existing: str, tmp_path: Path) -> None:
    (tmp_path / existing).write_text("precious")
    with pytest.raises(FileExistsError):
        generate_keyfile(tmp_path / "release.key", algorithm=algorithm, passphrase=never_asked)
    assert [file.name for file in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "precious"


def test_hmac_key_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "team.key").write_text("precious")
    with pytest.raises(FileExistsError):
        generate_keyfile(tmp_path / "team.key", algorithm="hmac-sha256")
    assert (tmp_path / "team.key").read_text() == "precious"


@posix
@pytest.mark.parametrize("link", ["release.key", "release.key.pub"])
def test_dangling_link_is_not_written_through(link: str, tmp_path: Path) -> None:
    (tmp_path / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        generate_keyfile(tmp_path / "release.key", passphrase=False)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("failure", [OSError, FileExistsError, KeyboardInterrupt])
def test_private_key_does_not_stay_alone(
    failure: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = system.create_exclusive

    def failing(path: str, data: bytes, *, mode: int) -> None:
        if path.endswith(".pub"):
            raise failure
        real(path, data, mode=mode)

    monkeypatch.setattr(system, "create_exclusive", failing)
    with pytest.raises(failure):
        generate_keyfile(tmp_path / "release.key", passphrase=False)
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        generate_keyfile(tmp_path / "missing" / "release.key", passphrase=False)


Load = Callable[[Any], object]
both = pytest.mark.parametrize("load", [load_signer, load_verifying_key])


@both
def test_missing_file_and_folder_are_os_errors(load: Load, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing.key")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


@posix
@both
def test_pipe_is_refused_without_waiting(load: Load, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="regular"):
        load(tmp_path / "pipe")
    with pytest.raises(OSError, match="regular"):
        load(os.devnull)


PUBLIC = Ed25519Signer.generate().verifying_key.to_pem()
PRIVATE = Ed25519Signer.generate().to_pem(None)


@both
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        os.urandom(1000),
        b"text",
        armor("CERTIFICATE", b"\x30\x00"),
        armor("RSA PUBLIC KEY", b"\x30\x00"),
        armor("OPENSSH PRIVATE KEY", b"openssh-key-v1\0"),
        armor("SOMETHING ELSE", b"\x30\x00"),
        armor("SAFEMODEL HMAC KEY", bytes(31)),
        armor("SAFEMODEL HMAC KEY", PUBLIC),
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 someone",
        PUBLIC + PRIVATE,
        PUBLIC + b" " * KEYFILE_MAX,
    ],
    ids=[
        *("empty", "blank", "binary", "text", "certificate", "rsa", "openssh-private", "unknown-label"),
        *("hmac-short", "hmac-pem", "openssh-public", "two-blocks", "large"),
    ],
)
def test_file_that_holds_no_key_is_one_clear_error(load: Load, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "some.key"
    path.write_bytes(content)
    with pytest.raises(KeyMaterialError) as caught:
        load(path)
    assert "some.key" in str(caught.value)
    assert caught.value.hint
    assert str(caught.value).isprintable()


def test_largest_file_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "release.pub"
    path.write_bytes(PUBLIC.ljust(KEYFILE_MAX))
    assert load_verifying_key(path).key_id == verifying_key_from_pem(PUBLIC).key_id


def test_file_name_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[2Jrelease.key"
    path.write_bytes(b"text")
    with pytest.raises(KeyMaterialError) as caught:
        load_signer(path)
    assert str(caught.value).isprintable()


def test_public_key_does_not_sign() -> None:
    with pytest.raises(KeyMaterialError):
        signer_from_pem(PUBLIC)


@pytest.mark.parametrize("pem", [PRIVATE, Ed25519Signer.generate().to_pem(b"secret")], ids=["plain", "encrypted"])
def test_private_key_does_not_verify(pem: bytes) -> None:
    with pytest.raises(KeyMaterialError):
        verifying_key_from_pem(pem)


@pytest.mark.parametrize(
    "der",
    [
        "302a300506032b6570032100" + "01" + "00" * 31,  # identity point
        "302a300506032b6570032100" + "09" * 31,
        "302a300506032b6570032100" + "09" * 33,
        "302a300506032b656e032100" + "09" * 32,  # X25519
        "302c300706032b65700500032100" + "09" * 32,  # parameters that RFC 8410 forbids
        "3059301306072a8648ce3d020106082a8648ce3d030107034200" + "04" * 65,  # not on the curve
        "3059301306072a8648ce3d020106082a8648ce3d030107034200",
        "3056301006072a8648ce3d020106052b8104000a034200" + "04" * 65,  # secp256k1
        "3059",
        "",
    ],
)
def test_public_key_that_must_not_be_used_is_refused(der: str) -> None:
    with pytest.raises(KeyMaterialError):
        verifying_key_from_pem(armor("PUBLIC KEY", bytes.fromhex(der)))


def test_objects_of_this_room_pass_through() -> None:
    for signer in (Ed25519Signer.generate(), EcdsaP256Signer.generate(), HmacSha256Key.generate()):
        assert load_signer(signer) is signer
        assert load_verifying_key(signer.verifying_key) is signer.verifying_key


def test_objects_of_cryptography_are_taken_over() -> None:
    for key in (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())):
        signer = load_signer(key)
        assert load_verifying_key(key.public_key()) == signer.verifying_key


@pytest.mark.parametrize(
    "key",
    [
        None,
        b"release.key",
        7,
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
        Ed25519Signer.generate().verifying_key,
        ed25519.Ed25519PrivateKey.generate().public_key(),
    ],
    ids=lambda key: type(key).__name__,
)
def test_object_that_cannot_sign_is_refused(key: object) -> None:
    with pytest.raises(KeyMaterialError):
        load_signer(key)


@pytest.mark.parametrize(
    "key",
    [
        None,
        b"release.pub",
        7,
        rsa.generate_private_key(65537, 2048).public_key(),
        ec.generate_private_key(ec.SECP384R1()).public_key(),
        Ed25519Signer.generate(),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=lambda key: type(key).__name__,
)
def test_object_that_cannot_verify_is_refused(key: object) -> None:
    with pytest.raises(KeyMaterialError):
        load_verifying_key(key)


def test_the_short_name_that_the_command_takes(tmp_path: Path) -> None:
    key = generate_keyfile(tmp_path / "release.key", algorithm="ecdsa-p256", passphrase=False)
    assert key.algorithm == "ecdsa-p256-sha256"
