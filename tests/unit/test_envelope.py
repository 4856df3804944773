"""The signed bytes and the signature records."""

import pytest

from safemodel.errors import FormatError, LimitExceededError, UnsupportedVersionError
from safemodel.format import wire
from safemodel.format.envelope import (
    DetachedSignatures,
    SignatureRecord,
    SignatureSet,
    artifact_digest,
    signed_bytes,
)
from safemodel.format.limits import SIGNATURE_RECORD_MAX, SIGNATURE_RECORDS_MAX

FIRST = SignatureRecord(b"\1" * 32, b"one")
SECOND = SignatureRecord(b"\2" * 32, b"two")


def record(number: int, size: int = 64) -> dict[str, bytes]:
    return {"keyid": bytes([number]) * 32, "sig": bytes(size)}


def test_signed_bytes_are_the_pre_authentication_encoding() -> None:
    digest = artifact_digest(b"manifest")
    assert signed_bytes(digest) == b"DSSEv1 44 application/vnd.safemodel.manifest.v1+sha256 32 " + digest


def test_records_round_trip_in_the_order_of_their_key_ids() -> None:
    signatures = SignatureSet.of([SECOND, FIRST])
    assert signatures.records == (FIRST, SECOND)
    assert SignatureSet.from_bytes(signatures.to_bytes()) == signatures


def test_detached_records_round_trip() -> None:
    detached = DetachedSignatures(b"\3" * 32, SignatureSet.of([FIRST]))
    assert DetachedSignatures.from_bytes(detached.to_bytes()) == detached


@pytest.mark.parametrize(
    ("value", "error"),
    [
        pytest.param({}, FormatError, id="a map"),
        pytest.param([1], FormatError, id="no record"),
        pytest.param([{"keyid": b"\1" * 32}], FormatError, id="no signature"),
        pytest.param([{"keyid": "1" * 32, "sig": b""}], FormatError, id="key id is text"),
        pytest.param([{"keyid": b"\1" * 31, "sig": b""}], FormatError, id="short key id"),
        pytest.param([record(1) | {"alg": "none"}], UnsupportedVersionError, id="a field more"),
        pytest.param([record(2), record(1)], FormatError, id="descending"),
        pytest.param([record(1), record(1)], FormatError, id="the same key twice"),
        pytest.param([record(1, SIGNATURE_RECORD_MAX + 1)], LimitExceededError, id="long signature"),
        pytest.param([record(n) for n in range(SIGNATURE_RECORDS_MAX + 1)], LimitExceededError, id="too many"),
    ],
)
def test_other_records_are_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        SignatureSet.from_bytes(wire.encode(value))


def test_more_records_than_fit_cannot_be_made() -> None:
    with pytest.raises(LimitExceededError):
        SignatureSet.of(SignatureRecord(bytes([n]) * 32, b"") for n in range(SIGNATURE_RECORDS_MAX + 1))


@pytest.mark.parametrize("change", [{"artifact": b"short"}, {"artifact": "text"}, {"signatures": None}, {"more": 1}])
def test_other_detached_signatures_are_refused(change: dict[str, object]) -> None:
    value = {"artifact": bytes(32), "signatures": []} | change
    with pytest.raises(FormatError):
        DetachedSignatures.from_bytes(wire.encode(value))
