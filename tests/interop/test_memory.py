"""How much memory a load takes, as Linux counts it: that of an array and little more, and none once it is gone."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import safemodel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory")

SIZE = 200_000_000
MEASURE = """
import gc, sys
import numpy, safemodel

def kilobytes(field):
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith(field)).split()[1])

def load(path):
    return safemodel.load(path, trust=sys.argv[1], name="acme/churn")

load(sys.argv[2])  # imports all that a load needs
gc.collect()
gc.disable()
before = kilobytes("VmRSS")
model = load(sys.argv[3])
assert model["weights"].nbytes == int(sys.argv[4])
peak = kilobytes("VmHWM")
del model  # counting references is enough
print((peak - before) * 1024, (kilobytes("VmRSS") - before) * 1024)
"""


@pytest.mark.parametrize(("kind", "compress"), [("<f8", None), (">f8", None), ("<f8", ("zlib", 1))])
def test_an_array_model_takes_its_size_and_gives_it_back(
    kind: str, compress: Any, release: Any, tmp_path: Path
) -> None:
    small, large = tmp_path / "small.safemodel", tmp_path / "large.safemodel"
    for path, size in ((small, 1000), (large, SIZE)):
        model = {"weights": np.ones(size // 8, kind)}
        safemodel.dump(model, path, key=release.private, name="acme/churn", compress=compress)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(release.public), str(small), str(large), str(SIZE)],
        capture_output=True,
        text=True,
        check=True,
    )
    large.unlink()  # pytest keeps the folder for a while
    peak, left = map(int, done.stdout.split())
    assert peak < 1.15 * SIZE
    assert left < 0.1 * SIZE
