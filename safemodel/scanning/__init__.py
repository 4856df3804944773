"""Scanning: which model files there are, what code they reach for, and who vouches for them; nothing is unpickled."""

import os
from collections.abc import Iterable
from typing import Any

from safemodel.format.content import Progress
from safemodel.payload.verdicts import Finding


def scan(
    path_or_object: object, *, trust: Any = None, allow: Iterable[str] | None = None, progress: Progress | None = None
) -> list[Finding]:
    """Judge a file, all files of a folder, or a model: the globals that it reaches for, and for artifacts the signers.

    A file is recognized by its content: artifacts; pickles of every protocol, and what joblib writes and compresses;
    both also in ZIP, NumPy and PyTorch archives. Model files of other makers are named, and not judged. In a folder,
    all else is passed over, unless a suffix such as `.pkl` says that it is a model; symbolic links are not followed;
    and nothing about one file stops the rest. Many files, or large ones, are judged by as many processes as there are
    usable cores.

    Args:
        path_or_object: the path of a file or folder, as text or path-like; or a model, fitted or not, which is pickled
            in memory as `dump` would.
        trust: as for `load`, to verify artifacts by. Without it and without SAFEMODEL_TRUST, signatures are not
            checked.
        allow: exact names that the catalogue does not list and a model may reach for, `acme.transformers.Clip`. For
            artifacts under a trust folder, its `trust.toml` says so.
        progress: called with (bytes done, bytes in all).

    Returns:
        One finding for a file or a model; for a folder one for each model in it, sorted by path.

    Raises:
        PayloadError: the object cannot be pickled, so it could not be dumped either.
        ConfigurationError: trust or a name is wrong.
        OSError: the file that was named cannot be read; in a folder, a finding says so.
    """
    from safemodel.scanning.judge import Judge
    from safemodel.scanning.tree import scan_tree

    judge = Judge.of(allow=allow, trust=trust)
    if not isinstance(path_or_object, str | os.PathLike):
        return [judge.object(path_or_object)]
    path = os.fsdecode(path_or_object)
    if os.path.isdir(path):
        return list(scan_tree([path], judge, progress=progress).findings)
    return [judge.file(path)]
