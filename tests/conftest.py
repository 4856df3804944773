"""Fixtures that several rooms' tests share: keys, small artifacts, and a canary for everything that is unpickled."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import safemodel
from safemodel import artifact as artifact_module
from safemodel.countersigning import add_signatures
from safemodel.format.envelope import SignatureSet, artifact_digest
from safemodel.format.limits import CHUNK_SIZE_DEFAULT
from safemodel.format.manifest import Counts, Creator, Manifest, Payload
from safemodel.format.writer import ArtifactWriter


@dataclass(frozen=True)
class KeyPair:
    private: Path
    public: Path


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SAFEMODEL_KEY", "SAFEMODEL_TRUST", "SAFEMODEL_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def make_key(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., KeyPair]:
    """Make a key pair of its own, without a passphrase."""

    def make(algorithm: str = "ed25519") -> KeyPair:
        private = tmp_path_factory.mktemp("keys") / "release.key"
        safemodel.generate_keyfile(private, algorithm=algorithm, passphrase=False)
        public = private if algorithm == "hmac-sha256" else private.with_name("release.key.pub")
        return KeyPair(private, public)

    return make


@pytest.fixture(scope="session")
def release(make_key: Callable[..., KeyPair]) -> KeyPair:
    """The key that the verifier trusts."""
    return make_key()


@pytest.fixture(scope="session")
def stranger(make_key: Callable[..., KeyPair]) -> KeyPair:
    """A key that nobody trusts."""
    return make_key()


@pytest.fixture(scope="session")
def churn(tmp_path_factory: pytest.TempPathFactory, release: KeyPair) -> Path:
    """A small artifact, `acme/churn` 1.4.0; tests that change it copy it first."""
    path = tmp_path_factory.mktemp("artifacts") / "churn.safemodel"
    safemodel.dump({"weights": [1.5, 2.5]}, path, key=release.private, name="acme/churn", version="1.4.0")
    return path


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record every payload that reaches the unpickler."""
    unpickled: list[str] = []
    real = artifact_module._unpickle

    def recording(catalogue: Any, walking: bool, manifest: Any, payload: memoryview, index: bytes) -> Any:
        unpickled.append(manifest.name)
        return real(catalogue, walking, manifest, payload, index)

    monkeypatch.setattr(artifact_module, "_unpickle", recording)
    return unpickled


@pytest.fixture
def forge(tmp_path: Path, release: KeyPair) -> Callable[..., Path]:
    """Write an artifact around any payload bytes and any claims, signed for real: what a careless signer could do."""

    def make(
        payload: bytes = b"payload",
        *,
        file: str = "churn.safemodel",
        keys: Sequence[Path] = (release.private,),
        index: bytes = b"",
        attachments: Mapping[str, bytes] | None = None,
        description: Payload | None = None,
        algorithm: str = "blake3",
        chunk_size: int = CHUNK_SIZE_DEFAULT,
        **claims: Any,
    ) -> Path:
        path = tmp_path / file
        with open(path, "w+b") as output, ArtifactWriter(output, "joblib", algorithm, chunk_size) as writer:
            writer.write(payload)
            entries, digests = writer.describe({"index": index} | dict(attachments or {}))
            described = description or Payload("joblib", "1.2", "none", len(payload), (), Counts(1, 0, 0, 1))
            fields: dict[str, Any] = {
                "name": "acme/churn",
                "version": "1.4.0",
                "created": int(time.time()),
                "expires": None,
            }
            manifest = Manifest(
                Creator("test", "1"), entries=entries, digest=digests, payload=described, **(fields | claims)
            )
            data = manifest.to_bytes()
            signers = [safemodel.load_signer(key) for key in keys]
            writer.finish(data, add_signatures(SignatureSet(()), signers, artifact_digest(data)))
        return path

    return make
