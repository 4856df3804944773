"""The decision: values in, a value or a refusal out. No file, no clock, no network (docs/spec.md, "Reading").

A record of an artifact has one of three fates. *Bad*: its key is known and the signature fails, so the file is refused
whatever else it has. *Absent*: its key is unknown. *Good*. A bad detached record is absent with a warning, because a
`.sig` file lies beside the artifact where others may put one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from safemodel.errors import ExpiredError, LimitExceededError, NoTrustedSignatureError, SignatureMismatchError
from safemodel.format.envelope import DetachedSignatures, SignatureRecord, SignatureSet, signed_bytes
from safemodel.format.limits import CLOCK_SKEW_SECONDS, SIGNATURE_RECORDS_MAX
from safemodel.format.manifest import Manifest
from safemodel.signing import VerifyingKey
from safemodel.trust.keys import TrustedKeys


@dataclass(frozen=True, slots=True)
class SignedBy:
    """A key of the trust store whose signature held."""

    key_id: str
    algorithm: str


@dataclass(frozen=True, slots=True)
class GoodSignatures:
    """The signatures that hold, and what the user should know about those that do not."""

    signers: tuple[SignedBy, ...]
    warnings: tuple[str, ...]


def judge_signatures(
    digest: bytes, embedded: SignatureSet, detached: DetachedSignatures | None, trust: TrustedKeys
) -> GoodSignatures:
    """Find the signatures over the artifact's digest that hold (spec, "Reading", step 2).

    Args:
        digest: the artifact's digest, 32 bytes.
        embedded: the records inside the artifact.
        detached: the content of its `.sig` file, if there is one.
        trust: the keys that may sign.

    Returns:
        At least one good signature.

    Raises:
        SignatureMismatchError: an embedded signature by a known key fails.
        NoTrustedSignatureError: no signature is by a key of `trust`.
        LimitExceededError: more than 16 records in all.
    """
    message = signed_bytes(digest)
    signers = [_verified(key, record, message) for key, record in _known(embedded, trust)]
    warnings: list[str] = []
    beside, stale = _applicable(digest, embedded, detached)
    if stale:
        warnings.append("the detached signatures are for another artifact and were ignored")
    for key, record in _known(beside, trust):
        try:
            signers.append(_verified(key, record, message))
        except SignatureMismatchError:
            warnings.append(f"the detached signature by key {record.key_id.hex()} does not match and was ignored")
    if not signers:
        raise _no_trusted_signature(embedded, beside, trust)
    return GoodSignatures(tuple(signers), tuple(warnings))


def check_validity(manifest: Manifest, now: int) -> None:
    """Refuse an artifact outside its claimed validity: created <= now < expires (spec, "Reading", step 4).

    Args:
        manifest: the signed claims.
        now: the verifier's clock, seconds since 1970 UTC.

    Raises:
        ExpiredError: expired, or created in the future.
    """
    if manifest.created > now + CLOCK_SKEW_SECONDS:
        raise ExpiredError(
            f"the artifact was created {manifest.created - now} seconds in the future",
            hint="check the clocks of signer and verifier",
        )
    if manifest.expires is not None and now >= manifest.expires:
        raise ExpiredError(
            f"the artifact expired {now - manifest.expires} seconds ago", hint="ask its signer for a newer one"
        )


def _applicable(
    digest: bytes, embedded: SignatureSet, detached: DetachedSignatures | None
) -> tuple[SignatureSet, bool]:
    """Return the detached records that count beside the embedded ones, and whether they were stale as a whole."""
    if detached is None or detached.artifact != digest:
        return SignatureSet(()), detached is not None
    own = {record.key_id for record in embedded.records}
    beside = SignatureSet(tuple(record for record in detached.signatures.records if record.key_id not in own))
    if len(beside.records) + len(own) > SIGNATURE_RECORDS_MAX:
        raise LimitExceededError(f"more than {SIGNATURE_RECORDS_MAX} embedded and detached signatures")
    return beside, False


def _known(signatures: SignatureSet, trust: TrustedKeys) -> Iterator[tuple[VerifyingKey, SignatureRecord]]:
    for record in signatures.records:
        if (key := trust.find(record.key_id)) is not None:
            yield key, record


def _verified(key: VerifyingKey, record: SignatureRecord, message: bytes) -> SignedBy:
    key.verify(record.signature, message)
    return SignedBy(key.key_id.hex(), key.algorithm)


def _no_trusted_signature(embedded: SignatureSet, beside: SignatureSet, trust: TrustedKeys) -> NoTrustedSignatureError:
    found = [record.key_id.hex()[:16] for record in (*embedded.records, *beside.records)]
    expected = [key_id.hex()[:16] for key_id in trust.keys]
    return NoTrustedSignatureError(
        f"no signature by a trusted key: signed by key ids {', '.join(found) or 'none'}, trusted are "
        f"{', '.join(expected)}",
        hint="do not load it; if the signer should be trusted, get their public key through a channel you trust",
    )
