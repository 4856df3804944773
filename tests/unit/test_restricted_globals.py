"""From names to real things: only what says of itself what its name says."""

import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
from sklearn.ensemble import RandomForestClassifier

from safemodel.errors import GlobalNotAllowedError, PayloadError
from safemodel.payload.resolution import resolve


def test_what_its_name_says() -> None:
    pairs = {
        ("sklearn.ensemble._forest", "RandomForestClassifier"): RandomForestClassifier,
        ("numpy", "float64"): np.float64,
        ("numpy", "log1p"): np.log1p,
        ("numpy", "mean"): np.mean,
        ("numpy.random._pickle", "__randomstate_ctor"): sys.modules["numpy.random._pickle"].__randomstate_ctor,
    }
    assert resolve(pairs) == pairs


def test_aliases_of_other_versions() -> None:
    found = resolve([("pandas.core.frame", "DataFrame"), ("numpy.core.multiarray", "_reconstruct")])
    assert found["pandas.core.frame", "DataFrame"] is pandas.DataFrame
    assert found["numpy.core.multiarray", "_reconstruct"] is np.zeros(0).__reduce__()[0]


@pytest.mark.parametrize(
    "pair",
    [
        ("sklearn", "os"),
        ("sklearn.ensemble._bagging", "partial"),
        ("sklearn.feature_selection._base", "attrgetter"),
        ("sklearn.ensemble", "RandomForestClassifier"),
        ("sklearn.utils._testing", "check_output"),
        ("numpy", "__version__"),
        ("sys", "path"),
        ("numpy.ma", "absolute"),
    ],
)
def test_what_its_name_does_not_say(pair: tuple[str, str]) -> None:
    with pytest.raises(GlobalNotAllowedError):
        resolve([pair])


@pytest.mark.parametrize(
    "pair", [("no_such_module", "Thing"), ("numpy", "no_such_thing"), ("", "x"), (".os", "system")]
)
def test_what_is_not_there(pair: tuple[str, str]) -> None:
    with pytest.raises(PayloadError) as caught:
        resolve([pair])
    assert caught.value.__cause__ is not None


def test_a_module_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('broken')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PayloadError):
        resolve([("broken_module", "Thing")])


def test_a_ufunc_under_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "other", np.log1p, raising=False)
    with pytest.raises(GlobalNotAllowedError):
        resolve([("numpy", "other")])
