"""Packing a folder: which joblib and pickle files are in it, what signing each would need, and under which names.

A name is the file's path from the folder on, without its suffixes; one that is no valid name is an error, never
repaired. The originals are only read. What `plan` says is no promise: `pack` copies and walks each file again.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from safemodel.errors import (
    ConfigurationError,
    FormatError,
    GlobalNotAllowedError,
    LimitExceededError,
    PayloadError,
    SafemodelError,
)
from safemodel.format.content import Progress
from safemodel.format.names import check_model_name
from safemodel.format.source import SUFFIX
from safemodel.payload.allowance import catalogue_with, spell
from safemodel.payload.recognition import JOBLIB, PICKLE
from safemodel.payload.verdicts import DANGEROUS, MALFORMED, UNREADABLE, UNSIGNED, Finding
from safemodel.scanning.judge import Judge
from safemodel.scanning.tree import scan_tree

_SUFFIXES: Final = (".joblib", ".pkl", ".pickle", ".gz", ".bz2", ".xz", ".lzma", ".z")


@dataclass(frozen=True, slots=True)
class Planned:
    """One file of a folder, and what becomes of it.

    Attributes:
        payload: path of the joblib or pickle file.
        output: path of the artifact.
        name: of the model.
        needs: exact names that would have to be allowed, and can be.
        problem: why it cannot be packed as it is, or None.
    """

    payload: str
    output: str
    name: str
    needs: tuple[str, ...] = ()
    problem: SafemodelError | OSError | None = None


def plan(
    folder: str,
    output: str,
    *,
    prefix: str | None = None,
    allow: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> list[Planned]:
    """Find the joblib and pickle files of a folder; nothing is written.

    Args:
        folder: where to search.
        output: the folder for the artifacts, with the same folders in it.
        prefix: what each model's name begins with, such as `acme`.
        allow: exact names that the catalogue does not list and the models may reach for.
        progress: called with (bytes done, bytes in all).

    Returns:
        What would become of each, sorted by path.

    Raises:
        ConfigurationError: there is none, or a name is one that is never allowed.
        FormatError: the prefix is no valid name.
    """
    if prefix is not None:
        check_model_name(prefix)
    findings = scan_tree([folder], Judge.of(allow=allow, verifying=False), progress=progress).findings
    planned = [_planned(finding, folder, output, prefix) for finding in findings if _is_payload(finding)]
    if not planned:
        raise ConfigurationError(f"no joblib or pickle file is in {folder}", hint="safemodel scan says what is there")
    outputs = Counter(each.output for each in planned)
    return [_checked(each, outputs[each.output]) for each in planned]


def _is_payload(finding: Finding) -> bool:
    if finding.path.endswith(SUFFIX):
        return False
    return finding.kind in (JOBLIB, PICKLE) or (
        finding.verdict in (UNREADABLE, MALFORMED) and _stripped(finding.path) != finding.path
    )


def _planned(finding: Finding, folder: str, output: str, prefix: str | None) -> Planned:
    bare = _stripped(os.path.relpath(finding.path, folder))
    name = "/".join([*([prefix] if prefix else []), *bare.split(os.sep)])
    needs, problem = _needs(finding)
    return Planned(finding.path, os.path.join(output, bare + SUFFIX), name, needs, problem)


def _stripped(path: str) -> str:
    """Return a path without the suffixes that say what it is: `churn` for `churn.joblib.gz`."""
    bare, suffix = os.path.splitext(path)
    return _stripped(bare) if suffix.lower() in _SUFFIXES else path


def _needs(finding: Finding) -> tuple[tuple[str, ...], SafemodelError | OSError | None]:
    if finding.verdict == UNSIGNED:
        return (), None
    if finding.verdict == UNREADABLE:
        return (), OSError(None, finding.reason, finding.path)
    if finding.verdict == MALFORMED:
        kind = LimitExceededError if finding.code == LimitExceededError.code else PayloadError
        return (), kind(finding.reason, hint=finding.hint)
    catalogue = catalogue_with(None)
    names = tuple(spell(use) for use in finding.refused if catalogue.can_add((use.module, use.name)))
    return names, GlobalNotAllowedError(finding.reason or DANGEROUS, hint=finding.hint)


def _checked(planned: Planned, count: int) -> Planned:
    problem = next(_obstacles(planned, count), planned.problem)
    return Planned(planned.payload, planned.output, planned.name, planned.needs, problem)


def _obstacles(planned: Planned, count: int) -> Iterator[SafemodelError]:
    try:
        check_model_name(planned.name)
    except FormatError as error:
        yield ConfigurationError(
            f"its path makes no name of a model: {error.args[0]}",
            hint="pack it alone: safemodel pack FILE -o OUT --name NAME; or rename it",
        )
    if count > 1:
        yield ConfigurationError(f"{count} files would become {planned.output}", hint="pack each alone, by its name")
    if os.path.lexists(planned.output):
        yield ConfigurationError(f"{planned.output} is there already", hint="remove it to pack this one again")
