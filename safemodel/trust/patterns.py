"""Which models a rule is for: exact names and patterns, matched part by part (docs/trust.md, section "Models").

Rules kept here:

* A pattern has as many parts as the names that it matches. `*` stands for a whole part or for the rest of one, and
  never for a `/`.
* Whether two rules overlap is decided exactly, exceptions included: there is a name that both match, or there is none.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from safemodel.errors import ConfigurationError
from safemodel.format.limits import MODEL_NAME_MAX

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_INNER: Final = "._-"
# Compiled when a folder is read: bare keys need neither.
_WORD: Final = r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?"
_PART: Final = rf"\*|[a-z0-9][a-z0-9._-]*\*|{_WORD}"

EVERY_NAME: Final = tuple(
    "/".join("*" * parts) for parts in range(1, MODEL_NAME_MAX // 2 + 1)
)  # "a/a/a" at its longest


def check_pattern(pattern: str) -> str:
    """Return the pattern when it is one: `acme/churn`, `acme/*`, `acme/churn-*`.

    Raises:
        ConfigurationError: a part is neither of a name, nor `*`, nor the beginning of one and `*`.
    """
    if len(pattern) <= MODEL_NAME_MAX and all(re.fullmatch(_PART, part) for part in pattern.split("/")):
        return pattern
    raise ConfigurationError(
        f"{pattern[:MODEL_NAME_MAX]!r} is neither a model's name nor a pattern of names",
        hint="write 'acme/churn', or '*' for a whole part or at its end: 'acme/*', 'acme/churn-*'",
    )


@dataclass(frozen=True, slots=True)
class ModelNames:
    """The names that a rule is for.

    Attributes:
        patterns: it is for names that one of these matches,
        exceptions: and that none of these does.
    """

    patterns: tuple[str, ...]
    exceptions: tuple[str, ...] = ()

    def __contains__(self, name: str) -> bool:
        return _any_matches(self.patterns, name) and not _any_matches(self.exceptions, name)

    def __str__(self) -> str:
        patterns = "any name" if self.patterns == EVERY_NAME else ", ".join(self.patterns)
        return f"{patterns} except {', '.join(self.exceptions)}" if self.exceptions else patterns

    def shared_with(self, other: "ModelNames") -> str | None:
        """Return a name that both are for, or None where there is none."""
        exceptions = self.exceptions + other.exceptions
        both = (_intersection(one, another) for one in self.patterns for another in other.patterns)
        names = (_name_outside(parts, exceptions) for parts in both if parts is not None)
        return next((name for name in names if name is not None), None)


def _any_matches(patterns: Iterable[str], name: str) -> bool:
    parts = name.split("/")
    return any(_matches(pattern.split("/"), parts) for pattern in patterns if pattern.count("/") == len(parts) - 1)


def _matches(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    return all(map(_part_matches, pattern, parts))


def _part_matches(pattern: str, part: str) -> bool:
    return part.startswith(pattern[:-1]) if pattern.endswith("*") else part == pattern


def _intersection(one: str, other: str) -> list[str] | None:
    """The one pattern, in parts, that matches what both match."""
    if one.count("/") != other.count("/"):
        return None
    parts = list(map(_common_part, one.split("/"), other.split("/")))
    return None if None in parts else [part for part in parts if part is not None]


def _common_part(one: str, other: str) -> str | None:
    if not one.endswith("*"):
        return one if _part_matches(other, one) else None
    if not other.endswith("*"):
        return other if _part_matches(one, other) else None
    shorter, longer = sorted((one, other), key=len)
    return longer if _part_matches(shorter, longer) else None


def _name_outside(pattern: Sequence[str], exceptions: Iterable[str]) -> str | None:
    """Return a name that a pattern matches and no exception does, or None where there is none."""
    split = (exception.split("/") for exception in exceptions)
    names = map("/".join, _samples(pattern, [parts for parts in split if len(parts) == len(pattern)]))
    return next((name for name in names if len(name) <= MODEL_NAME_MAX), None)


def _samples(pattern: Sequence[str], exceptions: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """Yield the shortest name, in parts, of each kind that the exceptions can tell apart, and that none matches."""
    if not pattern:
        if not exceptions:
            yield []
        return
    for word in _words(pattern[0], {exception[0] for exception in exceptions}):
        remaining = [exception[1:] for exception in exceptions if _part_matches(exception[0], word)]
        for rest in _samples(pattern[1:], remaining):
            yield [word, *rest]


def _words(part: str, exceptions: Iterable[str]) -> list[str]:
    """Return the shortest word that a part matches, of each kind that the exceptions can tell apart."""
    if not part.endswith("*"):
        return [part]
    shortest: dict[frozenset[str], str] = {}
    for word in sorted(_candidates(part[:-1], exceptions), key=lambda word: (len(word), word)):
        shortest.setdefault(frozenset(each for each in exceptions if _part_matches(each, word)), word)
    return list(shortest.values())


def _candidates(start: str, exceptions: Iterable[str]) -> Iterator[str]:
    """Walk the tree of the exceptions' beginnings: each word that ends in a node, and one that leaves it there."""
    stems = [each.removesuffix("*") for each in exceptions if each.startswith(start)]
    nodes = {start} | {stem[:size] for stem in stems for size in range(len(start), len(stem) + 1)}
    for node in nodes:
        if re.fullmatch(_WORD, node):
            yield node
        leaving = (letter for letter in _LETTERS + (_INNER if node else "") if node + letter not in nodes)
        if letter := next(leaving, ""):
            yield node + letter + ("" if letter in _LETTERS else "a")
