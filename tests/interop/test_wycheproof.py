"""Project Wycheproof's vectors: valid ones are accepted, all others refused, apart from the rules named here."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from safemodel.errors import KeyMaterialError, SignatureMismatchError
from safemodel.signing import EcdsaP256VerifyingKey, Ed25519VerifyingKey, VerifyingKey, verifying_key_from_pem
from safemodel.signing.ecdsa_p256 import low_s

VECTORS = Path(__file__).parents[1] / "vectors" / "wycheproof"


@dataclass(frozen=True)
class Vector:
    number: int
    key: str  # PEM
    raw: bytes
    message: bytes
    signature: bytes
    result: str
    flags: frozenset[str]


def read(file: str, raw: str) -> Iterator[Vector]:
    content = json.loads((VECTORS / file).read_bytes())
    for group in content["testGroups"]:
        for test in group["tests"]:
            yield Vector(
                test["tcId"],
                group["publicKeyPem"],
                bytes.fromhex(group["publicKey"][raw]),
                bytes.fromhex(test["msg"]),
                bytes.fromhex(test["sig"]),
                test["result"],
                frozenset(test["flags"]),
            )


ED25519 = list(read("ed25519_test.json", "pk"))
ECDSA = list(read("ecdsa_secp256r1_sha256_test.json", "uncompressed"))


def accepts(key: VerifyingKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except SignatureMismatchError:
        return False
    return True


def test_all_vectors_are_there() -> None:
    assert Counter(vector.result for vector in ED25519) == {"valid": 117, "invalid": 64, "acceptable": 29}
    assert Counter(vector.result for vector in ECDSA) == {"valid": 174, "invalid": 310}


@pytest.mark.parametrize("vector", [v for v in ED25519 if v.result != "acceptable"], ids=lambda v: str(v.number))
def test_ed25519(vector: Vector) -> None:
    key = Ed25519VerifyingKey(vector.raw)
    assert verifying_key_from_pem(vector.key.encode()) == key
    assert accepts(key, vector.signature, vector.message) == (vector.result == "valid")


@pytest.mark.parametrize("vector", [v for v in ED25519 if v.result == "acceptable"], ids=lambda v: str(v.number))
def test_ed25519_key_outside_the_prime_order_group(vector: Vector) -> None:
    """Small order is refused: anyone can sign. Mixed order is not: it takes the private key, and its owner's choice."""
    if vector.flags == {"SmallOrderPublicKey"}:
        with pytest.raises(KeyMaterialError):
            Ed25519VerifyingKey(vector.raw)
    else:
        assert vector.flags == {"MixedOrderPublicKey"}
        assert accepts(Ed25519VerifyingKey(vector.raw), vector.signature, vector.message)


@pytest.mark.parametrize("vector", [v for v in ECDSA if v.result == "invalid"], ids=lambda v: str(v.number))
def test_ecdsa_invalid(vector: Vector) -> None:
    """BER, other integers, values out of range and plain wrong signatures."""
    assert not accepts(EcdsaP256VerifyingKey(vector.raw), vector.signature, vector.message)


@pytest.mark.parametrize("vector", [v for v in ECDSA if v.result == "valid"], ids=lambda v: str(v.number))
def test_ecdsa_valid(vector: Vector) -> None:
    """Of each valid pair (r, s), (r, n - s) exactly the one with low s is accepted."""
    key = EcdsaP256VerifyingKey(vector.raw)
    assert verifying_key_from_pem(vector.key.encode()) == key
    normal = low_s(vector.signature)
    assert accepts(key, normal, vector.message)
    assert accepts(key, vector.signature, vector.message) == (vector.signature == normal)


def test_rule_of_low_s_refuses_71_valid_vectors() -> None:
    valid = [vector for vector in ECDSA if vector.result == "valid"]
    assert sum(low_s(vector.signature) != vector.signature for vector in valid) == 71
