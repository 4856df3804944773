"""How long pickling takes against `joblib.dump`, and how large the files get.

    python benchmarks/bench_dump.py [--only NAME]... [--directory DIR] [--large GIB]

Both sides pickle the same fitted model into a new file in the same process, turn and turn about; medians are compared.
"pickled" is `pickle_into` alone; "as an artifact" hashes what is written as well, as `safemodel.dump` does before it
walks and signs. The files lie in memory where the system has a place for that (/dev/shm), so that no disk is measured.
Ratios below 1 mean faster than joblib; an artifact's size includes the 4096 bytes before its payload.
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
import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline

from safemodel.format.writer import ArtifactWriter
from safemodel.payload.pickling import pickle_into

TERMS = 460_000
SHARED_MEMORY = Path("/dev/shm")


def text_pipeline() -> Any:
    """TF-IDF of 460,000 terms and a linear classifier: nearly all of it is one dict of strings."""
    terms = [f"{number:x}" for number in np.random.default_rng(0).integers(1 << 40, size=TERMS)]
    documents = [" ".join(terms[start : start + 200]) for start in range(0, TERMS, 200)]
    labels = [number % 2 for number in range(len(documents))]
    return make_pipeline(TfidfVectorizer(), SGDClassifier(max_iter=2, tol=None)).fit(documents, labels)


def fitted(model: Any, samples: int, features: int = 20) -> Any:
    """Fit a model to random data."""
    return model.fit(*make_classification(samples, features, flip_y=0.3, random_state=0))


def models(large: float) -> dict[str, tuple[Callable[[], Any], int]]:
    """Every model with the number of rounds to measure it in."""
    numbers = int(large * 2**30) // 8
    return {
        "logistic regression": (lambda: fitted(LogisticRegression(), 1000, 5), 300),
        f"TF-IDF, {TERMS} terms": (text_pipeline, 7),
        "HistGradientBoosting(500)": (lambda: fitted(_hist_gradient_boosting(), 5000), 15),
        "GradientBoosting(500)": (lambda: fitted(GradientBoostingClassifier(n_estimators=500), 2000), 15),
        "random forest of 100 MB": (lambda: fitted(RandomForestClassifier(240, n_jobs=-1), 20_000), 7),
        f"array of {large:g} GiB": (lambda: np.random.default_rng(0).random(numbers), 5),
        f"every other row of {large:g} GiB": (lambda: np.random.default_rng(0).random((numbers // 1000, 1000))[::2], 5),
        "50,000 arrays of 10 numbers": (lambda: list(np.random.default_rng(0).random((50_000, 10))), 5),
    }


def _hist_gradient_boosting() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=500, early_stopping=False)


def pickled(model: Any, path: Path) -> None:
    """Pickle alone."""
    with path.open("wb") as file:
        pickle_into(model, file.write)


def as_an_artifact(model: Any, path: Path) -> None:
    """Pickle and hash."""
    with path.open("w+b") as file, ArtifactWriter(file, "joblib", "blake3") as writer:
        pickle_into(model, writer.write)
        writer.describe({})


WAYS: dict[str, Callable[[Any, Path], Any]] = {
    "joblib": joblib.dump,
    "pickled": pickled,
    "as an artifact": as_an_artifact,
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
    parser.add_argument("--large", type=float, default=0.5, metavar="GIB", help="size of the large arrays")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        for name, (make, rounds) in models(arguments.large).items():
            if not arguments.only or any(part in name for part in arguments.only):
                report(name, list(measure(make(), rounds, Path(directory))))


if __name__ == "__main__":
    main()
