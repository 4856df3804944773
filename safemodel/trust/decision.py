"""The decision: values in, a value out. No file, no clock, no network (docs/spec.md, "Reading", steps 2 and 4).

Every check is made, and every reason to refuse is kept in the order of the spec, so that whoever is refused learns of
all at once. What a policy's file decided says which file and which rule.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, Self

from safemodel.errors import (
    AlgorithmNotAllowedError,
    ExpiredError,
    NoTrustedSignatureError,
    PolicyError,
    RevokedError,
    RollbackError,
    ThresholdNotMetError,
    VerificationError,
)
from safemodel.format.envelope import DetachedSignatures, SignatureRecord, SignatureSet
from safemodel.format.limits import CLOCK_SKEW_SECONDS
from safemodel.format.manifest import GlobalReference, Manifest
from safemodel.trust.explanation import Explanation
from safemodel.trust.names import ExpectedName, check_name
from safemodel.trust.policy import ERROR, IGNORE, NO_RULE, Rule, TrustPolicy
from safemodel.trust.refusal import Refusal
from safemodel.trust.signatures import Fate, JudgedRecord, JudgedSignatures, judge_record, judge_signatures

if TYPE_CHECKING:
    from safemodel.trust.environment import Installed

_DAY = 86400  # seconds
_SHOWN_MAX = 10  # names in a message


class Catalogue(Protocol):
    """Which globals a payload may reach for; the payload room has the only one."""

    @property
    def permissions(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """The roles of each global, by module and name."""
        ...

    def under(self, rule: Rule, path: str) -> Self:
        """Return it with what a rule allows and without what it denies.

        Args:
            rule: the rule for the model.
            path: of the policy's file, for messages; empty for bare keys.
        """
        ...

    def refuse_unlisted(self, uses: Iterable[GlobalReference]) -> None:
        """Refuse globals that are not allowed.

        Raises:
            GlobalNotAllowedError: one is not.
        """
        ...


class Unjudged:
    """Stands where nothing will be unpickled: it refuses no signed list of globals, and lets none be resolved."""

    permissions: Mapping[tuple[str, str], frozenset[str]] = MappingProxyType({})

    def under(self, rule: Rule, path: str) -> Self:
        """Return itself."""
        return self

    def refuse_unlisted(self, uses: Iterable[GlobalReference]) -> None:
        """Refuse nothing."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What the verifier demands, as values.

    Attributes:
        policy: who may sign what.
        name: the model that the caller wants.
        now: the verifier's clock, seconds since 1970 UTC.
        catalogue: which globals the payload may reach for.
        detached: the content of the `.sig` file, if there is one.
        installed: returns what there is on this machine, where the model may be unpickled.
        comparing: whether that is compared with what is signed now; else it is before the model is unpickled.
        ask: the command that adds what is missing, for messages.
    """

    policy: TrustPolicy
    name: ExpectedName
    now: int
    catalogue: Catalogue = field(default_factory=Unjudged)
    detached: DetachedSignatures | None = None
    installed: "Callable[[], Installed] | None" = None
    comparing: bool = True
    ask: str = "safemodel sign FILE --key KEY"


def judge(digest: bytes, embedded: SignatureSet, required: Requirements) -> Explanation:
    """Judge the signatures, before the manifest is parsed (spec, "Reading", step 2).

    Args:
        digest: the artifact's digest, 32 bytes.
        embedded: the records inside the artifact.
        required: what the verifier demands.

    Returns:
        A refusal, if an embedded record is bad or none is good.

    Raises:
        LimitExceededError: more than 16 records in all.
    """
    judged = judge_signatures(digest, embedded, required.detached, required.policy, required.now)
    return _judged(digest, judged, required.policy)


def judge_statement(digest: bytes, record: SignatureRecord, message: bytes, required: Requirements) -> Explanation:
    """Judge one signature over a statement of another standard about the artifact; the gate never asks for it.

    Args:
        digest: the artifact's digest, 32 bytes.
        record: the signature.
        message: what it is said to sign.
        required: what the verifier demands.

    Returns:
        A refusal, if the signature is not good.
    """
    judged = judge_record(record, message, required.policy, required.now)
    return _judged(digest, JudgedSignatures((judged,)), required.policy)


def decide(judged: Explanation, manifest: Manifest, required: Requirements) -> Explanation:
    """Decide on the signed claims (spec, "Reading", step 4).

    Args:
        judged: what `judge` found; it refuses nothing.
        manifest: the signed claims.
        required: what the verifier demands.

    Returns:
        The decision, with every reason to refuse.
    """
    policy = required.policy
    rule = policy.rule_for(manifest.name)
    found = replace(judged, model=manifest.name, version=manifest.version, rule=rule)
    refusals = tuple(_placed(refusal, policy, rule) for refusal in _refusals(found, manifest, required))
    decision = replace(found, refusals=refusals)
    return compared(decision, manifest, required) if required.comparing else decision


def compared(decision: Explanation, manifest: Manifest, required: Requirements) -> Explanation:
    """Compare what is installed with what is signed, as the rule demands (spec, "Reading", step 4).

    Args:
        decision: of all other claims.
        manifest: the signed claims.
        required: what the verifier demands.

    Returns:
        The decision with the differences, refused where they are beyond what the rule accepts.
    """
    rule = decision.rule
    if required.installed is None or rule is NO_RULE or rule.environment == IGNORE:
        return decision
    from safemodel.trust.environment import compare  # late: who only verifies compares nothing

    differences = compare(manifest.environment, required.installed(), rule.versions)
    if differences:
        decision = replace(decision, differences=differences)
    if rule.environment != ERROR:
        return decision
    from safemodel.trust.mismatch import refusal  # late: most rules demand nothing of it

    refused = refusal(differences, manifest.name, manifest.environment)
    if refused is None:
        return decision
    return replace(decision, refusals=(*decision.refusals, _placed(refused, required.policy, rule)))


def _judged(digest: bytes, judged: JudgedSignatures, policy: TrustPolicy) -> Explanation:
    refusal = _refuse_signatures(judged, policy)
    found = Explanation(policy, digest.hex(), judged)
    return found if refusal is None else replace(found, refusals=(_placed(refusal, policy, NO_RULE),))


def _refusals(found: Explanation, manifest: Manifest, required: Requirements) -> Iterator[Refusal]:
    """Yield every reason to refuse the claims, in order."""
    policy, rule, now = required.policy, found.rule, required.now
    yield from _raised(lambda: check_name(manifest, required.name))
    if rule is NO_RULE:
        yield _no_rule(manifest.name, policy)
    else:
        yield from _signers(found, rule, required.ask)
        yield from _floor(manifest, rule)
        yield from _age(manifest, rule, now)
    yield from _validity(manifest, now)
    yield from _revocation(found)
    if rule is not NO_RULE:
        yield from _digest(manifest, rule)
        catalogue = required.catalogue.under(rule, policy.path)
        yield from _raised(lambda: catalogue.refuse_unlisted(manifest.payload.globals))


def _raised(check: Callable[[], None]) -> Iterator[Refusal]:
    try:
        check()
    except VerificationError as error:
        yield Refusal.of(error)


def _placed(refusal: Refusal, policy: TrustPolicy, rule: Rule) -> Refusal:
    """Name the file and the rule in a refusal; bare keys have none."""
    if not policy.path:
        return refusal
    place = policy.path if rule is NO_RULE else f"{policy.path}, rule {rule.number}"
    return replace(refusal, message=f"{refusal.message} ({place})")


def _refuse_signatures(judged: JudgedSignatures, policy: TrustPolicy) -> Refusal | None:
    mismatches = (record.mismatch for record in judged.records if not record.detached)
    if mismatch := next(filter(None, mismatches), None):
        return mismatch
    if judged.of(Fate.GOOD):
        return None
    return _not_counting(judged.records) or _no_trusted_signature(judged, policy)


def _not_counting(records: Iterable[JudgedRecord]) -> Refusal | None:
    """Return the refusal of signatures that would be good, were they not revoked or out of their validity."""
    held = list(records)
    for record in held:
        if record.fate is Fate.REVOKED:
            return Refusal(
                RevokedError,
                f"signed by {record.signer} with a revoked key: {record.detail}",
                hint="do not load it; if it is genuine, have it signed with a key that counts",
            )
    for record in held:
        if record.fate in (Fate.NOT_YET_VALID, Fate.NO_LONGER_VALID):
            return Refusal(
                ExpiredError,
                f"signed by {record.signer} with a key that is {record.fate}: {record.detail}",
                hint="have it signed with a key that is valid now, or change the validity of this one",
            )
    return None


def _no_trusted_signature(judged: JudgedSignatures, policy: TrustPolicy) -> Refusal:
    found = [record.key_id[:16] for record in judged.records]
    expected = [signer.name if policy.is_reviewed else signer.name[:16] for signer in policy.signers]
    add = f", then safemodel trust add {policy.folder} NAME KEY.pub --models MODEL" if policy.is_reviewed else ""
    return Refusal(
        NoTrustedSignatureError,
        f"no signature by a trusted key: signed by key ids {_some(found)}, trusted are {_some(expected)}",
        hint=f"do not load it; if the signer should be trusted, get their public key through a channel you trust{add}",
    )


def _no_rule(name: str, policy: TrustPolicy) -> Refusal:
    return Refusal(
        PolicyError,
        f"no rule is for {name!r}",
        hint=f'if it should be accepted, write a rule with models = ["{name}"] into {policy.path}',
    )


def _signers(found: Explanation, rule: Rule, command: str) -> Iterator[Refusal]:
    """The threshold: distinct signers of the rule, and those who must be among them."""
    names = {signed.signer for signed in found.signers}
    missing = [name for name in rule.require if name not in names]
    if len(names) >= rule.threshold and not missing:
        return
    others = missing or [name for name in rule.signers if name not in names]
    ask = f"have it signed by {_some(others)}: {command} --trust {found.policy.folder}"
    if refusal := _not_counting(record for record in found.signatures.records if record.signer in rule.signers):
        yield refusal
    elif not names:
        signed = sorted({record.signer for record in found.signatures.of(Fate.GOOD)})
        yield Refusal(
            NoTrustedSignatureError,
            f"signed by {_some(signed)}, of whom none may sign {found.model!r}; {_some(rule.signers)} may",
            hint=ask,
        )
    else:
        needed = f"{rule.threshold} distinct signers" + (f", {_some(rule.require)} among them" if missing else "")
        yield Refusal(ThresholdNotMetError, f"signed by {_some(sorted(names))}, needed are {needed}", hint=ask)


def _floor(manifest: Manifest, rule: Rule) -> Iterator[Refusal]:
    if rule.min_version is None:
        return
    from packaging.version import Version  # late: only a rule with a floor compares versions

    if manifest.version is None or Version(manifest.version) < Version(rule.min_version):
        yield Refusal(
            RollbackError,
            f"the artifact has {manifest.version or 'no version'}, the lowest accepted is {rule.min_version}",
            hint="get a newer artifact; this one may have been put back in its place",
        )


def _age(manifest: Manifest, rule: Rule, now: int) -> Iterator[Refusal]:
    if rule.max_age_days is not None and now >= manifest.created + rule.max_age_days * _DAY:
        yield Refusal(
            ExpiredError,
            f"the artifact was created {(now - manifest.created) // _DAY} days ago, accepted are {rule.max_age_days}",
            hint="ask its signer for a newer one",
        )


def _validity(manifest: Manifest, now: int) -> Iterator[Refusal]:
    if manifest.created > now + CLOCK_SKEW_SECONDS:
        yield Refusal(
            ExpiredError,
            f"the artifact was created {manifest.created - now} seconds in the future",
            hint="check the clocks of signer and verifier",
        )
    if manifest.expires is not None and now >= manifest.expires:
        yield Refusal(
            ExpiredError,
            f"the artifact expired {now - manifest.expires} seconds ago",
            hint="ask its signer for a newer one",
        )


def _revocation(found: Explanation) -> Iterator[Refusal]:
    if revocation := found.policy.revocation_of_artifact(found.artifact):
        yield Refusal(
            RevokedError,
            f"the artifact is revoked, {revocation.date}: {revocation.reason}",
            hint="do not load it; ask its signer for another one",
        )


def _digest(manifest: Manifest, rule: Rule) -> Iterator[Refusal]:
    if manifest.digest.algorithm not in rule.digests:
        yield Refusal(
            AlgorithmNotAllowedError,
            f"the artifact's digests are {manifest.digest.algorithm}, accepted are {_some(rule.digests)}",
            hint="have it dumped with digest=... of an accepted one",
        )


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_SHOWN_MAX] + (["..."] if len(shown) > _SHOWN_MAX else [])) or "none"
