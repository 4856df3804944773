"""`safemodel inspect`: all that an artifact says, and never without the word unverified."""

from typing import TYPE_CHECKING

import pytest

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
        "payload.joblib",
        "metrics.roc_auc",
        "0.91",
    ):
        assert expected in words
    for reference in artifact.manifest.payload.globals:
        assert f"{reference.module}.{reference.name}" in words


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
    assert cli.refused(exit_code, "inspect", shelf / file)["code"] == code
