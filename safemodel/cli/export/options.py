"""What the formats have in common: which artifact, whose word for it, where to, and what is shown of it."""

import argparse
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from safemodel.cli import output
from safemodel.cli.failure import UsageError
from safemodel.cli.options import add_allow, add_json, add_key, add_name, add_passphrase, add_trust, completing_files
from safemodel.cli.parser import Parser

if TYPE_CHECKING:
    from safemodel import Signer, Subject


def add_options(parser: Parser, *, signed: bool) -> None:
    """Add the artifact, where to write, and whom to trust; and the key, where what is written is signed."""
    completing_files(parser.add_argument("file", metavar="FILE", help="the artifact, which is verified first"))
    completing_files(
        parser.add_argument(
            "-o", "--output", metavar="OUT", required=True, help="the file to write or replace, - for stdout"
        )
    )
    if signed:
        add_key(parser)
        add_passphrase(parser)
    add_trust(parser)
    add_name(parser)
    add_allow(parser)
    add_json(parser)


def destination(arguments: argparse.Namespace) -> str | io.BytesIO:
    """Where to write to: a file, or memory for what goes to stdout.

    Raises:
        UsageError: stdout is wanted twice.
    """
    if arguments.output != output.STDOUT:
        return str(arguments.output)
    if arguments.json:
        raise UsageError("--json and -o - both want stdout", hint=f"name a file: -o {arguments.format}.json")
    return io.BytesIO()


def show(
    arguments: argparse.Namespace,
    written: str | io.BytesIO,
    subject: "Subject",
    signers: "Sequence[Signer]" = (),
) -> None:
    """Say what was written, about what, and who signed it; or print it, where stdout was asked for."""
    if isinstance(written, io.BytesIO):
        output.script(written.getvalue().decode())
        return
    manifest = subject.manifest
    by = [{"key_id": signer.key_id.hex(), "algorithm": signer.algorithm} for signer in signers]
    if arguments.json:
        output.document(
            {
                "file": arguments.file,
                "format": arguments.format,
                "name": manifest.name,
                "version": manifest.version,
                "digest": subject.digest,
                "sha256": subject.sha256,
                "signers": by,
                "written": arguments.output,
            }
        )
        return
    output.result(
        f"{arguments.file}: verified, exported to {arguments.output}",
        *output.table(
            [
                ("model", manifest.name if manifest.version is None else f"{manifest.name} {manifest.version}"),
                *(("signed by", f"{each['algorithm']} key {each['key_id']}") for each in by),
                ("digest", subject.digest),
                ("sha256", subject.sha256),
            ]
        ),
    )
