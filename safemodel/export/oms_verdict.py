"""What an OpenSSF Model Signing bundle says of an artifact, and whether a trust policy accepts it.

It is a verdict of its own: no artifact is loaded, verified or countersigned on it, whatever the policy says. A rule
names in `oms` whose bundles it accepts, and everything else that it demands holds too (docs/trust.md, section "OpenSSF
Model Signing").
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from safemodel.arguments import Filename, Name, Verifier, expected_name, now
from safemodel.decisions import decided
from safemodel.errors import DigestMismatchError, FormatError, NoTrustedSignatureError, PolicyError, VerificationError
from safemodel.export.oms import BUNDLE_MAX, OmsBundle, key_hint, parse_json, same, statement_about
from safemodel.export.statement import message
from safemodel.export.subject import Subject, file_digest, file_name
from safemodel.format.content import Content, Progress
from safemodel.format.envelope import SignatureRecord, artifact_digest
from safemodel.format.source import Source, open_source
from safemodel.format.unverified import read_unverified
from safemodel.signing import EcdsaP256VerifyingKey
from safemodel.trust.decision import Requirements, decide, judge_statement
from safemodel.trust.explanation import Explanation
from safemodel.trust.policy import NO_RULE, TrustPolicy

_ASK: Final = "safemodel export oms FILE -o model.sig --key KEY"


@dataclass(frozen=True, slots=True)
class OmsVerdict:
    """A bundle that holds for an artifact and that a rule accepts; nothing can be loaded with it.

    Attributes:
        subject: the artifact; its signer is the bundle's.
        explanation: the decision, with its grounds.
    """

    subject: Subject
    explanation: Explanation


def verify_oms(
    filename: Filename,
    bundle: Filename,
    *,
    trust: Any = None,
    name: Name = None,
    allow: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> OmsVerdict:
    """Check that an OpenSSF Model Signing bundle holds for an artifact, and that a rule accepts it.

    Args:
        filename: the artifact's path, or a seekable binary file.
        bundle: the bundle's path, or a seekable binary file.
        trust: as for `safemodel.load`; of a folder, the rule for the model names in `oms` who may sign bundles.
        name: as for `safemodel.load`.
        allow: as for `safemodel.load`.
        progress: called with (bytes done, bytes in all).

    Returns:
        The verdict. It is not what `safemodel.verify` returns: an artifact that has nothing else does not load.

    Raises:
        FormatError: not a canonical artifact, or not a bundle of the one form that `export_oms` writes.
        VerificationError: the bundle does not hold for this artifact, or no rule accepts it.
        ConfigurationError: trust, a name or an argument is missing or wrong.
        OSError: a file cannot be read.
    """
    verifier = Verifier.of(trust, allow=allow)
    policy = verifier.policy.for_oms()
    required = Requirements(policy, expected_name(filename, name), now(), verifier.catalogue, ask=_ASK)
    claimed = _read_bundle(bundle)
    with decided(filename, policy) as decision, open_source(filename) as source:
        verdict = _judge(filename, source, claimed, required, progress)
        decision.bundle_accepted(verdict.explanation)
    return verdict


def _read_bundle(filename: Filename) -> OmsBundle:
    with open_source(filename) as source:
        if source.size > BUNDLE_MAX:
            raise FormatError(f"the bundle has {source.size} bytes, at most {BUNDLE_MAX} are accepted")
        return OmsBundle.from_bytes(source.read(0, source.size))


def _judge(
    filename: Filename, source: Source, bundle: OmsBundle, required: Requirements, progress: Progress | None
) -> OmsVerdict:
    """Judge in the order of the gate: neither statement nor manifest is parsed before the signature holds."""
    unverified = read_unverified(source)
    record = SignatureRecord(_key_id(bundle, required.policy), bundle.signature)
    digest = artifact_digest(unverified.manifest_bytes)
    judged = judge_statement(digest, record, message(bundle.body), required).check()
    statement = parse_json(bundle.body)
    content = Content.of(source, unverified)
    _refuse_rule_without_bundles(content, required.policy)
    found = decide(judged, content.manifest, required).check()
    subject = Subject(
        file_name(filename, content.manifest),
        file_digest(content, unverified.signatures, progress),
        digest.hex(),
        content.manifest,
        found.signers,
    )
    _compare(statement, subject)
    return OmsVerdict(subject, found)


def _key_id(bundle: OmsBundle, policy: TrustPolicy) -> bytes:
    """Return the id of the listed key that the bundle names."""
    keys = (key for signer in policy.signers for key in signer.keys.values())
    for key in keys:
        if isinstance(key, EcdsaP256VerifyingKey) and key_hint(key) == bundle.hint:
            return key.key_id
    raise NoTrustedSignatureError(
        f"the bundle names a key that is not trusted, whose PEM has the SHA-256 {bundle.hint}",
        hint="get the public key of its signer through a channel you trust; it must be on P-256",
    )


def _refuse_rule_without_bundles(content: Content, policy: TrustPolicy) -> None:
    rule = policy.rule_for(content.manifest.name)
    if rule is not NO_RULE and not rule.oms:
        raise PolicyError(
            f"rule {rule.number} accepts nobody's OpenSSF Model Signing bundle ({policy.path})",
            hint='if it should, name in the rule whose: oms = ["alice"]; no artifact is loaded on it',
        )


def _compare(statement: Any, subject: Subject) -> None:
    """Refuse a statement, whose signature holds, that is not the one about this artifact."""
    try:
        file, digest = statement["subject"][0]["name"], statement["predicate"]["resources"][0]["digest"]
    except (LookupError, TypeError):
        file = digest = None
    if isinstance(digest, str) and digest != subject.sha256:
        raise DigestMismatchError(
            f"the bundle is for a file with the SHA-256 {digest[:64]}, found one with {subject.sha256}",
            hint="a file that was signed once more is another file: have its bundle made again",
        )
    if not isinstance(file, str) or not same(statement, statement_about(subject, file)):
        raise VerificationError(
            f"the bundle's statement is not the one about {subject.manifest.name!r} with the digest {subject.digest}",
            hint="have it made with 'safemodel export oms'; what other tools make does not say which model it is",
        )
