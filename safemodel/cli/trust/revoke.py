"""`safemodel trust revoke`: say that a key, a signer or an artifact never counts again."""

import argparse
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from safemodel.cli.options import completing_files
from safemodel.cli.trust.options import a_date, add_folder
from safemodel.cli.trust.outcome import report
from safemodel.signing import load_verifying_key
from safemodel.trust.editing import revoke
from safemodel.trust.folder import edit_folder

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_OF: Final = ("key", "signer", "artifact")

_EPILOG: Final = """\
What is revoked does not count, whenever it was signed: the date is for people and is never compared.

examples:
  safemodel trust revoke keys --signer alice --reason 'laptop stolen'
  safemodel trust revoke keys --key keys/alice.pub --reason 'in a public log' --date 2026-11-02
  safemodel trust revoke keys --artifact 9e1d... --reason 'trained on poisoned data'

exit codes:
  0 done, 2 usage, 4 file or key, or the policy would be no good
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "revoke",
        help="shut a key, a signer or an artifact out",
        description="Say that a key, a signer or an artifact never counts again.",
        epilog=_EPILOG,
    )
    add_folder(parser)
    of = parser.add_mutually_exclusive_group(required=True)
    completing_files(
        of.add_argument("--key", metavar="ID", help="key id, 64 hexadecimal digits, or the file of the public key")
    )
    of.add_argument("--signer", metavar="NAME", help="all keys that are theirs")
    of.add_argument("--artifact", metavar="DIGEST", help="an artifact's digest, 64 hexadecimal digits")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for those who read the policy")
    parser.add_argument("--date", metavar="DATE", type=a_date, help="when it was found; default: today, UTC")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Edit the policy, and say what was revoked."""
    [(of, given)] = [(of, getattr(arguments, of)) for of in _OF if getattr(arguments, of) is not None]
    subject = _key_id(given) if of == "key" else given
    day = arguments.date or datetime.now(UTC).date()
    policy = edit_folder(arguments.folder, {}, revoke(of, subject, day, arguments.reason))
    return report(arguments, policy, f"revoked {of} {subject}")


def _key_id(given: str) -> str:
    return given if re.fullmatch("[0-9a-f]{64}", given) else load_verifying_key(given).key_id.hex()
