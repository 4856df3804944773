"""How verbs that show artifacts read them: verified with `--trust`, and else marked as unverified."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import safemodel
from safemodel.cli import output
from safemodel.cli.failure import UsageError, about
from safemodel.cli.options import add_allow, add_name, add_trust
from safemodel.cli.progress import progress
from safemodel.cli.verify import grounds_value
from safemodel.describe.pages.described import Described
from safemodel.format.manifest import GlobalReference
from safemodel.payload.allowance import catalogue_with, spell, unlisted

if TYPE_CHECKING:
    from safemodel.cli.parser import Parser


def add_checks(parser: "Parser") -> None:
    """Add the options that say who is trusted."""
    add_trust(parser, otherwise="else nothing is verified, whatever SAFEMODEL_TRUST says")
    add_name(parser)
    add_allow(parser)


def read(file: str, arguments: argparse.Namespace) -> tuple[Described, dict[str, Any]]:
    """Read an artifact.

    Args:
        file: its path.
        arguments: with `trust`, `name` and `allow`.

    Returns:
        What is to be described, and what `--json` shows: under `verified` or `unverified`, never both.

    Raises:
        FormatError, VerificationError: malformed, or not trusted; the message names the file.
        UsageError: options that only serve to verify, without `--trust`.
        ConfigurationError: trust is wrong.
        OSError: it cannot be read.
    """
    if arguments.trust is None:
        return _read_unverified(file, arguments)
    with about(file), _verified(file, arguments) as artifact:
        described = Described.of_verified(file, artifact, _unlisted(artifact.manifest.payload.globals))
        return described, {"file": file, "verified": _value(described) | grounds_value(artifact)}


def _read_unverified(file: str, arguments: argparse.Namespace) -> tuple[Described, dict[str, Any]]:
    for option in ("name", "allow"):
        if getattr(arguments, option) is not None:
            raise UsageError(f"argument --{option}: nothing is verified", hint="say who is trusted: --trust TRUST")
    with about(file):
        artifact = safemodel.inspect(file)
        described = Described.of_unverified(file, artifact, _unlisted(artifact.manifest.payload.globals))
    return described, {"file": file, "unverified": _value(described) | {"key_ids": list(artifact.key_ids)}}


@contextmanager
def _verified(file: str, arguments: argparse.Namespace) -> Iterator[safemodel.VerifiedArtifact]:
    with (
        progress(f"verifying {file}") as report,
        safemodel.verify(
            file, trust=arguments.trust, name=arguments.name, allow=arguments.allow, progress=report
        ) as artifact,
    ):
        yield artifact


def _unlisted(uses: tuple[GlobalReference, ...]) -> tuple[str, ...]:
    return tuple(spell(use) for use in unlisted(uses, catalogue_with(None)))


def _value(described: Described) -> dict[str, Any]:
    manifest, layout = described.manifest, described.layout
    times = {
        "created": output.moment(manifest.created),
        "expires": None if manifest.expires is None else output.moment(manifest.expires),
    }
    return {
        "artifact_digest": described.digest,
        "size": layout.size,
        "entries": [{"name": entry.name, "size": entry.size} for entry in layout.entries],
        "manifest": manifest.to_value() | times,
    }
