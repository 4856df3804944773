"""`safemodel completion`: print a script that lets the shell complete the command's arguments."""

import argparse
from typing import TYPE_CHECKING, Final

from safemodel.cli import output
from safemodel.cli.options import add_json
from safemodel.cli.parser import build_parser
from safemodel.errors import ConfigurationError

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_SHELLS: Final = ("bash", "zsh", "tcsh")

_EPILOG: Final = """\
examples:
  eval "$(safemodel completion bash)"                              for this shell
  safemodel completion zsh > ~/.zsh/completions/_safemodel         for good, in a folder of your $fpath
  safemodel completion tcsh > ~/.safemodel.completion.csh          to be sourced in ~/.tcshrc

--json:
  {"shell", "script"}
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "completion",
        help="print a completion script for a shell",
        description="Print a completion script for a shell.",
        epilog=_EPILOG,
    )
    parser.add_argument("shell", choices=_SHELLS, help="whose script")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    try:
        import shtab
    except ImportError:
        raise ConfigurationError(
            "completion needs shtab, which is not installed",
            hint="install the extra 'completion' from the checkout: pip install '.[completion]'",
        ) from None
    script = shtab.complete(build_parser(), shell=arguments.shell)
    if arguments.json:
        output.document({"shell": arguments.shell, "script": script})
    else:
        output.script(f"{script}\n")
    return 0
