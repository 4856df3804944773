"""`safemodel sign`: what it adds, and that nobody signs what they did not mean to sign."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import safemodel

if TYPE_CHECKING:
    from cli.conftest import CommandLine, Shelf

CORRECT = "correct horse"


@pytest.fixture
def artifact(shelf: "Shelf", tmp_path: Path) -> Path:
    return Path(shutil.copy(shelf.artifact, tmp_path))


def test_a_countersignature_inside(cli: "CommandLine", shelf: "Shelf", artifact: Path) -> None:
    digest = safemodel.inspect(artifact).digest
    shown = cli.good("sign", "churn.safemodel", "--key", shelf / "review.key", "--trust", shelf.trust)
    assert digest in shown
    assert safemodel.inspect(artifact).digest == digest
    assert len(safemodel.inspect(artifact).key_ids) == 2
    cli.good("verify", "churn.safemodel", "--trust", shelf / "review.key.pub")


def test_a_detached_one(cli: "CommandLine", shelf: "Shelf", artifact: Path) -> None:
    before = artifact.read_bytes()
    digest = safemodel.inspect(artifact).digest
    document = cli.document("sign", artifact, "--key", shelf / "review.key", "--digest", digest, "--detached")
    assert document == {
        "file": str(artifact),
        "digest": digest,
        "signers": [
            {"key_id": safemodel.load_verifying_key(shelf / "review.key.pub").key_id.hex(), "algorithm": "ed25519"}
        ],
        "written": f"{artifact}.sig",
    }
    assert artifact.read_bytes() == before
    cli.good("verify", artifact, "--trust", shelf / "review.key.pub")


def test_several_keys_at_once(cli: "CommandLine", shelf: "Shelf", artifact: Path) -> None:
    keys: list[str | Path] = ["--key", shelf / "review.key", "--key", shelf / "shared.key"]
    document = cli.document("sign", artifact, *keys, "--trust", shelf.trust)
    assert [signer["algorithm"] for signer in document["signers"]] == ["ed25519", "hmac-sha256"]
    assert len(safemodel.inspect(artifact).key_ids) == 3


def test_the_environment_stands_in(cli: "CommandLine", shelf: "Shelf", artifact: Path) -> None:
    cli.good("sign", artifact, SAFEMODEL_KEY=str(shelf / "review.key"), SAFEMODEL_TRUST=str(shelf.trust))
    assert len(safemodel.inspect(artifact).key_ids) == 2


def test_an_encrypted_key(cli: "CommandLine", shelf: "Shelf", artifact: Path) -> None:
    command: list[str | Path] = ["sign", artifact, "--key", shelf / "locked.key", "--trust", shelf.trust]
    assert cli.refused(4, *command, SAFEMODEL_PASSPHRASE="wrong")["code"] == "key-material"
    assert cli.refused(4, *command)["code"] == "key-material"
    assert cli.refused(4, *command, "--passphrase-env", "UNSET_VARIABLE")["code"] == "configuration"
    assert len(safemodel.inspect(artifact).key_ids) == 1
    cli.good(*command, "--passphrase-env", "RELEASE_SECRET", RELEASE_SECRET=CORRECT)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("release.key.pub", "key-material"),
        ("short.key", "key-material"),
        ("junk.safemodel", "key-material"),
        ("empty.safemodel", "key-material"),
        ("pipe.safemodel", "io"),
        ("folder.safemodel", "io"),
        ("missing.key", "io"),
        ("loop.key", "io"),
        ("release.key", "signing"),  # it has signed already
    ],
)
def test_keys_that_do_not_sign(cli: "CommandLine", shelf: "Shelf", artifact: Path, key: str, code: str) -> None:
    before = artifact.read_bytes()
    assert cli.refused(4, "sign", artifact, "--key", shelf / key, "--trust", shelf.trust)["code"] == code
    assert artifact.read_bytes() == before


def test_no_key_at_all(cli: "CommandLine", shelf: "Shelf", artifact: Path) -> None:
    assert cli.refused(4, "sign", artifact, "--trust", shelf.trust)["code"] == "configuration"


@pytest.mark.parametrize(
    ("file", "exit_code", "code"),
    [
        ("tampered/churn.safemodel", 1, "digest-mismatch"),
        ("forged/churn.safemodel", 1, "no-trusted-signature"),
        ("renamed.safemodel", 1, "name-mismatch"),
        ("junk.safemodel", 3, "format"),
        ("empty.safemodel", 3, "format"),
        ("missing.safemodel", 4, "io"),
        ("folder.safemodel", 4, "io"),
    ],
)
def test_files_that_are_not_signed(
    cli: "CommandLine", shelf: "Shelf", tmp_path: Path, file: str, exit_code: int, code: str
) -> None:
    path = tmp_path / Path(file).name
    if (shelf / file).is_dir():
        path.mkdir()
    elif (shelf / file).exists():
        shutil.copy(shelf / file, path)
    before = path.read_bytes() if path.is_file() else None
    assert cli.refused(exit_code, "sign", path, "--key", shelf / "review.key", "--trust", shelf.trust)["code"] == code
    assert (path.read_bytes() if path.is_file() else None) == before
    assert len(list(tmp_path.iterdir())) == (path.exists())


def test_another_artifact_than_was_meant(cli: "CommandLine", shelf: "Shelf", artifact: Path) -> None:
    command: list[str | Path] = ["sign", artifact, "--key", shelf / "review.key"]
    assert cli.refused(1, *command, "--digest", "00" * 32)["code"] == "digest-mismatch"
    assert cli.refused(1, *command, "--trust", shelf / "stranger.key.pub")["code"] == "no-trusted-signature"
    assert len(safemodel.inspect(artifact).key_ids) == 1


def test_what_is_meant_must_be_said(cli: "CommandLine", shelf: "Shelf", artifact: Path) -> None:
    command: list[str | Path] = ["sign", artifact, "--key", shelf / "review.key"]
    assert cli.refused(4, *command)["code"] == "configuration"
    assert cli.refused(4, *command, "--digest", "5ab0")["code"] == "configuration"
    assert cli.refused(2, *command, "--digest", "00" * 32, "--trust", shelf.trust)["code"] == "usage"
    assert cli.refused(2, *command, "--trust", shelf.trust, "--name", "A B")["code"] == "usage"
