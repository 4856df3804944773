"""Scanning: which code files or models reach for, judged without keys and without unpickling anything."""

import os
import stat
from collections.abc import Iterable, Iterator

from safemodel.payload.allowance import catalogue_with
from safemodel.payload.catalogue import Catalogue
from safemodel.payload.verdicts import UNREADABLE, Finding


def scan(path_or_object: object, *, allow: Iterable[str] | None = None) -> list[Finding]:
    """Walk a file, all files of a folder, or a model, and judge the globals that it reaches for.

    A file is recognized by its content: pickles of every protocol, what joblib writes and compresses, and artifacts,
    whose signatures are not checked. In a folder, all others are passed over, unless a suffix such as `.pkl` says that
    they are models; symbolic links are not followed; and nothing about one file stops the rest.

    Args:
        path_or_object: the path of a file or folder, as text or path-like; or a model, fitted or not, which is pickled
            in memory as `dump` would.
        allow: exact names that the catalogue does not list and a model may reach for, `acme.transformers.Clip`.

    Returns:
        One finding for a file or a model; for a folder one for each model in it, sorted by path.

    Raises:
        PayloadError: the object cannot be pickled, so it could not be dumped either.
        OSError: the file that was named cannot be read; in a folder, a finding says so.
    """
    from safemodel.payload.judging import judge_file, judge_object

    catalogue = catalogue_with(allow)
    if not isinstance(path_or_object, str | os.PathLike):
        return [judge_object(path_or_object, catalogue)]
    path = os.fsdecode(path_or_object)
    if os.path.isdir(path):
        return sorted(_scan_folder(path, catalogue), key=lambda finding: finding.path)
    finding = judge_file(path, catalogue, named=True)
    return [] if finding is None else [finding]


def _scan_folder(folder: str, catalogue: Catalogue) -> Iterator[Finding]:
    unreadable: list[OSError] = []
    for parent, _, names in os.walk(folder, onerror=unreadable.append):
        for name in names:
            finding = _scan_member(os.path.join(parent, name), catalogue)
            if finding is not None:
                yield finding
    yield from (_unreadable(os.fsdecode(error.filename), error) for error in unreadable)


def _scan_member(path: str, catalogue: Catalogue) -> Finding | None:
    from safemodel.payload.judging import judge_file

    try:
        is_regular = stat.S_ISREG(os.lstat(path).st_mode)
        return judge_file(path, catalogue, named=False) if is_regular else None
    except (OSError, MemoryError) as error:
        return _unreadable(path, error)


def _unreadable(path: str, error: OSError | MemoryError) -> Finding:
    reason = error.strerror if isinstance(error, OSError) else None
    return Finding(path, "unknown", UNREADABLE, reason=(reason or "not enough memory").lower())
