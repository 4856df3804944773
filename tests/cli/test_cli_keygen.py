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


def test_another_passphrase(cli: "CommandLine", tmp_path: Path) -> None:
    made = cli.document("keygen", "release.key", SAFEMODEL_PASSPHRASE=CORRECT)
    secrets = {"OLD": CORRECT, "NEW": "battery staple"}
    change = ["keygen", "release.key", "--change-passphrase"]
    shown = cli.good(*change, "--old-passphrase-env", "OLD", "--passphrase-env", "NEW", **secrets)
    assert made["key_id"] in shown
    safemodel.load_signer(tmp_path / "release.key", passphrase="battery staple")
    document = cli.document(*change, "--no-passphrase", SAFEMODEL_PASSPHRASE="battery staple")
    assert document == made | {"verifying_key": None}
    safemodel.load_signer(tmp_path / "release.key")


def test_another_passphrase_is_not_given_by_halves(cli: "CommandLine", tmp_path: Path) -> None:
    cli.good("keygen", "release.key", SAFEMODEL_PASSPHRASE=CORRECT)
    before = (tmp_path / "release.key").read_bytes()
    change = ["keygen", "release.key", "--change-passphrase"]
    assert cli.refused(4, *change, "--passphrase-env", "NEW", NEW="new")["code"] == "key-material"
    assert cli.refused(4, *change, SAFEMODEL_PASSPHRASE=CORRECT)["code"] == "key-material"
    error = cli.refused(4, *change, "--old-passphrase-env", CORRECT, "--no-passphrase")
    assert error["code"] == "configuration"
    assert CORRECT not in str(error)
    assert (tmp_path / "release.key").read_bytes() == before


def test_the_public_key_of_a_key_that_is_elsewhere(cli: "CommandLine", tmp_path: Path) -> None:
    made = cli.document("keygen", "release.key", "--no-passphrase")
    document = cli.document("keygen", "again.pub", "--public-of", "file:release.key")
    assert document == made | {"private_key": None, "verifying_key": "again.pub"}
    assert made["key_id"] in cli.good("keygen", "third.pub", "--public-of", "release.key")
    for name in ("again.pub", "third.pub"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "release.key.pub").read_bytes()
    assert cli.refused(4, "keygen", "again.pub", "--public-of", "release.key")["code"] == "io"
    assert cli.refused(4, "keygen", "x.pub", "--public-of", "nowhere:")["code"] == "configuration"


@pytest.mark.parametrize(
    ("exit_code", "arguments"),
    [
        (2, ["keygen"]),
        (2, ["keygen", "release.key", "--change-passphrase", "--public-of", "other.key"]),
        (2, ["keygen", "release.key", "--change-passphrase", "--algorithm", "ed25519"]),
        (2, ["keygen", "release.pub", "--public-of", "other.key", "--algorithm", "ed25519"]),
        (2, ["keygen", "release.pub", "--public-of", "other.key", "--no-passphrase"]),
        (2, ["keygen", "release.key", "--no-passphrase", "--old-passphrase-env", "X"]),
        (4, ["keygen", "release.key", "--change-passphrase", "--no-passphrase"]),
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
