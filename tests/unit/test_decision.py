"""The three fates of a signature record, and the validity of the claims: values in, a value or a refusal out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import safemodel
from safemodel.errors import (
    ConfigurationError,
    ExpiredError,
    LimitExceededError,
    NameMismatchError,
    NoTrustedSignatureError,
    SignatureMismatchError,
)
from safemodel.format.envelope import DetachedSignatures, SignatureRecord, SignatureSet, signed_bytes
from safemodel.format.manifest import Manifest
from safemodel.trust.decision import Requirements, decide, judge
from safemodel.trust.explanation import Explanation
from safemodel.trust.names import ANY_NAME, FileStem, check_name
from safemodel.trust.policy import TrustPolicy
from safemodel.trust.signatures import Fate

DIGEST = bytes(range(32))
NOTHING = SignatureSet(())


def record(key: Path, digest: bytes = DIGEST) -> SignatureRecord:
    signer = safemodel.load_signer(key)
    return SignatureRecord(signer.key_id, signer.sign(signed_bytes(digest)))


def spoiled(key: Path) -> SignatureRecord:
    return SignatureRecord(record(key).key_id, record(key, digest=bytes(32)).signature)


def trusted(*keys: Path) -> TrustPolicy:
    return TrustPolicy.from_keys(safemodel.load_verifying_key(key) for key in keys)


def judged(embedded: SignatureSet, detached: DetachedSignatures | None, policy: TrustPolicy) -> Explanation:
    """Raises the refusal, if there is one."""
    return judge(DIGEST, embedded, Requirements(policy, ANY_NAME, now=0, detached=detached)).check()


def good(found: Explanation) -> list[str]:
    return [record.key_id for record in found.signatures.of(Fate.GOOD)]


def test_a_good_signature_is_enough(release: Any) -> None:
    found = judged(SignatureSet.of([record(release.private)]), None, trusted(release.public))
    assert good(found) == [record(release.private).key_id.hex()]
    assert found.signatures.warnings == ()


def test_a_record_by_an_unknown_key_is_absent(release: Any, stranger: Any) -> None:
    both = SignatureSet.of([record(release.private), record(stranger.private)])
    assert len(good(judged(both, None, trusted(release.public)))) == 1


def test_a_bad_record_by_an_unknown_key_is_absent_too(release: Any, stranger: Any) -> None:
    both = SignatureSet.of([record(release.private), spoiled(stranger.private)])
    assert len(good(judged(both, None, trusted(release.public)))) == 1


def test_a_bad_record_by_a_known_key_spoils_the_good_ones(release: Any, make_key: Callable[..., Any]) -> None:
    other = make_key()
    both = SignatureSet.of([record(release.private), spoiled(other.private)])
    with pytest.raises(SignatureMismatchError):
        judged(both, None, trusted(release.public, other.public))


@pytest.mark.parametrize("signatures", [NOTHING, None])
def test_without_a_trusted_signature_it_is_refused(signatures: Any, release: Any, stranger: Any) -> None:
    embedded = SignatureSet.of([record(stranger.private)]) if signatures is None else signatures
    with pytest.raises(NoTrustedSignatureError):
        judged(embedded, None, trusted(release.public))


def test_a_detached_record_counts(release: Any) -> None:
    detached = DetachedSignatures(DIGEST, SignatureSet.of([record(release.private)]))
    assert len(good(judged(NOTHING, detached, trusted(release.public)))) == 1


def test_a_detached_record_of_another_artifact_is_absent_with_a_warning(release: Any) -> None:
    detached = DetachedSignatures(bytes(32), SignatureSet.of([record(release.private, bytes(32))]))
    embedded = SignatureSet.of([record(release.private)])
    assert judged(embedded, detached, trusted(release.public)).signatures.warnings
    with pytest.raises(NoTrustedSignatureError):
        judged(NOTHING, detached, trusted(release.public))


def test_a_bad_detached_record_is_absent_with_a_warning(release: Any, make_key: Callable[..., Any]) -> None:
    other = make_key()
    detached = DetachedSignatures(DIGEST, SignatureSet.of([spoiled(other.private)]))
    embedded = SignatureSet.of([record(release.private)])
    found = judged(embedded, detached, trusted(release.public, other.public))
    assert len(good(found)) == 1
    assert len(found.signatures.warnings) == 1


def test_the_embedded_record_counts_where_the_detached_one_is_by_the_same_key(release: Any) -> None:
    detached = DetachedSignatures(DIGEST, SignatureSet.of([spoiled(release.private)]))
    found = judged(SignatureSet.of([record(release.private)]), detached, trusted(release.public))
    assert len(good(found)) == 1
    assert found.signatures.warnings == ()


def test_at_most_sixteen_records_in_all(release: Any) -> None:
    embedded = SignatureSet.of(SignatureRecord(bytes([n]) * 32, b"") for n in range(1, 11))
    detached = DetachedSignatures(
        DIGEST, SignatureSet.of(SignatureRecord(bytes([n]) * 32, b"") for n in range(101, 108))
    )
    with pytest.raises(LimitExceededError):
        judged(embedded, detached, trusted(release.public))


def test_an_empty_trust_store_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError):
        TrustPolicy.from_keys([])


def manifest(forge: Callable[..., Path], **claims: Any) -> Manifest:
    return safemodel.inspect(forge(**claims)).manifest


def test_validity_is_from_creation_to_expiry(forge: Callable[..., Path], release: Any) -> None:
    claims = manifest(forge, created=1000, expires=2000)
    policy = trusted(release.public)
    found = judged(SignatureSet.of([record(release.private)]), None, policy)

    def check(now: int) -> None:
        decide(found, claims, Requirements(policy, ANY_NAME, now)).check()

    check(1000)
    check(1999)
    check(700)  # the clocks of signer and verifier differ a little
    for now in (699, 2000, 3000):
        with pytest.raises(ExpiredError):
            check(now)


@pytest.mark.parametrize("expected", ["acme/churn", FileStem("churn"), FileStem("churn-1.4.0"), ANY_NAME])
def test_names_that_agree(expected: Any, forge: Callable[..., Path]) -> None:
    check_name(manifest(forge), expected)


@pytest.mark.parametrize(
    "expected",
    [
        "churn",
        "acme/fraud",
        "acme/churn-1.4.0",
        FileStem("fraud"),
        FileStem("acme"),
        FileStem("churn-1.4.1"),
        FileStem("churn-"),
        FileStem("acme/churn"),
        FileStem(""),
    ],
)
def test_names_that_do_not(expected: Any, forge: Callable[..., Path]) -> None:
    with pytest.raises(NameMismatchError):
        check_name(manifest(forge), expected)


def test_a_model_without_version_has_no_version_in_its_stem(forge: Callable[..., Path]) -> None:
    with pytest.raises(NameMismatchError):
        check_name(manifest(forge, version=None), FileStem("churn-None"))


def test_any_name_reads_as_what_the_user_writes() -> None:
    assert repr(ANY_NAME) == "safemodel.ANY_NAME"
