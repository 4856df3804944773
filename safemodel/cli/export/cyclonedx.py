"""`safemodel export cyclonedx`: a CycloneDX 1.6 bill of materials with a model card."""

import argparse
from typing import TYPE_CHECKING, Final

import safemodel
from safemodel.cli.export.options import add_options, destination, show
from safemodel.cli.failure import about
from safemodel.cli.progress import progress

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
It is not signed, and the same artifact gives the same bytes.

examples:
  safemodel export cyclonedx churn.safemodel -o churn.cdx.json --trust keys
"""


def add_parser(formats: "Verbs") -> None:
    """Describe the format."""
    parser = formats.add_parser(
        "cyclonedx",
        help="a CycloneDX 1.6 bill of materials with a model card",
        description="Write a CycloneDX 1.6 bill of materials with a model card.",
        epilog=_EPILOG,
    )
    add_options(parser, signed=False)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export, and say what was written."""
    target = destination(arguments)
    with about(arguments.file), progress(f"verifying {arguments.file}") as report:
        subject = safemodel.export_cyclonedx(
            arguments.file,
            target,
            trust=arguments.trust,
            name=arguments.name,
            allow=arguments.allow,
            progress=report,
        )
    show(arguments, target, subject)
    return 0
