"""What the manifest says a model was made with: what is installed, unless the payload knows better."""

import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression

import safemodel
from safemodel.describe import environment as environment_module
from safemodel.describe import installed as installed_module
from safemodel.describe.environment import describe_environment
from safemodel.describe.installed import python_version, version_of
from safemodel.payload.walk import walk
from safemodel.trust.environment import compare, states_nothing

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    installed_module._from_metadata.cache_clear()
    environment_module._owners.cache_clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make a distribution that pip could have installed, with any metadata."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name: str, metadata: str | bytes | None = METADATA, *, top: str = "", origin: str = "") -> Path:
        folder = tmp_path / f"{name}-1.2.3.dist-info"
        folder.mkdir()
        if isinstance(metadata, str):
            metadata = metadata.format(name=name, version="1.2.3").encode()
        if metadata is not None:
            (folder / "METADATA").write_bytes(metadata)
        (folder / "top_level.txt").write_text(top)
        if origin:
            (folder / "direct_url.json").write_text(origin)
        return folder

    return make


def environment_of(value: Any, tmp_path: Path, release: Any, **options: Any) -> dict[str, Any]:
    path = tmp_path / "model.safemodel"
    safemodel.dump(value, path, key=release.private, **options)
    return dict(safemodel.inspect(path).manifest.environment)


def test_exactly_what_the_model_needs(tmp_path: Path, release: Any) -> None:
    plain = environment_of({"weights": [1.5]}, tmp_path, release)
    assert plain == {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": {"system": platform.system(), "machine": platform.machine()},
    }
    found = environment_of([LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])], tmp_path, release)
    assert found == plain | {
        "distributions": {name: version(name) for name in ("joblib", "numpy", "scikit-learn")},
    }
    sparse = environment_of(scipy.sparse.eye_array(3, format="csr"), tmp_path, release)["distributions"]
    assert sparse == {name: version(name) for name in ("joblib", "numpy", "scipy")}


def test_nothing_differs_where_it_was_made() -> None:
    described = describe_environment(
        ["sklearn.pipeline", "numpy", "scipy.sparse", "pandas", "xgboost.core", "lightgbm"]
    )
    assert len(described["distributions"]) == 6
    assert compare(described, installed_module.installed()) == ()


def test_modules_without_a_distribution_are_absent() -> None:
    described = describe_environment(["builtins", "__main__", "collections", "my_own_file", "tests.unit"])
    assert "distributions" not in described


def test_a_package_of_the_user(install: Callable[..., Path]) -> None:
    install("Acme.Transformers", top="acme\n")
    assert describe_environment(["acme.text"])["distributions"] == {"acme-transformers": "1.2.3"}


@pytest.mark.parametrize(
    ("file", "is_package", "looked"),
    [
        ("{folder}/acme.py", False, True),
        ("{folder}/acme/__init__.py", True, True),
        ("{folder}/own/acme.py", False, False),
        ("{folder}/own/acme/__init__.py", True, False),
        ("{folder}/missing.zip/acme.py", False, True),
    ],
)
def test_all_that_is_installed_is_looked_through_only_where_it_can_help(
    file: str,
    is_package: bool,
    looked: bool,
    install: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install("Acme.Transformers", top="acme\n")
    (tmp_path / "own" / "acme").mkdir(parents=True)
    module = ModuleType("acme")
    module.__file__ = file.format(folder=tmp_path)
    if is_package:
        module.__path__ = []
    monkeypatch.setitem(sys.modules, "acme", module)
    found = describe_environment(["acme.text"]).get("distributions", {})
    assert found == ({"acme-transformers": "1.2.3"} if looked else {})


@pytest.mark.parametrize(
    ("origin", "found"),
    [
        ('{"url": "file:///src", "dir_info": {"editable": true}}', True),
        ('{"url": "file:///src", "dir_info": {}}', False),
        ("{", False),
        ("[]", False),
        ("", False),
    ],
)
def test_an_editable_package_of_the_user(install: Callable[..., Path], origin: str, found: bool) -> None:
    install("acme", origin=origin)
    assert describe_environment(["acme.text"]).get("distributions", {}) == ({"acme": "1.2.3"} if found else {})


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        b"",
        b"\xff\xfe\x00",
        "Name: {name}\n",
        "Version: 1.2.3\n",
        "Name: {name}\nVersion: not a version\n",
        "Name: {name}\nVersion: 1.0; evil\n",
        "Name: {name}\nVersion: 1\n  0\n",
    ],
)
def test_damaged_metadata_is_passed_over(install: Callable[..., Path], metadata: str | bytes | None) -> None:
    install("acme", metadata, top="acme\n")
    described = describe_environment(["acme.text", "numpy"])
    assert set(described["distributions"]) == {"numpy"}


