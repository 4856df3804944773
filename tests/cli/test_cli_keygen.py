"""`safemodel keygen`: the pair, its permissions, its passphrase, and every way not to get one."""

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import safemodel

if TYPE_CHECKING:
    from cli.conftest import CommandLine

CORRECT = "correct horse"


@pytest.mark.parametrize(
    ("spelling", "algorithm"),
    [("ed25519", "ed25519"), ("ecdsa-p256", "ecdsa-p256-sha256"), ("hmac-sha256", "hmac-sha256")],
)
def test_every_algorithm(cli: "CommandLine", tmp_path: Path, spelling: str, algorithm: str) -> None:
    made = cli.document("keygen", "release.key", "--algorithm", spelling, "--no-passphrase")
    assert set(made) == {"algorithm", "key_id", "private_key", "verifying_key"}
    assert made["algorithm"] == algorithm
    key = safemodel.load_verifying_key(tmp_path / made["verifying_key"])
    signer = safemodel.load_signer(tmp_path / made["private_key"])
    assert key.key_id.hex() == signer.key_id.hex() == made["key_id"]
    assert (tmp_path / "release.key.pub").exists() == (algorithm != "hmac-sha256")


def test_the_private_key_is_for_its_owner_only(cli: "CommandLine", tmp_path: Path) -> None:
    shown = cli.good("keygen", "release.key", "--no-passphrase")
    assert stat.S_IMODE((tmp_path / "release.key").stat().st_mode) == 0o600
    assert safemodel.load_verifying_key(tmp_path / "release.key.pub").key_id.hex() in shown


def test_a_shared_secret_is_called_one(cli: "CommandLine") -> None:
    assert "secret" in cli.good("keygen", "ci.key", "--algorithm", "hmac-sha256", "--no-passphrase")


def test_the_passphrase_comes_from_the_named_variable(cli: "CommandLine", tmp_path: Path) -> None:
    cli.good("keygen", "release.key", "--passphrase-env", "RELEASE_SECRET", RELEASE_SECRET=CORRECT)
    safemodel.load_signer(tmp_path / "release.key", passphrase=CORRECT)
    with pytest.raises(safemodel.KeyMaterialError):
        safemodel.load_signer(tmp_path / "release.key", passphrase="wrong")


def test_the_passphrase_comes_from_the_usual_variable(cli: "CommandLine", tmp_path: Path) -> None:
    cli.good("keygen", "release.key", SAFEMODEL_PASSPHRASE=CORRECT)
    safemodel.load_signer(tmp_path / "release.key", passphrase=CORRECT)


def test_nobody_to_ask_for_a_passphrase(cli: "CommandLine", tmp_path: Path) -> None:
    assert cli.refused(4, "keygen", "release.key")["code"] == "key-material"
    assert not list(tmp_path.iterdir())


def test_an_empty_passphrase(cli: "CommandLine") -> None:
    error = cli.refused(4, "keygen", "release.key", "--passphrase-env", "RELEASE_SECRET", RELEASE_SECRET="")
    assert error["code"] == "key-material"


def test_a_passphrase_in_the_place_of_its_variable_is_not_shown(cli: "CommandLine") -> None:
    error = cli.refused(4, "keygen", "release.key", "--passphrase-env", CORRECT)
    assert error["code"] == "configuration"
    assert CORRECT not in str(error)


def test_nothing_is_overwritten(cli: "CommandLine", tmp_path: Path) -> None:
    (tmp_path / "release.key").write_text("mine")
    (tmp_path / "other.key.pub").write_text("mine")
    for key in ("release.key", "other.key"):
        assert cli.refused(4, "keygen", key, "--no-passphrase")["code"] == "io"
    assert (tmp_path / "release.key").read_text() == (tmp_path / "other.key.pub").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("exit_code", "arguments"),
    [
        (2, ["keygen"]),
        (2, ["keygen", "release.key", "--algorithm", "rsa"]),
        (2, ["keygen", "release.key", "--no-passphrase", "--passphrase-env", "X"]),
        (2, ["keygen", "release.key", "--no-pass"]),
        (4, ["keygen", "release.key.pub", "--no-passphrase"]),
        (4, ["keygen", "missing/release.key", "--no-passphrase"]),
        (4, ["keygen", ".", "--no-passphrase"]),
    ],
)
def test_what_cannot_be_made(cli: "CommandLine", tmp_path: Path, exit_code: int, arguments: list[str]) -> None:
    cli.refused(exit_code, *arguments)
    assert not list(tmp_path.iterdir())
