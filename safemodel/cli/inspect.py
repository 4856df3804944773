"""`safemodel inspect`: show what an artifact is, and who vouches for it, which is nobody without `--trust`."""

import argparse
import shlex
from typing import TYPE_CHECKING, Final

from safemodel.arguments import now
from safemodel.cli import output, pages
from safemodel.cli.options import add_json, completing_files
from safemodel.cli.reading import add_checks, read
from safemodel.describe.pages.bounds import BRIEF, FULL
from safemodel.describe.pages.overview import overview

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
Without --trust no key is needed, and nothing is verified: anybody can have written the file and what it says, and
every heading says so. With --trust the file is checked as by safemodel verify, and shown only if it passes.

examples:
  safemodel inspect churn.safemodel
  safemodel inspect churn.safemodel --trust release.key.pub
  safemodel inspect churn.safemodel --trust keys --html churn.html
  safemodel inspect churn.safemodel --json | jq -r .unverified.artifact_digest

exit codes:
  0 shown, 1 not trusted, 2 usage, 3 malformed, 4 file or key

--json:
  {"file", "unverified": {"artifact_digest", "key_ids", "size", "entries", "manifest"}}
  {"file", "verified": {"artifact_digest", "size", "entries", "manifest", "signers", "warnings", "policy", "rule"}}
  with the manifest's fields as in docs/spec.md, times in ISO 8601 and bytes in hexadecimal, and the last four as
  safemodel verify has them
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "inspect",
        help="show what an artifact is, and who vouches for it",
        description="Show what an artifact is, and who vouches for it.",
        epilog=_EPILOG,
    )
    completing_files(parser.add_argument("file", metavar="FILE", help="the artifact"))
    add_checks(parser)
    pages.add_html(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show the artifact: as a page of the terminal, of HTML, or as a document."""
    described, value = read(arguments.file, arguments)
    written = output.moment(now())
    if arguments.html is not None:
        pages.write(overview(described, FULL, written=written), arguments.html)
    if arguments.json:
        output.document(value)
    elif arguments.html is not None:
        output.result(f"{arguments.html}: written")
    else:
        pages.show(overview(described, BRIEF, written=written))
        if not described.voucher.verified:
            output.note(f"to check it: safemodel inspect {shlex.quote(arguments.file)} --trust KEY.pub")
    return 0
