"""Archives and foreign kinds: what is inside is found whatever it is called, and tricks end in a verdict."""

import io
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import safemodel
from safemodel import system
from safemodel.payload import archives
from safemodel.payload.verdicts import DANGEROUS, MALFORMED, NOT_JUDGED, UNCHECKED, UNSIGNED, Finding

COMMAND = b"cos\nsystem\n(S'true'\ntR."
HARMLESS = pickle.dumps({"a": [1, 2.5]})
# What torch.save writes for {"w": torch.zeros(4)}, and what it wrote before version 1.6.
TENSORS = (
    b"\x80\x02}q\x00X\x01\x00\x00\x00wq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\x00\x00\x00storageq\x03"
    b"ctorch\nFloatStorage\nq\x04X\x01\x00\x00\x000q\x05X\x03\x00\x00\x00cpuq\x06K\x04tq\x07QK\x00K\x04\x85q\x08K\x01"
    b"\x85q\t\x89ccollections\nOrderedDict\nq\n)Rq\x0btq\x0cRq\rs."
)
LEGACY = (
    pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    + pickle.dumps(1001, 2)
    + pickle.dumps({"little_endian": True}, 2)
    + TENSORS
    + pickle.dumps(["0"], 2)
    + struct.pack("<q", 4)
    + bytes(16)
)


class Command:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def array(value: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(value, dtype=object))
    return buffer.getvalue()


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., Finding]:
    """Write a file into a folder of its own, and scan the folder."""

    def scan(data: bytes, name: str = "file.bin") -> Finding:
        (tmp_path / name).write_bytes(data)
        (finding,) = safemodel.scan(tmp_path)
        return finding

    return scan


def names(finding: Finding) -> set[str]:
    return {f"{use.module}.{use.name}" for use in finding.refused}


@pytest.mark.parametrize("name", ["evil.pkl", "notes.txt", "deep/in/a/folder", "no-suffix", "a/", "x.png"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_pickle_in_an_archive_whatever_its_name(name: str, method: int, judge: Callable[..., Finding]) -> None:
    finding = judge(zipped(("readme", b"text"), (name, COMMAND), method=method))
    assert (finding.kind, finding.verdict, names(finding)) == ("zip", DANGEROUS, {"os.system"})
    assert [member.path for member in finding.members] == [name]
    assert finding.refused[0].paths == (f"{name}: the model itself",)


@pytest.mark.parametrize("compress", [zlib.compress, lambda data: data])
def test_compressed_inside(compress: Callable[[bytes], bytes], judge: Callable[..., Finding]) -> None:
    assert judge(zipped(("x", compress(COMMAND)))).verdict == DANGEROUS
    assert judge(zipped(("x", compress(pickle.dumps("a" * 50_000))))).verdict == UNSIGNED
    assert judge(zipped(("x", compress(b"text" * 100) + b"\xff"), ("y.pkl", HARMLESS))).verdict == UNSIGNED


def test_archives_inside_archives(judge: Callable[..., Finding]) -> None:
    finding = judge(zipped(("a.zip", zipped(("b", zipped(("c", COMMAND)))))))
    assert [member.path for member in finding.members] == ["a.zip!b!c"]
    assert finding.verdict == DANGEROUS


def test_archives_too_deep(judge: Callable[..., Finding]) -> None:
    data = COMMAND
    for _ in range(archives.DEPTH_MAX + 1):
        data = zipped(("inner", data))
    assert judge(data).verdict == MALFORMED


def test_an_artifact_in_an_archive(churn: Path, judge: Callable[..., Finding]) -> None:
    finding = judge(zipped(("model", churn.read_bytes())))
    assert (finding.verdict, finding.members[0].kind) == (UNCHECKED, "artifact")


def test_other_archives_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "book.xlsx").write_bytes(zipped(("sheet", b"text"), ("folder/", b"")))
    (tmp_path / "empty.zip").write_bytes(zipped())
    assert safemodel.scan(tmp_path) == []
    (named,) = safemodel.scan(tmp_path / "book.xlsx")
    assert named.verdict == NOT_JUDGED
    (tmp_path / "book.xlsx").write_bytes(zipped(("sheet", b"text"))[:-30])
    assert safemodel.scan(tmp_path) == []
    (named,) = safemodel.scan(tmp_path / "book.xlsx")
    assert (named.kind, named.verdict) == ("zip", MALFORMED)


def test_random_members_are_no_pickles(judge: Callable[..., Finding]) -> None:
    """Raw numbers may begin as a pickle or a compressed stream does."""
    random = np.random.default_rng(1)
    starts = (b"\x80\x02", b"\x80\x04", b"x\x9c", b"\x1f\x8b\x08", b"BZh", b"]\x00", b"c", b"(", b"\x93NUMPX")
    members = [(f"m/data/{n}", starts[n % len(starts)] + random.bytes(5000)) for n in range(300)]
    finding = judge(zipped(("m/data.pkl", HARMLESS), *members, method=zipfile.ZIP_STORED))
    assert (finding.kind, finding.verdict, len(finding.members)) == ("pytorch", UNSIGNED, 1)


def test_pytorch(judge: Callable[..., Finding]) -> None:
    finding = judge(zipped(("w/data.pkl", TENSORS), ("w/data/0", bytes(16)), method=zipfile.ZIP_STORED))
    assert (finding.kind, finding.verdict) == ("pytorch", DANGEROUS)
    assert names(finding) == {"torch.FloatStorage", "torch._utils._rebuild_tensor_v2"}
    assert "PyTorch" in finding.hint


def test_torchscript_is_named(judge: Callable[..., Finding]) -> None:
    finding = judge(zipped(("m/data.pkl", HARMLESS), ("m/constants.pkl", HARMLESS), ("m/code/x.py", b"x")))
    assert (finding.kind, finding.verdict) == ("torchscript", NOT_JUDGED)


@pytest.mark.parametrize("data", [LEGACY, LEGACY[:-20]])
def test_pytorch_before_archives(data: bytes, judge: Callable[..., Finding]) -> None:
    finding = judge(data)
    assert (finding.kind, finding.verdict) == ("pytorch", DANGEROUS)
    assert "torch._utils._rebuild_tensor_v2" in names(finding)
    assert judge(data[:40]).verdict == MALFORMED


@pytest.mark.parametrize(
    ("value", "verdict"), [([1, "a", None], UNSIGNED), ([Command()], DANGEROUS), ([os.system], DANGEROUS)]
)
def test_arrays_of_objects(value: object, verdict: str, judge: Callable[..., Finding]) -> None:
    finding = judge(array(value))
    assert (finding.kind, finding.verdict) == ("numpy", verdict)
    finding = judge(zipped(("a.npy", array(value))))
    assert (finding.kind, finding.verdict) == ("npz", verdict)


@pytest.mark.parametrize(
    "dtype",
    [
        "<f8",
        ("<i2", (2, 2)),
        [(("A title", "Open"), "<f8")],
        "<U5",
        [("Open", "<f8"), ("x", [("O", "<i4")])],
        [("x", "<f8", (2, 3))],
        "V8",
        "M8[s]",
    ],
)
def test_arrays_without_objects(dtype: Any, judge: Callable[..., Finding]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3, dtype))
    assert judge(buffer.getvalue()).verdict == UNSIGNED


