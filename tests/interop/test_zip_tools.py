"""ZIP tools that others wrote list, test and extract an artifact, also where zip64 begins."""

import shutil
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest

from safemodel.format.container import (
    DIGESTS,
    INDEX,
    MANIFEST,
    MIMETYPE,
    MIMETYPE_ENTRY,
    SIGNATURES,
    Entry,
    Layout,
    derive_layout,
    read_layout,
)
from safemodel.format.digests import combine_crc32
from safemodel.format.limits import MIB
from safemodel.format.source import open_source

PAYLOAD = "payload.joblib"
NOTES = "notes.txt"
CONTENTS = {
    MIMETYPE_ENTRY: MIMETYPE,
    PAYLOAD: b"",
    INDEX: b"",
    NOTES: b"notes\n",
    DIGESTS: b"d" * 64,
    MANIFEST: b"manifest",
    SIGNATURES: b"signatures",
}
BEFORE_NOTES = 4096 + 30 + len(INDEX)  # bytes besides the payload
BEFORE_DIRECTORY = BEFORE_NOTES + sum(30 + len(name + CONTENTS[name].decode()) for name in list(CONTENTS)[3:])

SMALL = [0, 1]
LARGE = [
    2**32 - 2,  # the last size of 32 bits
    2**32,  # the first that needs zip64
    2**32 - 1 - BEFORE_NOTES,  # an entry at the offset that means "see the zip64 field"
    2**32 - 1 - BEFORE_DIRECTORY,  # the directory there
    2**32 - 2 - BEFORE_DIRECTORY,  # the last artifact without zip64
    2**32 + 2**31,
]

LISTING = {
    "unzip": ["unzip", "-l"],
    "7z": ["7z", "l"],
    "bsdtar": ["bsdtar", "-tvf"],
    "jar": ["jar", "tvf"],
    "zipinfo": ["zipinfo", "-v"],
}
TESTING = {
    "unzip": ["unzip", "-t"],
    "7z": ["7z", "t"],
    "bsdtar": ["bsdtar", "-xOf"],  # -t only lists; this reads everything and compares the CRC-32
}
EXTRACTING = {"unzip": ["unzip"], "7z": ["7z", "x"], "bsdtar": ["bsdtar", "-xf"], "jar": ["jar", "xf"]}


def run(command: list[str], path: Path, *, folder: Path | None = None, stdout: int = subprocess.PIPE) -> bytes:
    """Return what a tool prints; each of these tools ends with another code than 0 when it has so much as a warning."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        [*command, path], cwd=folder, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return done.stdout or b""


def crc32_of_zeroes(size: int) -> int:
    whole, rest = divmod(size, MIB)
    crc32 = 0
    for bit in range(whole.bit_length(), -1, -1):
        done = whole >> bit + 1
        crc32 = combine_crc32(crc32, crc32, done * MIB)
        if whole >> bit & 1:
            crc32 = combine_crc32(crc32, zlib.crc32(bytes(MIB)), MIB)
    return combine_crc32(crc32, zlib.crc32(bytes(rest)), rest)


def layout_of(payload_size: int) -> Layout:
    entries = [Entry(name, len(content), zlib.crc32(content)) for name, content in CONTENTS.items()]
    entries[1] = Entry(PAYLOAD, payload_size, crc32_of_zeroes(payload_size))
    return derive_layout(entries)


def write(path: Path, payload_size: int) -> None:
    """Write an artifact whose payload is a hole in the file."""
    layout = layout_of(payload_size)
    with path.open("wb") as file:
        for entry, offset, header in zip(layout.entries, layout.header_offsets, layout.headers, strict=True):
            file.seek(offset)
            file.write(header + CONTENTS[entry.name])
        file.seek(layout.directory_offset)
        file.write(layout.trailer)


@pytest.fixture
def artifact(tmp_path: Path, size: int) -> Path:
    write(tmp_path / "churn.safemodel", size)
    return tmp_path / "churn.safemodel"


@pytest.mark.parametrize("size", [*SMALL, *LARGE])
class TestListing:
    def test_our_reader(self, artifact: Path, size: int) -> None:
        with open_source(artifact) as source:
            assert read_layout(source) == layout_of(size)

    @pytest.mark.parametrize("tool", LISTING)
    def test_tools(self, artifact: Path, size: int, tool: str) -> None:
        listing = run(LISTING[tool], artifact)
        assert [name for name in CONTENTS if name.encode() not in listing] == []
        assert str(size).encode() in listing

    def test_python(self, artifact: Path, size: int) -> None:
        with zipfile.ZipFile(artifact) as archive:
            assert archive.namelist() == list(CONTENTS)
            assert archive.getinfo(PAYLOAD).file_size == size
            assert archive.read(NOTES) == CONTENTS[NOTES]

    def test_file_knows_the_type(self, artifact: Path) -> None:
        assert MIMETYPE in run(["file"], artifact)


@pytest.mark.parametrize("size", [*SMALL, *(pytest.param(size, marks=pytest.mark.slow) for size in LARGE)])
class TestReadingEveryByte:
    @pytest.mark.parametrize("tool", TESTING)
    def test_tools(self, artifact: Path, tool: str) -> None:
        run(TESTING[tool], artifact, stdout=subprocess.DEVNULL)

    def test_python(self, artifact: Path) -> None:
        with zipfile.ZipFile(artifact) as archive:
            assert archive.testzip() is None


@pytest.mark.parametrize("size", SMALL)
@pytest.mark.parametrize("tool", EXTRACTING)
def test_tools_extract_the_contents(artifact: Path, tmp_path: Path, size: int, tool: str) -> None:
    folder = tmp_path / "extracted"
    folder.mkdir()
    run(EXTRACTING[tool], artifact, folder=folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENTS | {PAYLOAD: bytes(size)}


def test_the_large_sizes_are_where_zip64_begins() -> None:
    layouts = [layout_of(size) for size in LARGE]
    assert layouts[2].header_offsets[3] == 2**32 - 1
    assert layouts[3].directory_offset == 2**32 - 1
    assert layouts[4].directory_offset == 2**32 - 2
