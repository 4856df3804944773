"""Scanning files, folders and models: what is recognized, what is said of it, and that nothing of it ever runs."""

import bz2
import csv
import gzip
import io
import lzma
import os
import pickle
import shutil
import socket
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import safemodel
from safemodel.errors import PayloadError
from safemodel.format.limits import ALIGNMENT
from safemodel.format.manifest import COMPRESSIONS
from safemodel.payload import judging
from safemodel.payload.recognition import HEAD_MAX, recognize
from safemodel.payload.verdicts import DANGEROUS, MALFORMED, NOT_JUDGED, UNCHECKED, UNREADABLE, UNSIGNED, Finding

METHODS = [method for method in COMPRESSIONS if method != "none"]
ATTACKS = Path(__file__).parent.parent / "attacks" / "files"
CLIP = b"\x80\x04}\x8c\x05steps](K\x01cacme.transformers\nClip\n)\x81}\x8c\x03lowK\x00sbes."
COMMAND = b"cos\nsystem\n(S'echo'\ntR."
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}


def model() -> Any:
    return LogisticRegression().fit(np.arange(20.0).reshape(10, 2), [0, 1] * 5)


def dumped(value: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer, **options)
    return buffer.getvalue()


def names(finding: Finding) -> set[str]:
    return {f"{use.module}.{use.name}" for use in finding.globals}


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., Finding]:
    """Write a file, and scan it by its own path."""

    def scan(data: bytes, name: str = "file.bin", **options: Any) -> Finding:
        path = tmp_path / name
        path.write_bytes(data)
        (finding,) = safemodel.scan(path, **options)
        assert finding.path == str(path)
        return finding

    return scan


@pytest.mark.parametrize("compress", [0, *((method, 3) for method in METHODS)])
def test_a_joblib_file(compress: Any, judge: Callable[..., Finding]) -> None:
    finding = judge(dumped(model(), compress=compress))
    assert (finding.kind, finding.verdict, finding.reason) == ("joblib", UNSIGNED, "")
    assert "sklearn.linear_model._logistic.LogisticRegression" in names(finding)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_every_protocol(protocol: int, judge: Callable[..., Finding]) -> None:
    data = pickle.dumps({"a": [1, 2.5, "text", None]}, protocol)
    assert judge(data).verdict == UNSIGNED
    assert judge(data).kind == "pickle"
    finding = judge(pickle.dumps(Fraction(1, 3), protocol))
    assert (finding.kind, finding.verdict, names(finding)) == ("pickle", DANGEROUS, {"fractions.Fraction"})


@pytest.mark.parametrize("compress", [None, "xz"])
def test_an_artifact_whatever_its_name(compress: Any, tmp_path: Path, release: Any) -> None:
    path = tmp_path / "churn"
    safemodel.dump(model(), path, key=release.private, compress=compress)
    for name in ("churn.safemodel", "other.pkl", "notes.txt"):
        shutil.copy(path, tmp_path / name)
        (finding,) = safemodel.scan(tmp_path / name)
        assert (finding.kind, finding.verdict) == ("artifact", UNCHECKED)
    assert "sklearn.linear_model._logistic.LogisticRegression" in names(finding)


def test_an_artifact_is_judged_by_its_bytes_and_not_by_its_claims(forge: Callable[..., Path]) -> None:
    (finding,) = safemodel.scan(forge(COMMAND))  # its manifest lists no globals
    assert (finding.verdict, names(finding)) == (DANGEROUS, {"os.system"})


def test_an_artifact_that_contradicts_itself_is_malformed(churn: Path, forge: Callable[..., Path]) -> None:
    data = bytearray(churn.read_bytes())
    forged = forge(zlib.compress(b"N."), file="forged.safemodel")  # the manifest says that it is not compressed
    cut, renamed = forged.with_name("cut.bin"), forged.with_name("no.safemodel")
    cut.write_bytes(data[:-1])
    renamed.write_bytes(b"text")
    for path, kind in ((forged, "artifact"), (cut, "artifact"), (renamed, "artifact")):
        (finding,) = safemodel.scan(path)
        assert (finding.kind, finding.verdict) == (kind, MALFORMED)
    assert data[ALIGNMENT] == 0x80


def test_what_is_refused_and_where_and_how_to_allow_it(judge: Callable[..., Finding]) -> None:
    finding = judge(CLIP)
    (use,) = finding.refused
    assert (finding.verdict, use.module, use.name, use.roles) == (
        DANGEROUS,
        "acme.transformers",
        "Clip",
        ("build", "newobj"),
    )
    assert use.paths == ("['steps'][1]",)
    assert "acme.transformers.Clip (build, newobj) at ['steps'][1]" in finding.reason
    assert 'allow=["acme.transformers.Clip"]' in finding.hint
    assert judge(CLIP, allow=["acme.transformers.Clip"]).verdict == UNSIGNED


