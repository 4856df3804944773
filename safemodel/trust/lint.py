"""What a policy that can be read may still have wrong: nothing here changes a decision (docs/trust.md, section "Lint").

An *error* is a rule under which nothing can be accepted now; a *warning* is what a reviewer should know.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from safemodel.format.limits import SIGNATURE_RECORDS_MAX
from safemodel.signing.ecdsa_p256 import ALGORITHM as BUNDLE_ALGORITHM
from safemodel.trust.policy import Rule, TrustedSigner, TrustPolicy

SOON_DAYS: Final = 30
_DAY: Final = 86400  # seconds


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a reviewer should look at.

    Attributes:
        is_error: whether nothing can be accepted until it is mended.
        message: what was found, and where.
        hint: what to do.
    """

    is_error: bool
    message: str
    hint: str


def lint(policy: TrustPolicy, now: int, files: Iterable[str] = ()) -> tuple[Finding, ...]:
    """Look for what is wrong with a policy that can be read.

    Args:
        policy: to look at.
        now: the clock, seconds since 1970 UTC.
        files: names of the key files in its folder, to find those that no signer has.
    """
    found = [finding for signer in policy.signers for finding in _signer(signer, policy, now)]
    found += [finding for rule in policy.rules for finding in _rule(rule, policy, now)]
    return (*found, *_files(files, policy))


def can_sign(signer: TrustedSigner, policy: TrustPolicy, now: int) -> bool:
    """Tell whether a signature by one of a signer's keys could count now."""
    revoked = all(policy.revocation_of_key(key.key_id, signer) for key in signer.keys.values())
    return signer.has_begun(now) and not signer.has_ended(now) and not revoked


def _signer(signer: TrustedSigner, policy: TrustPolicy, now: int) -> Iterator[Finding]:
    if signer.has_ended(now):
        yield Finding(False, f"the keys of {signer.name} have expired", "give it new ones, or take it out")
    elif signer.has_ended(now + SOON_DAYS * _DAY):
        yield Finding(False, f"the keys of {signer.name} expire within {SOON_DAYS} days", "add new ones beside them")
    if not any(signer.name in (*rule.signers, *rule.oms) for rule in policy.rules):
        yield Finding(False, f"no rule names {signer.name}", "name it in a rule, or take it out")


def _rule(rule: Rule, policy: TrustPolicy, now: int) -> Iterator[Finding]:
    able = [name for name in rule.signers if can_sign(policy.signer(name), policy, now)]
    if rule.threshold > min(len(able), SIGNATURE_RECORDS_MAX) or not {*rule.require} <= {*able}:
        yield Finding(
            True,
            f"rule {rule.number} cannot be met: {rule.threshold} of {len(rule.signers)} must sign, {len(able)} can now",
            "name more signers, give them valid keys, or demand less",
        )
    if rule.models.shared_with(rule.models) is None:
        yield Finding(True, f"rule {rule.number} is for no name, since all are excepted", "except less, or take it out")
    if both := [name for name in rule.allow if name in rule.deny]:
        yield Finding(False, f"rule {rule.number} allows and denies {', '.join(both)}", "deny wins: take out either")
    for name in rule.oms:
        if not any(key.algorithm == BUNDLE_ALGORITHM for key in policy.signer(name).keys.values()):
            yield Finding(
                False,
                f"rule {rule.number} accepts bundles of {name}, who has no key on P-256 to make one with",
                "give it one, or take it out of oms",
            )


def _files(files: Iterable[str], policy: TrustPolicy) -> Iterator[Finding]:
    used = {reference for signer in policy.signers for reference in signer.keys}
    for name in sorted({*files} - used):
        yield Finding(False, f"no signer has the key {name}", "list it under keys of its signer, or delete it")
