"""`safemodel trust`: make, edit and check a trust folder; one file for each of its own verbs."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from safemodel.cli.parser import Parser

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_VERBS: Final = ("init", "add", "remove", "revoke", "allow", "check", "show")

_EPILOG: Final = """\
DIR holds public keys and one file, trust.toml, which says who may sign which models. It belongs under version
control. Every edit keeps comments and order, raises the version, and is refused where the result would be no good.

examples:
  safemodel trust init keys --key release.key.pub --models 'acme/*'
  safemodel trust add keys alice alice.key.pub --models 'acme/*'
  safemodel trust revoke keys --signer alice --reason 'laptop stolen'
  safemodel trust check keys

exit codes:
  0 done, 1 findings or not trusted, 2 usage, 3 malformed artifact, 4 file, key or policy

--json:
  of init, add, remove, revoke and allow: {"policy": {"path", "version", "digest"}, "written", "deleted", "allow"}
  of check and show: see there
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "trust",
        help="say who may sign which models",
        description="Make, edit and check a trust folder: who may sign which models.",
        epilog=_EPILOG,
    )
    subparsers = parser.add_subparsers(
        title="verbs", metavar="VERB", dest="trust_verb", required=True, parser_class=Parser, prog="safemodel trust"
    )
    for verb in _VERBS:
        import_module(f"{__name__}.{verb}").add_parser(subparsers)
