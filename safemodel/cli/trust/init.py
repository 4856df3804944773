"""`safemodel trust init`: make a trust folder."""

import argparse
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from safemodel.cli import output
from safemodel.cli.failure import UsageError
from safemodel.cli.options import completing_files
from safemodel.cli.trust.options import add_folder, add_models, file_in_folder
from safemodel.cli.trust.outcome import report
from safemodel.signing.keyfile import PUBLIC_SUFFIX
from safemodel.trust.editing import Change, add_rule, set_signer
from safemodel.trust.folder import make_folder, read_public_key

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EVERYDAY_NAMES: Final = ("*", "*/*")

_EPILOG: Final = """\
Without --key, the policy trusts nobody yet. With it, there are a signer and a rule: by default the signer is called
as the key's file ('release' for release.key.pub), and may sign models whose names have one part or two: churn,
acme/churn.

examples:
  safemodel trust init keys --key release.key.pub
  safemodel trust init keys --signer alice --key release.key.pub --models 'acme/*'
  safemodel trust init keys

exit codes:
  0 made, 2 usage, 4 there is a policy already, or file or key
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "init",
        help="make a trust folder",
        description="Make a trust folder, or put a policy into one without.",
        epilog=_EPILOG,
    )
    add_folder(parser)
    key = parser.add_argument("--key", metavar="KEY.pub", help="public key of the first signer, copied into DIR")
    completing_files(key)
    parser.add_argument("--signer", metavar="NAME", help="what to call the first signer")
    add_models(parser, "models that the first signer may sign; again for more")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the folder, and say what to do with it."""
    keys, changes = _first_signer(arguments)
    policy = make_folder(arguments.folder, keys, *changes)
    exit_code = report(arguments, policy, f"made {arguments.folder}", keys=keys)
    if not arguments.json:
        folder = shlex.quote(arguments.folder)
        output.note(f"next: safemodel verify NAME.safemodel --trust {folder}")
        models = " ".join(f"--models {shlex.quote(pattern)}" for pattern in _suggested_models(arguments))
        output.note(f"and:  safemodel trust add {folder} NAME KEY.pub {models}")
    return exit_code


def _suggested_models(arguments: argparse.Namespace) -> Sequence[str]:
    """Return those of the rule that there is now, since two rules must not be for one name."""
    if arguments.key is None:
        return ("acme/*",)
    return arguments.models or _EVERYDAY_NAMES


def _first_signer(arguments: argparse.Namespace) -> tuple[dict[str, bytes], list[Change]]:
    if arguments.key is None:
        if arguments.signer or arguments.models:
            raise UsageError("--signer and --models need a key", hint="give --key KEY.pub too")
        return {}, []
    file = file_in_folder(arguments.key)
    name = arguments.signer or file.removesuffix(PUBLIC_SUFFIX)
    changes = [set_signer(name, [file]), add_rule(arguments.models or _EVERYDAY_NAMES, name)]
    return {file: read_public_key(arguments.key)}, changes
