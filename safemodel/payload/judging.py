"""Judging a file or a model by the static walk: no key is needed, and nothing in it is unpickled or imported.

A file is read once into private memory, so that nothing that happens to it meanwhile matters, and then recognized,
expanded and walked there.
"""

import os
from dataclasses import replace
from typing import Final

from safemodel import system
from safemodel.errors import FormatError, PayloadError
from safemodel.format.content import PAYLOAD_NUMBER
from safemodel.format.source import SUFFIX, Source, open_source
from safemodel.format.unverified import read_unverified
from safemodel.payload import allowance
from safemodel.payload.arrays import WRAPPER
from safemodel.payload.catalogue import Catalogue
from safemodel.payload.recognition import ARTIFACT, HEAD_MAX, JOBLIB, PICKLE, recognize
from safemodel.payload.streams import open_stream
from safemodel.payload.verdicts import ALLOWED, MALFORMED, NOT_ALLOWED, Finding
from safemodel.payload.walk import Walk, walk

OBJECT: Final = "object"
UNKNOWN: Final = "unknown"

_MODEL_SUFFIXES: Final = (SUFFIX, ".joblib", ".pickle", ".pkl")


def judge_file(path: str, catalogue: Catalogue, *, named: bool) -> Finding | None:
    """Judge a file.

    Args:
        path: of a regular file.
        catalogue: what is allowed.
        named: whether the user named this very file, and not a folder that it is in.

    Returns:
        The verdict; None for a file in a folder that is no model by content and none by name.

    Raises:
        OSError: it cannot be read.
    """
    with open_source(path) as source:
        kind = recognize(source.read(0, min(source.size, HEAD_MAX)))
        if kind is None and not named and not _is_named_as_model(path):
            return None
        if kind is None and path.endswith(SUFFIX):
            kind = ARTIFACT
        try:
            walked = walk(_payload(source) if kind == ARTIFACT else open_stream(_read(source, 0, source.size))[0])
        except (PayloadError, FormatError) as error:
            return Finding(path, kind or UNKNOWN, MALFORMED, reason=str(error.args[0]), hint=error.hint)
    return replace(_judge(walked, catalogue), path=path, kind=_kind(kind, walked))


def judge_object(value: object, catalogue: Catalogue) -> Finding:
    """Judge a model in memory, by what `dump` would write.

    Raises:
        PayloadError: it cannot be pickled; names the attribute path of what is in the way.
    """
    from safemodel.payload.pickling import pickle_into  # late: files are judged without pickle

    stream = bytearray()
    pickle_into(value, stream.extend)
    return _judge(walk(stream), catalogue)


def _judge(walked: Walk, catalogue: Catalogue) -> Finding:
    lacking = allowance.unlisted(walked.globals, catalogue)
    if not lacking:
        return Finding("", OBJECT, ALLOWED, walked.globals)
    reason, hint = allowance.reason(lacking), allowance.advice(lacking, catalogue)
    return Finding("", OBJECT, NOT_ALLOWED, walked.globals, lacking, reason, hint)


def _payload(source: Source) -> memoryview:
    """Return the payload's stream of an artifact, whose structure is checked and whose signatures are not."""
    unverified = read_unverified(source)
    described = unverified.manifest.payload
    entry = unverified.layout.entries[PAYLOAD_NUMBER]
    stream, compression = open_stream(_read(source, unverified.layout.offset_of(entry.name), entry.size))
    if (compression, len(stream)) != (described.compression, described.raw_size):
        raise PayloadError(
            f"the manifest says {described.raw_size} bytes with compression {described.compression}, "
            f"found {len(stream)} with {compression}"
        )
    return stream


def _read(source: Source, offset: int, size: int) -> memoryview:
    # Never a mapping: a file that is cut while it is mapped kills the process.
    memory = system.private_memory(size)
    source.read_into(memory, offset)
    return memory


def _kind(recognized: str | None, walked: Walk) -> str:
    if recognized in (None, PICKLE):
        return JOBLIB if WRAPPER in {(use.module, use.name) for use in walked.globals} else PICKLE
    return str(recognized)


def _is_named_as_model(path: str) -> bool:
    """Tell whether a suffix says so, also before another one: `model.joblib.gz`."""
    parts = os.path.basename(path).lower().split(".")[1:]
    return any(f".{part}" in _MODEL_SUFFIXES for part in parts)
