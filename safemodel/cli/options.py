"""Options that several verbs share, so that they read the same everywhere."""

import argparse
import os
from typing import Any, Final

from safemodel.cli.failure import UsageError
from safemodel.cli.parser import Parser
from safemodel.errors import ConfigurationError, FormatError
from safemodel.format.names import check_model_name

_COMPLETE_FILES: Final = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}  # shtab.FILE


def completing_files(action: argparse.Action) -> None:
    """Let the shell complete paths for this argument."""
    action.complete = _COMPLETE_FILES  # type: ignore[attr-defined]


def add_json(parser: Parser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON document, also for a failure")


def add_trust(parser: Any, *, otherwise: str = "else SAFEMODEL_TRUST") -> None:
    """Add `--trust`, to a parser or a group.

    Args:
        parser: where it is added.
        otherwise: what happens where it is not given, for the help.
    """
    action = parser.add_argument(
        "--trust",
        action="append",
        metavar="TRUST",
        help="folder with a trust.toml; or public key that may have signed (for hmac-sha256 the key itself), again for "
        f"more; {otherwise}",
    )
    completing_files(action)


def add_allow(parser: Parser) -> None:
    """Add `--allow`."""
    parser.add_argument(
        "--allow",
        action="append",
        metavar="GLOBAL",
        help="exact name that the model may reach for beyond the catalogue; again for more",
    )


def add_key(parser: Parser) -> None:
    """Add `--key`."""
    action = parser.add_argument(
        "--key",
        action="append",
        metavar="KEY",
        help="private key that signs: file, ssh-agent:, pkcs11:... or awskms:...; again for more; else SAFEMODEL_KEY",
    )
    completing_files(action)


def add_name(parser: Parser) -> None:
    """Add `--name`."""
    parser.add_argument(
        "--name",
        metavar="NAME",
        type=_model_name,
        help="the model that you want, such as acme/churn; else the file's name must be the signed one",
    )


def add_passphrase(parser: Any) -> None:
    """Add `--passphrase-env`, to a parser or a group."""
    parser.add_argument(
        "--passphrase-env",
        metavar="VAR",
        help="environment variable that holds the passphrase; else SAFEMODEL_PASSPHRASE, else you are asked",
    )


def passphrase_of(arguments: argparse.Namespace) -> str | None:
    """Return the passphrase from the variable that was named, or None to look further.

    Raises:
        ConfigurationError: the variable is not set.
    """
    return secret_in(arguments.passphrase_env, "--passphrase-env")


def secret_in(variable: str | None, option: str) -> str | None:
    """Return what the variable that an option names holds, or None where the option was not given.

    Raises:
        ConfigurationError: the variable is not set.
    """
    if variable is None:
        return None
    if variable not in os.environ:
        raise ConfigurationError(
            f"the environment variable that {option} names is not set",  # not shown: it may be the passphrase
            hint="set it, and give its name, never the passphrase itself",
        )
    return os.environ[variable]


def _model_name(text: str) -> str:
    try:
        return check_model_name(text)
    except FormatError as error:
        raise UsageError(f"argument --name: {error.args[0]}", hint=error.hint) from error
