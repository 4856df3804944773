"""`safemodel verify`: what it says of good artifacts, and the code for every kind of bad one."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import safemodel

if TYPE_CHECKING:
    from cli.conftest import CommandLine, Shelf

HEAVY = {"numpy", "joblib", "sklearn", "scipy", "pandas", "pickle", "_pickle", "pickletools", "asyncio", "concurrent"}

REFUSED = [
    ("tampered/churn.safemodel", 1, "digest-mismatch"),
    ("forged/churn.safemodel", 1, "no-trusted-signature"),
    ("renamed.safemodel", 1, "name-mismatch"),
    ("cut.safemodel", 3, "format"),
    ("junk.safemodel", 3, "format"),
    ("empty.safemodel", 3, "format"),
    ("release.key", 3, "format"),
    ("missing.safemodel", 4, "io"),
    ("missing/churn.safemodel", 4, "io"),
    ("junk.safemodel/churn.safemodel", 4, "io"),
    ("folder.safemodel", 4, "io"),
    ("loop.key", 4, "io"),
]

BAD_TRUST = [
    ("release.key", "key-material"),
    ("locked.key", "key-material"),
    ("short.key", "key-material"),
    ("junk.safemodel", "key-material"),
    ("empty.safemodel", "key-material"),
    ("pipe.safemodel", "io"),
    ("churn.safemodel", "key-material"),
    ("folder.safemodel", "configuration"),
    ("missing.pub", "io"),
    ("loop.key", "io"),
]


def test_what_is_said_of_a_good_one(cli: "CommandLine", shelf: "Shelf") -> None:
    shown = cli.good("verify", shelf.artifact, "--trust", shelf.trust)
    first, *rest = shown.splitlines()
    assert first == f"{shelf.artifact}: verified"
    assert any("acme/churn 1.4.0" in line for line in rest)
    assert safemodel.load_verifying_key(shelf.trust).key_id.hex() in shown
    assert safemodel.inspect(shelf.artifact).digest in shown


def test_the_document(cli: "CommandLine", shelf: "Shelf") -> None:
    document = cli.document("verify", shelf.artifact, "--trust", shelf.trust)
    assert set(document) == {"verified", "files"}
    assert document["verified"] is True
    [file] = document["files"]
    assert file["created"].endswith("Z")
    assert file | {"created": ""} == {
        "file": str(shelf.artifact),
        "verified": True,
        "name": "acme/churn",
        "version": "1.4.0",
        "digest": safemodel.inspect(shelf.artifact).digest,
        "created": "",
        "expires": None,
        "signers": [
            {"key_id": safemodel.load_verifying_key(shelf.trust).key_id.hex(), "algorithm": "ed25519", "signer": None}
        ],
        "warnings": [],
        "differences": [],
        "policy": None,
        "rule": None,
    }


def test_any_of_several_keys(cli: "CommandLine", shelf: "Shelf") -> None:
    files = [shelf.artifact, shelf / "shared" / "churn.safemodel"]
    keys = [shelf / "review.key.pub", shelf.trust, shelf / "shared.key"]
    document = cli.document("verify", *files, *(f"--trust={key}" for key in keys))
    assert [file["signers"][0]["algorithm"] for file in document["files"]] == ["ed25519", "hmac-sha256"]


def test_the_environment_stands_in_for_trust(cli: "CommandLine", shelf: "Shelf") -> None:
    several = os.pathsep.join([str(shelf / "review.key.pub"), str(shelf.trust)])
    cli.good("verify", shelf.artifact, SAFEMODEL_TRUST=several)


def test_a_name_that_the_caller_gives(cli: "CommandLine", shelf: "Shelf") -> None:
    cli.good("verify", shelf / "renamed.safemodel", "--trust", shelf.trust, "--name", "acme/churn")
    error = cli.refused(1, "verify", shelf / "renamed.safemodel", "--trust", shelf.trust, "--name", "acme/fraud")
    assert error["code"] == "name-mismatch"


@pytest.mark.parametrize(("file", "exit_code", "code"), REFUSED)
def test_what_is_refused(cli: "CommandLine", shelf: "Shelf", file: str, exit_code: int, code: str) -> None:
    assert cli.refused(exit_code, "verify", shelf / file, "--trust", shelf.trust)["code"] == code


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_without_waiting_for_a_writer(cli: "CommandLine", shelf: "Shelf") -> None:
    cli.refused(4, "verify", shelf / "pipe.safemodel", "--trust", shelf.trust)


@pytest.mark.parametrize(("trust", "code"), BAD_TRUST)
def test_what_cannot_be_trusted(cli: "CommandLine", shelf: "Shelf", trust: str, code: str) -> None:
    assert cli.refused(4, "verify", shelf.artifact, "--trust", shelf / trust)["code"] == code


def test_no_trust_at_all(cli: "CommandLine", shelf: "Shelf") -> None:
    error = cli.refused(4, "verify", shelf.artifact)
    assert error["code"] == "configuration"
    assert "--trust" in error["hint"]
    assert "SAFEMODEL_TRUST" in error["hint"]


@pytest.mark.parametrize("name", ["", "Acme", "acme/", "acme churn", "../churn", "a" * 200, "\udcff", "chürn"])
def test_a_bad_name_is_a_usage_error(cli: "CommandLine", shelf: "Shelf", name: str) -> None:
    assert cli.refused(2, "verify", shelf.artifact, "--trust", shelf.trust, "--name", name)["code"] == "usage"


@pytest.mark.parametrize(
    ("files", "exit_code"),
    [
        (["churn", "churn"], 0),
        (["churn", "tampered/churn"], 1),
        (["tampered/churn", "junk", "churn"], 3),
        (["junk", "missing", "tampered/churn"], 4),
    ],
)
def test_the_worst_of_several_counts(cli: "CommandLine", shelf: "Shelf", files: list[str], exit_code: int) -> None:
    paths = [shelf / f"{file}.safemodel" for file in files]
    document = cli.document("verify", *paths, "--trust", shelf.trust, exit_code=exit_code)
    assert document["verified"] is (exit_code == 0)
    assert [file["file"] for file in document["files"]] == [str(path) for path in paths]
    assert [file["verified"] for file in document["files"]] == [file == "churn" for file in files]
    done = cli.run("verify", *paths, "--trust", shelf.trust)
    assert done.returncode == exit_code
    assert done.stdout.count(": verified\n") == files.count("churn")
    assert done.stderr.count("safemodel: error: ") == len(files) - files.count("churn")


def test_a_name_cannot_write_to_the_terminal(cli: "CommandLine", shelf: "Shelf") -> None:
    evil = "\x1b[2J\u202egood\nsafemodel: verified\udcff.safemodel"
    for source, exit_code in ((shelf.artifact, 0), (shelf / "tampered/churn.safemodel", 1)):
        shutil.copy(source, cli.folder / evil)
        done = cli.run("verify", evil, "--trust", shelf.trust, "--name", "acme/churn")
        assert done.returncode == exit_code
        shown = done.stdout + done.stderr
        assert not set("\x1b\u202e\udcff") & set(shown)
        assert "\\x1b[2J\\u202egood\\nsafemodel: verified\\udcff" in shown
        [file] = cli.document("verify", evil, "--trust", shelf.trust, "--name", "acme/churn", exit_code=exit_code)[
            "files"
        ]
        assert file["file"] == evil


def test_a_stale_detached_signature_is_a_warning(cli: "CommandLine", shelf: "Shelf") -> None:
    for name in ("churn", "fraud"):
        shutil.copy(shelf / f"{name}.safemodel", cli.folder)
        cli.good("sign", f"{name}.safemodel", "--key", shelf / "review.key", "--trust", shelf.trust, "--detached")
    (cli.folder / "fraud.safemodel.sig").replace(cli.folder / "churn.safemodel.sig")
    done = cli.run("verify", "churn.safemodel", "--trust", shelf.trust)
    assert done.returncode == 0
    [line] = done.stderr.splitlines()
    assert line.startswith("safemodel: warning: ")
    assert len(cli.document("verify", "churn.safemodel", "--trust", shelf.trust)["files"][0]["warnings"]) == 1


def test_verifying_loads_nothing_heavy(cli: "CommandLine", shelf: "Shelf") -> None:
    cli.command = [sys.executable, "-X", "importtime", "-m", "safemodel"]
    done = cli.run("verify", shelf.artifact, "--trust", shelf.trust)
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "safemodel.trust.gate" in loaded
    assert not {name.partition(".")[0] for name in loaded} & HEAVY


def test_verifying_needs_no_scikit_learn(cli: "CommandLine", shelf: "Shelf", tmp_path: Path) -> None:
    for name in ("numpy", "joblib", "sklearn"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('loaded')")
    cli.environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), cli.surroundings()["PYTHONPATH"]])
    cli.good("verify", shelf.artifact, "--trust", shelf.trust)
