"""Writing a payload: pickle it as joblib does, walk what was written, refuse to sign what a loader would refuse."""

import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from safemodel.errors import PayloadError, SafemodelError
from safemodel.format.limits import ALIGNMENT
from safemodel.format.manifest import GlobalReference, Payload
from safemodel.payload.index import encode_index
from safemodel.payload.pickling import CODEC_VERSION, pickle_into
from safemodel.payload.walk import Walk, walk

Write = Callable[[bytes | memoryview], None]
Progress = Callable[[int, int], None]


def dump_payload(value: object, file: BinaryIO, write: Write, progress: Progress | None) -> tuple[Payload, bytes]:
    """Write the payload and describe it.

    Args:
        value: the model.
        file: the artifact, empty up to the place of the payload's data; read back for the walk.
        write: appends to the payload.
        progress: called with (bytes written, 0).

    Returns:
        The manifest's description of the payload, and the content of the index.

    Raises:
        PayloadError: the value cannot be pickled, or a loader would refuse it.
        OSError: the file cannot be written.
    """
    size = _pickle(value, write, progress)
    file.flush()
    with _mapped(file, size) as stream:
        walked = walk(stream)
    return _describe(walked, size), encode_index(walked.regions)


def _pickle(value: object, write: Write, progress: Progress | None) -> int:
    size = 0

    def count(data: bytes | memoryview) -> None:
        nonlocal size
        write(data)
        size += len(data)
        if progress is not None:
            progress(size, 0)

    try:
        pickle_into(value, count)
    except (OSError, SafemodelError):
        raise
    except Exception as error:  # whatever the model's own __reduce__ raises
        raise PayloadError(
            f"the model cannot be pickled: {type(error).__name__}: {error}",
            hint="lambdas, local functions, open files and locks cannot be stored; define them in a module",
        ) from error
    return size


def _describe(walked: Walk, size: int) -> Payload:
    references = tuple(GlobalReference(use.module, use.name, use.roles) for use in walked.globals)
    return Payload("joblib", CODEC_VERSION, "none", size, references, walked.counts)


@contextmanager
def _mapped(file: BinaryIO, size: int) -> Iterator[memoryview]:
    """Map our own temporary file's payload: the walk touches only its opcodes, not its arrays."""
    with mmap.mmap(file.fileno(), ALIGNMENT + size, access=mmap.ACCESS_READ) as mapping:
        whole = memoryview(mapping)
        stream = whole[ALIGNMENT:]
        try:
            yield stream
        finally:
            stream.release()
            whole.release()
