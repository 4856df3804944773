"""Fuzz targets: each takes bytes from anybody, and nothing but a SafemodelError may come out of it.

Each has seeds, so that mutations start from bytes that are accepted.
"""

import io
import json
import random
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fuzz import payloads
from fuzz.mutate import mutated
from scipy import sparse

import safemodel
from safemodel.describe.example.storage import (
    outputs_from_bytes,
    outputs_to_bytes,
    table_from_bytes,
    table_to_bytes,
)
from safemodel.errors import SafemodelError
from safemodel.format import wire
from safemodel.format.envelope import DetachedSignatures, SignatureSet
from safemodel.format.manifest import Manifest
from safemodel.format.source import open_source
from safemodel.format.unverified import read_unverified
from safemodel.signing import signer_from_pem, verifying_key_from_pem


@dataclass(frozen=True)
class Target:
    """What to call with any bytes, bytes to start from, and how to change them."""

    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    mutate: Callable[[bytes, random.Random], bytes] = mutated


def container(data: bytes) -> None:
    with suppress(SafemodelError):
        assert read_unverified(open_source(io.BytesIO(data))).manifest


def gate(data: bytes) -> None:
    with suppress(SafemodelError):
        safemodel.verify(io.BytesIO(data), trust=_KEYS, name=safemodel.ANY_NAME)
        assert data == _ARTIFACT, "a changed artifact was accepted"


def envelope(data: bytes) -> None:
    with suppress(SafemodelError):
        assert SignatureSet.from_bytes(data).to_bytes() == data
    with suppress(SafemodelError):
        assert DetachedSignatures.from_bytes(data).to_bytes() == data


def msgpack(data: bytes) -> None:
    with suppress(SafemodelError):
        assert wire.encode(wire.decode(data, maximum=2**16, where="fuzz")) == data


def manifest(data: bytes) -> None:
    with suppress(SafemodelError):
        assert Manifest.from_bytes(data).to_bytes() == data


def example(data: bytes) -> None:
    with suppress(SafemodelError):
        assert table_from_bytes(data, "fuzz") is not None
    with suppress(SafemodelError):
        assert outputs_from_bytes(data, "fuzz") is not None


def key_file(data: bytes) -> None:
    with suppress(SafemodelError):
        signer_from_pem(data, "passphrase")
    with suppress(SafemodelError):
        verifying_key_from_pem(data)


def bundle(data: bytes) -> None:
    with suppress(SafemodelError):
        safemodel.verify_oms(io.BytesIO(_ARTIFACT), io.BytesIO(data), trust=_KEYS, name=safemodel.ANY_NAME)
        assert json.loads(data) == json.loads(_BUNDLE), "a changed bundle was accepted"


def _make_bundle() -> bytes:
    secrets = [signer_from_pem(data, "passphrase") for data in _KEY_FILES if b"PRIVATE" in data]
    key = next(signer for signer in secrets if signer.algorithm == "ecdsa-p256-sha256")
    target = io.BytesIO()
    options: dict[str, Any] = {"key": key, "trust": _KEYS, "name": safemodel.ANY_NAME}
    safemodel.export_oms(io.BytesIO(_ARTIFACT), target, **options)
    return target.getvalue()


def _make_seeds() -> tuple[bytes, tuple[bytes, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        for algorithm in ("ed25519", "ecdsa-p256-sha256", "hmac-sha256"):
            safemodel.generate_keyfile(Path(folder, f"{algorithm}.key"), algorithm=algorithm, passphrase=False)
        safemodel.generate_keyfile(Path(folder, "encrypted.key"), passphrase="passphrase")
        artifact = Path(folder, "churn.safemodel")
        signers = [Path(folder, "ed25519.key"), Path(folder, "ecdsa-p256-sha256.key")]
        safemodel.dump({"weights": [1.5, 2.5]}, artifact, key=signers, metrics={"auc": 0.5}, version="1.0")
        return artifact.read_bytes(), tuple(path.read_bytes() for path in sorted(Path(folder).glob("*.key*")))


_ARTIFACT, _KEY_FILES = _make_seeds()
_KEYS = [verifying_key_from_pem(data) for data in _KEY_FILES if b"PUBLIC" in data]
_UNVERIFIED = safemodel.inspect(io.BytesIO(_ARTIFACT))
_SIGNATURES = _UNVERIFIED.signatures
_BUNDLE = _make_bundle()
_DETACHED = DetachedSignatures(bytes.fromhex(_UNVERIFIED.digest), _SIGNATURES).to_bytes()
_EXAMPLES = (
    table_to_bytes(pd.DataFrame({"a": [1.5, None], "b": ["x", "y"], "c": pd.Categorical(["x", "y"])}), "seed"),
    table_to_bytes(sparse.csr_array(np.eye(2)), "seed"),
    outputs_to_bytes({"predict": np.array(["a"]), "predict_proba": [np.eye(2)]}, "seed"),
)

TARGETS = {
    "container": Target(container, (_ARTIFACT,)),
    "gate": Target(gate, (_ARTIFACT,)),
    "envelope": Target(envelope, (_SIGNATURES.to_bytes(), _DETACHED)),
    "msgpack": Target(msgpack, (_UNVERIFIED.manifest_bytes, _SIGNATURES.to_bytes())),
    "manifest": Target(manifest, (_UNVERIFIED.manifest_bytes,)),
    "example": Target(example, _EXAMPLES),
    "key-file": Target(key_file, _KEY_FILES),
    "bundle": Target(bundle, (_BUNDLE,)),
    "walk": Target(payloads.fuzz_walk, payloads.seeds(), payloads.mutated_payload),
    "lexer": Target(payloads.fuzz_lexer, payloads.seeds(), payloads.mutated_payload),
    "rehearsal": Target(payloads.fuzz_rehearsal, payloads.seeds(), payloads.mutated_payload),
    "loader": Target(payloads.fuzz_loader, payloads.seeds(), payloads.mutated_payload),
}
