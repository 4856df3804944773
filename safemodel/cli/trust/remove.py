"""`safemodel trust remove`: take a signer or one of their keys away."""

import argparse
import os
from typing import TYPE_CHECKING, Final

from safemodel.cli.options import completing_files
from safemodel.cli.trust.options import add_folder
from safemodel.cli.trust.outcome import report
from safemodel.trust.editing import remove_key, remove_signer
from safemodel.trust.folder import delete_unused, edit_folder, is_elsewhere, read_for_editing

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
The signer goes out of the rules too, and key files that nobody has any more are deleted. A rule that requires the
signer, or has no other, is never changed by that: the edit is refused. What a thief may have is revoked, not removed:
a key that is only removed could be added again.

examples:
  safemodel trust remove keys alice --key alice.pub
  safemodel trust remove keys alice

exit codes:
  0 done, 2 usage, 4 file or key, no such signer, or the policy would be no good
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "remove",
        help="take a signer or a key away",
        description="Take a signer away, or one of their keys.",
        epilog=_EPILOG,
    )
    add_folder(parser)
    parser.add_argument("name", metavar="NAME", help="of the signer")
    completing_files(parser.add_argument("--key", metavar="FILE", help="only this key, as the policy names it"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Edit the policy, delete key files that nobody has any more, and say what was done."""
    before = read_for_editing(arguments.folder)
    if arguments.key is None:
        change, what = remove_signer(arguments.name), arguments.name
    else:
        key = arguments.key if is_elsewhere(arguments.key) else os.path.basename(arguments.key)
        change, what = remove_key(arguments.name, key), f"{key} of {arguments.name}"
    policy = edit_folder(arguments.folder, {}, change)
    return report(arguments, policy, f"removed {what}", deleted=delete_unused(policy, before))
