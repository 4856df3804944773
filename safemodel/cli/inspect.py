"""`safemodel inspect`: show what an artifact says about itself, which nobody has checked."""

import argparse
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import safemodel
from safemodel.cli import output
from safemodel.cli.options import add_json, completing_files
from safemodel.format.manifest import Manifest

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
No key is needed, and nothing is verified: anybody can have written the file and what it says.
For a decision, take safemodel verify.

examples:
  safemodel inspect churn.safemodel
  safemodel inspect churn.safemodel --json | jq -r .unverified.artifact_digest

--json:
  {"file", "unverified": {"artifact_digest", "key_ids", "size", "entries", "manifest"}}
  with the manifest's fields as in docs/spec.md, times in ISO 8601 and bytes in hexadecimal
"""

_VALUE_MAX: Final = 100  # characters of a label or value in the listing; --json shows all


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "inspect",
        help="show what an artifact says about itself, unverified",
        description="Show what an artifact says about itself, unverified.",
        epilog=_EPILOG,
    )
    completing_files(parser.add_argument("file", metavar="FILE", help="the artifact"))
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show structure, claims and the ids of the keys that are said to have signed."""
    artifact = safemodel.inspect(arguments.file)
    manifest = artifact.manifest
    if arguments.json:
        output.document({"file": arguments.file, "unverified": _value(artifact, manifest)})
        return 0
    output.result(f"{arguments.file}: UNVERIFIED, anybody can have written what follows", *_lines(artifact, manifest))
    output.note(f"to check it: safemodel verify {shlex.quote(arguments.file)} --trust KEY.pub")
    return 0


def _value(artifact: safemodel.UnverifiedArtifact, manifest: Manifest) -> dict[str, Any]:
    times = {
        "created": output.moment(manifest.created),
        "expires": None if manifest.expires is None else output.moment(manifest.expires),
    }
    return {
        "artifact_digest": artifact.digest,
        "key_ids": list(artifact.key_ids),
        "size": artifact.layout.size,
        "entries": [{"name": entry.name, "size": entry.size} for entry in artifact.layout.entries],
        "manifest": manifest.to_value() | times,
    }


def _lines(artifact: safemodel.UnverifiedArtifact, manifest: Manifest) -> Iterator[str]:
    yield from output.table(_identity(artifact, manifest))
    yield from _section("entries, bytes", [(entry.name, f"{entry.size:,}") for entry in artifact.layout.entries])
    yield from _section(
        "globals that the payload reaches for, and how",
        [(_short(f"{each.module}.{each.name}"), ", ".join(each.roles)) for each in manifest.payload.globals],
    )
    for title in ("model", "training", "environment", "example"):
        yield from _section(title, list(_flat(getattr(manifest, title))))


def _identity(artifact: safemodel.UnverifiedArtifact, manifest: Manifest) -> Iterator[tuple[str, str]]:
    yield "name", manifest.name
    yield "version", manifest.version or "none"
    for key_id in artifact.key_ids:
        yield "key id", key_id
    yield "digest", artifact.digest
    yield "created", output.moment(manifest.created)
    yield "expires", "never" if manifest.expires is None else output.moment(manifest.expires)
    yield "creator", f"{manifest.creator.tool} {manifest.creator.version}"


def _section(title: str, rows: list[tuple[str, str]]) -> list[str]:
    return [f"UNVERIFIED {title}:", *output.table(rows)] if rows else []


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield _short(f"{prefix}{name}"), _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= _VALUE_MAX else f"{text[:_VALUE_MAX]}..."
