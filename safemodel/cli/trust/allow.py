"""`safemodel trust allow`: let a rule allow what a refused artifact reaches for."""

import argparse
from typing import TYPE_CHECKING, Final

import safemodel
from safemodel.arguments import now
from safemodel.cli.options import completing_files
from safemodel.cli.trust.options import add_folder
from safemodel.cli.trust.outcome import report
from safemodel.errors import ConfigurationError
from safemodel.format.manifest import GlobalReference
from safemodel.payload.ruled import additions
from safemodel.trust.editing import allow
from safemodel.trust.folder import edit_folder
from safemodel.trust.loader import read_detached, read_folder
from safemodel.trust.policy import TrustPolicy

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
The exact names come from the signed list of the artifact, which the rule must accept otherwise, but for how many
have signed. Names that are never allowed, or that the rule denies, are refused. Read what is printed: each name is
code that models of this rule may call from now on.

examples:
  safemodel trust allow keys churn.safemodel --rule 1

exit codes:
  0 done, or nothing is needed, 1 not trusted or never allowed, 2 usage, 3 malformed, 4 file, key or policy
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "allow",
        help="allow what a refused artifact reaches for",
        description="Let a rule allow the exact globals that an artifact reaches for.",
        epilog=_EPILOG,
    )
    add_folder(parser)
    completing_files(parser.add_argument("file", metavar="FILE", help="the artifact that was refused"))
    parser.add_argument("--rule", metavar="N", type=int, required=True, help="number of the rule that it is under")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Edit the rule, and say which names it allows now."""
    policy = read_folder(arguments.folder)
    references = _signed_globals(arguments.file, policy, arguments.rule)
    names = additions(policy, policy.rules[arguments.rule - 1], references)
    if not names:
        return report(arguments, policy, f"{arguments.file} needs nothing more, so nothing was changed", changed=False)
    policy = edit_folder(arguments.folder, {}, allow(arguments.rule, names))
    return report(arguments, policy, f"rule {arguments.rule} allows more", allow=names)


def _signed_globals(file: str, policy: TrustPolicy, number: int) -> tuple[GlobalReference, ...]:
    artifact = safemodel.inspect(file)
    lenient = policy.for_countersigning()
    found = lenient.explain(artifact, now=now(), detached=read_detached(file)).check()
    if found.rule.number != number:
        raise ConfigurationError(
            f"rule {number} is not for {found.model}, rule {found.rule.number} is",
            hint=f"say --rule {found.rule.number}, if you know this code and trust it",
        )
    return artifact.manifest.payload.globals