def test_only_the_roles_that_are_not_allowed_are_refused(judge: Callable[..., Finding]) -> None:
    finding = judge(b"\x80\x04csklearn.linear_model._logistic\nLogisticRegression\n)R}b.")
    assert [use.roles for use in finding.refused] == [("call",)]
    assert [use.roles for use in finding.globals] == [("build", "call")]


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04" + bytes(60),
        b"\x04\x22\x4d\x18\x60\x40\x82\x03\0\0\x80\x80\x04.",
        b"ZF0x1f" + bytes(20),
        b"\x80\x04]",
        b"(" * (HEAD_MAX + 10),
    ],
)
def test_what_cannot_be_followed_is_malformed(data: bytes, judge: Callable[..., Finding]) -> None:
    finding = judge(data)
    assert finding.verdict == MALFORMED
    assert finding.reason
    assert finding.globals == ()


@pytest.mark.parametrize("data", [b"", b"text", bytes(5000), b"\x04\x22\x4d\x18"])
def test_what_is_no_model_is_not_judged_unless_its_name_says_so(data: bytes, judge: Callable[..., Finding]) -> None:
    assert judge(data).verdict == NOT_JUDGED
    assert judge(data, "file.pkl").verdict == MALFORMED


def test_what_ran_before_the_damage_counts(judge: Callable[..., Finding]) -> None:
    finding = judge(COMMAND[:-1] + b"\xff")
    assert (finding.verdict, names(finding)) == (DANGEROUS, {"os.system"})


def test_opcodes_that_go_on_beyond_the_head(judge: Callable[..., Finding]) -> None:
    assert judge(b"V" + b"a" * HEAD_MAX + b"\n0" + COMMAND).verdict == DANGEROUS
    assert judge(b"V" + b"a" * HEAD_MAX).verdict == NOT_JUDGED


def test_a_bomb_is_malformed(judge: Callable[..., Finding]) -> None:
    assert judge(lzma.compress(b"\x80\x04B\0\0\0\x08" + bytes(2**27) + b".")).verdict == MALFORMED


def test_a_model_before_and_after_it_was_fitted() -> None:
    for value in (LogisticRegression(), model()):
        (finding,) = safemodel.scan(value)
        assert (finding.path, finding.kind, finding.verdict) == ("", "object", UNSIGNED)


def test_a_model_that_reaches_for_more() -> None:
    (finding,) = safemodel.scan(make_pipeline(FunctionTransformer(shutil.copy), LogisticRegression()))
    (use,) = finding.refused
    assert (finding.verdict, use.module, use.name) == (DANGEROUS, "shutil", "copy")
    assert use.paths == ("steps[0][1].func",)


def test_a_model_that_cannot_be_pickled() -> None:
    with pytest.raises(PayloadError) as caught:
        safemodel.scan(make_pipeline(FunctionTransformer(lambda rows: rows)))
    assert "steps[0][1].func" in str(caught.value)


def test_a_path_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        safemodel.scan(tmp_path / "none.pkl")
    os.mkfifo(tmp_path / "pipe.pkl")
    with pytest.raises(OSError, match="pipe"):
        safemodel.scan(str(tmp_path / "pipe.pkl"))


# Folders.


def scanned(folder: Path) -> dict[str, str]:
    found = safemodel.scan(folder)
    assert [finding.path for finding in found] == sorted(finding.path for finding in found)
    return {os.path.relpath(finding.path, folder): finding.verdict for finding in found}


def test_a_folder_of_everything(tmp_path: Path, churn: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "good.joblib").write_bytes(dumped(model()))
    (tmp_path / "a" / "b" / "notes.txt").write_bytes(CLIP)
    (tmp_path / "a" / "b" / "old").write_bytes(COMMAND)
    (tmp_path / "image.png").write_bytes(COMPRESSORS["bz2"](COMMAND))
    (tmp_path / "broken.PKL").write_bytes(b"text")
    (tmp_path / "broken.joblib.gz").write_bytes(b"text")
    shutil.copy(churn, tmp_path / "churn")
    assert scanned(tmp_path) == {
        "a/good.joblib": UNSIGNED,
        "a/b/notes.txt": DANGEROUS,
        "a/b/old": DANGEROUS,
        "image.png": DANGEROUS,
        "broken.PKL": MALFORMED,
        "broken.joblib.gz": MALFORMED,
        "churn": UNCHECKED,
    }


