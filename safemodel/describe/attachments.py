"""Descriptions too large for the manifest move into entries of their own (docs/spec.md, section "Descriptive maps").

The largest value goes first, and no more go than must, so that what describes a usual model stays together.
"""

import hashlib
import re
from collections.abc import Mapping
from itertools import count
from typing import Any, Final

from safemodel.errors import DigestMismatchError, LimitExceededError
from safemodel.format import wire
from safemodel.format.limits import DESCRIPTION_ATTACHMENT_MAX, DESCRIPTION_MAX

_REFERENCE: Final = ("attachment", "bytes", "sha256")
_STEM_MAX: Final = 40  # characters of a name that say what is in it

Descriptions = dict[str, Any]


def fitted(descriptions: Mapping[str, Any]) -> tuple[Descriptions, dict[str, bytes]]:
    """Make descriptions small enough.

    Args:
        descriptions: descriptive maps by name, `{"model": {...}, "training": {...}}`.

    Returns:
        The same maps, where references stand for what has moved; and the attachments by name. Encoded, the maps have at
        most `DESCRIPTION_MAX` bytes.

    Raises:
        LimitExceededError: a value that has to move is larger than an attachment may be.
        FormatError: a value has no place in the format.
    """
    maps: Descriptions = {name: dict(described) for name, described in descriptions.items()}
    attachments: dict[str, bytes] = {}
    while len(wire.encode(maps, where="the description")) > DESCRIPTION_MAX:
        path, data = _largest(maps)
        name = _name(path, attachments)
        attachments[name] = _checked(data, ".".join(path))
        maps = _replaced(maps, path, _reference(name, data))
    return maps, attachments


def is_reference(value: object) -> bool:
    """Tell whether a value of a descriptive map stands for an attachment."""
    return isinstance(value, dict) and sorted(value) == sorted(_REFERENCE) and isinstance(value["attachment"], str)


def resolved(reference: Mapping[str, Any], data: bytes | memoryview) -> Any:
    """Return the value that a reference stands for.

    Args:
        reference: as it stands in a map.
        data: the attachment that it names.

    Raises:
        DigestMismatchError: it is not the attachment that is meant.
        FormatError: it is too large, or not in the canonical form.
    """
    content = bytes(data)
    if hashlib.sha256(content).hexdigest() != reference["sha256"]:
        raise DigestMismatchError(f"attachment {reference['attachment']!r} is not the one that is described")
    return wire.decode(content, maximum=DESCRIPTION_ATTACHMENT_MAX, where="the attachment")


def _largest(maps: Descriptions) -> tuple[tuple[str, ...], bytes]:
    """Return where the largest value is, and its bytes: inside of a map, where one item is more than half of it."""
    sizes = {
        (outer, inner): wire.encode(value, where=f"{outer}.{inner}")
        for outer, described in maps.items()
        for inner, value in described.items()
        if not is_reference(value)
    }
    outer, inner = max(sizes, key=lambda each: len(sizes[each]))
    path: tuple[str, ...] = (outer, inner)
    value, data = maps[outer][inner], sizes[outer, inner]
    while isinstance(value, dict):
        items = {name: wire.encode(item) for name, item in value.items()}
        name = max(items, key=lambda each: len(items[each]), default="")
        if 2 * len(items.get(name, b"")) <= len(data) or is_reference(value[name]):
            break
        path, value, data = (*path, name), value[name], items[name]
    return path, data


def _checked(data: bytes, where: str) -> bytes:
    if len(data) <= DESCRIPTION_ATTACHMENT_MAX:
        return data
    raise LimitExceededError(
        f"{where} has {len(data)} bytes, at most {DESCRIPTION_ATTACHMENT_MAX} are kept with a model",
        hint="keep it in a file of its own, and give that file's digest",
    )


def _reference(name: str, data: bytes) -> dict[str, Any]:
    return {"attachment": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _replaced(value: Descriptions, path: tuple[str, ...], new: Any) -> Descriptions:
    first, *rest = path
    return value | {first: _replaced(value[first], tuple(rest), new) if rest else new}


def _name(path: tuple[str, ...], taken: Mapping[str, bytes]) -> str:
    """Name an entry after the place that its content comes from (docs/spec.md, section "Entries")."""
    stem = re.sub("[^a-z0-9_.-]+", "-", ".".join(path).lower())[:_STEM_MAX].strip("_.-")
    names = (f"{stem}.{number}.msgpack" if number else f"{stem}.msgpack" for number in count())
    return next(name for name in names if name not in taken)
