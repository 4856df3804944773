"""`safemodel extract`: a folder with what was verified, or none."""

from typing import TYPE_CHECKING

import joblib
import pytest

import safemodel

if TYPE_CHECKING:
    from cli.conftest import CommandLine, Shelf

FILES = {"mimetype", "payload.joblib", "index", "manifest.msgpack"}


def test_the_files(cli: "CommandLine", shelf: "Shelf") -> None:
    shown = cli.good("extract", shelf.artifact, "--trust", shelf.trust, "-o", "out")
    made = {path.name for path in (cli.folder / "out").iterdir()}
    assert made == FILES
    assert made <= set(shown.split())
    assert (cli.folder / "out" / "manifest.msgpack").read_bytes() == safemodel.inspect(shelf.artifact).manifest_bytes
    assert joblib.load(cli.folder / "out" / "payload.joblib")["weights"].sum() == 4950.0


def test_the_document(cli: "CommandLine", shelf: "Shelf") -> None:
    document = cli.document(
        "extract", shelf / "renamed.safemodel", "--name", "acme/churn", "-o", "out", "--trust", shelf.trust
    )
    assert set(document) == {"file", "directory", "files"}
    assert document["directory"] == "out"
    assert set(document["files"]) == FILES


@pytest.mark.parametrize(
    ("file", "exit_code", "code"),
    [
        ("tampered/churn.safemodel", 1, "digest-mismatch"),
        ("forged/churn.safemodel", 1, "no-trusted-signature"),
        ("renamed.safemodel", 1, "name-mismatch"),
        ("junk.safemodel", 3, "format"),
        ("missing.safemodel", 4, "io"),
        ("folder.safemodel", 4, "io"),
    ],
)
def test_what_is_refused_leaves_nothing(
    cli: "CommandLine", shelf: "Shelf", file: str, exit_code: int, code: str
) -> None:
    assert cli.refused(exit_code, "extract", shelf / file, "--trust", shelf.trust, "-o", "out")["code"] == code
    assert not list(cli.folder.iterdir())


def test_what_exists_is_left_alone(cli: "CommandLine", shelf: "Shelf") -> None:
    (cli.folder / "full").mkdir()
    (cli.folder / "full" / "mine").touch()
    (cli.folder / "file").touch()
    (cli.folder / "link").symlink_to("elsewhere")
    for target in ("full", "file", "link", "missing/out"):
        assert cli.refused(4, "extract", shelf.artifact, "--trust", shelf.trust, "-o", target)["code"] == "io"
    assert {path.name for path in cli.folder.iterdir()} == {"full", "file", "link"}


def test_usage(cli: "CommandLine", shelf: "Shelf") -> None:
    assert cli.refused(2, "extract", shelf.artifact, "--trust", shelf.trust)["code"] == "usage"
    assert cli.refused(2, "extract", "-o", "out")["code"] == "usage"
