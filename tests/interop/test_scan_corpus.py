"""A tree of more than 500 files, good, bad and broken: every verdict is right, and nothing in it ever runs."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier

import safemodel
from safemodel.payload.verdicts import (
    DANGEROUS,
    MALFORMED,
    NOT_JUDGED,
    NOT_TRUSTED,
    UNREADABLE,
    UNSIGNED,
    VERIFIED,
)

ROOT = Path(__file__).parents[2]
ATTACKS = ROOT / "tests" / "attacks" / "files"
STACKS = ROOT / "tests" / "vectors" / "stacks"
FILES_MIN = 500
# Attacks that no loader of ours follows up to a global that is not allowed; all others reach one.
# fmt: off
MALFORMED_ATTACKS = {
    "g01", "g05", "g05b", "g05c", "g23b", "g29c", "g29d", "g36b", "g37", "g39", "g39b", "j07", "j09", "j10", "j11",
    "j12", "j13", "j14", "j18", "j19", "j20", "j21", "o02", "o09", "o16", "o21", "o22", "o23", "o24", "o25", "o26",
    "o27", "o28", "o29", "o30", "o31", "o32", "o35", "o39", "o51", "o52", "o53", "o54", "o55", "o57", "o58", "o59",
    "o60", "o61", "o63", "o64", "o66", "o67", "o68", "o69", "o70", "o72", "o73", "o79",
}
# fmt: on
UNSIGNED_ATTACKS = {"g46"}  # numbers of a tree that point outside of it: the loader looks at those
COMPRESSORS: list[Callable[[bytes], bytes]] = [
    bytes,
    zlib.compress,
    gzip.compress,
    bz2.compress,
    lzma.compress,
    lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
]
ROWS = np.arange(40.0).reshape(20, 2)
LABELS = [0, 1] * 10
SAFE = """
import json, sys, safemodel
from safemodel.scanning import tree
from safemodel.scanning.judge import Judge
judge = Judge.of(trust=[sys.argv[2]])
judge.file(sys.argv[3])  # loads what scanning itself needs
imported = set(sys.modules)
forbidden = {"import", "pickle.find_class", "exec", "compile", "os.system", "subprocess.Popen", "socket.connect"}
sys.addaudithook(lambda event, details: event in forbidden and sys.exit(f"scanning caused {event} of {details}"))
tree.process_count = lambda files: 1
scan = tree.scan_tree([sys.argv[1]], judge)
assert set(sys.modules) == imported, set(sys.modules) - imported
print(json.dumps({finding.path: finding.verdict for finding in scan.findings}))
"""


class Canary:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._path}",)


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def array(value: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([value], dtype=object))
    return buffer.getvalue()


def dumped(value: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer, **options)
    return buffer.getvalue()


def models() -> Iterator[bytes]:
    """Good streams, of libraries and of plain values."""
    for model in (LogisticRegression(), Ridge(), DecisionTreeClassifier()):
        fitted = model.fit(ROWS, LABELS)
        yield dumped(fitted)
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            yield pickle.dumps(fitted, protocol)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.dumps({"a": [1, 2.5, "text", None], "b": (True, b"bytes")}, protocol)


def single_files(evil: bytes) -> Iterator[tuple[str, bytes, str | None]]:
    """Streams in every compression under honest and false names; those cut; and other things."""
    for number, data in enumerate(models()):
        for kind, compress in enumerate(COMPRESSORS):
            suffix = (".joblib", ".pkl", "", ".txt", ".png", ".csv.gz")[(number + kind) % 6]
            yield f"good/{number}-{kind}{suffix}", compress(data), UNSIGNED
        yield f"cut/{number}.pkl", data[:-1], MALFORMED
    for number, compress in enumerate(COMPRESSORS):
        for suffix in (".joblib", ".pkl", "", ".md", ".jpeg"):
            yield f"evil/{number}{suffix}", compress(evil), DANGEROUS
    for number in range(30):
        yield f"other/{number}.txt", f"Notes of day {number}.\n".encode() * number, None
        yield f"other/{number}.json", json.dumps({"day": number}).encode(), None
        yield f"other/{number}.dat", np.random.default_rng(number + 100).bytes(200)[1:].lstrip(b"\x80xBP]("), None
    for number, data in enumerate((b"", b"text", bytes(100), b"\x80\x09.", b"PK\x03\x04")):
        yield f"broken/{number}.pkl", data, MALFORMED


def archives(evil: bytes) -> Iterator[tuple[str, bytes, str | None]]:
    good = pickle.dumps([1])
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield f"zip/{method}-evil.zip", zipped(("a", b"text"), ("b.txt", evil), method=method), DANGEROUS
        yield f"zip/{method}-good.zip", zipped(("a", b"text"), ("b.pkl", good), method=method), UNSIGNED
        yield f"zip/{method}-other.docx", zipped(("a", b"text"), method=method), None
        yield f"zip/{method}-nested.jar", zipped(("a", zipped(("b", evil), method=method))), DANGEROUS
        yield f"zip/{method}.pt", zipped(("m/data.pkl", evil), ("m/data/0", bytes(9)), method=method), DANGEROUS
        yield f"zip/{method}-cut.pt", zipped(("m/data.pkl", evil), method=method)[:-9], MALFORMED
        yield f"zip/{method}.skops", zipped(("schema.json", b"{}"), method=method), NOT_JUDGED
        yield f"zip/{method}-evil.skops", zipped(("schema.json", b"{}"), ("x", evil), method=method), DANGEROUS
        yield f"zip/{method}-good.npz", zipped(("a.npy", array("text")), method=method), UNSIGNED
        yield f"zip/{method}-evil.npz", zipped(("a.npy", array(pickle.loads) + evil), method=method), DANGEROUS
    yield "one.npy", array("text"), UNSIGNED
    yield "two.npy", array(os.system), DANGEROUS
    yield "prefix.zip", b"#!/bin/sh\n" + zipped(("x", evil)), DANGEROUS
    yield "onnx.bin", b"\x08\x08\x12\x04test\x3a\x03abc", NOT_JUDGED
    yield "gguf.bin", b"GGUF\x03\0\0\0", NOT_JUDGED
    yield "hdf5.bin", b"\x89HDF\r\n\x1a\n" + bytes(100), NOT_JUDGED
    yield "safetensors.bin", struct.pack("<Q", 4) + b'{"":0}', NOT_JUDGED


def artifacts(folder: Path, release: Any, stranger: Any, forge: Callable[..., Path], evil: bytes) -> dict[str, str]:
    """Artifacts of every fate, each in a folder of its own, since its name is the model's."""
    folder.mkdir()
    expected: dict[str, str] = {}

    def place(kind: str, number: int, data: bytes, verdict: str, name: str = "churn.safemodel") -> None:
        (folder / f"{kind}{number}").mkdir(exist_ok=True)
        (folder / f"{kind}{number}" / name).write_bytes(data)
        expected[f"artifacts/{kind}{number}/{name}"] = verdict

    for number in range(12):
        whole = folder / "churn.safemodel"
        for kind, key, verdict in (("good", release, VERIFIED), ("stranger", stranger, NOT_TRUSTED)):
            safemodel.dump({"weights": np.arange(float(number))}, whole, key=key.private, name="acme/churn")
            data = whole.read_bytes()
            place(kind, number, data, verdict)
            place(f"{kind}-cut", number, data[: -1 - number], MALFORMED)
            place(f"{kind}-renamed", number, data, NOT_TRUSTED, "fraud.safemodel")
        whole.unlink()
    place("evil", 0, forge(evil).read_bytes(), DANGEROUS)
    place("evil-stranger", 0, forge(evil, keys=(stranger.private,)).read_bytes(), DANGEROUS)
    return expected


