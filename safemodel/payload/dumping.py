"""Writing a payload: pickled as joblib does, or copied; then walked, and refused where a loader would refuse it.

What is walked are the bytes in the artifact, expanded where they are compressed, and nothing that they were made from.
"""

import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from safemodel.errors import PayloadError
from safemodel.format.limits import ALIGNMENT, READ_SIZE
from safemodel.format.manifest import GlobalReference, Payload
from safemodel.format.source import Source
from safemodel.payload.allowance import refuse_unlisted
from safemodel.payload.catalogue import Catalogue
from safemodel.payload.extras import needing_numpy
from safemodel.payload.guard import HOLD
from safemodel.payload.index import encode_index
from safemodel.payload.pickling import CODEC_VERSION, pickle_into
from safemodel.payload.walk import Walk, walk

if TYPE_CHECKING:
    from safemodel.payload.compression import Compression

Write = Callable[[bytes | memoryview], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        payload: the manifest's description of it.
        index: the content of the entry.
        root: the class of the object in it; empty where the stream does not plainly say.
        estimator_versions: of scikit-learn, as the estimators in it say.
    """

    payload: Payload
    index: bytes
    root: str
    estimator_versions: frozenset[str]


def dump_payload(
    value: object,
    file: BinaryIO,
    write: Write,
    *,
    catalogue: Catalogue,
    compression: "Compression | None" = None,
    progress: Progress | None = None,
) -> Written:
    """Write the payload and describe it.

    Args:
        value: the model.
        file: the artifact, empty up to the place of the payload's data; read back for the walk.
        write: appends to the payload.
        catalogue: what a loader allows.
        compression: of the payload, or None.
        progress: called with (bytes of the stream made, 0).

    Returns:
        What was written.

    Raises:
        PayloadError: the value cannot be pickled, or a loader would refuse it.
        GlobalNotAllowedError: the catalogue lacks what it reaches for.
        OSError: the file cannot be written.
    """
    if compression is None:
        _pickle(value, write, progress)
        with _mapped(file) as stream:
            return _describe(stream, "none", catalogue)
    with compression.applied(write) as write_compressed:
        size = _pickle(value, write_compressed, progress)
    with _mapped(file) as entry:
        return _describe(*_expanded(entry, size), catalogue)


def copy_payload(
    source: Source, file: BinaryIO, write: Write, *, catalogue: Catalogue, progress: Progress | None = None
) -> Written:
    """Copy a joblib or pickle file into the payload, as it is, and describe it.

    Nothing is unpickled.

    Args:
        source: the file, read once.
        file, write, catalogue: as for `dump_payload`.
        progress: called with (bytes done, bytes in all).

    Returns:
        As `dump_payload`.

    Raises:
        PayloadError: it is no joblib or pickle file, or a loader would refuse it.
        GlobalNotAllowedError: the catalogue lacks what it reaches for.
        LimitExceededError: it exceeds a limit of the format.
        FormatError: it became shorter while it was read.
        OSError: the file cannot be read, or the artifact not be written.
    """
    if not source.size:
        raise PayloadError(f"expected a joblib or pickle file, found an empty one: {source.label}")
    _copy(source, write, progress)
    with _mapped(file) as entry:
        return _describe(*_expanded(entry, None), catalogue)


def _pickle(value: object, write: Write, progress: Progress | None) -> int:
    """Pickle the value, and return the size of the stream."""
    size = 0

    def count(data: bytes | memoryview) -> None:
        nonlocal size
        write(data)
        size += len(data)
        if progress is not None:
            progress(size, 0)

    pickle_into(value, count)
    return size


def _copy(source: Source, write: Write, progress: Progress | None) -> None:
    for offset in range(0, source.size, READ_SIZE):
        data = source.read(offset, min(READ_SIZE, source.size - offset))
        write(data)
        if progress is not None:
            progress(offset + len(data), source.size)


def _expanded(entry: memoryview, size: int | None) -> tuple[memoryview, str]:
    from safemodel.payload.streams import open_stream  # late: Python can be built without bz2 and lzma

    return open_stream(entry, size=size)


def _describe(stream: memoryview, compression: str, catalogue: Catalogue) -> Written:
    """Walk what was written, then rehearse it as a loader will, with an inert stand-in for every global."""
    with needing_numpy():
        from safemodel.payload.loading import rehearse_payload
    with HOLD:
        walked = walk(stream)
        refuse_unlisted(walked.globals, catalogue)
        payload, index = _payload(walked, compression, len(stream)), encode_index(walked.regions)
        rehearse_payload(payload, stream, index)
    return Written(payload, index, walked.root, walked.estimator_versions)


def _payload(walked: Walk, compression: str, size: int) -> Payload:
    references = tuple(GlobalReference(use.module, use.name, use.roles) for use in walked.globals)
    return Payload("joblib", CODEC_VERSION, compression, size, references, walked.counts)


@contextmanager
def _mapped(file: BinaryIO) -> Iterator[memoryview]:
    """Map our own temporary file's payload, which ends where it was written last: arrays are not touched."""
    file.flush()
    mapping = mmap.mmap(file.fileno(), file.tell(), access=mmap.ACCESS_READ)
    whole = memoryview(mapping)
    entry = whole[ALIGNMENT:]
    try:
        yield entry
    finally:
        with suppress(BufferError):  # an error on its way out may hold a view; then the mapping ends with it
            entry.release()
            whole.release()
            mapping.close()
