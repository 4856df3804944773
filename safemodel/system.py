"""What differs between operating systems, with a fallback for each: nothing above this module asks where it runs.

Rules kept here:

* A file is opened once and without waiting: a pipe or device in the place of an artifact must not hang the reader.
* Memory that verified bytes live in is private and anonymous, so that neither a file nor a forked child shares it.
* A file appears whole or not at all, and only under a name that was asked for. Where the system has files without a
  name (Linux, O_TMPFILE), even a killed writer leaves nothing behind.
"""

import errno
import mmap
import os
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

THREADS_MAX = 8  # beyond this, memory bandwidth is the limit and a shared host suffers
HUGE_PAGE = 2 * 1024 * 1024

_CGROUP_OF_PROCESS = "/proc/self/cgroup"
_CGROUP_MOUNT = "/sys/fs/cgroup"
_DESCRIPTORS = "/proc/self/fd"

_PLAIN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | _PLAIN
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | _PLAIN

_HAS_FLOCK = fcntl is not None
_position = threading.Lock()  # of every descriptor, where reading has to move it


def thread_count() -> int:
    """How many threads may work at once.

    Returns:
        The least of 8, the CPUs this process may run on, and the quota of its cgroup (version 1 or 2) rounded up;
        at least 1.
    """
    return max(1, min(THREADS_MAX, _available_cpus(), *map(_quota, _cgroup_folders())))


def _available_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cgroup_folders() -> Iterator[str]:
    """Every folder whose quota binds this process: its own cgroup and all above it, see cgroups(7)."""
    for line in _lines(_CGROUP_OF_PROCESS):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount = _CGROUP_MOUNT
        elif "cpu" in controllers.split(","):
            mount = f"{_CGROUP_MOUNT}/cpu"
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            yield "/".join([mount, *parts[:depth]])


