"""Foreign tools, and what everything that one of them signs must pass."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import safemodel
from safemodel.format.envelope import signed_bytes
from safemodel.signing import write_verifying_key

OpenSSL = Callable[..., bytes]

VERIFY = {
    "ed25519": [
        "pkeyutl",
        "-verify",
        "-rawin",
        "-pubin",
        "-inkey",
        "by.pub",
        "-sigfile",
        "signature",
        "-in",
        "message",
    ],
    "ecdsa-p256-sha256": ["dgst", "-sha256", "-verify", "by.pub", "-signature", "signature", "message"],
}


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSSL:
    """Run openssl in the test's folder and return its standard output."""
    command = shutil.which("openssl")
    if command is None:
        pytest.skip("the openssl command is not installed")

    def run(*arguments: str) -> bytes:
        return subprocess.run([command, *arguments], cwd=tmp_path, check=True, capture_output=True).stdout

    return run


@pytest.fixture
def check_signing(tmp_path: Path, openssl: OpenSSL) -> Callable[[safemodel.Signer], None]:
    """Sign artifacts, and have safemodel and openssl verify them with nothing but the public key's file."""

    def check(signer: safemodel.Signer) -> None:
        write_verifying_key(signer.verifying_key, tmp_path / "by.pub")
        for _ in range(4):  # about half of ECDSA's signatures have to be normalised
            safemodel.dump([1.5, 2.5], tmp_path / "churn.safemodel", key=signer, name="acme/churn")
            with safemodel.verify(tmp_path / "churn.safemodel", trust=tmp_path / "by.pub"):
                pass
            artifact = safemodel.inspect(tmp_path / "churn.safemodel")
            (tmp_path / "message").write_bytes(signed_bytes(bytes.fromhex(artifact.digest)))
            (tmp_path / "signature").write_bytes(artifact.signatures.records[0].signature)
            openssl(*VERIFY[signer.algorithm])
            if signer.algorithm == "ecdsa-p256-sha256":
                check_bundle(signer, tmp_path)

    return check


def check_bundle(signer: safemodel.Signer, folder: Path) -> None:
    artifact, bundle, trust = (folder / name for name in ("churn.safemodel", "model.sig", "by.pub"))
    safemodel.export_oms(artifact, bundle, key=signer, trust=trust)
    safemodel.verify_oms(artifact, bundle, trust=trust)
