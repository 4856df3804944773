"""What a `trust.toml` says, and that nothing in it is guessed at: what is wrong is a configuration error."""

from collections.abc import Mapping

from safemodel.signing import EcdsaP256Signer, Ed25519Signer, HmacSha256Key
from safemodel.trust.policy import Revocation, TrustPolicy

ALICE, BOB, SHARED = Ed25519Signer.generate(), EcdsaP256Signer.generate(), HmacSha256Key.generate()
KEYS = {
    "alice.pub": ALICE.verifying_key.to_pem(),
    "bob.pub": BOB.verifying_key.to_pem(),
    "env:SHARED": SHARED.to_pem(),
    "shared.key": SHARED.to_pem(),
    "env:BOB": BOB.verifying_key.to_pem(),
    "junk.pub": b"junk",
}
GOOD = """
version = 7

[signers.alice]
keys = ["alice.pub"]
valid_from = 2026-01-01
valid_until = 2027-01-01T12:00:00+02:00
contact = "alice@example.com"

[signers.bob]
keys = ["bob.pub"]

[signers.ci]
keys = ["env:SHARED"]

[[rules]]
models = ["acme/*"]
except = ["acme/test-*"]
signers = ["alice", "bob"]
threshold = 2
require = ["alice"]
min_version = "1.4.0"
max_age_days = 90
digests = ["sha256"]
allow = ["acme.transformers.Clip"]
deny = ["numpy.ndarray"]
environment = "error"
roles = "walk"

[[rules]]
models = ["acme/test-*"]
signers = ["ci"]

[[revoked]]
signer = "bob"
date = 2026-11-01
reason = "left"
"""


def read(text: str, keys: Mapping[str, bytes] = KEYS) -> TrustPolicy:
    return TrustPolicy.from_toml(text, keys.__getitem__, path="keys/trust.toml")


def test_everything_that_can_be_said() -> None:
    policy = read(GOOD)
    alice, bob, ci = policy.signers
    assert (alice.name, alice.contact, alice.valid_from, alice.valid_until) == (
        "alice",
        "alice@example.com",
        1767225600,
        1798797600,
    )
    assert (bob.valid_from, bob.valid_until, bob.contact, list(ci.keys)) == (None, None, "", ["env:SHARED"])
    strict, plain = policy.rules
    assert (strict.number, strict.signers, strict.threshold, strict.require) == (1, ("alice", "bob"), 2, ("alice",))
    assert (strict.min_version, strict.max_age_days, strict.digests) == ("1.4.0", 90, ("sha256",))
    assert (strict.allow, strict.deny) == (("acme.transformers.Clip",), ("numpy.ndarray",))
    assert (strict.environment, strict.roles) == ("error", "walk")
    assert (plain.threshold, plain.require, plain.min_version, plain.max_age_days) == (1, (), None, None)
    assert (plain.digests, plain.allow, plain.deny) == (("blake3", "sha256"), (), ())
    assert (plain.environment, plain.roles) == ("warn", "manifest")
    assert policy.revocations == (Revocation("signer", "bob", "2026-11-01", "left"),)
    assert (policy.version, policy.path, len(policy.digest or "")) == (7, "keys/trust.toml", 64)
