"""Whose model? The caller names it, the signer signed a name, and the two must agree (docs/spec.md, "Names")."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from safemodel.errors import NameMismatchError
from safemodel.format.manifest import Manifest


class AnyName(Enum):
    """The type of `ANY_NAME`."""

    ANY_NAME = "any name"

    def __repr__(self) -> str:
        return "safemodel.ANY_NAME"


ANY_NAME: Final = AnyName.ANY_NAME


@dataclass(frozen=True, slots=True)
class FileStem:
    """The name of the caller's file without `.safemodel`, used when the caller names no model."""

    stem: str


ExpectedName = str | FileStem | AnyName


def check_name(manifest: Manifest, expected: ExpectedName) -> None:
    """Refuse an artifact that is signed as another model.

    Raises:
        NameMismatchError: the signed name is not the expected one.
    """
    if isinstance(expected, str):
        _check_exact(manifest.name, expected)
    elif isinstance(expected, FileStem):
        _check_stem(manifest, expected.stem)


def _check_exact(name: str, expected: str) -> None:
    if name != expected:
        raise NameMismatchError(
            f"the artifact is signed as {name!r}, expected {expected!r}",
            hint="another model was put in this one's place, or the expected name is misspelt",
        )


def _check_stem(manifest: Manifest, stem: str) -> None:
    last = manifest.name.rpartition("/")[2]
    if stem != last and (manifest.version is None or stem != f"{last}-{manifest.version}"):
        raise NameMismatchError(
            f"the artifact is signed as {manifest.name!r}, its file is named {stem!r}",
            hint=f"if {manifest.name!r} is the model you want, say name={manifest.name!r} (--name {manifest.name})",
        )
