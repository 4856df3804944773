"""`safemodel pack`: make signed artifacts of a joblib or pickle file, or of all in a folder."""

import argparse
import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import safemodel
from safemodel.arguments import signers_of, stem
from safemodel.cli import output
from safemodel.cli.failure import VERIFIED, Failure, UsageError, about, worst
from safemodel.cli.options import add_allow, add_json, add_key, add_passphrase, completing_files, passphrase_of
from safemodel.cli.progress import progress
from safemodel.errors import ConfigurationError, FormatError
from safemodel.format.limits import DESCRIPTION_ATTACHMENT_MAX, NOTES_MAX
from safemodel.format.names import check_model_name, check_model_version
from safemodel.format.source import open_source
from safemodel.signing import Signer

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs
    from safemodel.foldering import Planned

_EPILOG: Final = """\
The file is copied and walked, and never unpickled. It is refused if it reaches for code that the catalogue
does not list; the message says for which, where in the model, and how to allow it.

Of a folder, all joblib and pickle files are packed that pass, into the same folders below OUT; of each other one it is
said what it would need. A model's name is its path from the folder on, after --prefix: acme/churn/daily for
models/churn/daily.joblib with --prefix acme. The originals stay as they are.

examples:
  safemodel pack churn.joblib -o churn.safemodel --key release.key --name acme/churn --model-version 1.4.0
  safemodel pack churn.pkl -o churn.safemodel --key release.key --metric roc_auc=0.91 --notes card.md
  safemodel pack churn.pkl -o churn.safemodel --key release.key --allow acme.transformers.Clip
  safemodel pack models -o signed --prefix acme --dry-run
  safemodel pack models -o signed --prefix acme --key release.key

exit codes:
  0 packed, or with --dry-run all could be; 1 refused; 2 usage; 3 malformed; 4 file, name, key or configuration; for
  several files the worst, in the order 4, 3, 1

--json:
  {"payload", "file", "name", "version", "digest", "signers": [{"key_id", "algorithm"}]}
  for a folder {"packed": true or false, "dry_run", "signers", "files": [FILE...]} where each FILE is
  {"payload", "file", "name", "digest", "needs": [name to allow...], "error": null or {"code", "message", "hint"}}
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "pack",
        help="sign joblib or pickle files, without unpickling them",
        description="Make signed artifacts of a joblib or pickle file, or of all in a folder, without unpickling them.",
        epilog=_EPILOG,
    )
    completing_files(parser.add_argument("payload", metavar="PAYLOAD", help="joblib or pickle file, or folder"))
    completing_files(
        parser.add_argument(
            "-o", "--output", metavar="OUT", required=True, help="artifact to write or replace, or folder"
        )
    )
    add_key(parser)
    parser.add_argument("--name", metavar="NAME", help="the model's name, such as acme/churn; else OUT without suffix")
    parser.add_argument("--prefix", metavar="NAME", help="what names of a folder's models begin with, such as acme")
    parser.add_argument("--dry-run", action="store_true", help="of a folder, only say what would be packed")
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
    if os.path.isdir(arguments.payload):
        return _pack_folder(arguments)
    if arguments.prefix is not None or arguments.dry_run:
        raise UsageError("--prefix and --dry-run are for folders", hint="name the model with --name acme/churn")
    name = _checked(check_model_name, arguments.name or stem(arguments.output), "--name" if arguments.name else "-o")
    version = arguments.model_version and _checked(check_model_version, arguments.model_version, "--model-version")
    metrics = _metrics(arguments.metric)
    metadata = None if arguments.metadata is None else _read_object(arguments.metadata)
    notes = None if arguments.notes is None else _read_text(arguments.notes)
    signers = signers_of(arguments.key, passphrase_of(arguments))
    with about(arguments.payload), progress(f"packing {arguments.payload}") as report:
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


def _pack_folder(arguments: argparse.Namespace) -> int:
    """Pack what passes of a folder, and return the worst exit code of the rest."""
    if arguments.name or arguments.metric or arguments.metadata:
        raise UsageError("--name, --metric and --metadata are for one model", hint="name a folder's models by --prefix")
    from safemodel.foldering import plan

    prefix = arguments.prefix and _checked(check_model_name, arguments.prefix, "--prefix")
    version = arguments.model_version and _checked(check_model_version, arguments.model_version, "--model-version")
    signers = [] if arguments.dry_run else signers_of(arguments.key, passphrase_of(arguments))
    with progress(f"scanning {arguments.payload}") as report:
        planned = plan(arguments.payload, arguments.output, prefix=prefix, allow=arguments.allow, progress=report)
    outcomes = []
    for each in planned:
        outcome = _pack_planned(each, signers, version, arguments)
        outcome.show(quiet=arguments.json)
        outcomes.append(outcome)
    exit_code = worst([VERIFIED, *(outcome.exit_code for outcome in outcomes)])
    if arguments.json:
        output.document(
            {
                "packed": exit_code == VERIFIED,
                "dry_run": arguments.dry_run,
                "signers": [{"key_id": signer.key_id.hex(), "algorithm": signer.algorithm} for signer in signers],
                "files": [outcome.to_value() for outcome in outcomes],
            }
        )
    else:
        failed = sum(outcome.failure is not None for outcome in outcomes)
        done = "could be packed" if arguments.dry_run else "packed"
        output.note(f"safemodel: {len(outcomes) - failed} {done}, {failed} not")
    return exit_code


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one file of a folder: a digest, a failure, or with `--dry-run` neither."""

    planned: "Planned"
    digest: str | None = None
    failure: Failure | None = None

    @property
    def exit_code(self) -> int:
        return VERIFIED if self.failure is None else self.failure.exit_code

    def show(self, *, quiet: bool) -> None:
        if quiet:
            return
        planned = self.planned
        if self.failure is None:
            done = "could be packed" if self.digest is None else f"packed, written to {planned.output}"
            output.result(f"{planned.payload}: {done} as {planned.name}")
            return
        output.result(f"{planned.payload}: not packed", f"  {self.failure.message}")
        if planned.needs:
            output.result(f"  needs: {' '.join(f'--allow {name}' for name in planned.needs)}")
        if self.failure.hint:
            output.result(f"  hint: {self.failure.hint}")

    def to_value(self) -> dict[str, Any]:
        return {
            "payload": self.planned.payload,
            "file": self.planned.output,
            "name": self.planned.name,
            "digest": self.digest,
            "needs": self.planned.needs,
            "error": None if self.failure is None else self.failure.to_value(),
        }


def _pack_planned(
    planned: "Planned", signers: list[Signer], version: str | None, arguments: argparse.Namespace
) -> _Outcome:
    if planned.problem is not None:
        return _Outcome(planned, failure=Failure.of(planned.problem))
    if arguments.dry_run:
        return _Outcome(planned)
    try:
        os.makedirs(os.path.dirname(planned.output), exist_ok=True)
        digest = safemodel.pack(
            planned.payload,
            planned.output,
            key=signers,
            name=planned.name,
            version=version,
            allow=arguments.allow,
        )
    except Exception as error:
        return _Outcome(planned, failure=Failure.of(error))
    return _Outcome(planned, digest)


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
