"""Payloads that other versions of the libraries dumped (stacks/README.md): they pack, and load as far as joblib can."""

import json
import platform
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
from sameness import difference, predictions

import safemodel
from safemodel import packing
from safemodel.arguments import signers_of
from safemodel.describe.example.example import Example
from safemodel.describe.example.storage import table_to_bytes
from safemodel.errors import SafemodelError
from safemodel.format.source import open_source
from safemodel.writing import Claims, write_artifact

HERE = Path(__file__).parent / "stacks"
STACKS = sorted(path.name for path in HERE.glob("scikit-learn-*"))
PAYLOADS = sorted(path.relative_to(HERE).as_posix() for path in HERE.glob("*/*.joblib*"))
PREDICTIONS = sorted(path.relative_to(HERE).as_posix() for path in HERE.glob("*/*.predictions.json"))
ROWS = np.random.RandomState(1).rand(10, 3)
# Its trees hold counts where those of later versions hold shares: the labels are the same, the probabilities are not.
DRIFTED = {"scikit-learn-1.3.2/forest.predictions.json": ["predict_proba"]}
PACK_ALL = """
import io, pathlib, sys, safemodel
signer = safemodel.load_signer(sys.argv[1])
for path in pathlib.Path(sys.argv[2]).glob("*/*.joblib*"):
    safemodel.pack(path, io.BytesIO(), key=signer, name="old")
print(*sys.modules.keys() & {"sklearn", "pandas", "scipy", "xgboost", "lightgbm"})
"""

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries warn of models of another version


@pytest.fixture
def _same_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generators that NumPy 1.26 pickled have no seed of their own, and get a new one with each load."""
    monkeypatch.setattr(np.random.bit_generator, "randbits", lambda count: 7)


def as_joblib_loads_it(path: Path) -> Any:
    """The model, or the error that joblib's own loader ends with."""
    try:
        return joblib.load(path)
    except Exception as error:
        return error


@pytest.mark.usefixtures("_same_seeds")
@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_joblib_loads_loads(payload: str, tmp_path: Path, release: Any) -> None:
    artifact = tmp_path / "old.safemodel"
    safemodel.pack(HERE / payload, artifact, key=release.private)
    theirs = as_joblib_loads_it(HERE / payload)
    if isinstance(theirs, Exception):
        with pytest.raises(SafemodelError):
            safemodel.load(artifact, trust=release.public)
        return
    mine = safemodel.load(artifact, trust=release.public, roles="walk")
    assert difference(mine, theirs) is None
    assert difference(predictions(mine, ROWS), predictions(theirs, ROWS)) is None


@pytest.mark.parametrize("stack", STACKS)
def test_something_of_each_stack_loads(stack: str) -> None:
    loaded = [as_joblib_loads_it(HERE / payload) for payload in PAYLOADS if payload.startswith(stack)]
    assert not all(isinstance(each, Exception) for each in loaded)


@pytest.mark.parametrize("stack", STACKS)
def test_another_scikit_learn_is_told_before_anything_is_unpickled(
    stack: str, tmp_path: Path, release: Any, canary: list[str]
) -> None:
    """Of a payload that was pickled elsewhere, the one version is known that its estimators say."""
    artifact, signed = tmp_path / "old.safemodel", stack.removeprefix("scikit-learn-")
    safemodel.pack(HERE / stack / "linear.joblib", artifact, key=release.private)
    environment = safemodel.inspect(artifact).manifest.environment
    if signed == sklearn.__version__:
        assert environment["python"] == platform.python_version()
        return
    assert environment == {"distributions": {"scikit-learn": signed}}
    warnings.simplefilter("error", safemodel.EnvironmentWarning)
    with pytest.raises(safemodel.EnvironmentWarning, match=f'pip install "scikit-learn=={signed}"') as warned:
        safemodel.load(artifact, trust=release.public)
    with pytest.raises(safemodel.EnvironmentMismatchError) as refused:
        safemodel.load(artifact, trust=release.public, environment="error")
    assert warned.value.differences == refused.value.differences
    [difference] = refused.value.differences
    assert (difference.signed, difference.installed) == (signed, sklearn.__version__)
    assert canary == []


@pytest.mark.parametrize("method", ["zlib", "gzip", "bz2", "xz", "lzma"])
@pytest.mark.parametrize("stack", STACKS)
def test_payloads_stay_compressed(stack: str, method: str, tmp_path: Path, release: Any) -> None:
    payload, artifact = HERE / stack / f"linear.joblib.{method}", tmp_path / "old.safemodel"
    safemodel.pack(payload, artifact, key=release.private)
    assert safemodel.inspect(artifact).manifest.payload.compression == method
    assert payload.read_bytes() in artifact.read_bytes()


def test_packing_unpickles_nothing(release: Any) -> None:
    """Whoever unpickles a model imports its library."""
    command = [sys.executable, "-c", PACK_ALL, str(release.private), str(HERE)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "\n"


def pack_with_example(payload: Path, artifact: Path, predictions: dict[str, Any], key: Any) -> None:
    """Sign a payload with what its model gave where it was dumped, through the real writer."""
    outputs = {method: np.array(found) for method, found in predictions.items()}
    inputs = np.random.RandomState(0).rand(30, 3)[:5]  # the rows of make.py
    example = Example(table_to_bytes(inputs, "example"), outputs, 1e-6)
    claims = Claims.of(artifact, name="old", version=None, expires=None, training={})
    with open_source(payload) as source:
        claims = claims.with_example(*example.to_claims())
        write_artifact(artifact, claims, signers_of(key, None), "blake3", packing._payload_writer(source, None, None))


@pytest.mark.parametrize(
    "name", sorted(path.relative_to(HERE).as_posix() for path in HERE.glob("*/*.predictions.json"))
)
def test_old_models_predict_here_what_they_predicted_there(name: str, tmp_path: Path, release: Any) -> None:
    predictions = json.loads((HERE / name).read_text())
    payload, artifact = HERE / name.replace(".predictions.json", ".joblib"), tmp_path / "old.safemodel"
    pack_with_example(payload, artifact, predictions, release.private)
    with safemodel.verify(artifact, trust=release.public) as verified:
        found = verified.reproduce()
    assert [each.method for each in found.differences if not each.agrees] == DRIFTED.get(name, [])
    predictions["predict"][0] = "no" if predictions["predict"][0] == "yes" else "yes"
    pack_with_example(payload, artifact, predictions, release.private)
    with pytest.raises(safemodel.DriftError):
        safemodel.load(artifact, trust=release.public, reproduce=True)
