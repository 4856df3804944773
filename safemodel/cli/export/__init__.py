"""`safemodel export`: describe an artifact as other standards do; one file for each of them."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from safemodel.cli.parser import Parser

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_FORMATS: Final = ("oms", "in_toto", "cyclonedx")

_EPILOG: Final = """\
The artifact is verified first, and nothing is written when it is refused. What is written is for other tools:
it never makes an artifact load that safemodel refuses.

examples:
  safemodel export oms churn.safemodel -o model.sig --key release.key --trust keys
  safemodel export in-toto churn.safemodel -o churn.intoto.json --key release.key --trust keys
  safemodel export cyclonedx churn.safemodel -o churn.cdx.json --trust keys

exit codes:
  0 written, 1 not trusted, 2 usage, 3 malformed, 4 file, key, configuration or signing

--json:
  {"file", "format", "name", "version", "digest", "sha256", "signers": [{"key_id", "algorithm"}], "written"}
  where "signers" are the keys that signed what was written
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "export",
        help="describe an artifact as other standards do",
        description="Describe a verified artifact in the format of another standard.",
        epilog=_EPILOG,
    )
    subparsers = parser.add_subparsers(
        title="formats", metavar="FORMAT", dest="format", required=True, parser_class=Parser, prog="safemodel export"
    )
    for name in _FORMATS:
        import_module(f"{__name__}.{name}").add_parser(subparsers)
