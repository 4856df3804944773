"""The reference of OpenSSF Model Signing judges our bundles, in its own process."""

import json
import shutil
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from unit.test_oms import CHANGES, Change, rewrite

import safemodel
from safemodel.errors import FormatError, VerificationError
from safemodel.export.oms import OmsBundle
from safemodel.export.statement import to_json

Command = Callable[..., int]


@pytest.fixture
def model_signing(tmp_path: Path) -> Command:
    """Run the reference's command in the test's folder, and return its exit code."""
    if find_spec("model_signing") is None:
        pytest.skip("the package model-signing is not installed")

    def run(*arguments: str | Path) -> int:
        command = [sys.executable, "-I", "-m", "model_signing", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode

    return run


@pytest.fixture
def accepts(model_signing: Command, tmp_path: Path) -> Callable[..., bool]:
    def verify(artifact: str = "churn.safemodel") -> bool:
        return not model_signing(
            *("verify", "key", artifact, "--signature", "model.sig", "--public_key", "release.key.pub")
        )

    return verify


@pytest.fixture
def key(tmp_path: Path, make_key: Callable[..., Any]) -> Path:
    """A P-256 key, its public side in the test's folder, an artifact that it signed, and a bundle for it."""
    pair = make_key("ecdsa-p256")
    shutil.copy(pair.public, tmp_path)
    artifact = tmp_path / "churn.safemodel"
    safemodel.dump([1.5, 2.5], artifact, key=pair.private, name="acme/churn", version="1.4.0")
    safemodel.export_oms(artifact, tmp_path / "model.sig", key=pair.private, trust=pair.public)
    private: Path = pair.private
    return private


def test_it_accepts_our_bundles(key: Path, tmp_path: Path, accepts: Callable[..., bool]) -> None:
    assert accepts()
    (tmp_path / "churn.safemodel").rename(tmp_path / "other.safemodel")
    assert accepts("other.safemodel")
    safemodel.dump([1], tmp_path / "churn.safemodel", key=key)
    safemodel.export_oms(
        tmp_path / "churn.safemodel", tmp_path / "model.sig", key=key, trust=tmp_path / "release.key.pub"
    )
    assert accepts()


@pytest.mark.parametrize("change", CHANGES)
def test_both_refuse_what_was_altered_or_stripped(
    change: Change, key: Path, tmp_path: Path, accepts: Callable[..., bool]
) -> None:
    rewrite(tmp_path / "model.sig", change)
    assert not accepts()
    with pytest.raises((FormatError, VerificationError)):
        safemodel.verify_oms(tmp_path / "churn.safemodel", tmp_path / "model.sig", trust=tmp_path / "release.key.pub")


def test_it_refuses_another_artifact(
    key: Path, tmp_path: Path, accepts: Callable[..., bool], make_key: Callable[..., Any]
) -> None:
    artifact = tmp_path / "churn.safemodel"
    original = artifact.read_bytes()
    changed = bytearray(original)
    changed[4096] ^= 1
    artifact.write_bytes(changed)
    assert not accepts()
    artifact.write_bytes(original)
    assert accepts()
    safemodel.sign(artifact, key=make_key().private, trust=tmp_path / "release.key.pub")
    assert not accepts()  # the file is another one, though the artifact's digest is the same
    safemodel.dump([1.5, 2.5], artifact, key=key, name="acme/churn", version="1.4.0")
    assert not accepts()


def test_it_refuses_another_key(
    key: Path, tmp_path: Path, accepts: Callable[..., bool], make_key: Callable[..., Any]
) -> None:
    shutil.copy(make_key("ecdsa-p256").public, tmp_path / "release.key.pub")
    assert not accepts()


def test_it_refuses_a_statement_of_another_kind(key: Path, tmp_path: Path, accepts: Callable[..., bool]) -> None:
    trust, place = tmp_path / "release.key.pub", tmp_path / "churn.intoto.json"
    safemodel.export_in_toto(tmp_path / "churn.safemodel", place, key=key, trust=trust)
    envelope = json.loads(place.read_bytes())
    bundle = OmsBundle.from_bytes((tmp_path / "model.sig").read_bytes())
    signature = b64decode(envelope["signatures"][0]["sig"])
    provenance = OmsBundle(bundle.hint, b64decode(envelope["payload"]), signature)
    (tmp_path / "model.sig").write_bytes(provenance.to_bytes())
    assert not accepts()


def test_where_we_are_stricter(key: Path, tmp_path: Path, accepts: Callable[..., bool], model_signing: Command) -> None:
    """What it takes for its older form, and what it signs itself, does not say enough for us."""
    artifact, bundle, trust = (tmp_path / name for name in ("churn.safemodel", "model.sig", "release.key.pub"))
    value = json.loads(bundle.read_bytes())
    del value["verificationMaterial"]["publicKey"]["hint"]
    bundle.write_bytes(to_json(value))
    assert accepts()
    with pytest.raises(FormatError):
        safemodel.verify_oms(artifact, bundle, trust=trust)
    assert not model_signing("sign", "key", artifact, "--private_key", key, "--signature", bundle)
    assert accepts()
    with pytest.raises((FormatError, VerificationError)):
        safemodel.verify_oms(artifact, bundle, trust=trust)
