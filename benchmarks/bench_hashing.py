"""How fast contents are hashed: verifying against raw hashing on all cores, and hashing while writing against writing.

Run: python benchmarks/bench_hashing.py [--mib 1024] [--rounds 7] [--folder DIR]

Figures are medians of rounds that take turns, of data in the page cache. "raw" hashes as many bytes that are already in
memory, with as many threads, 1 MiB for each update: no reading, no chunks, no comparison.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from blake3 import blake3

from safemodel import system
from safemodel.format.digests import Chunk, EntryHasher, hash_chunks
from safemodel.format.limits import CHUNK_SIZE_DEFAULT, CHUNK_SIZE_MAX, MIB
from safemodel.format.source import open_source

RAW: dict[str, Callable[[], Any]] = {"blake3": blake3, "sha256": sha256}
CHUNK_SIZES = (MIB, CHUNK_SIZE_DEFAULT, 16 * MIB, CHUNK_SIZE_MAX)
WRITE_SIZE = 16 * MIB  # as much of an array as joblib writes at a time


def hash_raw(algorithm: str, data: memoryview) -> None:
    """Hash data in memory with one thread for each core."""

    def run(part: memoryview) -> None:
        hasher = RAW[algorithm]()
        for start in range(0, len(part), MIB):
            hasher.update(part[start : start + MIB])

    share = -(-len(data) // system.thread_count())
    threads = [threading.Thread(target=run, args=(data[s : s + share],)) for s in range(0, len(data), share)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def verify(path: Path, algorithm: str, chunk_size: int, expected: bytes | None) -> bytes:
    """Open a file and hash all of it in chunks, as verifying does."""
    with open_source(path) as source:
        starts = range(0, source.size, chunk_size)
        chunks = [Chunk(0, n, start, min(chunk_size, source.size - start), start) for n, start in enumerate(starts)]
        return hash_chunks(source, chunks, algorithm, expected=expected)


def write(path: Path, data: memoryview, hasher: EntryHasher | None = None) -> None:
    """Write data into a new file, and hash it on the way if there is something to hash it with."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        for start in range(0, len(data), WRITE_SIZE):
            piece = data[start : start + WRITE_SIZE]
            if hasher is not None:
                hasher.update(piece, stable=True)
            file.write(piece)


def write_and_hash(path: Path, data: memoryview) -> None:
    """Write data and make its chunk digests and CRC-32."""
    with EntryHasher("blake3", CHUNK_SIZE_DEFAULT) as hasher:
        write(path, data, hasher)
        hasher.finish()


def medians(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each task."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


def report_verifying(path: Path, data: memoryview, rounds: int) -> None:
    """Print how fast a file is verified with each algorithm and chunk size."""
    for algorithm in RAW:
        tasks: dict[str, Callable[[], object]] = {"raw": partial(hash_raw, algorithm, data)}
        for size in CHUNK_SIZES:
            digests = verify(path, algorithm, size, None)
            tasks[f"verify, chunks of {size // MIB} MiB"] = partial(verify, path, algorithm, size, digests)
        seconds = medians(tasks, rounds)
        for name, value in seconds.items():
            speed, ratio = len(data) / value / 1e9, seconds["raw"] / value
            print(f"{algorithm:8} {name:25} {value:7.3f} s {speed:6.2f} GB/s {ratio:6.0%} of raw")


def report_memory(path: Path) -> None:
    """Print how much memory a process of its own needs at most to verify the file."""
    command = [sys.executable, __file__, "--verify", str(path)]
    print(f"peak memory of verifying: {subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout}")


def verify_alone(path: Path) -> None:
    """Verify a file and print the peak memory of this process (Linux)."""
    verify(path, "blake3", CHUNK_SIZE_DEFAULT, None)
    # Not getrusage: its peak includes that of the process which started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    print(next(line.removeprefix("VmHWM:").strip() for line in status if line.startswith("VmHWM:")))


def report_writing(folder: Path, data: memoryview, rounds: int) -> None:
    """Print what hashing adds to writing."""
    path = folder / "written"
    seconds = medians({"write": partial(write, path, data), "both": partial(write_and_hash, path, data)}, rounds)
    print(f"write          {seconds['write']:7.3f} s")
    print(f"write and hash {seconds['both']:7.3f} s, {seconds['both'] / seconds['write']:.2f} of the time of writing")


def main(arguments: Sequence[str]) -> None:
    """Make the data and print every report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--verify", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.verify:
        verify_alone(options.verify)
        return
    data = system.private_memory(options.mib * MIB)
    for start in range(0, len(data), MIB):
        data[start : start + MIB] = os.urandom(MIB)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "data"
        write(path, data)
        print(f"{options.mib} MiB, {system.thread_count()} threads, {options.rounds} rounds")
        report_verifying(path, data, options.rounds)
        report_memory(path)
        report_writing(Path(folder), data, options.rounds)


if __name__ == "__main__":
    main(sys.argv[1:])
