"""The envelope: which bytes are signed, and the records that hold the signatures (docs/spec.md, section "Signatures").

Signed is the DSSE pre-authentication encoding of the manifest's SHA-256, small enough for every token and key service.
A record names its key only by key id, which is a hint for an exact look-up and is trusted for nothing else.
Source of the encoding: https://github.com/secure-systems-lab/dsse, protocol.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Final

from safemodel.errors import FormatError, LimitExceededError
from safemodel.format import wire
from safemodel.format.limits import SIGNATURE_RECORD_MAX, SIGNATURE_RECORDS_MAX, SIGNATURES_MAX
from safemodel.format.schema import Fields, expect, expect_size

PAYLOAD_TYPE: Final = "application/vnd.safemodel.manifest.v1+sha256"
DIGEST_SIZE: Final = 32
KEY_ID_SIZE: Final = 32


def artifact_digest(manifest: bytes) -> bytes:
    """Return the artifact's digest: the SHA-256 of its manifest's exact bytes, 32 bytes. It survives countersigning."""
    return sha256(manifest).digest()


def signed_bytes(digest: bytes) -> bytes:
    """Return the bytes that a signer signs for an artifact's digest (DSSE PAE)."""
    return pre_authentication_encoding(PAYLOAD_TYPE, digest)


def pre_authentication_encoding(payload_type: str, body: bytes) -> bytes:
    """Return the bytes that are signed for a body of a type, so that a signature holds for no body of another."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


@dataclass(frozen=True, slots=True, order=True)
class SignatureRecord:
    """One signature and the id of the key that is said to have made it."""

    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignatureSet:
    """The records of one signatures entry, strictly ascending by key id."""

    records: tuple[SignatureRecord, ...]

    @classmethod
    def of(cls, records: Iterable[SignatureRecord]) -> "SignatureSet":
        """Order the records; at most one for a key id, at most 16 in all."""
        return cls(_checked(tuple(sorted(records))))

    @classmethod
    def from_value(cls, value: object, where: str) -> "SignatureSet":
        """Read the decoded list of records."""
        items = expect(value, list, where)
        if len(items) > SIGNATURE_RECORDS_MAX:
            raise LimitExceededError(
                f"{where} holds {len(items)} records, at most {SIGNATURE_RECORDS_MAX} are accepted"
            )
        return cls(_checked(tuple(_read_record(item, f"{where}[{number}]") for number, item in enumerate(items))))

    def to_value(self) -> list[dict[str, bytes]]:
        """Return the list that `from_value` reads."""
        return [{"keyid": record.key_id, "sig": record.signature} for record in self.records]

    @classmethod
    def from_bytes(cls, data: bytes) -> "SignatureSet":
        """Parse the signatures entry."""
        where = "the signatures entry"
        return cls.from_value(wire.decode(data, maximum=SIGNATURES_MAX, where=where), where)

    def to_bytes(self) -> bytes:
        """Return the signatures entry."""
        return wire.encode(self.to_value())


@dataclass(frozen=True, slots=True)
class DetachedSignatures:
    """The content of a `.sig` file: records for the artifact that has this digest."""

    artifact: bytes
    signatures: SignatureSet

    @classmethod
    def from_bytes(cls, data: bytes) -> "DetachedSignatures":
        """Parse a `.sig` file."""
        where = "the detached signatures"
        fields = Fields(wire.decode(data, maximum=SIGNATURES_MAX, where=where), where)
        artifact = expect_size(fields.take("artifact", bytes), DIGEST_SIZE, f"{where}.artifact")
        signatures = SignatureSet.from_value(fields.take("signatures", list), f"{where}.signatures")
        fields.finish()
        return cls(artifact, signatures)

    def to_bytes(self) -> bytes:
        """Return the content of the `.sig` file."""
        return wire.encode({"artifact": self.artifact, "signatures": self.signatures.to_value()})


def _read_record(value: object, where: str) -> SignatureRecord:
    fields = Fields(value, where)
    key_id = expect_size(fields.take("keyid", bytes), KEY_ID_SIZE, f"{where}.keyid")
    signature = fields.take("sig", bytes)
    fields.finish()
    if len(signature) > SIGNATURE_RECORD_MAX:
        raise LimitExceededError(f"{where}.sig has {len(signature)} bytes, at most {SIGNATURE_RECORD_MAX} are accepted")
    return SignatureRecord(key_id, signature)


def _checked(records: tuple[SignatureRecord, ...]) -> tuple[SignatureRecord, ...]:
    if len(records) > SIGNATURE_RECORDS_MAX:
        raise LimitExceededError(f"{len(records)} signatures, at most {SIGNATURE_RECORDS_MAX} fit into an artifact")
    for earlier, later in pairwise(records):
        if earlier.key_id >= later.key_id:
            raise FormatError("signature records are not strictly ascending by key id")
    return records
