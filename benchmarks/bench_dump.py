"""How long `safemodel.dump` takes against `joblib.dump`, and how large the files get.

    python benchmarks/bench_dump.py [--only NAME]... [--directory DIR] [--large GIB]

Both sides write the same fitted model into a new file in the same process, turn and turn about; medians are compared.
"dump" is all of `safemodel.dump`: pickle, hash, walk, rehearse, sign, fsync. "pickled" is its pickler alone. The files
lie in memory where the system has a place for that (/dev/shm), so that no disk is measured. Ratios below 1 mean faster
than joblib; an artifact's size includes the 4096 bytes before its payload.
"""

import argparse
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
from models import chosen

import safemodel
from safemodel.payload.pickling import pickle_into

SHARED_MEMORY = Path("/dev/shm")


def dump(model: Any, path: Path) -> None:
    """What users call."""
    safemodel.dump(model, path, key=path.with_name("release.key"))


def pickled(model: Any, path: Path) -> None:
    """Pickle alone."""
    with path.open("wb") as file:
        pickle_into(model, file.write)


WAYS: dict[str, Callable[[Any, Path], Any]] = {
    "joblib": joblib.dump,
    "dump": dump,
    "pickled": pickled,
}


def measure(model: Any, rounds: int, directory: Path) -> Iterator[tuple[str, float, int]]:
    """Yield each way with its median in seconds and the size of its file in bytes."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    sizes = {}
    for _ in range(rounds):
        for way, dump in WAYS.items():
            path = directory / "model.joblib"
            path.unlink(missing_ok=True)
            gc.collect()
            start = time.perf_counter()
            dump(model, path)
            seconds[way].append(time.perf_counter() - start)
            sizes[way] = os.path.getsize(path)
    for way in WAYS:
        yield way, statistics.median(seconds[way]), sizes[way]


def report(name: str, results: list[tuple[str, float, int]]) -> None:
    """Print one line for each way."""
    (_, joblib_seconds, joblib_size), *_ = results
    for way, median, size in results:
        ratio = f"{median / joblib_seconds:5.2f}"
        print(f"{name:30} {way:14} {1000 * median:9.2f} ms {ratio} {size:12} bytes {size - joblib_size:+7}")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="models whose name contains this; may be repeated")
    parser.add_argument("--directory", type=Path, default=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None)
    parser.add_argument("--large", type=float, default=1, metavar="GIB", help="size of the large arrays")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        safemodel.generate_keyfile(Path(directory, "release.key"), passphrase=False)
        for name, (make, rounds) in chosen(arguments.large, arguments.only).items():
            report(name, list(measure(make(), rounds, Path(directory))))


if __name__ == "__main__":
    main()
