"""How fast trees are scanned: large files against hashing the same bytes, and small signed artifacts by the second.

Run: python benchmarks/bench_scan.py [--mib 512] [--files 6] [--artifacts 6000] [--rounds 7] [--folder DIR]

Figures are medians of rounds that take turns, of files in the page cache, with as many processes as `safemodel scan`
starts; starting them is part of it. Hashing is BLAKE3 and SHA-256, by as many processes that read 1 MiB at a time and
do nothing else. Artifacts are verified by a key, each with a logistic regression inside. "best" is of all rounds.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression

import safemodel
from safemodel.scanning.judge import Judge
from safemodel.scanning.pool import File, process_count
from safemodel.scanning.tree import scan_tree

HASH = """
import sys, hashlib
from blake3 import blake3
for path in sys.argv[2:]:
    hasher = blake3() if sys.argv[1] == "blake3" else hashlib.new(sys.argv[1])
    buffer = memoryview(bytearray(2**20))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
"""


def seconds(work: Callable[[], object]) -> float:
    """Return how long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def hash_all(algorithm: str, files: list[Path]) -> None:
    """Hash files with as many processes as a scan has."""
    count = process_count([File(str(path), path.stat().st_size, False) for path in files])
    shares = [[str(path) for path in files[number::count]] for number in range(count)]
    processes = [subprocess.Popen([sys.executable, "-I", "-c", HASH, algorithm, *share]) for share in shares]
    assert [process.wait() for process in processes] == [0] * len(processes)


def scan(folder: Path, expected: str, key: Path | None = None) -> None:
    """Scan a folder, in which all files get one verdict."""
    judge = Judge.of(trust=None if key is None else [key])
    found = scan_tree([str(folder)], judge).findings
    assert found
    assert {finding.verdict for finding in found} == {expected}


def make_large(folder: Path, count: int, mib: int, key: Path) -> tuple[Path, Path]:
    """Joblib files, and artifacts, of random coefficients."""
    plain, signed = folder / "plain", folder / "signed"
    plain.mkdir()
    for number in range(count):
        (signed / f"{number}").mkdir(parents=True)
        value = {"coef": np.random.default_rng(number).random(mib * 2**17)}
        joblib.dump(value, plain / f"{number}.joblib")
        safemodel.dump(value, signed / f"{number}" / "churn.safemodel", key=key)
    return plain, signed


def make_small(folder: Path, count: int, key: Path) -> Path:
    """Make small artifacts, each in a folder of its own, since they have one name."""
    rows = np.arange(200.0).reshape(100, 2)
    model = LogisticRegression().fit(rows, [0, 1] * 50)
    safemodel.dump(model, folder / "churn.safemodel", key=key)
    small = folder / "small"
    for number in range(count):
        place = small / f"{number // 100}" / f"{number % 100}"
        place.mkdir(parents=True)
        shutil.copy(folder / "churn.safemodel", place)
    return small


def report_large(kind: str, folder: Path, expected: str, key: Path | None, rounds: int) -> None:
    """Measure a folder of large files, and print."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    contenders: dict[str, Callable[[], None]] = {
        "blake3": lambda: hash_all("blake3", files),
        "sha256": lambda: hash_all("sha256", files),
        "scan": lambda: scan(folder, expected, key),
    }
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        for name in (
            names[number % 3 :] + names[: number % 3]
        ):  # whoever comes after the longest work has the least left
            taken[name].append(seconds(contenders[name]))
    for name, times in taken.items():
        middle, best = (
            f"{size / each(times) / 2**30:.2f} GiB/s (scan {each(taken['scan']) / each(times):.2f}x of its time)"
            for each in (median, min)
        )
        print(f"{kind:>10}  {name:<7} median {middle}, best {best}")


def main() -> None:
    """Make the files, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--files", type=int, default=6)
    parser.add_argument("--artifacts", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        key = folder / "release.key"
        safemodel.generate_keyfile(key, passphrase=False)
        public = folder / "release.key.pub"
        print(f"{os.cpu_count()} cores, {options.files} files of {options.mib} MiB")
        plain, signed = make_large(folder, options.files, options.mib, key)
        report_large("joblib", plain, "unsigned", None, options.rounds)
        report_large("artifacts", signed, "verified", public, options.rounds)
        small = make_small(folder, options.artifacts, key)
        times = [seconds(lambda: scan(small, "verified", public)) for _ in range(options.rounds)]
        size = (folder / "churn.safemodel").stat().st_size
        middle, best = (options.artifacts / each(times) for each in (median, min))
        print(f"{options.artifacts} artifacts of {size} bytes: median {middle:.0f} a second, best {best:.0f}")


if __name__ == "__main__":
    main()
