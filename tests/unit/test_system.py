"""What differs between operating systems: each rule on this system, and on one that lacks what the rule uses."""

import errno
import fcntl
import mmap
import os
import resource
import runpy
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from safemodel import system


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class TestThreadCount:
    @pytest.fixture
    def cgroup(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Put this process into a cgroup, with files of the given contents under the mount point."""
        monkeypatch.setattr(system, "_available_cpus", lambda: 16)
        monkeypatch.setattr(system, "_CGROUP_OF_PROCESS", str(tmp_path / "cgroup"))
        monkeypatch.setattr(system, "_CGROUP_MOUNT", str(tmp_path))

        def make(membership: str, files: dict[str, str]) -> None:
            (tmp_path / "cgroup").write_text(membership)
            for name, content in files.items():
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_text(content)

        return make

    @pytest.mark.parametrize(
        ("membership", "files", "count"),
        [
            ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
            ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
            ("0::/\n", {"cpu.max": "1000 100000\n"}, 1),
            ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
            ("0::/\n", {"cpu.max": "200000 0\n"}, 8),
            ("0::/\n", {}, 8),
            ("0::/pod/job\n", {"pod/cpu.max": "300000 100000", "pod/job/cpu.max": "500000 100000"}, 3),
            ("0::/../job\n", {"job/cpu.max": "400000 100000"}, 4),
            (
                "2:memory:/\n1:cpu,cpuacct:/job\n",
                {"cpu/job/cpu.cfs_quota_us": "250000\n", "cpu/job/cpu.cfs_period_us": "100000\n"},
                3,
            ),
            ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ],
    )
    def test_keeps_the_quota(
        self, cgroup: Callable[..., None], membership: str, files: dict[str, str], count: int
    ) -> None:
        cgroup(membership, files)
        assert system.thread_count() == count

    def test_keeps_the_affinity(self, cgroup: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
        cgroup("0::/\n", {})
        monkeypatch.undo()
        assert 1 <= system.thread_count() <= len(os.sched_getaffinity(0))

    def test_counts_cpus_where_there_is_no_affinity(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "sched_getaffinity")
        monkeypatch.setattr(os, "cpu_count", lambda: 3)
        assert system._available_cpus() == 3
        monkeypatch.setattr(os, "cpu_count", lambda: None)
        assert system._available_cpus() == 1


class TestPrivateMemory:
    @pytest.fixture(params=["private", "without MAP_PRIVATE", "without huge pages", "kernel without huge pages"])
    def _flags(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        if request.param == "without MAP_PRIVATE":
            monkeypatch.delattr(mmap, "MAP_PRIVATE")
        elif request.param == "without huge pages":
            monkeypatch.delattr(mmap, "MADV_HUGEPAGE")
        elif request.param == "kernel without huge pages":
            monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 9999)

    @pytest.mark.usefixtures("_flags")
    @pytest.mark.parametrize("size", [0, 1, 4097, system.HUGE_PAGE + 1])
    def test_is_zeroed_and_writable(self, size: int) -> None:
        view = system.private_memory(size)
        assert bytes(view) == bytes(size)
        view[:] = b"\xff" * size
        assert bytes(view) == b"\xff" * size

    def test_goes_back_with_the_last_view(self) -> None:
        view = system.private_memory(2**16)
        alive = weakref.ref(view.obj)
        part = view[10:20]
        del view
        assert alive() is not None
        del part
        assert alive() is None

    @pytest.mark.parametrize("size", [100, 2**16])
    def test_is_not_shared_with_a_forked_child(self, size: int) -> None:
        view = system.private_memory(size)
        child = os.fork()
        if child == 0:
            view[0] = 1
            os._exit(view[0])
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        assert view[0] == 0

    @pytest.mark.parametrize("size", [2**60, 2**80])
    def test_says_when_there_is_not_enough(self, size: int) -> None:
        with pytest.raises(OSError, check=lambda error: error.errno == errno.ENOMEM):
            system.private_memory(size)


class TestOpenRegular:
    def test_opens_a_file_and_what_a_link_leads_to(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"content")
        (tmp_path / "link").symlink_to("file")
        for name in ("file", "link"):
            descriptor = system.open_regular(tmp_path / name)
            assert os.read(descriptor, 100) == b"content"
            assert not os.get_inheritable(descriptor)
            os.close(descriptor)

    def test_refuses_a_pipe_without_waiting(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "link").symlink_to("pipe")
        before = open_descriptors()
        for name in ("pipe", "link"):
            with pytest.raises(OSError, match="regular"):
                system.open_regular(tmp_path / name)
        assert open_descriptors() == before

    def test_refuses_a_device(self) -> None:
        with pytest.raises(OSError, match="regular"):
            system.open_regular("/dev/null")

    def test_refuses_a_socket(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "socket"))
            with pytest.raises(OSError, match="regular"):
                system.open_regular(tmp_path / "socket")

    def test_refuses_a_folder(self, tmp_path: Path) -> None:
        before = open_descriptors()
        with pytest.raises(IsADirectoryError):
            system.open_regular(tmp_path)
        assert open_descriptors() == before

    def test_names_a_folder_where_opening_one_is_denied(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def denied(*_: object) -> int:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "open", denied)
        with pytest.raises(IsADirectoryError):
            system.open_regular(tmp_path)
        with pytest.raises(PermissionError):
            system.open_regular(tmp_path / "file")

    def test_passes_the_error_of_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            system.open_regular(tmp_path / "missing")

    def test_a_null_byte_is_an_oserror(self) -> None:
        with pytest.raises(OSError, check=lambda error: error.errno == errno.EINVAL):
            system.open_regular("a\0b")


class TestReadAt:
    @pytest.fixture(params=["preadv", "seek and read"])
    def descriptor(
        self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[int]:
        if request.param == "seek and read":
            monkeypatch.delattr(os, "preadv")
        (tmp_path / "file").write_bytes(bytes(range(256)) * 16)
        descriptor = system.open_regular(tmp_path / "file")
        yield descriptor
        os.close(descriptor)

    def test_fills_the_view_or_less(self, descriptor: int) -> None:
        view = memoryview(bytearray(10))
        assert system.read_at(descriptor, view, 250) == 10
        assert bytes(view) == bytes([250, 251, 252, 253, 254, 255, 0, 1, 2, 3])
        assert system.read_at(descriptor, view, 4096 - 3) == 3
        assert bytes(view[:3]) == b"\xfd\xfe\xff"
        assert system.read_at(descriptor, view, 4096) == 0

    def test_threads_do_not_disturb_each_other(self, descriptor: int) -> None:
        wrong: list[int] = []

        def read(value: int) -> None:
            view = memoryview(bytearray(1))
            for repeat in range(500):
                system.read_at(descriptor, view, value + 256 * (repeat % 16))
                if view[0] != value:
                    wrong.append(value)

        threads = [threading.Thread(target=read, args=(value,)) for value in (1, 2, 3, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


@pytest.fixture(params=["unnamed", "no O_TMPFILE", "no /proc", "filesystem without O_TMPFILE"])
def drafts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way to write a file that is not there until it is complete."""
    real = os.open

    def without_unnamed(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported", path)
        return real(path, flags, mode)

    if request.param == "no O_TMPFILE":
        monkeypatch.delattr(os, "O_TMPFILE")
    elif request.param == "no /proc":
        monkeypatch.setattr(system, "_DESCRIPTORS", "/nowhere")
    elif request.param == "filesystem without O_TMPFILE":
        monkeypatch.setattr(os, "open", without_unnamed)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("drafts")
class TestAtomicFile:
    def test_appears_only_when_complete(self, tmp_path: Path) -> None:
        with system.atomic_file(tmp_path / "new") as file:
            file.write(b"world")
            file.seek(0)
            assert file.read() == b"world"
            assert "new" not in names_in(tmp_path)
        assert (tmp_path / "new").read_bytes() == b"world"
        assert names_in(tmp_path) == ["new"]

    def test_replaces_a_file_and_keeps_its_mode(self, tmp_path: Path) -> None:
        old = tmp_path / "old"
        old.write_bytes(b"old")
        old.chmod(0o640)
        with system.atomic_file(old) as file:
            file.write(b"new")
            assert old.read_bytes() == b"old"
        assert old.read_bytes() == b"new"
        assert mode_of(old) == 0o640

    def test_a_new_file_gets_the_usual_mode(self, tmp_path: Path) -> None:
        before = os.umask(0o027)
        try:
            with system.atomic_file(tmp_path / "new"):
                pass
        finally:
            os.umask(before)
        assert mode_of(tmp_path / "new") == 0o640

    def test_sets_the_mode_that_was_asked_for(self, tmp_path: Path) -> None:
        with system.atomic_file(tmp_path / "new", mode=0o604):
            pass
        assert mode_of(tmp_path / "new") == 0o604

    def test_does_without_fchmod(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "fchmod")
        with system.atomic_file(tmp_path / "new", mode=0o600) as file:
            file.write(b"content")
        assert (tmp_path / "new").read_bytes() == b"content"

    @pytest.mark.parametrize("exists", [True, False])
    def test_follows_a_link_and_leaves_it(self, tmp_path: Path, exists: bool) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real/file")
        if exists:
            (tmp_path / "real" / "file").write_bytes(b"old")
        with system.atomic_file(tmp_path / "link") as file:
            file.write(b"new")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real" / "file").read_bytes() == b"new"
        assert names_in(tmp_path) == ["link", "real"]

    def test_works_in_the_current_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with system.atomic_file("new") as file:
            file.write(b"content")
        assert names_in(tmp_path) == ["new"]

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
    def test_an_error_leaves_everything_as_it_was(self, tmp_path: Path, error: type[BaseException]) -> None:
        (tmp_path / "old").write_bytes(b"old")

        def write_half() -> None:
            with system.atomic_file(tmp_path / "old") as file:
                file.write(b"half")
                raise error

        with pytest.raises(error):
            write_half()
        assert (tmp_path / "old").read_bytes() == b"old"
        assert names_in(tmp_path) == ["old"]

    @pytest.mark.parametrize("call", ["fsync", "replace"])
    def test_a_failing_disk_leaves_everything_as_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        (tmp_path / "old").write_bytes(b"old")
        before = open_descriptors()
        monkeypatch.setattr(os, call, full)
        with (
            pytest.raises(OSError, check=lambda error: error.errno == errno.ENOSPC),
            system.atomic_file(tmp_path / "old") as file,
        ):
            file.write(b"half")
        assert (tmp_path / "old").read_bytes() == b"old"
        assert names_in(tmp_path) == ["old"]
        assert open_descriptors() == before

    def test_a_file_too_large_for_the_limit_leaves_everything_as_it_was(self, tmp_path: Path) -> None:
        (tmp_path / "old").write_bytes(b"old")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with (
                pytest.raises(OSError, check=lambda error: error.errno == errno.EFBIG),
                system.atomic_file(tmp_path / "old") as file,
            ):
                file.write(bytes(1_000_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (tmp_path / "old").read_bytes() == b"old"
        assert names_in(tmp_path) == ["old"]

    def test_refuses_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(IsADirectoryError), system.atomic_file(tmp_path):
            pass

    def test_does_not_put_a_file_in_the_place_of_a_device(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with (
            pytest.raises(OSError, check=lambda error: error.errno == errno.EINVAL),
            system.atomic_file(tmp_path / "pipe"),
        ):
            pass
        assert names_in(tmp_path) == ["pipe"]

    def test_respects_a_read_only_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "old").write_bytes(b"old")
        monkeypatch.setattr(os, "access", lambda *_: False)  # what any user but root would see
        with pytest.raises(PermissionError), system.atomic_file(tmp_path / "old"):
            pass

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        folder = tmp_path / "missing"
        with pytest.raises(FileNotFoundError, check=lambda error: error.filename == str(folder)):
            system.atomic_file(folder / "new").__enter__()

    def test_a_folder_that_cannot_be_synced_is_no_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = os.fsync

        def files_only(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "Invalid argument")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", files_only)
        before = open_descriptors()
        with system.atomic_file(tmp_path / "new") as file:
            file.write(b"content")
        assert (tmp_path / "new").read_bytes() == b"content"
        assert open_descriptors() == before


def test_a_killed_writer_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    program = """
        import os, signal, sys
        from safemodel import system
        with system.atomic_file(sys.argv[1]) as file:
            file.write(bytes(100_000))
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "old")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert names_in(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


@pytest.mark.usefixtures("drafts")
class TestCreateExclusive:
    def test_creates_with_the_mode(self, tmp_path: Path) -> None:
        system.create_exclusive(tmp_path / "key", b"secret", mode=0o600)
        assert (tmp_path / "key").read_bytes() == b"secret"
        assert mode_of(tmp_path / "key") == 0o600
        assert names_in(tmp_path) == ["key"]

    def test_works_in_the_current_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        system.create_exclusive("key", b"secret", mode=0o600)
        assert names_in(tmp_path) == ["key"]

    @pytest.mark.parametrize("kind", ["file", "dangling link", "folder"])
    def test_leaves_alone_what_is_there(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "key"
        if kind == "file":
            path.write_bytes(b"old")
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to("elsewhere")
        with pytest.raises(FileExistsError, check=lambda error: error.filename == str(path)):
            system.create_exclusive(path, b"new", mode=0o600)
        assert names_in(tmp_path) == ["key"]
        assert kind != "file" or path.read_bytes() == b"old"

    def test_nothing_half_written_remains(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        before = open_descriptors()
        with pytest.raises(OSError, check=lambda error: error.errno == errno.ENOSPC):
            system.create_exclusive(tmp_path / "key", b"secret", mode=0o600)
        assert names_in(tmp_path) == []
        assert open_descriptors() == before


def test_an_unexpected_error_of_an_unnamed_file_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        system.create_exclusive(tmp_path / "file" / "key", b"secret", mode=0o600)


HOLD = """
    import sys
    from safemodel import system
    with system.locked(sys.argv[1]):
        print("held", flush=True)
        sys.stdin.read()
"""


class TestLocked:
    @pytest.fixture(params=["flock", "existence"], autouse=True)
    def _kind(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        if request.param == "existence":
            monkeypatch.setattr(system, "_HAS_FLOCK", False)

    def test_keeps_a_second_one_away_and_leaves_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "model"
        path.write_bytes(b"old")
        (tmp_path / "link").symlink_to("model")
        for _ in range(2):
            with system.locked(path):
                for other in (path, tmp_path / "link"):
                    with pytest.raises(BlockingIOError), system.locked(other):
                        pass
        assert names_in(tmp_path) == ["link", "model"]

    def test_holds_while_the_file_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "model"
        path.write_bytes(b"old")
        with system.locked(path):
            with system.atomic_file(path) as file:
                file.write(b"new")
            with pytest.raises(BlockingIOError), system.locked(path):
                pass

    def test_other_files_are_free(self, tmp_path: Path) -> None:
        with system.locked(tmp_path / "one"), system.locked(tmp_path / "two"):
            assert len(names_in(tmp_path)) == 2
        assert names_in(tmp_path) == []

    def test_ends_with_an_error(self, tmp_path: Path) -> None:
        before = open_descriptors()
        with pytest.raises(ZeroDivisionError), system.locked(tmp_path / "model"):
            raise ZeroDivisionError
        assert names_in(tmp_path) == []
        assert open_descriptors() == before

    def test_a_missing_folder_is_an_oserror(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError), system.locked(tmp_path / "missing" / "model"):
            pass


class TestLockedByFlock:
    def test_holds_between_processes_and_ends_with_a_killed_one(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", textwrap.dedent(HOLD), str(tmp_path / "model")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(BlockingIOError), system.locked(tmp_path / "model"):
                pass
            holder.kill()
        with system.locked(tmp_path / "model"):  # the file it left does not lock anyone out
            pass
        assert names_in(tmp_path) == []

    def test_tries_again_when_the_holder_took_its_file_away(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        guard = tmp_path / ".model.lock"
        real = fcntl.flock
        waited: list[int] = []

        def after_the_holder_left(descriptor: int, operation: int) -> None:
            if not waited:
                guard.unlink()
            waited.append(descriptor)
            real(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", after_the_holder_left)
        with system.locked(tmp_path / "model"):
            assert len(waited) == 2
            assert names_in(tmp_path) == [".model.lock"]

    def test_a_filesystem_without_locks_is_an_oserror(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def none_left(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", none_left)
        before = open_descriptors()
        with (
            pytest.raises(OSError, check=lambda error: error.errno == errno.ENOLCK),
            system.locked(tmp_path / "model"),
        ):
            pass
        assert open_descriptors() == before


def test_locks_without_fcntl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)  # importing it fails, as on Windows
    locked = runpy.run_path(str(system.__file__))["locked"]
    with locked(tmp_path / "model"), pytest.raises(BlockingIOError), locked(tmp_path / "model"):
        pass
    assert names_in(tmp_path) == []
