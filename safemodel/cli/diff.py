"""`safemodel diff`: show what two artifacts say differently."""

import argparse
from typing import TYPE_CHECKING, Final

from safemodel.arguments import now
from safemodel.cli import output, pages
from safemodel.cli.options import add_json, completing_files
from safemodel.cli.reading import add_checks, read
from safemodel.describe.pages.bounds import COMPARED, FULL
from safemodel.describe.pages.difference import difference_page, differences

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
Compared is what the manifests say, and who signed: class, steps, parameters, metrics, input columns, environment,
globals, sizes, signers. Payloads are not compared byte by byte, but by the artifact's digest, which covers them.
With --trust both files are checked as by safemodel verify; else nothing is verified, and every heading says so.

examples:
  safemodel diff churn-1.3.0.safemodel churn-1.4.0.safemodel
  safemodel diff churn-1.3.0.safemodel churn-1.4.0.safemodel --trust keys --html changes.html
  safemodel diff old.safemodel new.safemodel --name acme/churn --trust keys --json | jq .differences

exit codes:
  0 shown, whether the two differ or not, 1 not trusted, 2 usage, 3 malformed, 4 file or key

--json:
  {"before": FILE, "after": FILE, "identical": true or false, "differences": [DIFFERENCE...]}
  where FILE is what safemodel inspect prints for it, and DIFFERENCE is {"section", "name", "change", "before",
  "after"}: "before" or "after" is missing where there is nothing, and "change" is null where it is no number
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "diff",
        help="show what two artifacts say differently",
        description="Show what two artifacts say differently.",
        epilog=_EPILOG,
    )
    completing_files(parser.add_argument("before", metavar="A", help="an artifact"))
    completing_files(parser.add_argument("after", metavar="B", help="the one to compare with it"))
    add_checks(parser)
    pages.add_html(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare the two: on a page of the terminal, of HTML, or in a document."""
    before, before_value = read(arguments.before, arguments)
    after, after_value = read(arguments.after, arguments)
    written = output.moment(now())
    if arguments.html is not None:
        pages.write(difference_page(before, after, FULL, written=written), arguments.html)
    if arguments.json:
        found = differences(before, after)
        compared = {"before": before_value, "after": after_value, "identical": not found}
        output.document(compared | {"differences": [each.to_value() for each in found]})
    elif arguments.html is not None:
        output.result(f"{arguments.html}: written")
    else:
        pages.show(difference_page(before, after, COMPARED, written=written))
    return 0