def test_metadata_that_cannot_be_looked_through_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("damaged")

    monkeypatch.setattr("importlib.metadata.packages_distributions", fail)
    assert set(describe_environment(["acme.text", "numpy"])["distributions"]) == {"numpy"}


def test_a_library_that_is_loaded_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been upgraded under the running process, whose models are of the version that is loaded."""
    older = ModuleType("numpy")
    older.__version__ = "1.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "numpy", older)
    assert version_of("numpy") == "1.0"
    older.__version__ = None  # type: ignore[attr-defined]
    assert version_of("numpy") == version("numpy")
    monkeypatch.delitem(sys.modules, "numpy")
    assert version_of("numpy") == version("numpy")
    assert version_of("no-such-distribution") is None


@pytest.mark.parametrize(("level", "text"), [("final", "3.15.0"), ("beta", "3.15.0b2"), ("candidate", "3.15.0rc2")])
def test_pre_releases_of_python(level: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Info(tuple[int, int, int]):
        releaselevel = level
        serial = 2

    monkeypatch.setattr(sys, "version_info", Info((3, 15, 0)))
    assert python_version() == text


# What was pickled elsewhere.


class Estimator:
    """As scikit-learn's estimators: the version is the last item of the state."""

    def __init__(self, version: Any) -> None:
        self.coef = 1.5
        self._sklearn_version = version


def packed(values: Any, tmp_path: Path, release: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(Estimator, "__module__", "acme.estimators")
    module = SimpleNamespace(Estimator=Estimator)
    monkeypatch.setitem(sys.modules, "acme", ModuleType("acme"))
    monkeypatch.setitem(sys.modules, "acme.estimators", module)
    joblib.dump(values, tmp_path / "model.joblib")
    path = tmp_path / "model.safemodel"
    options = {"key": release.private, "allow": ["acme.estimators.Estimator"]}
    safemodel.pack(tmp_path / "model.joblib", path, **options)
    return dict(safemodel.inspect(path).manifest.environment)


def test_a_payload_of_this_version_was_made_here(tmp_path: Path, release: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [Estimator(version("scikit-learn")), np.eye(2)]
    found = packed(values, tmp_path, release, monkeypatch)
    assert found["python"] == platform.python_version()
    assert found["distributions"]["numpy"] == version("numpy")


def test_of_a_payload_of_another_version_nothing_else_is_known(
    tmp_path: Path, release: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [Estimator("1.2.2"), np.eye(2), Estimator("1.2.2")]
    assert packed(values, tmp_path, release, monkeypatch) == {"distributions": {"scikit-learn": "1.2.2"}}


@pytest.mark.parametrize("versions", [("1.2.2", "1.3.0"), ("latest",), ("1.0\n1",), ("1." * 40,)])
def test_of_a_payload_that_contradicts_itself_nothing_is_known(
    versions: tuple[str, ...], tmp_path: Path, release: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert states_nothing(packed([Estimator(each) for each in versions], tmp_path, release, monkeypatch))


def test_only_the_last_item_of_a_state_counts() -> None:
    import pickle

    def found(value: Any) -> frozenset[str]:
        return walk(pickle.dumps(value)).estimator_versions

    assert found(Estimator("1.2.2")) == {"1.2.2"}
    assert found({"_sklearn_version": "1.2.2"}) == frozenset()
    assert found(Estimator(None)) == frozenset()
    assert found([Estimator(1), Estimator("1.3")]) == {"1.3"}
