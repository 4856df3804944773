"""How long a decision takes with a policy that has been read: 100 signers, 100 rules, 2 Ed25519 signatures.

The decision is steps 2 and 4 of docs/spec.md, section "Reading", with the signatures verified and the globals compared
with the catalogue; the file has been read before. Prints medians of many, for the policy of a folder and for two keys.
"""

import statistics
import time
from hashlib import sha256

from safemodel.format.container import Entry
from safemodel.format.envelope import SignatureRecord, SignatureSet, signed_bytes
from safemodel.format.manifest import ChunkDigests, Counts, Creator, GlobalReference, Manifest, Payload
from safemodel.payload.ruled import RuledCatalogue
from safemodel.signing import Ed25519Signer
from safemodel.trust.decision import Requirements, decide, judge
from safemodel.trust.policy import TrustPolicy

COUNT = 100
RUNS = 1001
NAME = f"team{COUNT - 1}/churn"
DIGEST = sha256(b"manifest").digest()


def policy_text() -> str:
    """Return a policy in which each rule has an exception, and the last one is for the artifact."""
    signers = "".join(f'[signers.s{number}]\nkeys = ["{number}.pub"]\n' for number in range(COUNT))
    rules = "".join(
        f'[[rules]]\nmodels = ["team{number}/*"]\nexcept = ["team{number}/test-*"]\n'
        f'signers = ["s{number}", "s{(number + 1) % COUNT}"]\nthreshold = 2\nmin_version = "1.0"\n'
        for number in range(COUNT)
    )
    return f"version = 1\n{signers}{rules}"


def manifest() -> Manifest:
    """Return the claims of a small model with 20 globals of the catalogue."""
    listed = sorted(RuledCatalogue.of(TrustPolicy(1, (), ())).permissions.items())[:20]
    uses = tuple(GlobalReference(module, name, tuple(sorted(roles))) for (module, name), roles in listed)
    payload = Payload("joblib", "1.2", "none", 1, uses, Counts(1, 0, 0, 1))
    digest = ChunkDigests("blake3", 2**22, bytes(32))
    return Manifest(Creator("bench", "1"), NAME, "1.4.0", 0, None, (Entry("mimetype", 29, 0),), digest, payload)


def median(policy: TrustPolicy, embedded: SignatureSet, claims: Manifest) -> float:
    """Return how long a decision takes, in milliseconds."""
    required = Requirements(policy, NAME, 1, RuledCatalogue.of(policy))
    taken = []
    for _ in range(RUNS):
        start = time.perf_counter()
        decide(judge(DIGEST, embedded, required).check(), claims, required).check()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e3


def main() -> None:
    """Measure and print."""
    signers = [Ed25519Signer.generate() for _ in range(COUNT)]
    start = time.perf_counter()
    policy = TrustPolicy.from_toml(
        policy_text(), lambda reference: signers[int(reference.removesuffix(".pub"))].verifying_key.to_pem()
    )
    reading = (time.perf_counter() - start) * 1e3
    embedded = SignatureSet.of(
        SignatureRecord(signer.key_id, signer.sign(signed_bytes(DIGEST))) for signer in (signers[-1], signers[0])
    )
    keys = TrustPolicy.from_keys(signer.verifying_key for signer in (signers[-1], signers[0]))
    claims = manifest()
    print(f"decision with {COUNT} signers and {COUNT} rules: {median(policy, embedded, claims):.3f} ms")
    print(f"decision with two keys: {median(keys, embedded, claims):.3f} ms")
    print(f"reading the policy of {COUNT} signers and {COUNT} rules: {reading:.1f} ms")


if __name__ == "__main__":
    main()
