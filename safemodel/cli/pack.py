"""`safemodel pack`: make a signed artifact of a joblib or pickle file."""

import argparse
import json
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import safemodel
from safemodel.arguments import signers_of, stem
from safemodel.cli import output
from safemodel.cli.failure import UsageError
from safemodel.cli.options import add_allow, add_json, add_key, add_passphrase, completing_files, passphrase_of
from safemodel.cli.progress import progress
from safemodel.errors import ConfigurationError, FormatError
from safemodel.format.limits import DESCRIPTION_ATTACHMENT_MAX, NOTES_MAX
from safemodel.format.names import check_model_name, check_model_version
from safemodel.format.source import open_source

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
The file is copied and walked, and never unpickled. It is refused if it reaches for code that the catalogue
does not list; the message says for which, where in the model, and how to allow it.

examples:
  safemodel pack churn.joblib -o churn.safemodel --key release.key --name acme/churn --model-version 1.4.0
  safemodel pack churn.pkl -o churn.safemodel --key release.key --metric roc_auc=0.91 --notes card.md
  safemodel pack churn.pkl -o churn.safemodel --key release.key --allow acme.transformers.Clip

--json:
  {"payload", "file", "name", "version", "digest", "signers": [{"key_id", "algorithm"}]}
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "pack",
        help="sign a joblib or pickle file, without unpickling it",
        description="Make a signed artifact of a joblib or pickle file, without unpickling it.",
        epilog=_EPILOG,
    )
    completing_files(parser.add_argument("payload", metavar="PAYLOAD", help="joblib or pickle file"))
    completing_files(
        parser.add_argument("-o", "--output", metavar="OUT", required=True, help="the artifact to write or replace")
    )
    add_key(parser)
    parser.add_argument("--name", metavar="NAME", help="the model's name, such as acme/churn; else OUT without suffix")
    parser.add_argument("--model-version", metavar="VERSION", help="the model's version, such as 1.4.0")
    parser.add_argument(
        "--metric", action="append", metavar="NAME=NUMBER", default=[], help="how good it is; again for more"
    )
    completing_files(parser.add_argument("--metadata", metavar="FILE.json", help="a JSON object to keep with it"))
    completing_files(parser.add_argument("--notes", metavar="FILE.md", help="a text to keep with it, in Markdown"))
    add_allow(parser)
    add_passphrase(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Pack, and say what was written."""
    name = _checked(check_model_name, arguments.name or stem(arguments.output), "--name")
    version = arguments.model_version and _checked(check_model_version, arguments.model_version, "--model-version")
    metrics = _metrics(arguments.metric)
    metadata = None if arguments.metadata is None else _read_object(arguments.metadata)
    notes = None if arguments.notes is None else _read_text(arguments.notes)
    signers = signers_of(arguments.key, passphrase_of(arguments))
    with progress(f"packing {arguments.payload}") as report:
        digest = safemodel.pack(
            arguments.payload,
            arguments.output,
            key=signers,
            name=name,
            version=version,
            metrics=metrics,
            metadata=metadata,
            notes=notes,
            allow=arguments.allow,
            progress=report,
        )
    by = [{"key_id": signer.key_id.hex(), "algorithm": signer.algorithm} for signer in signers]
    if arguments.json:
        output.document(
            {
                "payload": arguments.payload,
                "file": arguments.output,
                "name": name,
                "version": version,
                "digest": digest,
                "signers": by,
            }
        )
        return 0
    output.result(
        f"{arguments.payload}: packed, written to {arguments.output}",
        *output.table(
            [
                ("model", name if version is None else f"{name} {version}"),
                *(("signed by", f"{each['algorithm']} key {each['key_id']}") for each in by),
                ("digest", digest),
            ]
        ),
    )
    return 0


def _checked(check: Callable[[str], str], text: str, option: str) -> str:
    try:
        return check(text)
    except FormatError as error:
        raise UsageError(f"argument {option}: {error.args[0]}", hint=error.hint) from error


def _metrics(given: Iterable[str]) -> dict[str, int | float]:
    metrics: dict[str, int | float] = {}
    for item in given:
        name, _, number = item.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name or name in metrics or not math.isfinite(value):
            raise UsageError(
                f"argument --metric: expected a new name, '=' and a finite number, found {item!r}",
                hint="for example --metric roc_auc=0.91",
            )
        metrics[name] = value
    return metrics


def _read(path: str, maximum: int) -> bytes:
    """Read a file; one that is too long reads as empty."""
    with open_source(path) as source:
        return source.read(0, source.size) if source.size <= maximum else b""


def _read_text(path: str) -> str:
    try:
        text = _read(path, NOTES_MAX).decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise ConfigurationError(f"expected a text in UTF-8 of 1 to {NOTES_MAX} bytes: {path}")
    return text


def _read_object(path: str) -> dict[str, Any]:
    """Read a JSON object."""
    data = _read(path, DESCRIPTION_ATTACHMENT_MAX)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ConfigurationError(
            f"expected a JSON object of at most {DESCRIPTION_ATTACHMENT_MAX} bytes: {path}",
            hint='for example {"trained_on": "..."}',
        )
    return value
