"""`safemodel trust check`: look for what is wrong with a policy that can be read."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from safemodel.arguments import now
from safemodel.cli import output
from safemodel.cli.failure import NOT_TRUSTED
from safemodel.cli.trust.options import add_folder
from safemodel.payload.ruled import RuledCatalogue
from safemodel.trust.folder import key_files
from safemodel.trust.lint import Finding, lint
from safemodel.trust.loader import read_folder

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
Found are rules that nobody can meet now, keys that have expired or soon will, signers whom no rule names, key files
that no signer has, and secrets in the folder. Run it before each commit, and daily, since keys expire.

examples:
  safemodel trust check keys
  safemodel trust check keys --json

exit codes:
  0 clean, 1 findings, 2 usage, 4 no policy, or one that cannot be read, also where a secret is missing here

--json:
  {"policy": {"path", "version", "digest"}, "clean", "findings": [{"level": "error" or "warning", "message", "hint"}]}
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "check",
        help="look for what is wrong with a policy",
        description="Look for what is wrong with a policy that can be read.",
        epilog=_EPILOG,
    )
    add_folder(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show the findings, and return whether there are any."""
    policy = read_folder(arguments.folder)
    RuledCatalogue.of(policy)  # refuses what can never be allowed
    public, secret = key_files(arguments.folder)
    findings = [*_secrets(secret), *lint(policy, now(), public)]
    if arguments.json:
        shown = [{"level": _level(found), "message": found.message, "hint": found.hint} for found in findings]
        output.document({"policy": policy.to_value(), "clean": not findings, "findings": shown})
    else:
        output.result(f"{policy}: {len(findings) or 'no'} finding{'' if len(findings) == 1 else 's'}")
        for found in findings:
            output.result(f"  {_level(found)}: {found.message}", f"    hint: {found.hint}")
    return NOT_TRUSTED if findings else 0


def _level(finding: Finding) -> str:
    return "error" if finding.is_error else "warning"


def _secrets(names: list[str]) -> Iterator[Finding]:
    for name in names:
        yield Finding(True, f"{name} is a secret that signs", "take it out, and revoke the key if others have seen it")