OTHER_FILES = {
    "churn.pkl.dvc": b"outs:\n- md5: abc\n",
    "churn.joblib.md5": b"d41d8cd98f00b204e9800998ecf8427e\n",
    "churn.safemodel.sig": b"\x82\xa6digest",
    "empty": b"",
    "README.md": b"# Title\n",
    "requirements.txt": b"catboost\nnumpy\nRequests\n",
    "config": b"config = 1\nb\nRest\n",
    "numbers.csv": b"0.5,1.5\n2.5,3.5\n",
    "columns.csv": b"x,y\n1,2\n",
    "code.py": b"x = 1\nimport os\n",
    "names.txt": b"Nina\nNoah\n",
    "braces.txt": b"(c) 2026\n",
    "end.txt": b"N.B. this",
    "dot": b".",
    "data.json": b'{"a": 1}',
    "program": b"\x7fELF" + bytes(100),
    "page.html": b"<html>",
    "blob": bytes(range(256)),
    "table.csv.gz": gzip.compress(b"x,y\n1,2\n"),
    "archive.tar.xz": lzma.compress(bytes(512)),
    "text.bz2": bz2.compress(b"text\n" * 100),
    "empty.gz": gzip.compress(b""),
    "empty.xz": lzma.compress(b"") * 3,
    "padded.gz": gzip.compress(b"text") + bytes(100),
    "parts.gz": gzip.compress(b"x,y\n") + gzip.compress(b"1,2\n"),
    "flights.txt": b"ZFA 12\n",
}


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    for name, data in OTHER_FILES.items():
        (tmp_path / name).write_bytes(data)
    with zipfile.ZipFile(tmp_path / "book.xlsx", "w") as archive:
        archive.writestr("sheet", b"text")
    assert scanned(tmp_path) == {}


def test_links_pipes_and_sockets_are_passed_over(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "model.pkl").write_bytes(COMMAND)
    (tmp_path / "link.pkl").symlink_to(outside / "model.pkl")
    (tmp_path / "folder").symlink_to(outside)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "nowhere.pkl").symlink_to("none")
    os.mkfifo(tmp_path / "pipe.pkl")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(tmp_path)  # a socket's path must be short
        listening.bind("socket.pkl")
        os.chdir(here)
        assert scanned(tmp_path) == {}
    (linked,) = safemodel.scan(tmp_path / "link.pkl")  # named by the user, who may mean it
    assert linked.verdict == DANGEROUS


def test_an_unreadable_file_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.pkl", "b.pkl", "c.pkl", "d.pkl"):
        (tmp_path / name).write_bytes(pickle.dumps(1))
    (tmp_path / "locked").mkdir()
    real_open, real_scandir = safemodel.system.open_regular, os.scandir

    def open_regular(path: str) -> int:
        if path.endswith("b.pkl"):
            raise PermissionError(13, "Permission denied", path)
        if path.endswith("c.pkl"):
            raise MemoryError
        return real_open(path)

    def scandir(path: str) -> Any:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return real_scandir(path)

    monkeypatch.setattr(safemodel.system, "open_regular", open_regular)
    monkeypatch.setattr(os, "scandir", scandir)
    assert scanned(tmp_path) == {
        "a.pkl": UNSIGNED,
        "b.pkl": UNREADABLE,
        "c.pkl": UNREADABLE,
        "d.pkl": UNSIGNED,
        "locked": UNREADABLE,
    }


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.joblib"
    path.write_bytes(dumped(np.zeros(500_000)))
    real = safemodel.system.private_memory

    def cut(size: int) -> memoryview:
        path.write_bytes(b"\x80\x04")
        return real(size)

    monkeypatch.setattr(judging, "_memory", cut)
    assert scanned(tmp_path) == {"model.joblib": MALFORMED}


# Recognition.


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("data", [COMMAND, CLIP, pickle.dumps([1], 0), pickle.dumps([1], 1)])
def test_the_inside_of_what_is_compressed_decides(method: str, data: bytes) -> None:
    assert recognize(COMPRESSORS[method](data)) == "joblib"
    assert recognize(COMPRESSORS[method](b"text")) is None


@pytest.mark.parametrize("method", METHODS)
def test_damage_hides_nothing(method: str) -> None:
    data = bytearray(COMPRESSORS[method](COMMAND * 20))
    for position in range(6, len(data)):
        damaged = bytes(data[:position]) + bytes((data[position] ^ 0xFF,)) + bytes(data[position + 1 :])
        try:
            intact = joblib_reads(damaged) == COMMAND
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
            intact = False
        assert not intact or recognize(damaged) == "joblib"


