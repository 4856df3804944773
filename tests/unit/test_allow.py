"""`allow=` and `roles=`: what a verifier adds to the catalogue, and what a walk at load adds to the rules."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import safemodel
from safemodel.errors import ConfigurationError, GlobalNotAllowedError, LimitExceededError, PayloadError
from safemodel.format.content import PAYLOAD_NUMBER
from safemodel.format.manifest import Payload
from safemodel.format.source import open_source
from safemodel.format.unverified import read_unverified
from safemodel.payload.index import encode_index
from safemodel.payload.walk import walk

CLIP = "acme_allow.Clip"
SOURCE = """
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

class Clip(TransformerMixin, BaseEstimator):
    def __init__(self, most=1.0):
        self.most = most
    def fit(self, X, y=None):
        self.fitted_ = True
        return self
    def transform(self, X):
        return np.minimum(X, self.most)
"""


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A class of one's own, in a module that can be imported."""
    (tmp_path / "acme_allow.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    import acme_allow  # type: ignore[import-not-found]

    yield acme_allow.Clip
    sys.modules.pop("acme_allow", None)


@pytest.fixture
def own(clip: Any, tmp_path: Path, release: Any) -> Path:
    """An artifact with such a class in it."""
    model = make_pipeline(StandardScaler(), clip(0.5)).fit(np.eye(3))
    path = tmp_path / "own.safemodel"
    safemodel.dump(model, path, key=release.private, allow=[CLIP])
    return path


def test_dumping_it_takes_the_name(clip: Any, tmp_path: Path, release: Any) -> None:
    with pytest.raises(GlobalNotAllowedError) as refused:
        safemodel.dump(clip(), tmp_path / "own.safemodel", key=release.private)
    assert f'allow=["{CLIP}"]' in refused.value.hint
    assert f"--allow {CLIP}" in refused.value.hint
    assert "scikit-learn 1.3 to" in refused.value.hint
    assert not (tmp_path / "own.safemodel").exists()


def test_every_way_to_open_it_takes_the_name(own: Path, tmp_path: Path, release: Any, canary: list[str]) -> None:
    for refuse in (
        lambda: safemodel.load(own, trust=release.public),
        lambda: safemodel.verify(own, trust=release.public),
        lambda: safemodel.load(own, trust=release.public, allow=["acme_allow.Clipper"]),
        lambda: safemodel.extract(own, tmp_path / "out", trust=release.public),
    ):
        with pytest.raises(GlobalNotAllowedError, match=CLIP):
            refuse()
    assert canary == []
    assert not (tmp_path / "out").exists()


def test_the_name_lets_it_in(own: Path, tmp_path: Path, release: Any) -> None:
    expected = [[0.5, -0.7071067811865476, -0.7071067811865476]]
    for allow in ([CLIP], CLIP):
        model = safemodel.load(own, trust=release.public, allow=allow)
        assert model.transform([[1, 0, 0]]) == pytest.approx(np.array(expected))
    with safemodel.verify(own, trust=release.public, allow=[CLIP]) as artifact:
        assert artifact.load()[1].most == 0.5
    assert "payload.joblib" in safemodel.extract(own, tmp_path / "out", trust=release.public, allow=[CLIP])


def test_a_countersigner_judges_no_code(own: Path, release: Any, stranger: Any) -> None:
    safemodel.sign(own, key=stranger.private, trust=release.public)
    assert len(safemodel.inspect(own).signatures.records) == 2


@pytest.mark.parametrize("name", ["os.system", "Clip", "__main__.Clip", ""])
def test_names_that_are_never_allowed(name: str, churn: Path, release: Any) -> None:
    with pytest.raises(ConfigurationError):
        safemodel.load(churn, trust=release.public, allow=[name])


# A walk at load.


def described(path: Path) -> tuple[bytes, bytes, Payload]:
    """The payload of an artifact, its index, and what the manifest says of it."""
    with open_source(path) as source:
        unverified = read_unverified(source)
        entry = unverified.layout.entries[PAYLOAD_NUMBER]
        payload = source.read(unverified.layout.offset_of(entry.name), entry.size)
        return payload, encode_index(walk(payload).regions), unverified.manifest.payload


def test_a_walk_accepts_what_was_dumped(own: Path, release: Any) -> None:
    assert safemodel.load(own, trust=release.public, allow=[CLIP], roles="walk")[1].most == 0.5


@pytest.mark.parametrize("count", ["opcodes", "memo", "depth"])
def test_a_walk_enforces_every_count(count: str, own: Path, forge: Callable[..., Path], release: Any) -> None:
    payload, index, description = described(own)
    lie = replace(description, counts=replace(description.counts, **{count: getattr(description.counts, count) - 1}))
    path = forge(payload, index=index, description=lie)
    safemodel.load(path, trust=release.public, allow=[CLIP])
    with pytest.raises(LimitExceededError):
        safemodel.load(path, trust=release.public, allow=[CLIP], roles="walk")


@pytest.mark.parametrize("lie", ["regions", "globals", "roles"])
def test_a_walk_compares_what_was_signed(lie: str, own: Path, forge: Callable[..., Path], release: Any) -> None:
    payload, index, description = described(own)
    found = description.globals
    lies = {
        "regions": (encode_index(walk(payload).regions[1:]), found),
        "globals": (index, found[:-1]),
        "roles": (index, (*found[:-1], replace(found[-1], roles=found[-1].roles[:1]))),
    }
    index, signed = lies[lie]
    path = forge(payload, index=index, description=replace(description, globals=signed))
    with pytest.raises(PayloadError, match="the walk finds"):
        safemodel.load(path, trust=release.public, allow=[CLIP], roles="walk")


def test_other_roles_are_refused(churn: Path, release: Any) -> None:
    for verb in (safemodel.load, safemodel.verify):
        with pytest.raises(ConfigurationError, match="manifest, walk"):
            verb(churn, trust=release.public, roles="none")


def test_names_that_are_no_texts(tmp_path: Path, release: Any) -> None:
    with pytest.raises(ConfigurationError):
        safemodel.dump([1], tmp_path / "churn.safemodel", key=release.private, allow=StandardScaler)
