"""What became of each signature record: good, bad, or absent for a reason (docs/spec.md, section "Records").

*Bad*: its key is listed and the signature fails, so the file is refused whatever else it has, also where the key is
revoked or out of its validity. *Absent*: its key is not listed, revoked, or does not count at this time. *Good*: else.
A bad detached record is absent with a warning, because a `.sig` file lies beside the artifact where others may put one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from safemodel.errors import LimitExceededError, SignatureMismatchError
from safemodel.format.envelope import DetachedSignatures, SignatureRecord, SignatureSet, signed_bytes
from safemodel.format.limits import SIGNATURE_RECORDS_MAX
from safemodel.trust.policy import TrustPolicy
from safemodel.trust.refusal import Refusal


class Fate(StrEnum):
    """What became of a record."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown key"
    REVOKED = "revoked"
    NOT_YET_VALID = "not yet valid"
    NO_LONGER_VALID = "no longer valid"


@dataclass(frozen=True, slots=True)
class JudgedRecord:
    """A record and what became of it.

    Attributes:
        key_id: of the key that is said to have signed, 64 hexadecimal digits.
        detached: whether it stands in the `.sig` file.
        fate: what became of it.
        algorithm: of the key, or empty where it is not listed.
        signer: whose key it is, or empty where it is not listed.
        detail: more on the fate, for people, or empty.
        mismatch: the refusal of a bad one.
    """

    key_id: str
    detached: bool
    fate: Fate
    algorithm: str = ""
    signer: str = ""
    detail: str = ""
    mismatch: Refusal | None = None


@dataclass(frozen=True, slots=True)
class JudgedSignatures:
    """All records of an artifact, and what the user should know about those that do not count."""

    records: tuple[JudgedRecord, ...]
    warnings: tuple[str, ...] = ()

    def of(self, *fates: Fate) -> list[JudgedRecord]:
        """Return the records with one of these fates."""
        return [record for record in self.records if record.fate in fates]


def judge_signatures(
    digest: bytes, embedded: SignatureSet, detached: DetachedSignatures | None, policy: TrustPolicy, now: int
) -> JudgedSignatures:
    """Find what became of each record (spec, "Reading", step 2).

    Args:
        digest: the artifact's digest, 32 bytes.
        embedded: the records inside the artifact.
        detached: the content of its `.sig` file, if there is one.
        policy: whose keys count.
        now: the verifier's clock, seconds since 1970 UTC.

    Raises:
        LimitExceededError: more than 16 records in all.
    """
    message = signed_bytes(digest)
    beside, stale = _applicable(digest, embedded, detached)
    records = [judge_record(record, message, policy, now) for record in embedded.records]
    records += [judge_record(record, message, policy, now, detached=True) for record in beside.records]
    return JudgedSignatures(tuple(records), tuple(_warnings(records, stale)))


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


def judge_record(
    record: SignatureRecord, message: bytes, policy: TrustPolicy, now: int, *, detached: bool = False
) -> JudgedRecord:
    """Find what became of one record, which is said to sign a message."""
    key_id = record.key_id.hex()
    listed = policy.find(record.key_id)
    if listed is None:
        return JudgedRecord(key_id, detached, Fate.UNKNOWN)
    signer, key = listed
    try:
        key.verify(record.signature, message)
    except SignatureMismatchError as error:
        return JudgedRecord(key_id, detached, Fate.BAD, key.algorithm, signer.name, mismatch=Refusal.of(error))
    fate, detail = Fate.GOOD, ""
    if revocation := policy.revocation_of_key(record.key_id, signer):
        fate, detail = Fate.REVOKED, f"{revocation.of}, {revocation.date}: {revocation.reason}"
    elif not signer.has_begun(now):
        fate, detail = Fate.NOT_YET_VALID, f"from {_moment(signer.valid_from)}"
    elif signer.has_ended(now):
        fate, detail = Fate.NO_LONGER_VALID, f"until {_moment(signer.valid_until)}"
    return JudgedRecord(key_id, detached, fate, key.algorithm, signer.name, detail)


def _warnings(records: list[JudgedRecord], stale: bool) -> Iterator[str]:
    if stale:
        yield "the detached signatures are for another artifact and were ignored"
    for record in records:
        if record.detached and record.fate is Fate.BAD:
            yield f"the detached signature by key {record.key_id} does not match and was ignored"


def _moment(seconds: int | None) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds or 0)).isoformat().replace("+00:00", "Z")