def test_a_field_of_objects(judge: Callable[..., Finding]) -> None:
    buffer = io.BytesIO()
    value = np.zeros(1, [("x", "<f8"), ("y", [("z", "O")])])
    value["y"]["z"][0] = Command()
    np.save(buffer, value)
    assert judge(buffer.getvalue()).verdict == DANGEROUS


def headed(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(8)


@pytest.mark.parametrize(
    "data",
    [
        b"\x93NUMPY",
        b"\x93NUMPY\x04\x00" + bytes(100),
        b"\x93NUMPY\x01\x00\xff\x00{",
        b"\x93NUMPY\x01\x00\x02\x00{}" + bytes(10),
        b"\x93NUMPY\x01\x00\x03\x00({[" + bytes(10),
        headed("{'descr': 8, 'fortran_order': False, 'shape': ()}"),
        headed("{'descr': " + "[" * 50 + "]" * 50 + ", 'fortran_order': False, 'shape': ()}"),
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31),
        headed("{'descr': '|\\x4f', 'fortran_order': False, 'shape': (1,), }"),
        headed("{'descr': '|' 'O', 'fortran_order': False, 'shape': (1,), }"),
        headed("{'descr': u'O', 'fortran_order': False, 'shape': (1,), }"),
        headed("{'descr': (), 'fortran_order': False, 'shape': (1,), }"),
        headed("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'x': 1}"),
        headed("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)} or 1"),
        headed("{'descr': :, 'fortran_order': False, 'shape': (1,)}"),
        headed("{'descr': '<f8'"),
        headed("{'descr': ('<f8' 1)}"),
        headed("('descr',)"),
        headed("{'descr': (8, 8), 'fortran_order': False, 'shape': (1,), }"),
        headed("{'descr': [['a', '|O']], 'fortran_order': False, 'shape': (1,), }"),  # which NumPy reads as fields
        headed("{'descr': ['aO'], 'fortran_order': False, 'shape': (1,), }"),
        headed("{'descr': [('a', '<f8'), ['b', '|O', (1,)]], 'fortran_order': False, 'shape': (1,), }"),
        headed("{'descr': [('a', ())], 'fortran_order': False, 'shape': (1,), }"),
    ],
)
def test_array_files_that_cannot_be_read(data: bytes, judge: Callable[..., Finding]) -> None:
    assert (judge(data).kind, judge(data).verdict) == ("numpy", MALFORMED)


