"""Arguments that the verbs of `safemodel trust` share."""

import os
from datetime import date, datetime
from typing import Any, Final

from safemodel.cli.failure import UsageError
from safemodel.cli.options import add_json
from safemodel.signing.keyfile import PUBLIC_SUFFIX

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
