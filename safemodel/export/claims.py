"""What the descriptive maps of a manifest claim, for formats that want values of a type.

A signer may have put anything there. What is not of the type that the spec gives a key is left out; nothing raises.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

_DISTRIBUTION: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")  # PEP 508
_VERSION: Final = re.compile(r"[A-Za-z0-9.!+_-]{1,128}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHA256: Final = re.compile(r"sha256:([0-9a-f]{64})")
# Without user and query: those may hold a secret.
_REPOSITORY: Final = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~@+=:/-]*)?")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ATTACHED: Final = {"attachment", "bytes", "sha256"}  # what stands in the place of a large value


def as_map(value: object) -> Mapping[str, Any]:
    """Return a map, or an empty one where it is none or lies in an attachment."""
    return value if isinstance(value, Mapping) and set(value) != _ATTACHED else {}


def as_list(value: object) -> list[Any]:
    """Return a list, or an empty one where it is none."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str | None:
    """Return a text that says something, or None."""
    return value if isinstance(value, str) and value.strip() else None


def as_texts(value: object) -> list[str]:
    """Return the texts of a list, or the only one."""
    return [item for item in ([value] if isinstance(value, str) else as_list(value)) if as_text(item)]


def as_count(value: object) -> int | None:
    """Return a whole number from 0, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def said(**fields: Any) -> dict[str, Any]:
    """Leave out what nothing is said about: the formats here have no null."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def shown(value: object) -> str:
    """Return any value as text: a text as it is, everything else as JSON, with bytes in hexadecimal."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=bytes.hex)


def moment(seconds: int) -> str | None:
    """Return seconds since 1970 UTC as RFC 3339 has them, or None past the year 9999."""
    try:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return None


def distributions(environment: Mapping[str, Any]) -> Iterator[tuple[str, str | None, str]]:
    """Yield name, version and package URL of each distribution that the model needs, each URL once.

    Source: https://github.com/package-url/purl-spec, type `pypi`; names as PEP 503 normalises them.
    """
    seen = set()
    for name, value in sorted(as_map(environment.get("distributions")).items()):
        version = value if isinstance(value, str) and _VERSION.fullmatch(value) else None
        url = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}" + (f"@{quote(version, safe='')}" if version else "")
        if _DISTRIBUTION.fullmatch(name) and url not in seen:
            seen.add(url)
            yield name, version, url


def commit(training: Mapping[str, Any]) -> str | None:
    """Return the commit that the model was made from, in hexadecimal."""
    value = as_map(training.get("source")).get("commit")
    return value if isinstance(value, str) and _COMMIT.fullmatch(value) else None


def repository(training: Mapping[str, Any]) -> str | None:
    """Return where the source is, when it is an address without user and query."""
    value = as_map(training.get("source")).get("repository")
    return value if isinstance(value, str) and _REPOSITORY.fullmatch(value) else None


def data_digest(training: Mapping[str, Any]) -> str | None:
    """Return the SHA-256 of the training data, 64 hexadecimal digits."""
    value = as_map(training.get("data")).get("digest")
    found = _SHA256.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found else None


def numbers(metrics: object) -> Iterator[tuple[str, str]]:
    """Yield name and text of each metric that is one number."""
    for name, value in sorted(as_map(metrics).items()):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, shown(value)