def attacks(folder: Path) -> Iterator[tuple[str, str]]:
    shutil.copytree(ATTACKS, folder)
    with (ATTACKS / "MANIFEST.tsv").open(encoding="utf-8", newline="") as manifest:
        for row in csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE):
            code = row["file"].split("_")[1]
            verdict = MALFORMED if code in MALFORMED_ATTACKS else UNSIGNED if code in UNSIGNED_ATTACKS else DANGEROUS
            yield f"attacks/{row['file']}", verdict


@pytest.fixture
def corpus(tmp_path: Path, release: Any, stranger: Any, forge: Callable[..., Path]) -> tuple[Path, dict[str, str]]:
    """The tree, and the verdict on each file that gets one."""
    folder, evil = tmp_path / "tree", pickle.dumps(Canary(tmp_path / "canary"), 4)
    folder.mkdir()
    expected = artifacts(folder / "artifacts", release, stranger, forge, evil) | dict(attacks(folder / "attacks"))
    for name, data, verdict in (*single_files(evil), *archives(evil)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if verdict is not None:
            expected[name] = verdict
    shutil.copytree(STACKS, folder / "stacks")
    expected |= {path.relative_to(folder).as_posix(): UNSIGNED for path in folder.glob("stacks/*/*.joblib*")}
    return folder, expected


def test_every_verdict_is_right_and_nothing_runs(
    corpus: tuple[Path, dict[str, str]], churn: Path, release: Any, tmp_path: Path
) -> None:
    folder, expected = corpus
    done = subprocess.run(
        [sys.executable, "-c", SAFE, str(folder), str(release.public), str(churn)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {os.path.relpath(path, folder): verdict for path, verdict in json.loads(done.stdout).items()}
    assert found == expected
    assert sum(path.is_file() for path in folder.rglob("*")) >= FILES_MIN
    assert min(Counter(expected.values())[verdict] for verdict in (VERIFIED, NOT_TRUSTED, NOT_JUDGED)) >= 5
    assert UNREADABLE not in expected.values()
    assert not (tmp_path / "canary").exists()


def test_the_command_and_its_processes_say_the_same(
    corpus: tuple[Path, dict[str, str]], release: Any, tmp_path: Path
) -> None:
    folder, expected = corpus
    done = subprocess.run(
        [sys.executable, "-m", "safemodel", "scan", str(folder), "--trust", str(release.public), "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 3, done.stderr
    document = json.loads(done.stdout)
    found = {os.path.relpath(file["file"], folder): file["verdict"] for file in document["files"]}
    assert found == expected
    assert not (tmp_path / "canary").exists()
