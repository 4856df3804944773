"""Judging by several processes: the walk is pure Python, so threads would wait for one another.

Each process is a fresh interpreter, isolated from the tree that it looks at (`-I`), never a fork of this one with its
threads and never a second run of the caller's script. One that ends early takes only the file with it that it was at; a
new one goes on with the next. None outlives the scan, and all end when their input does.
"""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Final

from safemodel.errors import ConfigurationError
from safemodel.format.limits import MIB
from safemodel.payload.verdicts import UNREADABLE, Finding
from safemodel.scanning.judge import Judge
from safemodel.scanning.values import finding_from_value
from safemodel.system import thread_count

_FILES_MIN: Final = 200  # below both, one process is done before a second has started
_BYTES_MIN: Final = 64 * MIB
_BATCH_FILES: Final = 50
_BATCH_BYTES: Final = 8 * MIB
_START: Final = (
    "import sys, json; setup = json.loads(sys.stdin.buffer.readline()); sys.path[:] = setup['path']; "
    "from safemodel.scanning.process import main; main(setup)"
)
_ENDED: Final = "the process that judged it ended: not enough memory, or a fault"


@dataclass(frozen=True, slots=True)
class File:
    """A file to judge.

    Attributes:
        path: as it is shown.
        size: in bytes.
        named: whether the user named this very file.
    """

    path: str
    size: int
    named: bool


Judged = tuple[File, Finding | None]


def process_count(files: list[File]) -> int:
    """Return how many processes are worth starting; 1 stands for none but this."""
    few = len(files) < _FILES_MIN and sum(file.size for file in files) < _BYTES_MIN
    if few or len(files) < 2 or not sys.executable or hasattr(sys, "frozen"):
        return 1
    return min(thread_count(), len(files))


def judged_by_processes(files: list[File], count: int, judge: Judge) -> Iterator[Judged]:
    """Yield each file with its finding, as they come.

    Args:
        files: what to judge.
        count: of processes.
        judge: one with a recipe.

    Raises:
        ConfigurationError: no process can be started, or it finds another trust policy.
    """
    setup = {"path": sys.path, "recipe": judge.recipe, "identity": judge.identity}
    batches: queue.SimpleQueue[list[File]] = queue.SimpleQueue()
    for batch in _batches(files):
        batches.put(batch)
    results: queue.SimpleQueue[list[Judged] | BaseException] = queue.SimpleQueue()
    workers = [_Worker(setup, batches, results) for _ in range(count)]
    try:
        for worker in workers:
            worker.start()
        left = len(files)
        while left:
            found = results.get()
            if isinstance(found, BaseException):
                raise found
            left -= len(found)
            yield from found
    finally:
        for worker in workers:
            worker.end()


def _batches(files: list[File]) -> Iterator[list[File]]:
    """Yield the largest files first and alone, so that none is left for the end, and small ones together."""
    batch: list[File] = []
    size = 0
    for file in sorted(files, key=lambda file: -file.size):
        if batch and (len(batch) == _BATCH_FILES or size + file.size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


class _Worker(threading.Thread):
    """Feeds one process after the other, and passes on what they find."""

    def __init__(
        self,
        setup: dict[str, Any],
        batches: "queue.SimpleQueue[list[File]]",
        results: "queue.SimpleQueue[list[Judged] | BaseException]",
    ) -> None:
        super().__init__(daemon=True)
        self._setup = setup
        self._batches = batches
        self._results = results
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._ended = False

    def run(self) -> None:
        try:
            while True:
                batch = self._batches.get_nowait()
                while batch:
                    batch = self._judge(batch)
        except queue.Empty:
            pass
        except BaseException as error:
            self._results.put(error)
        finally:
            self._stop()

    def end(self) -> None:
        """End the process at once, and wait for the thread."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()
        if self.ident is not None:
            self.join()

    def _judge(self, batch: list[File]) -> list[File]:
        """Let the process judge files; return those that it did not come to, since it ended."""
        process = self._running()
        with suppress(OSError):  # it has ended: so say its results
            _send(process.stdin, [[file.path, file.named] for file in batch])
        found: list[Judged] = []
        for file in batch:
            line = process.stdout.readline() if process.stdout is not None else b""
            if not line.endswith(b"\n"):
                self._stop()
                found.append((file, Finding(file.path, "unknown", UNREADABLE, reason=_ENDED, code="internal")))
                break
            value = json.loads(line)
            found.append((file, None if value is None else finding_from_value(value)))
        self._results.put(found)
        return batch[len(found) :]

    def _running(self) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._ended:
                raise queue.Empty
            process, is_new = self._process, self._process is None
            if process is None:
                process = self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and our own text
                    [sys.executable, "-I", "-c", _START],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
        if is_new:
            self._begin(process)
        return process

    def _begin(self, process: "subprocess.Popen[bytes]") -> None:
        with suppress(OSError):
            _send(process.stdin, self._setup)
        if process.stdout is None or not process.stdout.readline():
            hint = "run it again, in case the trust was being changed; else see whether this Python starts by itself"
            raise ConfigurationError("the processes that judge files do not start as this one did", hint=hint)

    def _stop(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            with suppress(OSError):
                process.communicate()


def _send(stream: IO[bytes] | None, value: object) -> None:
    if stream is not None:
        stream.write(json.dumps(value).encode() + b"\n")
        stream.flush()