def joblib_reads(data: bytes) -> bytes:
    """What joblib's unpickler would get to see first."""
    kind = vars(joblib.numpy_pickle_utils)["_detect_compressor"](io.BytesIO(data))
    with vars(joblib.compressor)["_COMPRESSORS"][kind].decompressor_file(io.BytesIO(data)) as file:
        read: bytes = file.read(len(COMMAND))
    return read


def test_a_decoder_that_asks_for_much_memory_hides_nothing() -> None:
    greedy = bytearray(lzma.compress(COMMAND, lzma.FORMAT_ALONE))
    greedy[1:5] = (2**31).to_bytes(4, "little")
    assert recognize(bytes(greedy)) == "joblib"


@pytest.mark.parametrize(
    "data",
    [
        COMMAND,
        b"I1\n0" + COMMAND,
        b"(S'echo'\nios\nsystem\n.",
        b"(cos\nsystem\nS'echo'\no.",
        b"\x8c\x02os\x8c\x06system\x93)R",  # cut: what comes before has run by then
        b"\x82\x01)R.",
        b"N.",
        b"(lp0\nI1\na.",
        b"N." + COMMAND,  # for who loads twice, as PyTorch before 1.6 does
        b"I0x1\n0" + COMMAND,
        b"L0x1L\n0" + COMMAND,
        b"I\0text\n0" + COMMAND,  # 0, as C reads it
        b"S'\\xff'\n0" + COMMAND,  # a text with encoding="latin1"
        b"V\\q\n0" + COMMAND,
        b"((0l0" + COMMAND,
    ],
)
def test_protocols_without_a_mark(data: bytes) -> None:
    assert recognize(data) == "pickle"


@pytest.mark.parametrize("method", ["gzip", "bz2", "xz"])
@pytest.mark.parametrize("first", [b"", b"("])
def test_members_before_the_one_that_calls(method: str, first: bytes, judge: Callable[..., Finding]) -> None:
    compress = COMPRESSORS[method]
    assert judge(compress(first) + compress(first[:0] + b"0" * len(first) + COMMAND)).verdict == MALFORMED


def test_compressed_data_that_gives_nothing_before_the_head_ends(judge: Callable[..., Finding]) -> None:
    named = b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * HEAD_MAX + b"\0" + gzip.compress(COMMAND)[10:]
    compressor = zlib.compressobj()
    flushes = compressor.flush(zlib.Z_FULL_FLUSH) + b"\0\0\0\xff\xff" * (HEAD_MAX // 5)
    empty = flushes + compressor.compress(COMMAND) + compressor.flush()
    for data in (named, empty):
        assert joblib_reads(data) == COMMAND
        assert judge(data).verdict == DANGEROUS


@pytest.mark.parametrize("length", ["0x%x", "%x", "0X%x", " +%x"])
def test_every_length_that_joblib_takes_before_0_10(length: str, judge: Callable[..., Finding]) -> None:
    head = b"ZF" + (length % len(COMMAND)).encode().ljust(len(hex(2**64)))
    assert judge(head + zlib.compress(COMMAND)).verdict == MALFORMED


# Nothing runs.

_SCAN_ALL = """
import sys
import safemodel

safemodel.scan(sys.argv[2])  # loads what scanning itself needs
imported = set(sys.modules)
forbidden = {"import", "pickle.find_class", "exec", "compile", "os.system", "subprocess.Popen", "socket.connect"}
sys.addaudithook(lambda event, details: event in forbidden and sys.exit(f"scanning caused {event} of {details}"))
for finding in safemodel.scan(sys.argv[1]):
    print(finding.path, finding.verdict)
    (named,) = safemodel.scan(finding.path)
    assert named == finding
assert set(sys.modules) == imported, set(sys.modules) - imported
assert not {"numpy", "joblib", "sklearn"} & imported
"""


def test_no_attack_is_allowed_and_nothing_runs(churn: Path) -> None:
    with (ATTACKS / "MANIFEST.tsv").open(encoding="utf-8", newline="") as manifest:
        expected = {row["file"]: row["expect"] for row in csv.DictReader(manifest, delimiter="\t", quoting=3)}
    done = subprocess.run(
        [sys.executable, "-c", _SCAN_ALL, str(ATTACKS), str(churn)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    verdicts = {Path(path).name: verdict for path, verdict in map(str.split, done.stdout.splitlines())}
    assert verdicts.keys() == expected.keys()
    allowed = {file for file, verdict in verdicts.items() if verdict == UNSIGNED}
    assert {expected[file] for file in allowed} <= {"content", "inert"}


def test_a_named_file_always_gets_a_verdict() -> None:
    (finding,) = safemodel.scan(ATTACKS / "MANIFEST.tsv")
    assert finding.verdict == NOT_JUDGED
