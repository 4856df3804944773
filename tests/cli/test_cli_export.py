"""`safemodel export` and `safemodel oms`: what they write and say; the examples of docs/export.md, run as written."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import safemodel

if TYPE_CHECKING:
    from cli.conftest import CommandLine, Shelf

EXPORT = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
FORMATS = ("oms", "in-toto", "cyclonedx")


@pytest.fixture
def publisher(shelf: "Shelf", tmp_path: Path) -> Path:
    safemodel.generate_keyfile(tmp_path / "publisher.key", algorithm="ecdsa-p256", passphrase=False)
    return tmp_path / "publisher.key"


def command(format: str, file: Path, shelf: "Shelf", key: Path) -> list[str | Path]:
    signed: list[str | Path] = [] if format == "cyclonedx" else ["--key", key]
    return ["export", format, file, "-o", "out.json", "--trust", shelf.trust, *signed]


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_and_shown(format: str, cli: "CommandLine", shelf: "Shelf", publisher: Path) -> None:
    arguments = command(format, shelf.artifact, shelf, publisher)
    digest = safemodel.inspect(shelf.artifact).digest
    shown = cli.good(*arguments)
    assert "exported to out.json" in shown
    assert digest in shown
    assert json.loads((cli.folder / "out.json").read_text())
    document = cli.document_here(*arguments)
    assert set(document) == {"file", "format", "name", "version", "digest", "sha256", "signers", "written"}
    assert document["format"] == format
    assert document["digest"] == digest
    assert len(document["signers"]) == (format != "cyclonedx")


@pytest.mark.parametrize("format", FORMATS)
def test_to_stdout(format: str, cli: "CommandLine", shelf: "Shelf", publisher: Path) -> None:
    arguments = command(format, shelf.artifact, shelf, publisher)
    arguments[arguments.index("out.json")] = "-"
    before = set(cli.folder.iterdir())
    written = cli.good(*arguments)
    assert isinstance(json.loads(written), dict)
    assert set(cli.folder.iterdir()) == before
    if format == "cyclonedx":  # which is not signed, and the same each time
        cli.good(*command(format, shelf.artifact, shelf, publisher))
        assert (cli.folder / "out.json").read_text() == written
    assert cli.refused_here(2, *arguments, "--json")["code"] == "usage"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("file", "exit_code", "code"),
    [
        ("tampered/churn.safemodel", 1, "digest-mismatch"),
        ("forged/churn.safemodel", 1, "no-trusted-signature"),
        ("renamed.safemodel", 1, "name-mismatch"),
        ("junk.safemodel", 3, "format"),
        ("missing.safemodel", 4, "io"),
    ],
)
def test_a_refusal_writes_nothing(
    format: str, file: str, exit_code: int, code: str, cli: "CommandLine", shelf: "Shelf", publisher: Path
) -> None:
    error = cli.refused_here(exit_code, *command(format, shelf / file, shelf, publisher))
    assert error["code"] == code
    assert not (cli.folder / "out.json").exists()


def test_without_what_is_needed(cli: "CommandLine", shelf: "Shelf", publisher: Path) -> None:
    file, key, trust = shelf.artifact, publisher, shelf.trust
    assert cli.refused_here(2, "export")["code"] == "usage"
    assert cli.refused_here(2, "export", "oms", file, "--key", key, "--trust", trust)["code"] == "usage"
    assert cli.refused_here(4, "export", "oms", file, "-o", "o", "--trust", trust)["code"] == "configuration"
    assert cli.refused_here(4, "export", "oms", file, "-o", "o", "--key", key)["code"] == "configuration"
    wrong = cli.refused_here(4, "export", "oms", file, "-o", "o", "--key", shelf / "release.key", "--trust", trust)
    assert wrong["code"] == "key-material"
    assert "ecdsa-p256" in wrong["hint"]


def test_a_bundle_is_judged(cli: "CommandLine", shelf: "Shelf", publisher: Path) -> None:
    cli.good(*command("oms", shelf.artifact, shelf, publisher))
    arguments = ("oms", shelf.artifact, "out.json", "--trust", f"{publisher}.pub")
    done = cli.run(*arguments)
    assert done.returncode == 0
    assert "bundle accepted" in done.stdout
    assert "does not load" in done.stderr
    document = cli.document_here(*arguments)
    assert document["accepted"] is True
    assert document["signer"] == {
        "key_id": safemodel.load_signer(publisher).key_id.hex(),
        "algorithm": "ecdsa-p256-sha256",
        "signer": None,
    }
    verdict = cli.document_here("verify", shelf.artifact, "--trust", f"{publisher}.pub", exit_code=1)
    assert verdict["files"][0]["error"]["code"] == "no-trusted-signature"
    assert cli.refused_here(1, *arguments[:-1], shelf.trust)["code"] == "no-trusted-signature"
    assert cli.refused_here(3, "oms", shelf.artifact, shelf.trust, "--trust", shelf.trust)["code"] == "format"


def test_a_folder_says_whose(cli: "CommandLine", shelf: "Shelf", publisher: Path) -> None:
    cli.good(*command("oms", shelf.artifact, shelf, publisher))
    make_folder(cli, f"{publisher}.pub", shelf.trust)
    arguments = ("oms", shelf.artifact, "out.json", "--trust", "keys")
    shown = cli.good(*arguments)
    assert "bundle by  publisher, " in shown
    document = cli.document_here(*arguments)
    assert document["signer"]["signer"] == "publisher"
    assert document["rule"] == 1


def make_folder(cli: "CommandLine", publisher: str | Path, release: str | Path) -> None:
    folder = cli.folder / "keys"
    folder.mkdir()
    shutil.copy(publisher, folder / "publisher.pub")
    shutil.copy(release, folder / "release.pub")
    (folder / "trust.toml").write_text(
        'version = 1\n[signers.release]\nkeys = ["release.pub"]\n[signers.publisher]\nkeys = ["publisher.pub"]\n'
        '[[rules]]\nmodels = ["acme/*"]\nsigners = ["release"]\noms = ["publisher"]\n'
    )


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", EXPORT, re.DOTALL)


def test_the_examples_of_the_document(cli: "CommandLine", shelf: "Shelf", monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cyclonedx.validation.json", reason="needs cyclonedx-python-lib[json-validation]")
    if find_spec("model_signing") is None:
        pytest.skip("the package model-signing is not installed")
    monkeypatch.chdir(cli.folder)
    shutil.copy(shelf.artifact, cli.folder)
    cli.good(*shlex.split("keygen release.key --algorithm ecdsa-p256 --no-passphrase"))
    make_folder(cli, "release.key.pub", shelf.trust)
    commands = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    assert len(commands) == 5
    for words in map(shlex.split, commands):
        if words[0] == "safemodel":
            cli.good(*words[1:])
        else:
            subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True)
    for block in blocks("python"):
        exec(block, {})
