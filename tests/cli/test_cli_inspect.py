"""`safemodel inspect`: what an artifact says, marked as unverified unless somebody who is trusted vouches for it."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from describing import CLAIMS, HOSTILE

import safemodel

if TYPE_CHECKING:
    from cli.conftest import CommandLine, Shelf


def test_everything_is_marked(cli: "CommandLine", shelf: "Shelf") -> None:
    shown = cli.good("inspect", shelf / "forged" / "churn.safemodel")
    for line in shown.splitlines():
        assert line.startswith("  ") or "UNVERIFIED" in line
    assert "verified" not in shown


def test_what_is_shown(cli: "CommandLine", shelf: "Shelf") -> None:
    artifact = safemodel.inspect(shelf.artifact)
    words = cli.good("inspect", shelf.artifact).split()
    for expected in (
        "acme/churn",
        "1.4.0",
        artifact.digest,
        *artifact.key_ids,
        "roc_auc",
        "0.91",
    ):
        assert expected in words


def test_the_document(cli: "CommandLine", shelf: "Shelf") -> None:
    document = cli.document("inspect", shelf.artifact)
    assert set(document) == {"file", "unverified"}
    said = document["unverified"]
    artifact = safemodel.inspect(shelf.artifact)
    assert set(said) == {"artifact_digest", "key_ids", "size", "entries", "manifest"}
    assert said["artifact_digest"] == artifact.digest
    assert said["key_ids"] == list(artifact.key_ids)
    assert said["size"] == shelf.artifact.stat().st_size
    assert [entry["name"] for entry in said["entries"]] == [entry.name for entry in artifact.layout.entries]
    manifest = said["manifest"]
    assert set(manifest) >= {
        "format",
        "creator",
        "name",
        "version",
        "created",
        "expires",
        "entries",
        "digest",
        "payload",
    }
    assert manifest["created"].endswith("Z")
    assert manifest["expires"] is None
    assert manifest["digest"]["digest"] == artifact.manifest.digest.digest.hex()
    assert manifest["training"]["metrics"] == {"roc_auc": 0.91}


def test_damage_to_the_payload_does_not_matter(cli: "CommandLine", shelf: "Shelf") -> None:
    cli.good("inspect", shelf / "tampered" / "churn.safemodel")


@pytest.mark.parametrize("expires", [2**40, 2**52])
def test_times_that_no_calendar_has(cli: "CommandLine", shelf: "Shelf", expires: int) -> None:
    safemodel.dump([1], cli.folder / "late.safemodel", key=shelf / "release.key", expires=expires)
    assert cli.document("inspect", "late.safemodel")["unverified"]["manifest"]["expires"] == f"@{expires}"
    cli.good("verify", "late.safemodel", "--trust", shelf.trust)


def test_claims_cannot_write_to_the_terminal(cli: "CommandLine", shelf: "Shelf") -> None:
    metadata = {"\x1b[31mred": {"note\n": ["\x9b31m\u2066" * 100, b"\xff", None]}, "wide" * 100: 1}
    safemodel.dump([1], cli.folder / "loud.safemodel", key=shelf / "release.key", metadata=metadata)
    shown = cli.good("inspect", "loud.safemodel")
    assert shown.isascii()
    assert all(character.isprintable() for line in shown.split("\n") for character in line)
    assert max(map(len, shown.splitlines())) < 1000
    training = cli.document("inspect", "loud.safemodel")["unverified"]["manifest"]["training"]
    assert training["metadata"]["\x1b[31mred"] == {"note\n": ["\x9b31m\u2066" * 100, "ff", None]}


def test_what_is_verified_says_who_vouches(cli: "CommandLine", shelf: "Shelf") -> None:
    shown = cli.good("inspect", shelf.artifact, "--trust", shelf.trust)
    assert "UNVERIFIED" not in shown
    assert shown.startswith(f"{shelf.artifact}: verified\n")
    assert f"signed by  ed25519 key {safemodel.inspect(shelf.artifact).key_ids[0]}" in shown


def test_the_document_of_what_is_verified(cli: "CommandLine", shelf: "Shelf") -> None:
    document = cli.document("inspect", shelf.artifact, "--trust", shelf.trust)
    unverified = cli.document("inspect", shelf.artifact)["unverified"]
    assert set(document) == {"file", "verified"}
    said = document["verified"]
    assert [signed["key_id"] for signed in said["signers"]] == unverified.pop("key_ids")
    assert (said["warnings"], said["policy"], said["rule"]) == ([], None, None)
    assert {name: said[name] for name in unverified} == unverified


@pytest.mark.parametrize("file", ["forged/churn", "tampered/churn", "renamed", "fraud"])
def test_what_is_not_trusted_is_not_shown(cli: "CommandLine", shelf: "Shelf", file: str) -> None:
    name = [] if file != "fraud" else ["--name", "acme/churn"]
    path = shelf / f"{file}.safemodel"
    error = cli.refused(1, "inspect", path, "--trust", shelf.trust, "--html", "page.html", *name)
    assert error["message"].startswith(f"{path}: ")
    assert not (cli.folder / "page.html").exists()


def test_trust_from_outside_does_not_count(cli: "CommandLine", shelf: "Shelf") -> None:
    assert "UNVERIFIED" in cli.good("inspect", shelf.artifact, SAFEMODEL_TRUST=str(shelf.trust))


@pytest.mark.parametrize("option", [["--name", "acme/churn"], ["--allow", "acme.transformers.Clip"]])
def test_what_only_serves_to_verify_needs_trust(cli: "CommandLine", shelf: "Shelf", option: list[str]) -> None:
    assert cli.refused(2, "inspect", shelf.artifact, *option)["code"] == "usage"


def test_a_page(cli: "CommandLine", shelf: "Shelf") -> None:
    assert cli.good("inspect", shelf.artifact, "--html", "churn.html") == "churn.html: written\n"
    page = (cli.folder / "churn.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "Unverified" in page
    document = cli.document("inspect", shelf.artifact, "--trust", shelf.trust, "--html", "churn.html")
    assert "verified" in document
    assert "Unverified" not in (cli.folder / "churn.html").read_text(encoding="utf-8")


def test_a_page_does_not_take_the_place_of_an_artifact(cli: "CommandLine", shelf: "Shelf") -> None:
    before = shelf.artifact.read_bytes()
    assert cli.refused(2, "inspect", "--html", shelf.artifact, shelf / "fraud.safemodel")["code"] == "usage"
    assert shelf.artifact.read_bytes() == before


def test_a_page_that_cannot_be_written(cli: "CommandLine", shelf: "Shelf") -> None:
    assert cli.refused(4, "inspect", shelf.artifact, "--html", "missing/churn.html")["code"] == "io"


def test_a_page_is_read_in_ten_seconds(cli: "CommandLine", forge: Callable[..., Path]) -> None:
    shown = cli.good("inspect", forge(**CLAIMS)).splitlines()
    assert len(shown) < 60
    [needed] = [line.split() for line in shown if "to be allowed" in line]
    assert needed[-1] == "acme.transformers.Clip"


def on_a_terminal(cli: "CommandLine", *arguments: str | Path, **variables: str) -> str:
    pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
    reading, writing = pty.openpty()
    done = subprocess.Popen(
        [*cli.command, *map(str, arguments)],
        cwd=cli.folder,
        env=cli.surroundings(TERM="xterm-256color", COLUMNS="100", **variables),
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    shown = b""
    try:
        while data := os.read(reading, 65536):
            shown += data
    except OSError:  # EIO: Linux says so when nobody holds the other end any more
        pass
    os.close(reading)
    assert done.wait(60) == 0
    return shown.decode().replace("\r\n", "\n")


COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("claims", [CLAIMS, HOSTILE], ids=["usual", "hostile"])
def test_on_a_terminal_rich_shows_it(cli: "CommandLine", forge: Callable[..., Path], claims: dict[str, Any]) -> None:
    pytest.importorskip("rich", reason="needs the extra 'rich'")
    shown = on_a_terminal(cli, "inspect", forge(**claims))
    assert COLOURS.search(shown)
    assert "UNVERIFIED" in shown
    assert all(line.isprintable() for line in COLOURS.sub("", shown).split("\n"))
    assert "[bold]" not in shown
    assert len(shown.splitlines()) < 1000


def test_on_a_terminal_without_rich_it_is_plain(cli: "CommandLine", forge: Callable[..., Path]) -> None:
    (cli.folder / "rich").mkdir()
    (cli.folder / "rich" / "__init__.py").write_text("raise ImportError")
    cli.environment["PYTHONPATH"] = os.pathsep.join([str(cli.folder), cli.surroundings()["PYTHONPATH"]])
    artifact = forge(**CLAIMS)
    assert on_a_terminal(cli, "inspect", artifact) == cli.good("inspect", artifact)


@pytest.mark.parametrize(
    ("file", "exit_code", "code"),
    [
        ("junk.safemodel", 3, "format"),
        ("empty.safemodel", 3, "format"),
        ("cut.safemodel", 3, "format"),
        ("missing.safemodel", 4, "io"),
        ("folder.safemodel", 4, "io"),
        ("loop.key", 4, "io"),
    ],
)
def test_what_cannot_be_read(cli: "CommandLine", shelf: "Shelf", file: str, exit_code: int, code: str) -> None:
    error = cli.refused(exit_code, "inspect", shelf / file)
    assert error["code"] == code
    assert error["message"].startswith(f"{shelf / file}: ")
