"""The digest of a file is that of the bytes that were verified, read once."""

from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import safemodel
from safemodel.errors import DigestMismatchError
from safemodel.export.subject import file_name, verified_subject
from safemodel.format.limits import CHUNK_SIZE_MIN


def digest_of(file: Any, release: Any, **options: Any) -> str:
    arguments = {"trust": release.public, "name": "acme/churn", "allow": None, "progress": None} | options
    return verified_subject(file, **arguments).sha256


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE_MIN, 3 * CHUNK_SIZE_MIN + 1])
@pytest.mark.parametrize("index", [b"", b"index"])
def test_it_is_that_of_the_file(size: int, index: bytes, forge: Callable[..., Path], release: Any) -> None:
    path = forge(bytes(size), index=index, attachments={"one": b"", "two": b"2" * 100_000}, chunk_size=CHUNK_SIZE_MIN)
    assert digest_of(path, release) == sha256(path.read_bytes()).hexdigest()


def test_signatures_are_part_of_the_file(churn: Path, release: Any, stranger: Any, tmp_path: Path) -> None:
    path = tmp_path / "churn.safemodel"
    path.write_bytes(churn.read_bytes())
    before = digest_of(path, release)
    safemodel.sign(path, key=stranger.private, trust=release.public)
    after = digest_of(path, release)
    assert before != after
    assert after == sha256(path.read_bytes()).hexdigest()


def test_a_file_that_changes_meanwhile_is_not_digested(forge: Callable[..., Path], release: Any) -> None:
    path = forge(bytes(4 * CHUNK_SIZE_MIN), chunk_size=CHUNK_SIZE_MIN)

    def overwrite(done: int, total: int) -> None:
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\1" * 4 * CHUNK_SIZE_MIN)

    with pytest.raises(DigestMismatchError):
        digest_of(path, release, progress=overwrite)


def test_structure_that_changes_meanwhile_changes_nothing(forge: Callable[..., Path], release: Any) -> None:
    """What follows from the layout, and what was judged before, is not read again."""
    path = forge(b"payload")
    original = path.read_bytes()

    def overwrite(done: int, total: int) -> None:
        path.write_bytes(original[: 4096 + 7] + bytes(len(original) - 4096 - 7))

    assert digest_of(path, release, progress=overwrite) == sha256(original).hexdigest()


def test_names_for_people(churn: Path) -> None:
    manifest = safemodel.inspect(churn).manifest
    assert file_name("models/churn.safemodel", manifest) == "churn.safemodel"
    assert file_name("models/ch\udcffurn.safemodel", manifest) == "ch?urn.safemodel"
    assert file_name(BytesIO(), manifest) == "churn.safemodel"


def test_an_export_into_a_file_object(churn: Path, release: Any) -> None:
    target = BytesIO(b"what was there" * 1000)
    safemodel.export_cyclonedx(churn, target, trust=release.public)
    assert target.getvalue().startswith(b"{")
    assert target.getvalue().endswith(b"}\n")
