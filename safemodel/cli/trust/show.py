"""`safemodel trust show`: a policy as a table."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from safemodel.cli import output
from safemodel.cli.trust.options import add_folder
from safemodel.trust.folder import is_absent_secret, read_for_editing
from safemodel.trust.policy import Rule, TrustedSigner, TrustPolicy

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
Secrets that the policy refers to need not be at hand; their key ids are left out then.

examples:
  safemodel trust show keys
  safemodel trust show keys --json

exit codes:
  0 shown, 2 usage, 4 no policy, or one that cannot be read

--json:
  {"policy": {"path", "version", "digest"},
   "signers": [{"name", "keys": [{"reference", "algorithm", "key_id", "revoked"}], "valid_from", "valid_until",
                "contact", "revoked"}],
   "rules": [{"rule", "models", "except", "signers", "threshold", "require", "min_version", "max_age_days", "digests",
              "allow", "deny", "environment", "versions", "roles", "oms"}],
   "revoked": [{"of", "subject", "date", "reason"}]}
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "show", help="show signers and rules", description="Show signers, rules and revocations.", epilog=_EPILOG
    )
    add_folder(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show the policy."""
    policy = read_for_editing(arguments.folder)
    if arguments.json:
        output.document(_value(policy))
    else:
        output.result(str(policy), *output.table(_rows(policy)))
    return 0


def _rows(policy: TrustPolicy) -> Iterator[tuple[str, str]]:
    for signer in policy.signers:
        yield "signer", ", ".join([signer.name, *_details(signer, policy)])
        for key in _keys(signer, policy):
            known = f", {key['algorithm']} key {key['key_id']}" if key["key_id"] else ", a secret that is not at hand"
            yield "  key", f"{key['reference']}{known}{', revoked' if key['revoked'] else ''}"
    for rule in policy.rules:
        yield "rule", str(rule)
        yield from (("  " + name, str(value)) for name, value in _restrictions(rule).items())
    for revocation in policy.revocations:
        yield "revoked", f"{revocation.of} {revocation.subject}, {revocation.date}: {revocation.reason}"


def _details(signer: TrustedSigner, policy: TrustPolicy) -> Iterator[str]:
    if signer.valid_from is not None:
        yield f"from {output.moment(signer.valid_from)}"
    if signer.valid_until is not None:
        yield f"until {output.moment(signer.valid_until)}"
    if signer.contact:
        yield signer.contact
    if _is_revoked(signer, policy):
        yield "revoked"


def _keys(signer: TrustedSigner, policy: TrustPolicy) -> list[dict[str, Any]]:
    return [
        {
            "reference": reference,
            "algorithm": key.algorithm,
            "key_id": None if is_absent_secret(reference) else key.key_id.hex(),
            "revoked": policy.revocation_of_key(key.key_id, signer) is not None,
        }
        for reference, key in signer.keys.items()
    ]


def _restrictions(rule: Rule) -> dict[str, Any]:
    """What a rule says beyond its models and signers, where it differs from a rule that says nothing."""
    plain = Rule(rule.number, rule.models, rule.signers)
    names = ("min_version", "max_age_days", "digests", "allow", "deny", "environment", "versions", "roles", "oms")
    values = {name: getattr(rule, name) for name in names if getattr(rule, name) != getattr(plain, name)}
    return {name: ", ".join(map(_text, value)) if isinstance(value, tuple) else value for name, value in values.items()}


def _text(item: str | tuple[str, str]) -> str:
    """Return a name, or what is said of it."""
    return item if isinstance(item, str) else " ".join(item)


def _is_revoked(signer: TrustedSigner, policy: TrustPolicy) -> bool:
    return any((each.of, each.subject) == ("signer", signer.name) for each in policy.revocations)


def _value(policy: TrustPolicy) -> dict[str, Any]:
    return {
        "policy": policy.to_value(),
        "signers": [
            {
                "name": signer.name,
                "keys": _keys(signer, policy),
                "valid_from": _moment(signer.valid_from),
                "valid_until": _moment(signer.valid_until),
                "contact": signer.contact or None,
                "revoked": _is_revoked(signer, policy),
            }
            for signer in policy.signers
        ],
        "rules": [_rule(rule) for rule in policy.rules],
        "revoked": [
            {"of": each.of, "subject": each.subject, "date": each.date, "reason": each.reason}
            for each in policy.revocations
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "rule": rule.number,
        "models": rule.models.patterns,
        "except": rule.models.exceptions,
        "signers": rule.signers,
        "threshold": rule.threshold,
        "require": rule.require,
        "min_version": rule.min_version,
        "max_age_days": rule.max_age_days,
        "digests": rule.digests,
        "allow": rule.allow,
        "deny": rule.deny,
        "environment": rule.environment,
        "versions": dict(rule.versions),
        "roles": rule.roles,
        "oms": rule.oms,
    }


def _moment(seconds: int | None) -> str | None:
    return None if seconds is None else output.moment(seconds)
