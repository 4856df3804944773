"""How fast the static walk is, and what it costs beside loading.

    python benchmarks/bench_walk.py [--only NAME]... [--rounds N] [--array-gib GIB]

Each payload is written with `joblib.dump`, mapped, and walked; medians of rounds in one process, in seconds of the
processor, since nothing here waits for anything. "genops" is
`pickletools.genops` on the same objects pickled without arrays in between (it cannot pass them), the pace of scanners
that are built on it; "load" is `joblib.load` of the same file. A file of arrays is mapped afresh for every round, so
that nothing but its opcodes is paged in.
"""

import argparse
import mmap
import pickle
import pickletools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline

from safemodel.payload.walk import Walk, walk

TERMS = 460_000


def text_pipeline() -> Any:
    """TF-IDF of 460,000 terms and a linear classifier."""
    terms = [f"{number:x}" for number in np.random.default_rng(0).integers(1 << 40, size=TERMS)]
    documents = [" ".join(terms[start : start + 200]) for start in range(0, TERMS, 200)]
    labels = [number % 2 for number in range(len(documents))]
    return make_pipeline(TfidfVectorizer(), SGDClassifier(max_iter=2, tol=None)).fit(documents, labels)


def fitted(model: Any, samples: int) -> Any:
    """Fit a model to random data."""
    return model.fit(*make_classification(samples, 20, flip_y=0.3, random_state=0))


def payloads(array_gib: float) -> dict[str, Callable[[], Any]]:
    """Every payload by name."""
    numbers = int(array_gib * 2**27)
    return {
        f"TF-IDF pipeline, {TERMS} terms": text_pipeline,
        "random forest, 240 trees": lambda: fitted(RandomForestClassifier(240, n_jobs=-1, random_state=0), 20_000),
        "HistGradientBoosting(500)": lambda: fitted(HistGradientBoostingClassifier(max_iter=500), 5000),
        "500,000 pairs of numbers": lambda: [(number, float(number)) for number in range(500_000)],
        f"{array_gib:g} GiB in 8 arrays": lambda: [np.zeros(numbers // 8) for _ in range(8)],
    }


def walk_mapped(path: Path) -> tuple[float, Walk]:
    """Map a file, walk it, and return the seconds."""
    with path.open("rb") as file:
        start = time.process_time()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = walk(memoryview(data))
        return time.process_time() - start, found


def seconds(run: Callable[[], object], rounds: int) -> float:
    """Return the median of several runs."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return statistics.median(times)


def genops_pace(model: Any) -> float:
    """Return how many opcodes a second `pickletools.genops` yields."""
    data = pickle.dumps(model)
    start = time.process_time()
    count = sum(1 for _ in pickletools.genops(data))
    return count / (time.process_time() - start)


def measure(name: str, model: Any, path: Path, rounds: int) -> None:
    """Print one line of the table."""
    joblib.dump(model, path)
    times, found = zip(*(walk_mapped(path) for _ in range(rounds)), strict=True)
    median, opcodes = statistics.median(times), found[0].counts.opcodes
    load = seconds(lambda: joblib.load(path), 3)
    pace = genops_pace(model) if path.stat().st_size < 2**28 else float("nan")
    print(
        f"{name:32} {path.stat().st_size / 2**20:8.1f} {opcodes:9} {found[0].counts.arrays:6} "
        f"{median * 1000:9.2f} {opcodes / median / 1e6:7.2f} {pace / 1e6:7.2f} {load * 1000:9.1f}"
    )


def main() -> None:
    """Measure the payloads that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="part of a payload's name")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--array-gib", type=float, default=1.0)
    options = parser.parse_args()
    titles = ("MiB", "opcodes", "arrays", "walk ms", "M op/s", "genops", "load ms")
    print(f"{'payload':32} {titles[0]:>8} {titles[1]:>9} {titles[2]:>6} {titles[3]:>9} {titles[4]:>7} ", end="")
    print(f"{titles[5]:>7} {titles[6]:>9}")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in payloads(options.array_gib).items():
            if not options.only or any(part in name for part in options.only):
                measure(name, make(), Path(folder) / "payload.joblib", options.rounds)


if __name__ == "__main__":
    main()
