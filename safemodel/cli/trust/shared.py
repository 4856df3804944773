"""What the verbs of `safemodel trust` have in common: their first argument, dates, and what they say when done."""

import argparse
import os
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final

from safemodel.cli import output
from safemodel.cli.failure import UsageError
from safemodel.cli.options import add_json
from safemodel.signing.keyfile import PUBLIC_SUFFIX
from safemodel.trust.policy import TrustPolicy

_COMPLETE_FOLDERS: Final = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/", "tcsh": "d"}  # shtab.DIRECTORY


def add_folder(parser: Any) -> None:
    """Add DIR and `--json`."""
    action = parser.add_argument("folder", metavar="DIR", help="the trust folder")
    action.complete = _COMPLETE_FOLDERS
    add_json(parser)


def add_models(parser: Any, help_text: str) -> None:
    """Add `--models`."""
    parser.add_argument("--models", action="append", metavar="PATTERN", help=help_text)


def a_date(text: str) -> date:
    """Return the date, or the time with its zone, that an option has.

    Raises:
        UsageError: it is none.
    """
    try:
        return date.fromisoformat(text) if len(text) == len("2027-01-31") else datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"expected a date, found {text!r}", hint="for example 2027-01-31, or 2027-01-31T12:00:00Z"
        ) from None


def file_in_folder(path: str) -> str:
    """Return the name that a key's file gets in the folder: that of the file, `release.pub` for `release.key.pub`."""
    stem = os.path.basename(path).removesuffix(PUBLIC_SUFFIX).removesuffix(".key")
    return f"{stem}{PUBLIC_SUFFIX}"


def report(
    arguments: argparse.Namespace,
    policy: TrustPolicy,
    did: str,
    *,
    keys: Mapping[str, bytes] | None = None,
    deleted: Iterable[str] = (),
    allow: Iterable[str] = (),
) -> int:
    """Say what was done, and return the exit code."""
    written = [policy.path, *(os.path.join(policy.folder, name) for name in keys or ())]
    if arguments.json:
        output.document(
            {"policy": policy.to_value(), "written": written, "deleted": list(deleted), "allow": list(allow)}
        )
        return 0
    rows = [*(("written", path) for path in written), *(("deleted", path) for path in deleted)]
    output.result(
        f"{did}; the policy has version {policy.version} now", *output.table(rows + [("allow", each) for each in allow])
    )
    return 0
