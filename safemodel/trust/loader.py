"""Reads from files what the gate takes as values. Nothing is discovered: the caller or the environment names it.

The one exception is the `.sig` file beside an artifact, whose records decide nothing on their own. A folder is trusted
as its `trust.toml` says, and never for the keys that happen to lie in it. Links are followed: a mounted ConfigMap
consists of them.
"""

import os
from collections.abc import Iterator
from typing import Any, Final

from safemodel.errors import ConfigurationError, FormatError
from safemodel.format.envelope import DetachedSignatures
from safemodel.format.limits import SIGNATURES_MAX
from safemodel.format.source import open_source
from safemodel.signing import load_verifying_key
from safemodel.signing.keyfile import KEYFILE_MAX
from safemodel.trust.policy import ENVIRONMENT_REFERENCE, FILE_REFERENCE, TrustPolicy

TRUST_VARIABLE: Final = "SAFEMODEL_TRUST"
DETACHED_SUFFIX: Final = ".sig"
POLICY_FILE: Final = "trust.toml"
POLICY_MAX: Final = 1024 * 1024  # bytes; a rule takes some hundred


def read_trust(trust: Any) -> TrustPolicy:
    """Read who may sign.

    Args:
        trust: a folder with a `trust.toml`, a `TrustPolicy`, a verifying key's file or object, or a list of keys; None
            stands for what SAFEMODEL_TRUST names: a folder, or files separated as in PATH.

    Returns:
        The policy; of bare keys, each may sign every model.

    Raises:
        ConfigurationError: nothing was given, a folder beside other things, or its policy is no good.
        KeyMaterialError: a file holds no verifying key.
        OSError: a file cannot be read.
    """
    items = list(_items(trust))
    alone = [item for item in items if isinstance(item, TrustPolicy) or _is_folder(item)]
    if not alone:
        return TrustPolicy.from_keys(map(load_verifying_key, items))
    if len(items) > 1:
        raise ConfigurationError("a trust policy was given beside others", hint="give it alone, or give key files")
    return alone[0] if isinstance(alone[0], TrustPolicy) else read_folder(alone[0])


def read_folder(folder: str | os.PathLike[str]) -> TrustPolicy:
    """Read the policy of a folder, with the keys that it names.

    Raises:
        ConfigurationError: there is no `trust.toml`, it is no good, or a key that it names is missing.
        KeyMaterialError: a key cannot be used.
        OSError: a file cannot be read.
    """
    place = os.path.abspath(os.fsdecode(folder))
    path = os.path.join(place, POLICY_FILE)
    return TrustPolicy.from_toml(read_policy_text(path), lambda reference: read_key(place, reference), path=path)


def read_key(folder: str, reference: str) -> bytes:
    """Return the PEM that a reference in a policy stands for.

    Args:
        folder: of the policy, absolute.
        reference: a file in the folder, `env:NAME` or `file:PATH`.

    Raises:
        ConfigurationError: it is not there, or a secret lies in the folder.
        OSError: it cannot be read.
    """
    if reference.startswith(ENVIRONMENT_REFERENCE):
        return _from_variable(reference.removeprefix(ENVIRONMENT_REFERENCE))
    if reference.startswith(FILE_REFERENCE):
        path = _outside(folder, reference.removeprefix(FILE_REFERENCE))
    else:
        path = os.path.join(folder, reference)
    try:
        return _read(path, KEYFILE_MAX)
    except FileNotFoundError:
        raise ConfigurationError("there is no such file", hint="put it there, or take it out of the policy") from None


def read_policy_text(path: str) -> str:
    """Return the content of a `trust.toml`.

    Raises:
        ConfigurationError: it is not there, not in UTF-8, or too large.
        OSError: it cannot be read.
    """
    try:
        return _read(path, POLICY_MAX).decode("utf-8")
    except FileNotFoundError:
        raise _no_policy(os.path.dirname(path)) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: expected text in UTF-8, found something else", hint="save it so") from None


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
        hint="say trust='keys' (--trust keys) or trust='release.key.pub' (--trust release.key.pub), "
        f"or set {TRUST_VARIABLE}",
    )


def _is_folder(item: Any) -> bool:
    return isinstance(item, str | os.PathLike) and os.path.isdir(item)


def _from_variable(name: str) -> bytes:
    if value := os.environ.get(name):
        return os.fsencode(value)
    raise ConfigurationError("this environment variable is not set", hint="let it hold the PEM of the HMAC key")


def _outside(folder: str, path: str) -> str:
    """Return the path of a secret when it is outside of the folder, links followed."""
    if not os.path.isabs(path):
        raise ConfigurationError("the path of a secret is relative", hint="write it from the root on")
    inside = os.path.join(os.path.realpath(folder), "")
    if os.path.realpath(path).startswith(inside):
        raise ConfigurationError("a secret lies in the folder", hint="keep it where no reviewer and no repository is")
    return path


def _read(path: str, most: int) -> bytes:
    with open_source(path) as source:
        if source.size > most:
            raise ConfigurationError(f"{path}: expected at most {most} bytes, found {source.size}")
        return source.read(0, source.size)


def _no_policy(folder: str) -> ConfigurationError:
    return ConfigurationError(
        f"the folder {folder!r} has no {POLICY_FILE}, so nobody is trusted, whatever keys lie in it",
        hint=f"make one: safemodel trust init {folder}; safemodel trust add {folder} NAME KEY.pub --models 'acme/*'",
    )
