"""Taking away a grant or a good signature, or adding a restriction, never makes a refused artifact accepted."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, ClassVar

from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from safemodel.errors import SignatureMismatchError
from safemodel.format.container import Entry
from safemodel.format.envelope import DetachedSignatures, SignatureRecord, SignatureSet
from safemodel.format.manifest import ChunkDigests, Counts, Creator, GlobalReference, Manifest, Payload
from safemodel.payload.catalogue import Catalogue
from safemodel.payload.ruled import RuledCatalogue
from safemodel.trust.decision import Requirements, decide, judge
from safemodel.trust.environment import Installed
from safemodel.trust.lint import lint
from safemodel.trust.names import ANY_NAME, AnyName
from safemodel.trust.patterns import ModelNames
from safemodel.trust.policy import Revocation, Rule, TrustedSigner, TrustPolicy

NOW = 1_800_000_000
DAY = 86400
LISTED = Catalogue({("numpy", "ndarray"): frozenset({"reference"})}, {}, "NumPy")
CATALOGUE = RuledCatalogue(LISTED, LISTED)
DIGEST = bytes(range(32))
MODELS = ("acme/churn", "acme/test-1", "other/churn", "nobody")
PEOPLE = ("alice", "bob", "carol")
VERSIONS = ("1.0", "1.4.0", "2.0rc1", "2.0")
HERE = Installed("3.11.7", "CPython, Linux, x86_64", {"numpy": "2.4.6"}.get)
ENVIRONMENTS: tuple[dict[str, Any], ...] = (
    {},
    {"distributions": {"numpy": "2.4.6"}},
    {"distributions": {"numpy": "2.2.6"}},
    {"distributions": {"numpy": "1.26.4"}},
)
GLOBALS = ("acme.transformers.Clip", "acme.other.Thing", "numpy.ndarray")


@dataclass(frozen=True)
class Key:
    """A key whose good signatures are known beforehand."""

    label: str
    key_id: bytes
    algorithm: ClassVar[str] = "ed25519"

    @classmethod
    def of(cls, label: str) -> "Key":
        return cls(label, sha256(label.encode()).digest())

    def verify(self, signature: bytes, message: bytes) -> None:
        if signature != b"good":
            raise SignatureMismatchError("bad")


KEYS = tuple(Key.of(f"{name}-{number}") for name in (*PEOPLE, "stranger") for number in (1, 2))


@dataclass(frozen=True)
class Case:
    """A policy, and an artifact without bad signatures."""

    policy: TrustPolicy
    manifest: Manifest
    embedded: frozenset[Key]
    detached: frozenset[Key]
    name: str | AnyName = ANY_NAME

    @property
    def is_accepted(self) -> bool:
        detached = DetachedSignatures(DIGEST, records(self.detached))
        required = Requirements(self.policy, self.name, NOW, CATALOGUE, detached, lambda: HERE)
        judged = judge(DIGEST, records(self.embedded), required)
        return not judged.refusals and not decide(judged, self.manifest, required).refusals

    def with_rule(self, number: int, **changes: Any) -> "Case":
        rules = (replace(rule, **changes) if rule.number == number else rule for rule in self.policy.rules)
        return replace(self, policy=replace(self.policy, rules=tuple(rules)))

    def with_signer(self, name: str, **changes: Any) -> "Case":
        signers = (replace(signer, **changes) if signer.name == name else signer for signer in self.policy.signers)
        return replace(self, policy=replace(self.policy, signers=tuple(signers)))

    def with_revoked(self, of: Any, subject: str) -> "Case":
        revocation = Revocation(of, subject, "2026-01-01", "stolen")
        return replace(self, policy=replace(self.policy, revocations=(*self.policy.revocations, revocation)))


def records(keys: frozenset[Key]) -> SignatureSet:
    return SignatureSet.of(SignatureRecord(key.key_id, b"good") for key in keys)


def subsets(values: tuple[Any, ...], least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(values), min_size=least, unique=True).map(tuple)


@st.composite
def rules(draw: st.DrawFn, number: int, models: ModelNames) -> Rule:
    signers = draw(subsets(PEOPLE, 1))
    return Rule(
        number=number,
        models=models,
        signers=signers,
        threshold=draw(st.integers(1, len(signers))),
        require=draw(subsets(signers).map(lambda names: names[:1])),
        min_version=draw(st.sampled_from((None, None, *VERSIONS))),
        max_age_days=draw(st.sampled_from((None, None, 1, 30))),
        digests=draw(subsets(("blake3", "sha256"), 1)),
        allow=draw(subsets(GLOBALS)),
        deny=draw(st.sampled_from(((), (), ("numpy.ndarray",)))),
        environment=draw(st.sampled_from(("warn", "error"))),
    )


@st.composite
def policies(draw: st.DrawFn) -> TrustPolicy:
    signers = tuple(
        TrustedSigner(
            name,
            {f"{number}.pub": Key.of(f"{name}-{number}") for number in draw(subsets((1, 2), 1))},
            draw(st.sampled_from((None, None, NOW, NOW - DAY))),
            draw(st.sampled_from((None, None, NOW + 1))),
        )
        for name in PEOPLE
    )
    first = draw(rules(1, ModelNames(("acme/*",), ("acme/test-*",))))
    second = draw(rules(2, ModelNames(("acme/test-*", "other/*"))))
    policy = TrustPolicy(1, signers, (first, second), path="keys/trust.toml", digest="0" * 64)
    assume(not any(finding.is_error for finding in lint(policy, NOW)))
    return policy


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    names = sorted(draw(subsets(GLOBALS)))
    pairs = [(full.rpartition(".")[0], full.rpartition(".")[2]) for full in names]
    return Manifest(
        Creator("test", "1"),
        draw(st.sampled_from((MODELS[0], *MODELS))),
        draw(st.sampled_from((None, *VERSIONS, "2.0"))),
        created=draw(st.sampled_from((NOW, NOW - 2 * DAY, NOW - 40 * DAY, NOW + 1000))),
        expires=draw(st.sampled_from((None, None, NOW, NOW + 1))),
        entries=(Entry("mimetype", 29, 0),),
        digest=ChunkDigests(draw(st.sampled_from(("blake3", "sha256"))), 2**22, bytes(32)),
        payload=Payload(
            "joblib",
            "1.2",
            "none",
            7,
            tuple(GlobalReference(module, name, ("reference",)) for module, name in pairs),
            Counts(1, 0, 0, 1),
        ),
        environment=draw(st.sampled_from(ENVIRONMENTS)),
    )


SIGNED = st.frozensets(st.sampled_from(KEYS), max_size=5)
CASES = st.builds(Case, policies(), manifests(), SIGNED, st.one_of(st.just(frozenset[Key]()), SIGNED))


def tighter(case: Case) -> Iterator[Case]:
    """Every case with one grant or good signature less, or one restriction more."""
    for key in KEYS:
        yield replace(case, embedded=case.embedded - {key})
        yield replace(case, detached=case.detached - {key})
        yield case.with_revoked("key", key.key_id.hex())
    for signer in case.policy.signers:
        yield without_signer(case, signer.name)
        yield case.with_revoked("signer", signer.name)
        yield case.with_signer(signer.name, valid_from=NOW + 1)
        yield case.with_signer(signer.name, valid_until=NOW)
        for reference in signer.keys:
            keys = {name: key for name, key in signer.keys.items() if name != reference}
            yield case.with_signer(signer.name, keys=keys)
    for rule in case.policy.rules:
        yield from tighter_rules(case, rule)
    yield case.with_revoked("artifact", DIGEST.hex())
    for name in MODELS:
        yield replace(case, name=name)


def tighter_rules(case: Case, rule: Rule) -> Iterator[Case]:
    number = rule.number
    yield replace(case, policy=replace(case.policy, rules=tuple(each for each in case.policy.rules if each != rule)))
    yield case.with_rule(number, threshold=rule.threshold + 1)
    for name in PEOPLE:
        yield case.with_rule(number, require=(*rule.require, name))
        yield case.with_rule(number, signers=tuple(each for each in rule.signers if each != name))
    for version in VERSIONS if rule.min_version is None else ("9",):
        yield case.with_rule(number, min_version=version)
    yield case.with_rule(number, environment="error")
    yield case.with_rule(number, max_age_days=min(rule.max_age_days or 30, 1))
    for algorithm in rule.digests:
        yield case.with_rule(number, digests=tuple(each for each in rule.digests if each != algorithm))
    for name in GLOBALS:
        yield case.with_rule(number, allow=tuple(each for each in rule.allow if each != name))
        yield case.with_rule(number, deny=(*rule.deny, name))
    for model in (*MODELS, "acme/*", "*/churn"):
        yield case.with_rule(number, models=ModelNames(rule.models.patterns, (*rule.models.exceptions, model)))


def without_signer(case: Case, name: str) -> Case:
    """Take a signer away, also from the rules that name them; a rule that requires them cannot be met any more."""
    rules = (replace(rule, signers=tuple(each for each in rule.signers if each != name)) for rule in case.policy.rules)
    signers = tuple(signer for signer in case.policy.signers if signer.name != name)
    return replace(case, policy=replace(case.policy, signers=signers, rules=tuple(rules)))


@settings(max_examples=100, deadline=None)
@given(CASES)
def test_less_is_never_more(case: Case) -> None:
    if case.is_accepted:
        return
    assert [each for each in tighter(case) if each.is_accepted] == []


@settings(max_examples=50, deadline=None)
@given(CASES)
def test_more_is_never_less(case: Case) -> None:
    """The same from the other side, since few of the refused ones are one step from an acceptance."""
    for each in tighter(case):
        assert case.is_accepted or not each.is_accepted


@settings(max_examples=50, deadline=None)
@given(CASES, subsets(PEOPLE))
def test_whose_bundles_are_accepted_changes_no_decision(case: Case, people: tuple[str, ...]) -> None:
    for rule in case.policy.rules:
        assert case.with_rule(rule.number, oms=people).is_accepted == case.is_accepted


def test_some_are_accepted_and_some_are_not() -> None:
    seen = set()

    @settings(max_examples=100, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    @given(CASES)
    def look(case: Case) -> None:
        seen.add(case.is_accepted)

    look()
    assert seen == {True, False}
