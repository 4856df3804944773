"""How long `safemodel.load` takes against `joblib.load`, and against the peers that check something.

    python benchmarks/bench_load.py [--only NAME]... [--directory DIR] [--large GIB] [--peers]

The same fitted model is dumped by each way once, then loaded in the same process, turn and turn about; medians are
compared. `safemodel.load` checks signature, name, globals and digests, lexes, rehearses and guards. With `--peers`,
where they are installed: "skops", `skops.io.load` with its own list of types trusted; and "signed joblib",
OpenSSF `model_signing` verifying the file with a P-256 key, then `joblib.load`. Ratios below 1 mean faster than joblib.
The last figure is how much resident memory grew at the most in one load, against the payload's size.
"""

import argparse
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
from models import chosen

import safemodel

SHARED_MEMORY = Path("/dev/shm")

Load = Callable[[], Any]

_PEAK = """
import sys
from pathlib import Path
import sklearn.ensemble, sklearn.linear_model, sklearn.pipeline, sklearn.feature_extraction.text
import safemodel

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024

before = peak()
model = safemodel.load(sys.argv[1], trust=sys.argv[2])
print(peak() - before)
"""


def prepare(model: Any, folder: Path, *, peers: bool) -> Iterator[tuple[str, Load]]:
    """Dump a model in each way, and yield how each loads it."""
    plain, signed = folder / "model.joblib", folder / "model.safemodel"
    joblib.dump(model, plain)
    yield "joblib", lambda: joblib.load(plain)
    safemodel.dump(model, signed, key=folder / "release.key")
    yield "safemodel", lambda: safemodel.load(signed, trust=folder / "release.key.pub")
    if peers:
        yield from _peers(model, folder, plain)


def _peers(model: Any, folder: Path, plain: Path) -> Iterator[tuple[str, Load]]:
    import model_signing
    import skops.io

    other = folder / "model.skops"
    skops.io.dump(model, other)
    types = skops.io.get_untrusted_types(file=other)
    yield "skops", lambda: skops.io.load(other, trusted=types)

    private, public, signature = folder / "p256.key", folder / "p256.key.pub", folder / "model.sig"
    model_signing.signing.Config().use_elliptic_key_signer(private_key=private).sign(plain, signature)

    def verified() -> Any:
        model_signing.verifying.Config().use_elliptic_key_verifier(public_key=public).verify(plain, signature)
        return joblib.load(plain)

    yield "signed joblib", verified


def measure(ways: dict[str, Load], rounds: int) -> dict[str, float]:
    """Return the median of each way in seconds."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way, load in ways.items():
            if number and sum(seconds[way]) > 60:  # a peer that takes minutes need not take hours
                continue
            gc.collect()
            start = time.perf_counter()
            loaded = load()
            seconds[way].append(time.perf_counter() - start)
            del loaded
    return {way: statistics.median(found) for way, found in seconds.items()}


def peak_memory(folder: Path) -> int:
    """Return how many bytes a process grew at the most while it loaded the artifact."""
    command = [sys.executable, "-c", _PEAK, str(folder / "model.safemodel"), str(folder / "release.key.pub")]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def report(name: str, medians: dict[str, float], folder: Path) -> None:
    """Print one line for each way."""
    size = (folder / "model.joblib").stat().st_size
    for way, median in medians.items():
        print(f"{name:30} {way:14} {1000 * median:9.2f} ms {median / medians['joblib']:6.2f}", end="")
        print(f"  peak {peak_memory(folder) / size:.2f} of {size} bytes" if way == "safemodel" else "")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="models whose name contains this; may be repeated")
    parser.add_argument("--directory", type=Path, default=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None)
    parser.add_argument("--large", type=float, default=1, metavar="GIB", help="size of the large arrays")
    parser.add_argument("--peers", action="store_true", help="also skops and model_signing")
    arguments = parser.parse_args()
    for name, (make, rounds) in chosen(arguments.large, arguments.only).items():
        with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
            folder = Path(directory)
            safemodel.generate_keyfile(folder / "release.key", passphrase=False)
            safemodel.generate_keyfile(folder / "p256.key", algorithm="ecdsa-p256-sha256", passphrase=False)
            ways = dict(prepare(make(), folder, peers=arguments.peers))
            report(name, measure(ways, rounds), folder)


if __name__ == "__main__":
    main()
