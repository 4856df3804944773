"""A load as a whole: collection does not interrupt it, and it leaves nothing to collect."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sameness import difference
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

import safemodel
from safemodel.payload import loading, restricted

MODELS = [
    LogisticRegression(),
    HistGradientBoostingClassifier(max_iter=60),
    GradientBoostingClassifier(n_estimators=60),
]


@pytest.fixture(params=MODELS, ids=lambda model: type(model).__name__)
def model(request: pytest.FixtureRequest) -> Any:
    return request.param.fit(*make_classification(100, random_state=0))


@pytest.fixture
def _collected_often() -> Iterator[None]:
    thresholds = gc.get_threshold()
    gc.set_threshold(50, 2, 2)
    yield
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("_collected_often")
@pytest.mark.parametrize("roles", ["manifest", "walk"])
def test_collection_waits_for_the_end(
    model: Any, roles: str, tmp_path: Path, release: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    safemodel.dump(model, tmp_path / "model.safemodel", key=release.private)
    collections: list[str] = []
    load_restricted = restricted.load_restricted

    def counted(*arguments: Any) -> Any:
        gc.callbacks.append(count)
        try:
            return load_restricted(*arguments)
        finally:
            gc.callbacks.remove(count)

    def count(phase: str, information: dict[str, int]) -> None:
        collections.append(phase)

    monkeypatch.setattr(loading, "load_restricted", counted)
    loaded = safemodel.load(tmp_path / "model.safemodel", trust=release.public, roles=roles)
    assert not collections
    assert difference(model, loaded) is None


def test_nothing_is_left_to_collect(model: Any, tmp_path: Path, release: Any) -> None:
    safemodel.dump(model, tmp_path / "model.safemodel", key=release.private)
    safemodel.load(tmp_path / "model.safemodel", trust=release.public)  # what is imported leaves something
    gc.collect()
    gc.disable()
    try:
        safemodel.load(tmp_path / "model.safemodel", trust=release.public)
        assert gc.collect() == 0
    finally:
        gc.enable()
