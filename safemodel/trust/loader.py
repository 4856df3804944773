"""Reads from files what the gate takes as values. Nothing is discovered: the caller or the environment names it.

The one exception is the `.sig` file beside an artifact, whose records decide nothing on their own.
"""

import os
from collections.abc import Iterator
from typing import Any

from safemodel.errors import ConfigurationError, FormatError
from safemodel.format.envelope import DetachedSignatures
from safemodel.format.limits import SIGNATURES_MAX
from safemodel.format.source import open_source
from safemodel.signing import load_verifying_key
from safemodel.trust.keys import TrustedKeys

TRUST_VARIABLE = "SAFEMODEL_TRUST"
DETACHED_SUFFIX = ".sig"


def read_trust(trust: Any) -> TrustedKeys:
    """Read the keys that may sign.

    Args:
        trust: a verifying key's file or object, a list of them, or `TrustedKeys`; None stands for the files that
            SAFEMODEL_TRUST names, separated as in PATH.

    Returns:
        The keys.

    Raises:
        ConfigurationError: nothing was given, or a folder.
        KeyMaterialError: a file holds no verifying key.
        OSError: a file cannot be read.
    """
    if isinstance(trust, TrustedKeys):
        return trust
    return TrustedKeys.of(load_verifying_key(_not_a_folder(item)) for item in _items(trust))


def read_detached(path: str | os.PathLike[str]) -> DetachedSignatures | None:
    """Read the `.sig` file of an artifact, or return None where there is none.

    Raises:
        FormatError: it is malformed.
        OSError: it cannot be read.
    """
    beside = f"{os.fsdecode(path)}{DETACHED_SUFFIX}"
    try:
        source = open_source(beside)
    except FileNotFoundError:
        return None
    with source:
        if source.size > SIGNATURES_MAX:
            raise FormatError(f"{beside} has {source.size} bytes, at most {SIGNATURES_MAX} are accepted")
        return DetachedSignatures.from_bytes(source.read(0, source.size))


def _items(trust: Any) -> Iterator[Any]:
    if trust is None:
        yield from _from_environment()
    elif isinstance(trust, list | tuple | set | frozenset):
        yield from trust
    else:
        yield trust


def _from_environment() -> list[str]:
    if value := os.environ.get(TRUST_VARIABLE):
        return [item for item in value.split(os.pathsep) if item]
    raise ConfigurationError(
        "no trust was given: which keys may sign?",
        hint=f"say trust='release.pub' (--trust release.pub) or set {TRUST_VARIABLE}",
    )


def _not_a_folder(item: Any) -> Any:
    if isinstance(item, str | os.PathLike) and os.path.isdir(item):
        raise ConfigurationError(
            f"{os.fspath(item)!r} is a folder, expected a verifying key's file", hint="name the key file itself"
        )
    return item
