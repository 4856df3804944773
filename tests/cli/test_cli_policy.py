"""`--trust FOLDER`: what decides is shown, on success and on refusal, for people and for programs."""

import shutil
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import safemodel

if TYPE_CHECKING:
    from cli.conftest import CommandLine, Shelf

POLICY = """
version = 3
[signers.alice]
keys = ["release.pub"]
[signers.bob]
keys = ["review.pub"]
[[rules]]
models = ["acme/*"]
signers = ["alice", "bob"]
"""


@pytest.fixture
def keys(cli: "CommandLine", shelf: "Shelf") -> Path:
    """A trust folder, `keys`, in the folder where the command runs."""
    folder = cli.folder / "keys"
    folder.mkdir()
    for name in ("release", "review"):
        shutil.copy(shelf / f"{name}.key.pub", folder / f"{name}.pub")
    (folder / "trust.toml").write_text(POLICY)
    return folder


def test_what_is_said_of_a_good_one(cli: "CommandLine", shelf: "Shelf", keys: Path) -> None:
    shown = cli.good("verify", shelf.artifact, "--trust", "keys")
    digest = sha256((keys / "trust.toml").read_bytes()).hexdigest()
    assert "alice, ed25519 key " in shown
    assert "1, for acme/*: 1 of alice, bob" in shown
    assert f"{keys}/trust.toml, version 3, sha256 {digest}" in shown
    [file] = cli.document("verify", shelf.artifact, "--trust", "keys")["files"]
    assert file["policy"] == {"path": str(keys / "trust.toml"), "version": 3, "digest": digest}
    assert (file["rule"], file["signers"][0]["signer"]) == (1, "alice")


def test_what_is_said_of_a_refusal(cli: "CommandLine", shelf: "Shelf", keys: Path) -> None:
    (keys / "trust.toml").write_text(POLICY + "threshold = 2\n")
    done = cli.run("verify", shelf.artifact, "--trust", "keys")
    assert (done.returncode, done.stdout) == (1, "")
    error, hint, *grounds = done.stderr.splitlines()
    assert error.startswith("safemodel: error: ")
    assert f"{keys}/trust.toml, rule 1" in error
    assert hint.startswith("hint: ")
    assert [line.split()[0] for line in grounds] == ["policy", "model", "rule", "signature", "refused", "to"]
    [file] = cli.document("verify", shelf.artifact, "--trust", "keys", exit_code=1)["files"]
    assert file["error"]["code"] == "threshold-not-met"
    assert file["explanation"]["rule"] == 1
    assert [record["fate"] for record in file["explanation"]["signatures"]] == ["good"]


def test_what_is_refused_before_a_policy_decides_has_no_grounds(cli: "CommandLine", shelf: "Shelf", keys: Path) -> None:
    files = [shelf / "cut.safemodel", shelf / "tampered" / "churn.safemodel"]
    document = cli.document("verify", *files, "--trust", "keys", exit_code=3)
    assert [file["explanation"] for file in document["files"]] == [None, None]


def test_grounds_cannot_write_to_the_terminal(cli: "CommandLine", shelf: "Shelf", keys: Path) -> None:
    (keys / "trust.toml").write_text(
        POLICY + '[[revoked]]\nsigner = "alice"\ndate = 2026-01-01\nreason = "\\u001b[2J\\u202e"\n'
    )
    done = cli.run("verify", shelf.artifact, "--trust", "keys")
    assert done.returncode == 1
    assert not set("\x1b\u202e") & set(done.stderr)
    assert "\\x1b[2J\\u202e" in done.stderr


@pytest.mark.parametrize("verb", [["verify"], ["extract", "-o", "out"]])
def test_nothing_is_allowed_beside_a_folder(verb: list[str], cli: "CommandLine", shelf: "Shelf", keys: Path) -> None:
    arguments = [*verb, str(shelf.artifact), "--trust", "keys"]
    cli.good(*arguments)
    shutil.rmtree(cli.folder / "out", ignore_errors=True)
    error = cli.refused(4, *arguments, "--allow", "acme.transformers.Clip")
    assert error["code"] == "configuration"
    assert not (cli.folder / "out").exists()


def test_a_folder_without_a_policy(cli: "CommandLine", shelf: "Shelf", keys: Path) -> None:
    (keys / "trust.toml").unlink()
    error = cli.refused(4, "verify", shelf.artifact, "--trust", "keys")
    assert error["code"] == "configuration"
    assert "safemodel trust init" in error["hint"]


def test_a_mistake_in_the_policy(cli: "CommandLine", shelf: "Shelf", keys: Path) -> None:
    (keys / "trust.toml").write_text(POLICY.replace("signers =", "signer ="))
    error = cli.refused(4, "verify", shelf.artifact, "--trust", "keys")
    assert error["code"] == "configuration"
    assert "rule 1" in error["message"]
    assert "'signers'" in error["hint"]


def test_only_a_folder_needs_a_reader_of_toml(cli: "CommandLine", shelf: "Shelf", keys: Path) -> None:
    cli.command = [sys.executable, "-X", "importtime", "-m", "safemodel"]
    for trust, expected in ((shelf.trust, set()), (keys, {"tomllib", "safemodel.trust.reading"})):
        done = cli.run("verify", shelf.artifact, "--trust", trust)
        assert done.returncode == 0
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert loaded & {"tomllib", "difflib", "safemodel.trust.reading"} == expected


def test_the_environment_names_a_folder(cli: "CommandLine", shelf: "Shelf", keys: Path) -> None:
    cli.good("verify", shelf.artifact, SAFEMODEL_TRUST="keys")


def test_a_folder_is_used_to_countersign(cli: "CommandLine", shelf: "Shelf", keys: Path) -> None:
    (keys / "trust.toml").write_text(POLICY + "threshold = 2\n")
    shutil.copy(shelf.artifact, cli.folder)
    cli.good("sign", "churn.safemodel", "--key", shelf / "review.key", "--trust", "keys")
    cli.good("verify", "churn.safemodel", "--trust", "keys")
    assert len(safemodel.inspect(cli.folder / "churn.safemodel").key_ids) == 2
