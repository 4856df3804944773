"""Another passphrase for the same key, or the old file as it was."""

import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

import safemodel
from safemodel.errors import KeyMaterialError
from safemodel.signing import write_verifying_key

OLD, NEW = "correct horse", "battery staple"

pairs = pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-p256-sha256"])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "release.key"
    safemodel.generate_keyfile(path, passphrase=OLD)
    return path


@pairs
def test_the_key_stays_and_the_passphrase_changes(algorithm: str, tmp_path: Path) -> None:
    path = tmp_path / "release.key"
    made = safemodel.generate_keyfile(path, algorithm=algorithm, passphrase=OLD)
    path.chmod(0o644)
    assert safemodel.change_passphrase(path, old=OLD, new=lambda: NEW) == made
    assert safemodel.load_signer(path, passphrase=NEW).key_id == made.key_id
    assert sys.platform == "win32" or stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(KeyMaterialError):
        safemodel.load_signer(path, passphrase=OLD)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["release.key", "release.key.pub"]


def test_encryption_comes_and_goes(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFEMODEL_PASSPHRASE", OLD)
    safemodel.change_passphrase(key, new=False)
    assert b"ENCRYPTED" not in key.read_bytes()
    safemodel.change_passphrase(key, new=NEW)
    safemodel.load_signer(key, passphrase=NEW)


def test_a_link_stays_a_link(key: Path) -> None:
    link = key.with_name("link")
    link.symlink_to(key.name)
    safemodel.change_passphrase(str(link), old=OLD, new=NEW)
    assert link.is_symlink()
    safemodel.load_signer(key, passphrase=NEW)


def fail() -> str:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("horse correct", NEW, KeyMaterialError),
        (None, NEW, KeyMaterialError),
        (OLD, "", KeyMaterialError),
        (OLD, None, KeyMaterialError),  # nobody can be asked
        (OLD, fail, KeyboardInterrupt),
        (fail, NEW, KeyboardInterrupt),
    ],
)
def test_nothing_changes_without_both_passphrases(old: Any, new: Any, error: type[BaseException], key: Path) -> None:
    before = key.read_bytes()
    with pytest.raises(error) as caught:
        safemodel.change_passphrase(key, old=old, new=new)
    assert key.read_bytes() == before
    assert not any(secret in str(caught.value) for secret in (OLD, NEW, "horse correct"))


def test_the_variable_of_the_old_passphrase_is_not_the_new_one(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key.read_bytes()
    monkeypatch.setenv("SAFEMODEL_PASSPHRASE", OLD)
    with pytest.raises(KeyMaterialError):
        safemodel.change_passphrase(key)
    assert key.read_bytes() == before


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_the_old_file(call: str, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key.read_bytes()

    def full(*arguments: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="no space"):
        safemodel.change_passphrase(key, old=OLD, new=NEW)
    monkeypatch.undo()
    assert key.read_bytes() == before
    assert sorted(file.name for file in key.parent.iterdir()) == ["release.key", "release.key.pub"]


def test_files_whose_passphrase_cannot_change(key: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    safemodel.generate_keyfile(tmp_path / "team.key", algorithm="hmac-sha256")
    openssh = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    (tmp_path / "openssh").write_bytes(openssh)
    other = ec.generate_private_key(ec.SECP384R1())
    (tmp_path / "p384").write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "junk").write_bytes(b"junk")
    for name in ("release.key.pub", "team.key", "openssh", "p384", "junk"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(KeyMaterialError) as caught:
            safemodel.change_passphrase(tmp_path / name, old=OLD, new=NEW)
        assert caught.value.hint
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(FileNotFoundError):
        safemodel.change_passphrase(tmp_path / "missing", old=OLD, new=NEW)


@pairs
def test_a_verifying_key_is_written_as_keygen_writes_it(algorithm: str, tmp_path: Path) -> None:
    made = safemodel.generate_keyfile(tmp_path / "release.key", algorithm=algorithm, passphrase=False)
    write_verifying_key(made, tmp_path / "again.pub")
    assert (tmp_path / "again.pub").read_bytes() == (tmp_path / "release.key.pub").read_bytes()
    with pytest.raises(FileExistsError):
        write_verifying_key(made, tmp_path / "again.pub")


def test_a_shared_secret_is_not_written_as_a_verifying_key(tmp_path: Path) -> None:
    made = safemodel.generate_keyfile(tmp_path / "team.key", algorithm="hmac-sha256")
    with pytest.raises(KeyMaterialError):
        write_verifying_key(made, tmp_path / "team.pub")
    assert not (tmp_path / "team.pub").exists()
