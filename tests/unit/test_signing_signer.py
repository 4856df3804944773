import copy
import hashlib
import pickle
import subprocess
import sys
from collections.abc import Callable

import pytest

from safemodel.errors import SignatureMismatchError
from safemodel.signing import (
    EcdsaP256Signer,
    Ed25519Signer,
    Ed25519VerifyingKey,
    HmacSha256Key,
    Signer,
    VerifyingKey,
    compute_key_id,
)

GENERATORS: list[Callable[[], Signer]] = [Ed25519Signer.generate, EcdsaP256Signer.generate, HmacSha256Key.generate]

signers = pytest.mark.parametrize("generate", GENERATORS, ids=["ed25519", "ecdsa-p256-sha256", "hmac-sha256"])


@signers
def test_signer_fulfils_the_protocols(generate: Callable[[], Signer]) -> None:
    signer = generate()
    assert isinstance(signer, Signer)
    assert isinstance(signer.verifying_key, VerifyingKey)
    assert signer.algorithm == signer.verifying_key.algorithm
    assert signer.key_id == signer.verifying_key.key_id
    assert len(signer.key_id) == 32


@signers
def test_another_key_and_another_message_are_mismatches(generate: Callable[[], Signer]) -> None:
    signature = generate().sign(b"message")
    signer = generate()
    with pytest.raises(SignatureMismatchError) as caught:
        signer.verifying_key.verify(signature, b"message")
    assert caught.value.code == "signature-mismatch"
    with pytest.raises(SignatureMismatchError):
        signer.verifying_key.verify(signer.sign(b"message"), b"another")


@signers
@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_signer_cannot_be_pickled_or_copied(generate: Callable[[], Signer], take: Callable[[object], object]) -> None:
    with pytest.raises(TypeError):
        take(generate())


@signers
def test_signer_shows_its_key_id_and_nothing_else(generate: Callable[[], Signer]) -> None:
    signer = generate()
    assert repr(signer) == str(signer) == f"<{type(signer).__name__} {signer.key_id.hex()}>"
    assert not hasattr(signer, "__dict__")


def test_hmac_key_does_not_show_its_secret() -> None:
    secret = bytes(range(100, 132))
    key = HmacSha256Key(secret)
    with pytest.raises(SignatureMismatchError) as caught:
        key.verify(b"", b"message")
    for shown in (repr(key), f"{key}", str(caught.value)):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


@pytest.mark.parametrize("generate", [Ed25519Signer.generate, EcdsaP256Signer.generate])
def test_verifying_key_shows_its_key_id(generate: Callable[[], Signer]) -> None:
    key = generate().verifying_key
    assert repr(key) == f"<{type(key).__name__} {key.key_id.hex()}>"


def test_verifying_key_travels_to_other_processes() -> None:
    key = Ed25519Signer.generate().verifying_key
    assert pickle.loads(pickle.dumps(key)) == key


def test_key_id_is_the_hash_of_context_algorithm_and_key() -> None:
    expected = hashlib.sha256(b"safemodel/v1/keyid\0" + b"ed25519" + b"\0" + b"key").digest()
    assert compute_key_id("ed25519", b"key") == expected


def test_one_key_has_another_id_under_another_algorithm() -> None:
    assert compute_key_id("ed25519", bytes(32)) != compute_key_id("hmac-sha256", bytes(32))


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_the_room_loads_no_cryptography() -> None:
    assert not [name for name in modules_after("import safemodel.signing") if name.startswith("cryptography")]


def test_verifying_ed25519_loads_little() -> None:
    key = Ed25519Signer.generate().verifying_key
    assert isinstance(key, Ed25519VerifyingKey)
    loaded = modules_after(
        "from safemodel.signing import verifying_key_from_pem\n"
        "from safemodel.errors import SignatureMismatchError\n"
        "try:\n"
        f"    verifying_key_from_pem({key.to_pem()!r}).verify(bytes(64), b'')\n"
        "except SignatureMismatchError:\n"
        "    pass"
    )
    assert "cryptography.hazmat.primitives.asymmetric.ed25519" in loaded
    assert not loaded & {
        "cryptography.hazmat.primitives.serialization",
        "getpass",
        "numpy",
        "pickle",
    }
