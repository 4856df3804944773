"""`safemodel reproduce`: verify an artifact, load its model, and compare what it predicts with what it predicted."""

import argparse
import warnings
from typing import TYPE_CHECKING, Final

import safemodel
from safemodel.cli import output
from safemodel.cli.failure import NOT_TRUSTED, VERIFIED, UsageError, about
from safemodel.cli.options import add_allow, add_json, add_name, add_trust, completing_files
from safemodel.cli.progress import progress
from safemodel.cli.verify import note_differences

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
The artifact holds a few rows of inputs and what the model gave for them when it was dumped, in Python with
safemodel.dump(model, ..., example=X[:5]). This verb checks everything that verify checks, then unpickles the
model, runs it on those rows, and compares: floating-point numbers within the signed tolerance, everything else
exactly. A model that fails on them drifts too.

examples:
  safemodel reproduce churn.safemodel --trust keys
  safemodel reproduce churn.safemodel --trust release.key.pub --tolerance 1e-3

exit codes:
  0 it predicts what it predicted, 1 it does not, or is not trusted, or holds no example; else as verify

--json:
  {"file", "agrees", "tolerance", "methods": [{"method", "agrees", "rows", "rows_differing", "largest_absolute",
  "largest_relative", "changed": [{"row", "then", "now"}], "reason"}]}
  with null for a difference that is infinite, or where nothing is a floating-point number
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "reproduce",
        help="verify and load, and check that the model predicts what it predicted",
        description="Verify and load an artifact, and check that its model predicts what it predicted when dumped.",
        epilog=_EPILOG,
    )
    completing_files(parser.add_argument("file", metavar="FILE", help="the artifact"))
    add_trust(parser)
    add_name(parser)
    add_allow(parser)
    parser.add_argument(
        "--tolerance",
        metavar="NUMBER",
        type=_tolerance,
        help="largest relative difference that counts as the same, from 0 to below 1; else the signed one",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reproduce, and show what differs."""
    with (
        warnings.catch_warnings(action="ignore", category=safemodel.EnvironmentWarning),  # shown as verify does
        about(arguments.file),
        progress(f"reproducing {arguments.file}") as report,
        safemodel.verify(
            arguments.file, trust=arguments.trust, name=arguments.name, allow=arguments.allow, environment="warn"
        ) as artifact,
    ):
        note_differences(arguments.file, artifact)
        found = artifact.reproduce(tolerance=arguments.tolerance, progress=report)
    if arguments.json:
        output.document({"file": arguments.file, **found.to_value()})
    else:
        verdict = "predicts what it predicted" if found.agrees else "DRIFTS, it predicts something else"
        output.result(f"{arguments.file}: verified, {verdict}", *output.table(found.rows()))
    return VERIFIED if found.agrees else NOT_TRUSTED


def _tolerance(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1:
        raise UsageError(
            f"argument --tolerance: expected a number from 0 to below 1, found {text!r}", hint="for example 1e-3"
        )
    return number
