"""`safemodel trust add`: add a signer, a key, or models that somebody may sign."""

import argparse
from typing import TYPE_CHECKING, Final

from safemodel.cli.failure import UsageError
from safemodel.cli.options import completing_files
from safemodel.cli.trust.options import a_date, add_folder, add_models, file_in_folder
from safemodel.cli.trust.outcome import report
from safemodel.trust.editing import Change, add_rule, set_signer
from safemodel.trust.folder import edit_folder, read_public_key
from safemodel.trust.policy import ENVIRONMENT_REFERENCE, FILE_REFERENCE

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
The public key is copied into DIR under the name of its file (release.key.pub as release.pub). A signer that there
is gets it beside the keys that they have. An HMAC key is a secret and stays where it is: the policy refers to it.

--models lets the signer sign on their own, in a rule for exactly these models. Where there is one, they join it.

examples:
  safemodel trust add keys alice alice.key.pub --models 'acme/*' --contact alice@example.com
  safemodel trust add keys alice alice-2027.key.pub --valid-until 2028-01-31
  safemodel trust add keys ci --reference env:CI_HMAC_KEY --models 'acme/test-*'

exit codes:
  0 done, 2 usage, 4 file or key, or the policy would be no good
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "add",
        help="add a signer, a key, or models that they may sign",
        description="Add a signer, another key of theirs, or models that they may sign.",
        epilog=_EPILOG,
    )
    add_folder(parser)
    parser.add_argument("name", metavar="NAME", help="of the signer")
    key = parser.add_mutually_exclusive_group()
    completing_files(key.add_argument("key", metavar="KEY.pub", nargs="?", help="their public key"))
    key.add_argument("--reference", metavar="REFERENCE", help="HMAC key outside of DIR: env:NAME or file:PATH")
    add_models(parser, "models that they may sign; again for more")
    parser.add_argument("--valid-from", metavar="DATE", type=a_date, help="their keys count from then on")
    parser.add_argument("--valid-until", metavar="DATE", type=a_date, help="their keys count until then")
    parser.add_argument("--contact", metavar="TEXT", help="where to ask them")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Edit the policy, and say what was written."""
    keys = {} if arguments.key is None else {file_in_folder(arguments.key): read_public_key(arguments.key)}
    policy = edit_folder(arguments.folder, keys, *_changes(arguments, [*keys, *_reference(arguments)]))
    return report(arguments, policy, f"added to {arguments.name}", keys=keys)


def _reference(arguments: argparse.Namespace) -> list[str]:
    if arguments.reference is None:
        return []
    if not arguments.reference.startswith((ENVIRONMENT_REFERENCE, FILE_REFERENCE)):
        raise UsageError(
            "argument --reference: expected env:NAME or file:PATH, found something else",  # it may be the secret
            hint="give a public key without --reference",
        )
    return [arguments.reference]


def _changes(arguments: argparse.Namespace, references: list[str]) -> list[Change]:
    fields = {"valid_from": arguments.valid_from, "valid_until": arguments.valid_until, "contact": arguments.contact}
    if not references and not arguments.models and all(value is None for value in fields.values()):
        raise UsageError("there is nothing to add", hint="give a key, --models, --valid-until or --contact")
    changes = [set_signer(arguments.name, references, **fields)]
    return [*changes, add_rule(arguments.models, arguments.name)] if arguments.models else changes
