"""Whole trees: every regular file below what the user names, judged here or by processes, and put in order.

Links are not followed and pipes, sockets and devices not opened, so that a tree cannot lead out of itself, around in
circles, or into waiting.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from safemodel.format.content import Progress
from safemodel.payload.judging import UNKNOWN
from safemodel.payload.verdicts import NOT_JUDGED, Finding
from safemodel.scanning.judge import Judge, unreadable
from safemodel.scanning.pool import File, judged_by_processes, process_count


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan found.

    Attributes:
        findings: on each model, sorted by path.
        files: how many were looked at.
        links: how many symbolic links were not followed.
    """

    findings: tuple[Finding, ...]
    files: int
    links: int

    def of_models(self) -> Self:
        """Return it without the files that were named and in which no model was recognized."""
        models = (finding for finding in self.findings if (finding.kind, finding.verdict) != (UNKNOWN, NOT_JUDGED))
        return replace(self, findings=tuple(models))


@dataclass(slots=True)
class _Tree:
    files: list[File]
    unreadable: list[Finding]
    links: int = 0


def scan_tree(paths: list[str], judge: Judge, *, progress: Progress | None = None) -> Scan:
    """Judge files, and all files of folders.

    Args:
        paths: of files and folders.
        judge: what they are judged by.
        progress: called with (bytes done, bytes in all).

    Returns:
        The findings. A path that is not there has one too.
    """
    tree = _collect(paths)
    count = process_count(tree.files) if judge.recipe is not None else 1
    total = sum(file.size for file in tree.files)
    done, found = 0, list(tree.unreadable)
    results = judged_by_processes(tree.files, count, judge) if count > 1 else _judged(tree.files, judge)
    for file, finding in results:
        done += file.size
        if finding is not None:
            found.append(finding)
        if progress is not None:
            progress(done, total)
    return Scan(tuple(sorted(found, key=lambda finding: finding.path)), len(tree.files), tree.links)


def _judged(files: list[File], judge: Judge) -> Iterator[tuple[File, Finding | None]]:
    for file in files:
        yield file, judge.member(file.path, named=file.named)


def _collect(paths: list[str]) -> _Tree:
    """List what is there: each file once, however often it was named, and as named if it was."""
    tree = _Tree([], [])
    for path in dict.fromkeys(paths):
        try:
            found = os.stat(path)
        except OSError as error:
            tree.unreadable.append(unreadable(path, error))
            continue
        if stat.S_ISDIR(found.st_mode):
            _collect_folder(path, tree)
        else:
            tree.files.append(File(path, found.st_size, True))
    known: dict[str, File] = {}
    for file in tree.files:
        before = known.get(file.path, file)
        known[file.path] = replace(before, named=before.named or file.named)
    tree.files = list(known.values())
    return tree


def _collect_folder(folder: str, tree: _Tree) -> None:
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    _collect_entry(entry, tree, waiting)
        except OSError as error:
            tree.unreadable.append(unreadable(place, error))


def _collect_entry(entry: "os.DirEntry[str]", tree: _Tree, waiting: list[str]) -> None:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError as error:
        tree.unreadable.append(unreadable(entry.path, error))
        return
    if stat.S_ISLNK(found.st_mode):
        tree.links += 1
    elif stat.S_ISDIR(found.st_mode):
        waiting.append(entry.path)
    elif stat.S_ISREG(found.st_mode):
        tree.files.append(File(entry.path, found.st_size, False))
