"""`safemodel extract`: verify an artifact and write its files into a new folder."""

import argparse
from typing import TYPE_CHECKING, Final

import safemodel
from safemodel.cli import output
from safemodel.cli.failure import about
from safemodel.cli.options import add_allow, add_json, add_name, add_trust, completing_files
from safemodel.cli.progress import progress

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
The folder appears only after the last byte was verified. joblib.load reads payload.joblib in it, without
any of safemodel's protection: from then on it is a pickle like any other.

examples:
  safemodel extract churn.safemodel --trust release.key.pub -o churn

--json:
  {"file", "directory", "files"}
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "extract",
        help="verify, and write the files into a folder",
        description="Verify an artifact, and write its files into a new folder.",
        epilog=_EPILOG,
    )
    completing_files(parser.add_argument("file", metavar="FILE", help="the artifact"))
    completing_files(
        parser.add_argument(
            "-o", "--output", metavar="DIR", required=True, help="folder to make; it must be new or empty"
        )
    )
    add_trust(parser)
    add_name(parser)
    add_allow(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Extract, and list what was written."""
    with about(arguments.file), progress(f"extracting {arguments.file}") as report:
        written = safemodel.extract(
            arguments.file,
            arguments.output,
            trust=arguments.trust,
            name=arguments.name,
            allow=arguments.allow,
            progress=report,
        )
    if arguments.json:
        output.document({"file": arguments.file, "directory": arguments.output, "files": written})
        return 0
    output.result(f"{arguments.file}: verified, extracted to {arguments.output}", *(f"  {name}" for name in written))
    output.note("joblib.load on an extracted payload has none of safemodel's protection; safemodel.load has it")
    return 0
