"""`safemodel export in-toto`: an in-toto statement of provenance (SLSA v1), signed."""

import argparse
from typing import TYPE_CHECKING, Final

import safemodel
from safemodel.arguments import signers_of
from safemodel.cli.export.options import add_options, destination, show
from safemodel.cli.failure import about
from safemodel.cli.options import passphrase_of
from safemodel.cli.progress import progress

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
The statement says what the manifest claims: who made the model, when, of what, with which packages.

examples:
  safemodel export in-toto churn.safemodel -o churn.intoto.json --key release.key --trust keys
"""


def add_parser(formats: "Verbs") -> None:
    """Describe the format."""
    parser = formats.add_parser(
        "in-toto",
        help="an in-toto statement of provenance (SLSA v1), signed",
        description="Sign an in-toto statement of the artifact's provenance, in a DSSE envelope.",
        epilog=_EPILOG,
    )
    add_options(parser, signed=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export, and say what was written."""
    signers = signers_of(arguments.key, passphrase_of(arguments))
    target = destination(arguments)
    with about(arguments.file), progress(f"verifying {arguments.file}") as report:
        subject = safemodel.export_in_toto(
            arguments.file,
            target,
            key=signers,
            trust=arguments.trust,
            name=arguments.name,
            allow=arguments.allow,
            progress=report,
        )
    show(arguments, target, subject, signers)
    return 0
