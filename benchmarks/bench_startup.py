"""How long `safemodel verify` of a small file takes beyond a bare interpreter's start.

Needs an installed safemodel with its bytecode compiled, as pip leaves it. Prints medians of runs in turn.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import safemodel

RUNS = 31


def seconds(command: list[str]) -> float:
    """Return how long a command takes."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder, "release.key")
        artifact = Path(folder, "churn.safemodel")
        safemodel.generate_keyfile(key, passphrase=False)
        safemodel.dump({"weights": [1.0]}, artifact, key=key)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        bare = [sys.executable, "-c", "pass"]
        verify = [str(Path(sys.executable).with_name("safemodel")), "verify", str(artifact), "--trust", f"{key}.pub"]
        pairs = [(seconds(bare), seconds(verify)) for _ in range(RUNS)]
    interpreter = statistics.median(pair[0] for pair in pairs)
    beyond = statistics.median(pair[1] - pair[0] for pair in pairs)
    print(f"bare interpreter {interpreter * 1e3:.1f} ms, verify of a small file {beyond * 1e3:.1f} ms beyond it")


if __name__ == "__main__":
    main()
