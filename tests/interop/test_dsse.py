"""A DSSE verifier that others wrote accepts our signatures, and refuses them for other bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Signature, SSlibKey

import safemodel
from safemodel.format.envelope import PAYLOAD_TYPE

KEYS = {
    "ed25519": ("ed25519", "ed25519"),
    "ecdsa-p256-sha256": ("ecdsa", "ecdsa-sha2-nistp256"),
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_securesystemslib_verifies(algorithm: str, forge: Callable[..., Path], make_key: Callable[..., Any]) -> None:
    pair = make_key(algorithm)
    artifact = safemodel.inspect(forge(keys=[pair.private]))
    (record,) = artifact.signatures.records
    key_id = record.key_id.hex()
    key = SSlibKey(key_id, *KEYS[algorithm], {"public": public_value(algorithm, pair.public)})
    signatures = {key_id: Signature(key_id, record.signature.hex())}
    body = bytes.fromhex(artifact.digest)
    assert Envelope(body, PAYLOAD_TYPE, signatures).verify([key], 1) == {key_id: key}
    for envelope in (Envelope(bytes(32), PAYLOAD_TYPE, signatures), Envelope(body, "text/plain", signatures)):
        with pytest.raises(VerificationError):
            envelope.verify([key], 1)


def public_value(algorithm: str, path: Path) -> str:
    if algorithm != "ed25519":
        return path.read_text()
    return safemodel.load_verifying_key(path).raw.hex()  # type: ignore[attr-defined, no-any-return]
