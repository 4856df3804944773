"""Extracting a verified artifact: what was written is published only after the last digest held."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from safemodel.arguments import Filename, Name, Verifier
from safemodel.decisions import decided
from safemodel.format.container import MANIFEST
from safemodel.format.content import Content, Progress
from safemodel.format.source import open_source
from safemodel.format.unverified import read_unverified
from safemodel.trust.gate import admit


def extract(
    filename: Filename,
    directory: str | os.PathLike[str],
    *,
    trust: Any = None,
    name: Name = None,
    allow: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Verify an artifact while writing what is signed in it into a new folder.

    The files are plain: `joblib.load` reads `payload.joblib`, without any of this library's protection.

    Args:
        filename: the artifact's path, or a seekable binary file.
        directory: the folder to make; it must not exist, or be empty, and is no symbolic link.
        trust: as for `load`.
        name: as for `load`.
        allow: as for `load`.
        progress: called with (bytes done, bytes in all).

    Returns:
        The names of the files in the folder.

    Raises:
        FormatError, VerificationError: the artifact is refused; nothing is published.
        OSError: the folder cannot be made, or is not empty.
    """
    target = os.path.abspath(os.fsdecode(directory))
    _check_target(target)
    verifier = Verifier.of(trust, allow=allow)
    with decided(filename, verifier.policy) as decision, open_source(filename) as source:
        admission = admit(source, read_unverified(source), verifier.requirements(filename, name))
        draft = f"{target}.{os.urandom(8).hex()}.tmp"
        os.mkdir(draft, 0o700)
        try:
            written = _write_all(admission.content, draft, progress)
            _publish(draft, target)
        except BaseException:
            _remove(draft)
            raise
        decision.verified(admission.explanation)
    return written


def _check_target(target: str) -> None:
    if os.path.islink(target):
        raise NotADirectoryError(errno.ENOTDIR, "is a symbolic link, which is not followed", target)
    if os.path.lexists(target) and (not os.path.isdir(target) or os.listdir(target)):
        raise FileExistsError(errno.EEXIST, "exists and is not an empty folder", target)


def _write_all(content: Content, folder: str, progress: Progress | None) -> list[str]:
    names = [content.layout.entries[number].name for number in sorted({chunk.entry for chunk in content.chunks})]
    total = sum(chunk.size for chunk in content.chunks)
    done = 0
    for name in names:
        for size in _write(os.path.join(folder, name), content.pieces(name)):
            done += size
            if progress is not None:
                progress(done, total)
    list(_write(os.path.join(folder, MANIFEST), [memoryview(content.manifest_bytes)]))
    return [*names, MANIFEST]


def _write(path: str, pieces: Iterable[memoryview]) -> Iterator[int]:
    with open(path, "xb") as file:
        for piece in pieces:
            file.write(piece)
            yield len(piece)
        file.flush()
        os.fsync(file.fileno())


def _remove(draft: str) -> None:
    for name in os.listdir(draft):
        os.unlink(os.path.join(draft, name))
    os.rmdir(draft)


def _publish(draft: str, target: str) -> None:
    os.chmod(draft, 0o755)  # noqa: S103 - a folder like any that the user makes; its files have the usual mode
    with suppress(FileNotFoundError):
        os.rmdir(target)  # an empty folder gives way; os.rename on Windows replaces nothing
    os.rename(draft, target)
