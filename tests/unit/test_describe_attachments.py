"""The manifest stays small: what describes a model and is large lies in entries of its own, signed like the rest."""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

import safemodel
from safemodel.describe.attachments import fitted, is_reference, resolved
from safemodel.errors import DigestMismatchError, FormatError, LimitExceededError
from safemodel.format import wire
from safemodel.format.limits import DESCRIPTION_ATTACHMENT_MAX, DESCRIPTION_MAX, KIB, NOTES_MAX


def test_what_fits_stays() -> None:
    maps = {"model": {"class": "a"}, "training": {"notes": "x" * (DESCRIPTION_MAX - 100)}}
    assert fitted(maps) == (maps, {})


def test_the_largest_value_moves_and_no_more() -> None:
    names = [f"feature {number}" for number in range(20_000)]
    maps, attachments = fitted({"model": {"class": "a", "feature_names": names}, "training": {"notes": "x" * 60_000}})
    reference = maps["model"]["feature_names"]
    (content,) = attachments.values()
    assert attachments == {"model.feature_names.msgpack": wire.encode(names)}
    assert reference == {
        "attachment": "model.feature_names.msgpack",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert is_reference(reference)
    assert resolved(reference, memoryview(content)) == names
    assert maps["training"]["notes"] == "x" * 60_000


def test_one_large_item_of_a_map_moves_alone() -> None:
    metadata = {"small": 1, "Größe / size": "x" * 200_000}
    maps, attachments = fitted({"training": {"metadata": metadata}})
    assert maps["training"]["metadata"]["small"] == 1
    assert list(attachments) == ["training.metadata.gr-e-size.msgpack"]


def test_many_small_items_move_together() -> None:
    metadata = {f"item {number}": "x" * 30 for number in range(10_000)}
    maps, attachments = fitted({"training": {"metadata": metadata}})
    assert resolved(maps["training"]["metadata"], *attachments.values()) == metadata


def test_names_do_not_collide_and_are_entry_names() -> None:
    metadata: dict[str, Any] = {f"{'KEY' * 30}{number}": "x" * 10**5 * 3**number for number in range(4)}
    maps, attachments = fitted({"training": {"metadata": metadata | {"": "y" * 10**4}}})
    assert len(attachments) > 1
    _, same = fitted({"model": {"x.1": "y" * 10**6, "x": "y" * 10**5, "X": "y" * 90_000}, "training": {}})
    assert list(same) == ["model.x.1.msgpack", "model.x.msgpack"]
    _, same = fitted({"model": {"x.1": "y" * 10**6, "x": "y" * 10**5 * 2, "X": "y" * 150_000}, "training": {}})
    assert list(same) == ["model.x.1.msgpack", "model.x.msgpack", "model.x.2.msgpack"]
    assert all(re.fullmatch("[a-z0-9][a-z0-9_.-]{0,62}[a-z0-9]", name) for name in attachments)
    assert len(wire.encode(maps)) <= DESCRIPTION_MAX


@pytest.mark.parametrize("value", [None, {}, {"attachment": "a"}, {"attachment": 1, "bytes": 2, "sha256": 3}, []])
def test_what_is_no_reference(value: object) -> None:
    assert not is_reference(value)


def test_too_large_is_an_error_that_names_the_place() -> None:
    with pytest.raises(LimitExceededError, match=r"training\.metadata\.large"):
        fitted({"training": {"metadata": {"large": "x" * (DESCRIPTION_ATTACHMENT_MAX + 1)}}})


def test_another_attachment_is_refused() -> None:
    maps, _ = fitted({"training": {"notes": "x" * 200_000}})
    with pytest.raises(DigestMismatchError):
        resolved(maps["training"]["notes"], b"other")


def test_a_manifest_stays_small_and_its_attachments_are_verified(release: Any, tmp_path: Path) -> None:
    path = tmp_path / "wide.safemodel"
    frame = pd.DataFrame(np.zeros((2, 20_000)), columns=[f"a feature named {number}" for number in range(20_000)])
    given = {"metadata": {"curve": list(range(200_000)), "by": "us"}, "notes": "text " * 50_000, "data": frame}
    safemodel.dump(StandardScaler().fit(frame), path, key=release.private, metrics={"auc": 0.5}, **given)
    with safemodel.verify(path, trust=release.public) as artifact:
        manifest = artifact.manifest
    assert len(safemodel.inspect(path).manifest_bytes) < 256 * KIB
    assert manifest.training["metrics"] == {"auc": 0.5}
    assert manifest.training["metadata"]["by"] == "us"
    assert manifest.training["data"]["rows"] == 2
    names = safemodel.extract(path, tmp_path / "out", trust=release.public)
    reference = manifest.model["feature_names"]
    assert reference["attachment"] in names
    content = (tmp_path / "out" / reference["attachment"]).read_bytes()
    assert resolved(reference, content) == list(frame.columns)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"metrics": {"auc": np.nan}}, FormatError),
        ({"metrics": {"auc": [0.5, float("inf")]}}, FormatError),
        ({"metadata": {"big": 2**70}}, FormatError),
        ({"metadata": {"bad": "\ud800"}}, FormatError),
        ({"metadata": {"large": "x" * (DESCRIPTION_ATTACHMENT_MAX + 1)}}, LimitExceededError),
        ({"notes": "x" * (NOTES_MAX + 1)}, LimitExceededError),
        ({"notes": b"bytes"}, FormatError),
        ({"data": object()}, FormatError),
        ({"metrics": {"confusion_matrix": [[1, 2]]}}, FormatError),
        ({"metrics": {"confusion_matrix": 3}}, FormatError),
        ({"metrics": {"confusion_matrix": [["a"]]}}, FormatError),
        ({"metrics": {"confusion_matrix": [[1]], "labels": ["a", "b"]}}, FormatError),
    ],
)
def test_what_is_given_is_checked_before_any_work(given: Any, error: Any, release: Any, tmp_path: Path) -> None:
    class Pickled:
        def __reduce__(self) -> Any:
            raise AssertionError("work was done")

    with pytest.raises(error):
        safemodel.dump(Pickled(), tmp_path / "churn.safemodel", key=release.private, **given)
    assert not list(tmp_path.iterdir())


def test_a_confusion_matrix(release: Any, tmp_path: Path) -> None:
    metrics = {"confusion_matrix": np.array([[3, 1], [0, 4]]), "labels": ["stay", "leave"], "gain": -0.0}
    safemodel.dump([1], tmp_path / "churn.safemodel", key=release.private, metrics=metrics)
    kept = safemodel.inspect(tmp_path / "churn.safemodel").manifest.training["metrics"]
    assert kept == {"confusion_matrix": [[3, 1], [0, 4]], "labels": ["stay", "leave"], "gain": 0.0}


def test_metadata_that_holds_itself(release: Any, tmp_path: Path) -> None:
    metadata: dict[str, Any] = {}
    metadata["again"] = metadata
    with pytest.raises(LimitExceededError):
        safemodel.dump([1], tmp_path / "churn.safemodel", key=release.private, metadata=metadata)
