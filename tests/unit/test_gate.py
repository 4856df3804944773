"""The gate's steps in their order, on files that a trusted signer signed, each with one fault."""

import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import safemodel
from safemodel.errors import ConfigurationError, DigestMismatchError, FormatError, NoTrustedSignatureError
from safemodel.format.source import open_source
from safemodel.trust.gate import VerifiedArtifact
from safemodel.trust.loader import read_detached, read_trust


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def offset_of(path: Path, name: str) -> int:
    return safemodel.inspect(path).layout.offset_of(name)


def test_a_verified_artifact_says_what_was_verified(forge: Callable[..., Path], release: Any) -> None:
    path = forge(attachments={"notes.txt": b"hello"})
    with safemodel.verify(path, trust=release.public) as artifact:
        assert artifact.manifest.name == "acme/churn"
        assert artifact.digest == safemodel.inspect(path).digest
        assert [signer.key_id for signer in artifact.signers] == list(safemodel.inspect(path).key_ids)
        assert "acme/churn" in repr(artifact)


def test_only_the_gate_makes_one(forge: Callable[..., Path], release: Any) -> None:
    with pytest.raises(TypeError):
        VerifiedArtifact(object(), None, None, None)  # type: ignore[arg-type]
    with safemodel.verify(forge(), trust=release.public) as artifact:
        for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError):
                duplicate(artifact)


@pytest.mark.parametrize("entry", ["payload.joblib", "index", "notes.txt", "digests"])
def test_a_changed_entry_is_refused(entry: str, forge: Callable[..., Path], release: Any, canary: list[str]) -> None:
    path = forge(index=b"index", attachments={"notes.txt": b"hello"})
    flip(path, offset_of(path, entry))
    for verb in (safemodel.verify, safemodel.load):
        with pytest.raises(DigestMismatchError):
            verb(path, trust=release.public)
    assert canary == []


def test_what_is_changed_after_verifying_is_refused_when_loading(
    forge: Callable[..., Path], release: Any, canary: list[str]
) -> None:
    path = forge()
    with safemodel.verify(path, trust=release.public) as artifact:
        flip(path, offset_of(path, "payload.joblib"))
        with pytest.raises(DigestMismatchError):
            artifact.load()
    assert canary == []


def test_the_signature_is_judged_before_the_manifest_is_parsed(
    forge: Callable[..., Path], stranger: Any, release: Any
) -> None:
    path = forge(keys=[stranger.private], name="Not A Name")
    with pytest.raises(NoTrustedSignatureError):
        safemodel.verify(path, trust=release.public)
    with pytest.raises(FormatError):
        safemodel.verify(path, trust=stranger.public)


def test_the_number_of_digests_follows_from_the_entries(
    forge: Callable[..., Path], release: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safemodel.format.writer import ArtifactWriter

    monkeypatch.setattr(ArtifactWriter, "_chunks", lambda self, data: b"")
    with pytest.raises(FormatError):
        safemodel.verify(forge(), trust=release.public)


def test_chunks_of_every_size(forge: Callable[..., Path], release: Any) -> None:
    payload = bytes(range(256)) * 1000
    path = forge(payload, chunk_size=2**16, algorithm="sha256")
    seen: list[tuple[int, int]] = []
    with safemodel.verify(path, trust=release.public, progress=lambda *step: seen.append(step)) as artifact:
        assert len(artifact.manifest.entries) == 4
    assert seen[-1][0] == seen[-1][1] > len(payload)


def test_trust_is_read_from_files_objects_and_lists(release: Any, stranger: Any) -> None:
    key = safemodel.load_verifying_key(release.public)
    store = read_trust([release.public, str(stranger.public), key])
    assert len(store.signers) == 2
    assert read_trust(store) is store


def test_trust_from_the_environment(release: Any, stranger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError):
        read_trust(None)
    monkeypatch.setenv("SAFEMODEL_TRUST", os.pathsep.join([str(release.public), str(stranger.public), ""]))
    assert len(read_trust(None).signers) == 2


def test_a_folder_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        read_trust(tmp_path)


def test_a_model_comes_out_of_what_was_verified(churn: Path, release: Any, canary: list[str]) -> None:
    with safemodel.verify(churn, trust=release.public) as artifact:
        assert canary == []
        assert artifact.load() == safemodel.load(churn, trust=release.public) == {"weights": [1.5, 2.5]}
    assert canary == ["acme/churn", "acme/churn"]


def test_detached_signatures_of_a_size_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "churn.safemodel.sig").write_bytes(bytes(2**16 + 1))
    with pytest.raises(FormatError):
        read_detached(tmp_path / "churn.safemodel")
    assert read_detached(tmp_path / "other.safemodel") is None


def test_the_source_closes_with_the_artifact(forge: Callable[..., Path], release: Any) -> None:
    artifact = safemodel.verify(forge(), trust=release.public)
    artifact.close()
    with pytest.raises(ValueError, match="closed"):
        artifact.load()


def test_a_refusal_closes_the_file(forge: Callable[..., Path], stranger: Any) -> None:
    path = forge()
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    with pytest.raises(NoTrustedSignatureError):
        safemodel.verify(path, trust=stranger.public)
    after = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    assert after == before
    with open_source(path) as source:
        assert source.size == path.stat().st_size
