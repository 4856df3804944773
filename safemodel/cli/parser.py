"""The command line's grammar: the verbs, loaded only when they are needed, and errors that argparse does not print."""

import argparse
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn

from safemodel.cli import output
from safemodel.cli.failure import UsageError
from safemodel.version import VERSION

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction["Parser"]

# One module each.
VERBS: Final = (
    "keygen",
    "trust",
    "pack",
    "sign",
    "verify",
    "reproduce",
    "scan",
    "inspect",
    "diff",
    "requirements",
    "extract",
    "export",
    "oms",
    "demo",
    "completion",
)

_HELP_WIDTH: Final = 100  # fixed: asking the terminal loads shutil and three compressors at every start

_DESCRIPTION: Final = """\
One signed file for a machine-learning model: who made it, what it is, and which code it may reach
are checked before anything in it is unpickled.

In Python:  safemodel.dump(model, "churn.safemodel", key="release.key")
            model = safemodel.load("churn.safemodel", trust="release.key.pub")
"""

_EPILOG: Final = """\
examples:
  safemodel demo                                            see what it does, and what it refuses
  safemodel keygen release.key                              make a key
  safemodel trust init keys --key release.key.pub           make a folder that says who may sign
  safemodel verify churn.safemodel --trust keys             check a model, without loading it
  safemodel scan models/                                    judge which code models reach for

environment:
  SAFEMODEL_TRUST        trust folder or verifying keys, where --trust is missing; keys separated as in PATH
  SAFEMODEL_KEY          private keys, where --key is missing; paths separated likewise, or one URI
  SAFEMODEL_PASSPHRASE   of the private key, or the token's PIN, where --passphrase-env is missing

exit codes:
  0 verified or done, 1 not trusted, 2 usage, 3 malformed, 4 file, key, configuration or signing

with --json, stdout is one JSON document; that of a failure is {"error": {"code", "message", "hint"}}
"""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError, takes no abbreviations, and keeps the lines of its texts."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_formatter, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse what the verb does not know here, where its name is known, rather than in the parser of all verbs."""
        arguments, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return arguments, unknown

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(message, hint=f"see {self.prog} --help")

    def _print_message(self, message: str, file: object = None) -> None:
        output.script(message)  # --help and --version; argparse would ignore that nothing can be written


def build_parser(verbs: Iterable[str] = VERBS) -> Parser:
    """Build the parser.

    Args:
        verbs: those to load, out of `VERBS`.

    Returns:
        A parser whose result has `run`, the function of the verb that was given.
    """
    parser = Parser(prog="safemodel", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument(
        "-V", "--version", action="version", version=f"safemodel {VERSION}", help="show the version and exit"
    )
    subparsers = parser.add_subparsers(
        title="verbs", metavar="VERB", dest="verb", required=True, parser_class=Parser, prog="safemodel"
    )
    for verb in verbs:
        import_module(f"safemodel.cli.{verb}").add_parser(subparsers)
    return parser


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=_HELP_WIDTH)
