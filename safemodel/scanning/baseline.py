"""A baseline: findings that somebody has looked at and accepts, each for one file's exact bytes and with a reason.

A file that changes falls out of it, as does one that is found to do more than was accepted. Nothing is accepted for
good where `expires` says so, and an entry that fits nothing is reported.
"""

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

from safemodel.errors import ConfigurationError
from safemodel.format.source import open_source
from safemodel.payload.allowance import spell
from safemodel.payload.verdicts import DANGEROUS, MALFORMED, NOT_JUDGED, NOT_TRUSTED, UNCHECKED, UNSIGNED, Finding
from safemodel.scanning.places import uri_of
from safemodel.trust.fields import SCHEMA, Table, naming

ACCEPTABLE: Final = (DANGEROUS, NOT_TRUSTED, MALFORMED, NOT_JUDGED, UNCHECKED, UNSIGNED)

_VERSION: Final = 1
_SIZE_MAX: Final = 16 * 1024 * 1024  # bytes; an entry takes some hundred
_FIELDS: Final = ("path", "sha256", "verdict", "globals", "reason", "expires")
_HINT: Final = "docs/scan.md lists the fields of a baseline"
_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class Accepted:
    """One finding that is accepted.

    Attributes:
        path: of the file, as `uri_of` writes it.
        sha256: of the file, 64 hexadecimal digits.
        verdict: one of `ACCEPTABLE`.
        globals: the names that it may reach for.
        reason: why it is accepted.
        expires: seconds since 1970 UTC from which on it is no longer; None: never.
    """

    path: str
    sha256: str
    verdict: str
    globals: tuple[str, ...]
    reason: str
    expires: int | None

    def fits(self, finding: Finding) -> bool:
        """Tell whether this is the finding that was accepted, or less."""
        return (
            (self.sha256, self.verdict) == (finding.sha256, finding.verdict)
            and self.path == uri_of(finding.path)
            and set(map(spell, finding.refused)) <= set(self.globals)
        )


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is accepted."""

    entries: tuple[Accepted, ...] = ()

    @classmethod
    def read(cls, path: str) -> Self:
        """Read a baseline's file.

        Raises:
            ConfigurationError: it is not as docs/scan.md says; names the place.
            OSError: it cannot be read.
        """
        with open_source(path) as source:
            if source.size > _SIZE_MAX:
                raise ConfigurationError(f"{path}: expected at most {_SIZE_MAX} bytes, found {source.size}")
            data = source.read(0, source.size)
        with naming(path):
            return cls.from_toml(data)

    @classmethod
    def from_toml(cls, data: bytes) -> Self:
        """Read the content of a baseline's file; raises ConfigurationError."""
        try:
            document = tomllib.loads(data.decode("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigurationError(f"expected TOML, found something else: {error}", hint=_HINT) from error
        try:
            return cls(tuple(_entries(document)))
        except ConfigurationError as error:
            hint = _HINT if error.hint == SCHEMA else error.hint
            raise ConfigurationError(str(error.args[0]), hint=hint) from error

    def accepting(self, finding: Finding, now: int) -> Accepted | None:
        """Return the entry that accepts a finding now, or None."""
        return next(
            (each for each in self.entries if each.fits(finding) and (each.expires is None or now < each.expires)), None
        )

    def unused(self, findings: Iterable[Finding], now: int) -> Iterator[tuple[Accepted, str]]:
        """Yield the entries that accept nothing, each with why."""
        found = list(findings)
        for entry in self.entries:
            if entry.expires is not None and entry.expires <= now:
                yield entry, "it has expired"
            elif not any(map(entry.fits, found)):
                yield entry, "no file is found so: it is gone, has changed, or does more than was accepted"

    def to_toml(self) -> str:
        """Return the file's content."""
        return "".join([_HEADER, *map(_entry_to_toml, self.entries)])

    def extended(self, findings: Iterable[Finding], now: int) -> Self:
        """Return a baseline of just these findings: with the reasons that are there, and empty ones to be filled in."""
        return type(self)(tuple(self.accepting(finding, now) or _proposed(finding) for finding in findings))


_HEADER: Final = """\
# Findings of safemodel scan that are known and accepted: see docs/scan.md.
# Fill in each reason: a baseline with an empty one is refused.
version = 1
"""


def _proposed(finding: Finding) -> Accepted:
    names = tuple(sorted(map(spell, finding.refused)))
    return Accepted(uri_of(finding.path), finding.sha256, finding.verdict, names, "", None)


def _entry_to_toml(entry: Accepted) -> str:
    import json  # a string of JSON in ASCII is one of TOML, without lone surrogates, which names have none of

    lines = [
        "\n[[accepted]]",
        f"path = {json.dumps(entry.path)}",
        f"sha256 = {json.dumps(entry.sha256)}",
        f"verdict = {json.dumps(entry.verdict)}",
        *([f"globals = {json.dumps(entry.globals)}"] if entry.globals else []),
        f"reason = {json.dumps(entry.reason, ensure_ascii=False)}",
        *([] if entry.expires is None else [f"expires = {_moment(entry.expires)}"]),
    ]
    return "\n".join(lines) + "\n"


def _moment(seconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _entries(document: dict[str, Any]) -> Iterator[Accepted]:
    table = Table(document, ("version", "accepted"))
    if (version := table.required_number("version")) != _VERSION:
        raise ConfigurationError(f"expected version {_VERSION} of baselines, found {version}", hint=_HINT)
    if "accepted" not in table:
        return
    for number, value in enumerate(table.take("accepted", list, "a list of tables"), 1):
        with naming(f"accepted {number}"):
            yield _entry(Table(value, _FIELDS))


def _entry(table: Table) -> Accepted:
    sha256 = table.required_text("sha256")
    if len(sha256) != _DIGITS or not set(sha256) <= set("0123456789abcdef"):
        raise ConfigurationError("sha256: expected 64 hexadecimal digits in lower case", hint=_HINT)
    reason = table.required_text("reason")
    if not reason.strip():
        raise ConfigurationError("reason is empty", hint="say why this is accepted")
    table.required_text("verdict")
    verdict = table.choice("verdict", ACCEPTABLE)
    return Accepted(
        table.required_text("path"), sha256, verdict, table.texts("globals"), reason, table.moment("expires")
    )
