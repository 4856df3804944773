"""What the verbs accept, resolved into values: paths and file objects, keys, trust, names, times."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from safemodel import system
from safemodel.errors import ConfigurationError
from safemodel.format.limits import READ_SIZE
from safemodel.format.names import check_model_name
from safemodel.format.source import SUFFIX, Source, open_source
from safemodel.payload.allowance import names_of
from safemodel.payload.ruled import RuledCatalogue
from safemodel.signing import Signer, load_signer
from safemodel.trust.decision import Catalogue, Requirements
from safemodel.trust.loader import read_detached, read_trust
from safemodel.trust.names import AnyName, ExpectedName, FileStem
from safemodel.trust.policy import TrustPolicy

if TYPE_CHECKING:
    from safemodel.trust.environment import Installed

Filename = str | os.PathLike[str] | BinaryIO
Name = str | AnyName | None

KEY_VARIABLE = "SAFEMODEL_KEY"


@dataclass(frozen=True, slots=True)
class Verifier:
    """Who decides whether a payload may be loaded.

    Attributes:
        policy: who may sign, with what the caller adds to bare keys.
        catalogue: which globals a payload may reach for, under any rule of the policy.
    """

    policy: TrustPolicy
    catalogue: RuledCatalogue

    @classmethod
    def of(
        cls,
        trust: Any,
        *,
        allow: Iterable[str] | None = None,
        roles: str | None = None,
        environment: str | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> Self:
        """Read what a caller gives; the arguments are those of `load`.

        Raises:
            ConfigurationError: trust or a choice is missing or wrong.
            KeyMaterialError: a file holds no verifying key.
            OSError: a file cannot be read.
        """
        policy = read_trust(trust).with_choices(names_of(allow), roles, versions).with_environment(environment)
        return cls(policy, RuledCatalogue.of(policy))

    def requirements(self, filename: Filename, name: Name, *, comparing: bool = True) -> Requirements:
        """Return what is demanded of this file, now.

        Args:
            filename: the artifact.
            name: the model that is wanted.
            comparing: whether what is installed is compared now, or only before the model is unpickled.
        """
        demanded = requirements(filename, self.policy, name, self.catalogue)
        return replace(demanded, installed=_installed, comparing=comparing)


def _installed() -> "Installed":
    from safemodel.describe.installed import installed  # late: who only verifies compares nothing

    return installed()


def requirements(filename: Filename, policy: TrustPolicy, name: Name, catalogue: Catalogue) -> Requirements:
    """Return what the verifier demands of this file, now."""
    return Requirements(
        policy=policy,
        name=expected_name(filename, name),
        now=now(),
        catalogue=catalogue,
        detached=read_detached(filename) if isinstance(filename, str | os.PathLike) else None,
    )


def expected_name(filename: Filename, name: Name) -> ExpectedName:
    """Return which model the caller wants: the one that is named, or the one that the file is named after."""
    if isinstance(name, AnyName):
        return name
    return FileStem(stem(filename)) if name is None else check_model_name(name)


def stem(filename: Filename) -> str:
    """Return the file's name without folder and `.safemodel`; a file object has none, and its model must be named."""
    if isinstance(filename, str | os.PathLike):
        return os.path.basename(os.fsdecode(filename)).removesuffix(SUFFIX)
    if not hasattr(filename, "seek"):
        raise TypeError(f"expected a path or a seekable binary file, found {type(filename).__name__}")
    raise ConfigurationError("a file object has no name of its own", hint="say which model it is: name='acme/churn'")


def is_same_place(one: Filename, other: Filename) -> bool:
    """Tell whether two paths lead to one file, through links too; a file object has no place."""
    if not (isinstance(one, str | os.PathLike) and isinstance(other, str | os.PathLike)):
        return False
    return os.path.realpath(os.fsdecode(one)) == os.path.realpath(os.fsdecode(other))


def now() -> int:
    """Return the clock: seconds since 1970 UTC."""
    return int(time.time())


def seconds(moment: datetime | int | None) -> int | None:
    """Return seconds since 1970 UTC; a datetime must be aware of its time zone."""
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise ConfigurationError(
            "expires has no time zone", hint="give an aware datetime, such as datetime.now(UTC) + timedelta(days=90)"
        )
    return int(moment.timestamp())


def signers_of(key: Any, passphrase: Any) -> list[Signer]:
    """Return the signers that `key` names: a file, a URI, an object, or a list; None stands for SAFEMODEL_KEY."""
    keys = key if isinstance(key, list | tuple) else [key]
    if key is None:
        keys = _keys_of_environment(os.environ.get(KEY_VARIABLE, ""))
    if not keys:
        raise ConfigurationError(
            "no key to sign with was given",
            hint=f"say key='release.key' (--key release.key) or set {KEY_VARIABLE}; safemodel keygen makes one",
        )
    return [load_signer(item, passphrase=passphrase) for item in keys]


def _keys_of_environment(value: str) -> list[str]:
    """One URI, taken whole since the separator of paths may stand in it, or paths separated as in PATH."""
    from safemodel.signing import backends  # whoever only verifies needs none of them

    if backends.scheme_of(value) in backends.BACKENDS:
        return [value]
    return [item for item in value.split(os.pathsep) if item]


@contextmanager
def output(filename: Filename) -> Iterator[BinaryIO]:
    """Yield an empty file that takes the target's place when all went well."""
    if isinstance(filename, str | os.PathLike):
        with system.atomic_file(filename) as file:
            yield file
        return
    import tempfile  # only for file objects: a path's temporary file is beside it

    with tempfile.TemporaryFile() as file:
        yield file
        filename.seek(0)
        copy(open_source(file), filename)
        filename.truncate()


def copy(source: Source, file: BinaryIO) -> None:
    """Append all of a source to a file."""
    for offset in range(0, source.size, READ_SIZE):
        file.write(source.read(offset, min(source.size - offset, READ_SIZE)))
