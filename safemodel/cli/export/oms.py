"""`safemodel export oms`: an OpenSSF Model Signing bundle, for model_signing verify key."""

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
The bundle is beside the artifact and covers its file's bytes: a signature that is added later makes it void.
'safemodel oms' judges it, and so does the reference:

examples:
  safemodel export oms churn.safemodel -o model.sig --key release.key --trust keys
  model_signing verify key churn.safemodel --signature model.sig --public_key release.key.pub
"""


def add_parser(formats: "Verbs") -> None:
    """Describe the format."""
    parser = formats.add_parser(
        "oms",
        help="an OpenSSF Model Signing bundle, for model_signing verify key",
        description="Sign the artifact's file as OpenSSF Model Signing v1.0 does, with a key on P-256.",
        epilog=_EPILOG,
    )
    add_options(parser, signed=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export, and say what was written."""
    signers = signers_of(arguments.key, passphrase_of(arguments))
    target = destination(arguments)
    with about(arguments.file), progress(f"verifying {arguments.file}") as report:
        subject = safemodel.export_oms(
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