def _quota(folder: str) -> int:
    # Version 2 has both numbers in one file, version 1 in two; "max" and -1 stand for no quota.
    words = " ".join(
        line for name in ("cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us") for line in _lines(f"{folder}/{name}")
    ).split()
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        return THREADS_MAX
    quota, period = map(int, words)
    return -(-quota // period) if period else THREADS_MAX


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


_MAPPED_FROM: Final = 64 * 1024  # bytes; the heap is as private, and takes less time for fewer


def private_memory(size: int) -> memoryview:
    """Anonymous memory that nothing else can write to, not even a forked child.

    Args:
        size: in bytes; 0 is allowed.

    Returns:
        A writable view of zeroes; the memory goes back when the last view of it dies.

    Raises:
        OSError: ENOMEM, there is not that much memory.
    """
    if size < _MAPPED_FROM:
        return memoryview(bytearray(size))
    if size > sys.maxsize:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    if not hasattr(mmap, "MAP_PRIVATE"):  # Windows: unnamed, hence private, and nothing forks
        return memoryview(mmap.mmap(-1, size))
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel built without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


def open_regular(path: str | os.PathLike[str]) -> int:
    """Open a regular file for reading, without ever waiting for a writer at the other end.

    Args:
        path: of the file; symbolic links are followed, and what they lead to is judged by the open descriptor.

    Returns:
        The descriptor; the caller closes it.

    Raises:
        IsADirectoryError: it is a folder.
        OSError: it cannot be opened, or it is a pipe, a socket or a device (EINVAL).
    """
    try:
        descriptor = os.open(path, _READ)
    except ValueError as error:  # a null byte in the path
        raise OSError(errno.EINVAL, str(error), repr(path)) from None
    except OSError as error:
        _explain_unopenable(path, error)
        raise
    try:
        _require_regular(path, os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _explain_unopenable(path: str | os.PathLike[str], error: OSError) -> None:
    if error.errno == errno.ENXIO:  # a socket, open(2)
        raise _not_regular(path) from error
    if os.path.isdir(path):  # Windows says "permission denied"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path)) from error


def _require_regular(path: str | os.PathLike[str], mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        raise _not_regular(path)


def _not_regular(path: str | os.PathLike[str]) -> OSError:
    reason = "expected a regular file, found a pipe, socket or device; write what it delivers to a file first"
    return OSError(errno.EINVAL, reason, os.fspath(path))


def read_at(descriptor: int, view: memoryview, offset: int) -> int:
    """Read at a position that is independent of the descriptor's own, so that threads can share it.

    Args:
        descriptor: of a regular file.
        view: writable bytes to fill.
        offset: in the file, in bytes.

    Returns:
        How many bytes were read: as many as the view has, or fewer; 0 at the end of the file.
    """
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [view], offset)
    with _position:
        os.lseek(descriptor, offset, os.SEEK_SET)
        data = os.read(descriptor, len(view))
    view[: len(data)] = data
    return len(data)


@contextmanager
def atomic_file(path: str | os.PathLike[str], *, mode: int | None = None) -> Iterator[BinaryIO]:
    """Write a file that takes its name only when it is complete and on the disk.

    Whatever raises inside, or kills the process, leaves the old file as it was.

    Args:
        path: of the file, which may exist; a symbolic link is followed and stays a link.
        mode: permission bits; without them an existing file's are kept, and a new file gets the usual ones.

    Yields:
        A binary file, open for writing and reading.

    Raises:
        OSError: the place cannot be written to, or what is there is no regular file that this user may write.
    """
    target = os.path.realpath(os.fsdecode(path))
    kept = _mode_to_keep(target) if mode is None else mode
    folder = os.path.dirname(target)
    descriptor, draft = _open_draft(folder, 0o666 if kept is None else 0o600)
    try:
        with open(descriptor, "w+b") as file:
            yield file
            file.flush()
            if kept is not None and hasattr(os, "fchmod"):
                os.fchmod(descriptor, kept)
            os.fsync(descriptor)
            if draft is None:
                draft = _draft_path(folder)
                _link_unnamed(descriptor, draft)
        os.replace(draft, target)
    except BaseException:
        if draft is not None:
            with suppress(FileNotFoundError):
                os.unlink(draft)
        raise
    _sync_folder(folder)


def create_exclusive(path: str | os.PathLike[str], data: bytes, *, mode: int) -> None:
    """Create a file that must not exist yet, with its permissions from the first moment.

    Args:
        path: of the new file; even a dangling symbolic link counts as existing.
        data: all that goes into it.
        mode: permission bits, from which the umask is taken away.

    Raises:
        FileExistsError: something is there; it is left alone.
        OSError: it cannot be written; nothing half-written remains.
    """
    target = os.fsdecode(path)
    folder = os.path.dirname(target) or os.curdir
    descriptor = _open_unnamed(folder, mode)
    if descriptor is not None:
        with open(descriptor, "wb") as file:
            _write_all(file, data)
            _link_unnamed(descriptor, target)
    else:
        _create_named(target, data, mode)
    _sync_folder(folder)


def _create_named(target: str, data: bytes, mode: int) -> None:
    with open(os.open(target, _CREATE, mode), "wb") as file:
        try:
            _write_all(file, data)
        except BaseException:
            os.unlink(target)
            raise


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep a second writer away from a file, also while the file is replaced by a rename.

    The lock is on a file beside it, since a lock on the file itself would stay with the bytes that are renamed away.
    It ends with the process at the latest, and takes its file with it unless the process is killed; a file left
    behind then does not lock anyone out.

    Args:
        path: of the file to guard; symbolic links are followed.

    Raises:
        BlockingIOError: another holds the lock.
        OSError: the folder cannot be written to.
    """
    folder, name = os.path.split(os.path.realpath(os.fsdecode(path)))
    guard = os.path.join(folder, f".{name}.lock")
    lock = _locked_by_flock if _HAS_FLOCK else _locked_by_existence
    with lock(guard):
        yield


@contextmanager
def _locked_by_flock(guard: str) -> Iterator[None]:
    descriptor = _lock_by_flock(guard)
    try:
        yield
    finally:
        # Closed after the name is gone, so that whoever gets the old file's lock sees that it is there no longer.
        with suppress(OSError):
            os.unlink(guard)
        os.close(descriptor)


@contextmanager
def _locked_by_existence(guard: str) -> Iterator[None]:
    # O_TEMPORARY: Windows deletes the file with its last handle, also when the process is killed.
    try:
        descriptor = os.open(guard, _CREATE | getattr(os, "O_TEMPORARY", 0), 0o666)
    except FileExistsError:
        raise _held(guard) from None
    try:
        yield
    finally:
        os.close(descriptor)  # first, since Windows does not unlink what is open
        with suppress(FileNotFoundError):
            os.unlink(guard)


def _lock_by_flock(guard: str) -> int:
    while True:
        descriptor = os.open(guard, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | _PLAIN, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, guard):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise _held(guard) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _held(guard: str) -> BlockingIOError:
    return BlockingIOError(errno.EWOULDBLOCK, "another process is changing this file", guard)


def _mode_to_keep(target: str) -> int | None:
    """Permission bits of the file to be replaced, or None where there is none yet."""
    try:
        found = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    if not stat.S_ISREG(found):  # a rename would put a file in the place of /dev/null
        raise OSError(errno.EINVAL, "not a regular file", target)
    if not os.access(target, os.W_OK):  # a rename would pass over it
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), target)
    return stat.S_IMODE(found) & 0o777


def _open_draft(folder: str, mode: int) -> tuple[int, str | None]:
    """A new file in the folder: its descriptor, and its path unless it has no name."""
    descriptor = _open_unnamed(folder, mode)
    if descriptor is not None:
        return descriptor, None
    draft = _draft_path(folder)
    try:
        return os.open(draft, _CREATE, mode), draft
    except OSError as error:
        error.filename = folder  # the draft's name would tell the user nothing
        raise


def _draft_path(folder: str) -> str:
    return os.path.join(folder, f".safemodel-{os.urandom(8).hex()}.tmp")


def _open_unnamed(folder: str, mode: int) -> int | None:
    """A file without a name, see O_TMPFILE in open(2); None where the system or the filesystem has none."""
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir(_DESCRIPTORS):
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | _PLAIN, mode)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            return None
        raise


def _link_unnamed(descriptor: int, path: str) -> None:
    # With a folder's descriptor os.link calls linkat(2) with AT_SYMLINK_FOLLOW; without one it would link the link.
    folder = os.open(os.path.dirname(path) or os.curdir, os.O_RDONLY | _PLAIN)
    try:
        os.link(f"{_DESCRIPTORS}/{descriptor}", os.path.basename(path), src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        error.filename, error.filename2 = path, None
        raise
    finally:
        os.close(folder)


def _sync_folder(folder: str) -> None:
    # The file is whole with or without this; Windows and some network filesystems cannot do it.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | _PLAIN)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