ONNX = b"\x08\x08\x12\x04test\x1a\x00\x28\x01\x3a\x03abc"
FOREIGN = {
    "onnx": ONNX,
    "gguf": b"GGUF\x03\0\0\0",
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "safetensors": struct.pack("<Q", 20) + b'{"__metadata__":{}}  ',
    "skops": zipped(("schema.json", b"{}")),
    "keras": zipped(("config.json", b"{}"), ("metadata.json", b"{}"), ("model.weights.h5", b"\x89HDF\r\n\x1a\n")),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_kinds_are_named(kind: str, judge: Callable[..., Finding]) -> None:
    finding = judge(FOREIGN[kind])
    assert (finding.kind, finding.verdict) == (kind, NOT_JUDGED)
    assert finding.reason


@pytest.mark.parametrize(
    "data",
    [
        ONNX[:2],
        b"\x08\x08\x12\xff\xff\xff\xff\x7f",
        b"\x08\x08\x0d",
        b"\x08\x00\x3a\x01x",
        b"\x08" + b"\xff" * 20,
        b"\x08\x08\x12" + b"\xff" * 12,
        b"\x08\x08\x28\x01" * 3,
        struct.pack("<Q", 2**40) + b'{"a"',
        struct.pack("<Q", 20) + b"text" * 10,
        bytes(600) + b"\x89HDF\r\n\x1a\n",
    ],
)
def test_what_only_resembles_them(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    assert safemodel.scan(tmp_path) == []


def test_hdf5_behind_a_block_of_the_user(judge: Callable[..., Finding]) -> None:
    assert judge(bytes(1024) + FOREIGN["hdf5"]).kind == "hdf5"


@pytest.mark.parametrize("kind", ["skops", "keras"])
def test_a_pickle_hidden_in_a_foreign_kind(kind: str, judge: Callable[..., Finding]) -> None:
    data = io.BytesIO(FOREIGN[kind])
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("notes.txt", COMMAND)
    finding = judge(data.getvalue())
    assert (finding.kind, finding.verdict) == (kind, DANGEROUS)


def test_foreign_kinds_inside_an_archive(judge: Callable[..., Finding]) -> None:
    finding = judge(zipped(("model.onnx", ONNX), ("model.bin", ONNX), ("good", HARMLESS)))
    assert [member.verdict for member in finding.members] == [NOT_JUDGED, NOT_JUDGED, UNSIGNED]
    assert finding.verdict == NOT_JUDGED


def test_members_whose_names_claim_more(judge: Callable[..., Finding]) -> None:
    finding = judge(zipped(("x.pkl", b"text"), ("beyond", b"V" + b"a" * archives.MEMBER_HEAD)))
    assert [(member.path, member.verdict) for member in finding.members] == [("x.pkl", MALFORMED)]


def test_arrays_of_numbers_in_an_archive(judge: Callable[..., Finding]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, weights=np.arange(5))
    assert (judge(buffer.getvalue()).kind, judge(buffer.getvalue()).verdict) == ("npz", UNSIGNED)


# Tricks.


@pytest.mark.parametrize(("prefix", "suffix"), [(b"#!/bin/sh\n", b""), (b"", b"more"), (b"GIF89a", b"\0" * 1000)])
def test_bytes_around_an_archive(prefix: bytes, suffix: bytes, judge: Callable[..., Finding]) -> None:
    finding = judge(prefix + zipped(("x", COMMAND)) + suffix)
    assert (finding.kind, finding.verdict) == ("zip", DANGEROUS)


def test_a_pickle_with_an_archive_behind_it(judge: Callable[..., Finding]) -> None:
    inner = zipped(("x", COMMAND))
    finding = judge(b"\x80\x03B" + struct.pack("<I", len(inner)) + inner + b".")
    assert (finding.verdict, [member.path for member in finding.members]) == (DANGEROUS, ["x"])


def flipped(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """Overwrite bytes of every header that begins with a signature."""
    changed = bytearray(data)
    position = changed.find(signature)
    while position >= 0:
        changed[position + offset : position + offset + len(value)] = value
        position = changed.find(signature, position + 1)
    return bytes(changed)


def cut(archive: bytes) -> tuple[bytes, bytes, bytes]:
    """Return members, directory and end record."""
    end = archive.rfind(END)
    (directory,) = struct.unpack_from("<I", archive, end + 16)
    return archive[:directory], archive[directory:end], archive[end:]


@pytest.mark.parametrize("prefix", [b"", b"GIF89a"])
def test_a_second_directory_for_other_readers(prefix: bytes, judge: Callable[..., Finding], tmp_path: Path) -> None:
    members, directory, end = cut(zipped(("m/data.pkl", COMMAND), method=zipfile.ZIP_STORED))
    members = prefix + members + bytes(100)
    directory = directory[:42] + struct.pack("<I", len(prefix)) + directory[46:]
    good_members, good_directory, _ = cut(zipped(("m/data.pkl", b"N."), method=zipfile.ZIP_STORED))
    ahead = len(directory) + len(good_members)  # by which the standard library takes all offsets to be too small
    good_directory = (
        good_directory[:42] + struct.pack("<I", len(members) + len(directory) - ahead) + good_directory[46:]
    )
    end = end[:16] + struct.pack("<I", len(members)) + end[20:]
    data = members + directory + good_members + good_directory + end
    assert zipfile.ZipFile(io.BytesIO(data)).read("m/data.pkl") == b"N."  # PyTorch and 7-Zip read the command
    assert judge(data).verdict == MALFORMED


CENTRAL, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
TORCH = zipped(("m/data.pkl", COMMAND), method=zipfile.ZIP_STORED)


@pytest.mark.parametrize(
    "data",
    [
        flipped(flipped(TORCH, CENTRAL, 8, b"\1\0"), LOCAL, 6, b"\1\0"),  # encrypted, says the flag: CVE-2025-1945
        flipped(TORCH, CENTRAL, 16, b"\0\0\0\0"),  # another CRC-32: CVE-2025-10156
        flipped(TORCH, LOCAL, 30, b"x"),  # another name in the local header: CVE-2025-1944
        flipped(TORCH, CENTRAL, 24, struct.pack("<I", 5)),  # another size
        flipped(TORCH, CENTRAL, 10, b"\x63\0"),  # another method
        flipped(TORCH, CENTRAL, 42, struct.pack("<I", 10**6)),  # elsewhere
        flipped(TORCH, CENTRAL, 24, struct.pack("<I", 2**31)),  # more than is read
        flipped(TORCH, END, 12, struct.pack("<I", 5)),
        flipped(TORCH, END, 16, struct.pack("<I", 2**31)),
        TORCH[:-30],
    ],
)
def test_headers_that_lie(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(data)
    (finding,) = safemodel.scan(tmp_path)
    assert finding.verdict in (MALFORMED, DANGEROUS)


def test_members_that_overlap(judge: Callable[..., Finding]) -> None:
    data = zipped(("a", HARMLESS), ("b", HARMLESS), method=zipfile.ZIP_STORED)
    assert judge(flipped(data, CENTRAL, 42, bytes(4))).verdict == MALFORMED
    assert judge(b"GIF89a" + flipped(data, CENTRAL, 42, bytes(4))).verdict == MALFORMED


def test_an_encrypted_member_of_an_archive_that_is_no_model(judge: Callable[..., Finding]) -> None:
    data = flipped(zipped(("secret.txt", b"text")), CENTRAL, 8, b"\1\0")
    assert judge(data).verdict == NOT_JUDGED
    assert judge(flipped(zipped(("secret.pkl", b"text")), CENTRAL, 8, b"\1\0")).verdict == MALFORMED


def test_a_bomb(judge: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "EXPANSION_FREE", 10_000)
    finding = judge(zipped(("x.pkl", b"\x80\x04B\x40\x42\x0f\0" + bytes(1_000_000) + b".")))
    assert (finding.verdict, finding.code) == (MALFORMED, "limit-exceeded")


def test_many_bombs_together(judge: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_FREE_OF_ALL", 1_000)
    monkeypatch.setattr(archives, "_FACTOR_OF_ALL", 0)
    finding = judge(zipped(*((f"{n}.pkl", HARMLESS) for n in range(50))))
    assert finding.verdict == MALFORMED
    assert finding.members[-1].code == "limit-exceeded"


def test_many_members_that_take_long(judge: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "OPCODES_MAX", 100)
    finding = judge(zipped(*((f"{n}.pkl", pickle.dumps([None] * 40)) for n in range(5))))
    assert [member.verdict for member in finding.members] == 3 * [UNSIGNED] + 2 * [MALFORMED]
    assert finding.members[-1].code == "limit-exceeded"


def test_a_directory_that_is_too_large(judge: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_READ_MAX", 10_000)
    assert judge(zipped(*((f"{n}", b"") for n in range(300)))).code == "limit-exceeded"


def test_zip64_and_descriptors(tmp_path: Path, judge: Callable[..., Finding]) -> None:
    class Unseekable(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += data
            return len(data)

    stream = Unseekable()
    with zipfile.ZipFile(stream, "w") as archive, archive.open("x", "w", force_zip64=True) as member:
        member.write(COMMAND)
    assert judge(bytes(stream.data)).verdict == DANGEROUS


def test_a_member_that_goes_on_beyond_the_head(judge: Callable[..., Finding]) -> None:
    data = b"V" + b"a" * archives.MEMBER_HEAD + b"\n0" + COMMAND
    assert judge(zipped(("x", data))).verdict == DANGEROUS


def test_what_does_not_fit_into_memory_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(tmp_path / "huge.pkl", "wb") as file:
        file.write(b"\x80\x04B")
        file.truncate(2**40)  # a file of holes
    with open(tmp_path / "other.img", "wb") as file:
        file.truncate(2**40)
    monkeypatch.setattr(system, "memory_allowance", lambda: 2**30)
    monkeypatch.setattr("safemodel.scanning.tree.process_count", lambda files: 1)
    (finding,) = safemodel.scan(tmp_path)
    assert (finding.verdict, Path(finding.path).name) == ("unreadable", "huge.pkl")
    assert "at most 1073741824" in finding.reason


@pytest.mark.parametrize("damage", [b"\0\0\0\0", b"\xff" * 20])
def test_a_damaged_member(damage: bytes, judge: Callable[..., Finding]) -> None:
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        data = bytearray(zipped(("x.pkl", COMMAND * 30), method=method))
        data[45 : 45 + len(damage)] = damage
        assert judge(bytes(data)).verdict == MALFORMED


def test_an_archive_that_the_system_stops_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.zip").write_bytes(zipped(("x", COMMAND)))

    real = archives._SourceFile.read

    def read(file: Any, size: int = -1) -> bytes:
        if file.tell() == 0:
            raise OSError(5, "Input/output error")
        return real(file, size)

    monkeypatch.setattr(archives._SourceFile, "read", read)
    (finding,) = safemodel.scan(tmp_path)
    assert (finding.verdict, finding.reason) == ("unreadable", "input/output error")


# LZ4 is not read, but what it hides is told from what it does not.

FRAME = b"\x04\x22\x4d\x18\x60\x40\x82"


def block(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


@pytest.mark.parametrize(
    "frame",
    [
        FRAME + block(b"\xf0\x09" + COMMAND),  # literals only
        FRAME + struct.pack("<I", len(COMMAND) | 0x80000000) + COMMAND,  # as they are
        FRAME[:4] + b"\x69\x40" + bytes(12) + b"\x82" + block(b"\xf0\x09" + COMMAND),  # with size and dictionary
        FRAME + block(b"\x2fN0\x02\x00" + b"\xff\x00" + b"\xf0\x09" + COMMAND),  # N0 over and over first
    ],
)
def test_a_pickle_in_lz4_is_malformed(frame: bytes, judge: Callable[..., Finding]) -> None:
    finding = judge(frame)
    assert (finding.kind, finding.verdict) == ("joblib", MALFORMED)


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME[:6],
        FRAME + block(b"\x40text"),
        FRAME + block(b"\x40text\xff\xff"),
        FRAME + block(b"\x10a\x00\x00"),
        FRAME + block(b"\xf0\xff\xff"),
        FRAME + block(b"\x1fa\x01\x00" + b"\xff" * 100),
    ],
)
def test_other_things_in_lz4_are_passed_over(frame: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.lz4").write_bytes(frame)
    assert safemodel.scan(tmp_path) == []


@pytest.mark.parametrize("seed", range(8))
def test_damaged_archives_always_get_a_verdict(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    good = zipped(("m/data.pkl", COMMAND), ("m/data/0", bytes(64)), ("n.npy", array([1])))
    for number in range(60):
        damaged = bytearray(good)
        for position in random.integers(0, len(good), 3):
            damaged[position] = random.integers(0, 256)
        (tmp_path / f"{number}.skops").write_bytes(damaged)
    found = safemodel.scan(tmp_path)
    assert len(found) == 60
    assert {finding.verdict for finding in found} <= {DANGEROUS, MALFORMED, NOT_JUDGED, UNSIGNED}
