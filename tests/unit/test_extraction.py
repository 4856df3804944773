"""Extraction publishes a folder when the last digest held, and nothing otherwise."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import safemodel
from safemodel.errors import DigestMismatchError


def test_what_is_signed_is_written(forge: Callable[..., Path], release: Any, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = forge(bytes(200_000), chunk_size=2**16, attachments={"notes.txt": b"hello"})
    out = tmp_path / "out"
    names = safemodel.extract(path, out, trust=release.public, progress=lambda *step: seen.append(step))
    assert sorted(names) == sorted(os.listdir(out)) == ["manifest.msgpack", "mimetype", "notes.txt", "payload.joblib"]
    assert (out / "payload.joblib").read_bytes() == bytes(200_000)
    assert (out / "manifest.msgpack").read_bytes() == safemodel.inspect(path).manifest_bytes
    assert seen[-1][0] == seen[-1][1]


def test_an_empty_folder_gives_way(forge: Callable[..., Path], release: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert safemodel.extract(forge(), tmp_path / "out", trust=release.public)


def test_what_exists_is_left_alone(forge: Callable[..., Path], release: Any, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("mine")
    file = tmp_path / "file"
    file.write_text("mine")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    for target in (full, file, link):
        with pytest.raises(OSError, match=r"exists|link"):
            safemodel.extract(forge(), target, trust=release.public)
    assert (full / "mine").read_text() == file.read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()


def test_a_damaged_artifact_leaves_nothing(forge: Callable[..., Path], release: Any, tmp_path: Path) -> None:
    path = forge(bytes(200_000), chunk_size=2**16)
    data = bytearray(path.read_bytes())
    data[safemodel.inspect(path).layout.offset_of("payload.joblib") + 199_999] ^= 1  # in the last chunk
    path.write_bytes(data)
    with pytest.raises(DigestMismatchError):
        safemodel.extract(path, tmp_path / "out", trust=release.public)
    assert os.listdir(tmp_path) == [path.name]
