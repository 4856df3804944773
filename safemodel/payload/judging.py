"""Judging a file or a model by the static walk: no key is needed, and nothing in it is unpickled or imported.

A stream is read once into private memory, so that nothing that happens to the file meanwhile matters, and then
expanded and walked there. A file can be several things at once, a pickle with an archive behind it: then it is judged
as each, and the worst counts.
"""

import errno
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from io import BytesIO
from typing import Final

from safemodel import system
from safemodel.errors import FormatError, PayloadError
from safemodel.format.content import PAYLOAD_NUMBER
from safemodel.format.limits import MIB, PATHS_MAX
from safemodel.format.source import SUFFIX, Source, open_source
from safemodel.format.unverified import UnverifiedArtifact, read_unverified
from safemodel.payload import allowance, archives
from safemodel.payload.archives import MEMBER_HEAD, Archive, Budget, has_end_record, is_encrypted
from safemodel.payload.arrays import WRAPPER
from safemodel.payload.catalogue import Catalogue
from safemodel.payload.findings import GlobalUse
from safemodel.payload.foreign import NUMPY, TORCH_LEGACY_MARK, recognize_foreign
from safemodel.payload.numpyfile import objects_at
from safemodel.payload.recognition import ARTIFACT, HEAD_MAX, JOBLIB, PICKLE, goes_on, recognize, recognize_member
from safemodel.payload.streams import open_stream
from safemodel.payload.verdicts import (
    DANGEROUS,
    MALFORMED,
    NOT_JUDGED,
    UNCHECKED,
    UNSIGNED,
    Finding,
    worst,
)
from safemodel.payload.walk import Walk, walk, walk_as_far_as_possible

OBJECT: Final = "object"
UNKNOWN: Final = "unknown"

_STREAM_SUFFIXES: Final = (".joblib", ".pickle", ".pkl")
_COMPRESSED_SUFFIXES: Final = (".gz", ".bz2", ".xz", ".lzma", ".z", ".lz4", ".zst")
_REUSED_MAX: Final = 1024 * MIB
_MODEL_SUFFIXES: Final = (
    *(SUFFIX, *_STREAM_SUFFIXES),
    *(".npy", ".npz", ".skops", ".keras", ".safetensors", ".onnx", ".gguf"),
)
_ARCHIVE_SUFFIXES: Final = (".pt", ".pth", ".bin", ".ckpt", ".npz", ".skops", ".keras")
_ZIP_MARK: Final = b"PK\x03\x04"
_TORCH_STREAMS: Final = 5  # of PyTorch before 1.6: magic number, protocol, system, object, keys of storages
_NOT_JUDGED: Final = {
    archives.SKOPS: ("skops has rules of its own for what it constructs", "skops.io.get_untrusted_types lists types"),
    archives.KERAS: ("layers of Keras may hold code", "load it with safe_mode=True"),
    archives.TORCHSCRIPT: ("its code is for the interpreter of TorchScript", "load it only from whom you trust"),
}
_FOREIGN: Final = ("a kind that is named and not judged", "for what it can do when it is loaded, see its own tools")
_TORCH_HINT: Final = "the catalogue covers no PyTorch; torch.load with weights_only=True has a list of its own"


def judge_source(source: Source, path: str, catalogue: Catalogue, *, named: bool) -> Finding | None:
    """Judge an opened file.

    Args:
        source: a regular file.
        path: of the file.
        catalogue: what is allowed.
        named: whether the user named this very file, and not a folder that it is in.

    Returns:
        The verdict; None for a file in a folder that is no model by content and none by name.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return _judge_whole(source, path, catalogue, named)
    except FormatError as error:  # it became shorter meanwhile
        return replace(malformed(UNKNOWN, error), path=path)


def _judge_whole(source: Source, path: str, catalogue: Catalogue, named: bool) -> Finding | None:
    head = source.read(0, min(source.size, HEAD_MAX))
    judge = _Judge(catalogue, Budget(source.size), 0)
    found = [replace(finding, path=path) for finding in judge.interpretations(source, head, path)]
    if found:
        return _merged(found)
    if path.endswith(SUFFIX):
        return Finding(
            path, ARTIFACT, MALFORMED, reason="expected an artifact, found something else", code=FormatError.code
        )
    if _is_named_as_model(path):
        return replace(judge.stream(source, UNKNOWN), path=path)
    is_cut = head.startswith(_ZIP_MARK) and not has_end_record(source, head)
    if is_cut and (named or path.lower().endswith(_ARCHIVE_SUFFIXES)):
        return Finding(path, archives.ZIP, MALFORMED, reason="the archive is cut")
    return Finding(path, UNKNOWN, NOT_JUDGED, reason="no model was recognized in it") if named else None


def judge_object(value: object, catalogue: Catalogue) -> Finding:
    """Judge a model in memory, by what `dump` would write.

    Raises:
        PayloadError: it cannot be pickled; names the attribute path of what is in the way.
    """
    from safemodel.payload.pickling import pickle_into  # late: files are judged without pickle

    stream = bytearray()
    pickle_into(value, stream.extend)
    return judge_walk(walk(stream), catalogue, OBJECT)


def judge_walk(
    walked: Walk, catalogue: Catalogue, kind: str, failure: FormatError | PayloadError | None = None
) -> Finding:
    """Judge what a walk found, up to where it ended early, if it did."""
    lacking = allowance.unlisted(walked.globals, catalogue)
    if lacking:
        reason, hint = allowance.reason(lacking), allowance.advice(lacking, catalogue)
        return Finding("", kind, DANGEROUS, walked.globals, lacking, reason, hint)
    if failure is not None:
        return malformed(kind, failure, walked)
    return Finding("", kind, UNSIGNED, walked.globals)


def malformed(kind: str, error: FormatError | PayloadError, walked: Walk | None = None) -> Finding:
    """Return the finding for what cannot be followed."""
    uses = walked.globals if walked is not None else ()
    return Finding("", kind, MALFORMED, uses, reason=str(error.args[0]), hint=error.hint, code=error.code)


def payload_of(source: Source, unverified: UnverifiedArtifact) -> memoryview:
    """Return the payload's stream of an artifact, whose structure is checked and whose signatures are not.

    Raises:
        FormatError, PayloadError: the manifest describes another payload.
    """
    described = unverified.manifest.payload
    entry = unverified.layout.entries[PAYLOAD_NUMBER]
    stream, compression = open_stream(_read(source, unverified.layout.offset_of(entry.name), entry.size))
    if (compression, len(stream)) != (described.compression, described.raw_size):
        raise PayloadError(
            f"the manifest says {described.raw_size} bytes with compression {described.compression}, "
            f"found {len(stream)} with {compression}"
        )
    return stream


def check_memory(size: int, label: str) -> None:
    """Refuse to read into memory what would take too much of it: a file of holes costs nothing to make.

    Raises:
        OSError: EFBIG.
    """
    most = system.memory_allowance()
    if size > most:
        raise OSError(errno.EFBIG, f"{size} bytes would have to be in memory, and at most {most} may be", label)


class _Judge:
    """Judges a file, and what is inside it.

    Args:
        catalogue: what is allowed.
        budget: what archives may expand to.
        depth: how many archives are around.
        persistent: whether streams may name storages of tensors.
    """

    def __init__(self, catalogue: Catalogue, budget: Budget, depth: int, persistent: bool = False) -> None:
        self._catalogue = catalogue
        self._budget = budget
        self._depth = depth
        self._persistent = persistent

    def interpretations(self, source: Source, head: bytes, name: str) -> Iterator[Finding]:
        """Yield a finding for each thing that the bytes are."""
        kind = self._kind(source, head, name)
        if kind == ARTIFACT:
            yield self._artifact(source)
            return
        if head.startswith(TORCH_LEGACY_MARK):
            yield self._torch_legacy(source)
        elif kind in (JOBLIB, PICKLE):
            yield self.stream(source, str(kind))
        elif kind == NUMPY:
            yield self._array(source, head)
        elif kind is not None:
            yield Finding("", kind, NOT_JUDGED, reason=_FOREIGN[0], hint=_FOREIGN[1])
        if has_end_record(source, head) and (archive := self._archive(source, head)) is not None:
            yield archive

    def _kind(self, source: Source, head: bytes, name: str) -> str | None:
        recognized = recognize if not self._depth or _is_named_as_model(name) else recognize_member
        kind = recognized(head) or recognize_foreign(head, source.size)
        if kind is None and len(head) < source.size and not head.startswith(_ZIP_MARK) and goes_on(head):
            kind = recognize(bytes(_read(source, 0, source.size)))
        return kind

    def stream(self, source: Source, kind: str) -> Finding:
        """Judge a file that is one stream, compressed or not."""
        try:
            stream = open_stream(_read(source, 0, source.size))[0]
        except (PayloadError, FormatError) as error:
            return malformed(kind, error)
        return self._walked(stream, kind)

    def _walked(self, stream: memoryview, kind: str, *, streams: int = 1, persistent: bool = False) -> Finding:
        self._budget.check()
        walked, failure = walk_as_far_as_possible(stream, streams=streams, persistent=persistent or self._persistent)
        self._budget.walk(walked.counts.opcodes)
        finding = judge_walk(walked, self._catalogue, _kind_of_stream(kind, walked), failure)
        if failure is not None and finding.verdict == DANGEROUS:
            return replace(finding, reason=f"{finding.reason}; behind that: {failure.args[0]}")
        return finding

    def _artifact(self, source: Source) -> Finding:
        try:
            stream = payload_of(source, read_unverified(source))
        except (PayloadError, FormatError) as error:
            return malformed(ARTIFACT, error)
        finding = replace(self._walked(stream, ARTIFACT), kind=ARTIFACT)
        return replace(finding, verdict=UNCHECKED) if finding.verdict == UNSIGNED else finding

    def _torch_legacy(self, source: Source) -> Finding:
        stream = _read(source, 0, source.size)
        finding = self._walked(stream, archives.PYTORCH, streams=_TORCH_STREAMS, persistent=True)
        return _explained(finding)

    def _array(self, source: Source, head: bytes) -> Finding:
        try:
            start = objects_at(head)
        except PayloadError as error:
            return malformed(NUMPY, error)
        if start is None:
            return Finding("", NUMPY, UNSIGNED)
        return replace(self._walked(_read(source, start, source.size - start), NUMPY), kind=NUMPY)

    def _archive(self, source: Source, head: bytes) -> Finding | None:
        """Judge an archive by its members; None: it is none, or nothing in it is a model."""
        try:
            archive = Archive(source, self._budget)
        except PayloadError as error:
            return malformed(archives.ZIP, error) if head.startswith(_ZIP_MARK) else None
        try:
            archive.check()
            if self._depth >= archives.DEPTH_MAX:
                raise PayloadError(f"more than {archives.DEPTH_MAX} archives are inside one another")
        except PayloadError as error:
            return malformed(archives.ZIP, error)
        inner = _Judge(self._catalogue, self._budget, self._depth + 1, _is_torch(archive.kind))
        members = tuple(finding for member in archive.members for finding in inner.member(archive, member))
        return _of_archive(archive.kind, members)

    def member(self, archive: Archive, member: zipfile.ZipInfo) -> Iterator[Finding]:
        """Yield the findings on one member: none where it is no model."""
        name = member.filename
        if is_encrypted(member):
            yield _encrypted(archive, name)
            return
        try:
            head = archive.head(member, MEMBER_HEAD)
            if head.startswith(b"BZh"):
                head = archive.head(member, HEAD_MAX)
            yield from self._inside(archive, member, head)
        except (PayloadError, FormatError) as error:
            yield replace(malformed(UNKNOWN, error), path=name)

    def _inside(self, archive: Archive, member: zipfile.ZipInfo, head: bytes) -> Iterator[Finding]:
        name, size = member.filename, member.file_size
        foreign = recognize_foreign(head, size)
        if foreign == NUMPY and objects_at(head) is None:
            yield Finding(name, NUMPY, UNSIGNED)
        elif foreign == NUMPY or _may_be_model(name, head, size):
            yield from self._whole(archive, member)
        elif foreign is not None and archive.kind == archives.ZIP:
            yield Finding(name, foreign, NOT_JUDGED, reason=_FOREIGN[0], hint=_FOREIGN[1])

    def _whole(self, archive: Archive, member: zipfile.ZipInfo) -> Iterator[Finding]:
        name = member.filename
        check_memory(member.file_size, name)
        source = open_source(BytesIO(archive.read(member)))
        found = list(self.interpretations(source, source.read(0, min(source.size, HEAD_MAX)), name))
        if not found and _is_named_as_model(name):
            found = [self.stream(source, UNKNOWN)]
        if found:
            yield replace(_merged(found), path=name)


def _may_be_model(name: str, head: bytes, size: int) -> bool:
    """Tell whether all of a member has to be read."""
    if _is_named_as_model(name) or recognize_member(head) or head.startswith((_ZIP_MARK, TORCH_LEGACY_MARK)):
        return True
    return goes_on(head) if len(head) < size else archives.END_RECORD in head


def _of_archive(kind: str, members: tuple[Finding, ...]) -> Finding | None:
    own = _NOT_JUDGED.get(kind)
    if kind == archives.ZIP and not members:
        return None
    verdicts = [finding.verdict for finding in members]
    verdict = worst((*verdicts, NOT_JUDGED) if own is not None else tuple(verdicts) or (UNSIGNED,))
    bad = next((finding for finding in members if finding.verdict == verdict), None)
    reason, hint = own if bad is None and own else ("", "")
    if bad is not None and bad.reason:
        reason, hint = f"{bad.path}: {bad.reason}", bad.hint
    finding = Finding(
        "",
        kind,
        verdict,
        _gathered(use for member in members for use in _placed(member.globals, member.path)),
        _gathered(use for member in members for use in _placed(member.refused, member.path)),
        reason,
        hint,
        bad.code if bad is not None else "",
        tuple(_flattened(members)),
    )
    return _explained(finding) if _is_torch(kind) else finding


def _flattened(members: tuple[Finding, ...]) -> Iterator[Finding]:
    """Yield the members, and in the place of archives their members."""
    for finding in members:
        if not finding.members:
            yield finding
        for inner in finding.members:
            yield replace(inner, path=f"{finding.path}!{inner.path}")


def _merged(findings: list[Finding]) -> Finding:
    """Return the worst of what the same bytes are, with the members of all."""
    verdict = worst(tuple(finding.verdict for finding in findings))
    bad = next(finding for finding in findings if finding.verdict == verdict)
    return replace(
        bad,
        globals=_gathered(use for finding in findings for use in finding.globals),
        refused=_gathered(use for finding in findings for use in finding.refused),
        members=tuple(member for finding in findings for member in finding.members),
    )


def _placed(uses: Iterable[GlobalUse], member: str) -> Iterator[GlobalUse]:
    """Yield globals with the member before each of their places."""
    for use in uses:
        yield replace(use, paths=tuple(f"{member}: {path or 'the model itself'}" for path in use.paths))


def _gathered(uses: Iterable[GlobalUse]) -> tuple[GlobalUse, ...]:
    """Return each global once, with the roles and the first places of all."""
    found: dict[tuple[str, str], GlobalUse] = {}
    for use in uses:
        before = found.get((use.module, use.name), use)
        roles = tuple(sorted({*before.roles, *use.roles}))
        paths = tuple(dict.fromkeys((*before.paths, *use.paths)))[:PATHS_MAX]
        found[use.module, use.name] = GlobalUse(use.module, use.name, roles, paths)
    return tuple(found[pair] for pair in sorted(found))


def _encrypted(archive: Archive, name: str) -> Finding:
    # PyTorch ignores the flag, and reads what scanners take for encrypted (CVE-2025-1945).
    is_model = archive.kind != archives.ZIP or _is_named_as_model(name)
    reason = "the member is said to be encrypted"
    return Finding(name, UNKNOWN, MALFORMED if is_model else NOT_JUDGED, reason=reason)


def _explained(finding: Finding) -> Finding:
    return replace(finding, hint=_TORCH_HINT) if finding.verdict == DANGEROUS else finding


def _is_torch(kind: str) -> bool:
    return kind in (archives.PYTORCH, archives.TORCHSCRIPT)


def _read(source: Source, offset: int, size: int) -> memoryview:
    # Never a mapping: a file that is cut while it is mapped kills the process.
    check_memory(size, source.label)
    memory = _memory(size)
    source.read_into(memory, offset)
    return memory


class _Reused:
    """One buffer for one file after the other, since memory that is new costs as much as what is read into it."""

    def __init__(self) -> None:
        self._buffer = memoryview(b"")

    def __call__(self, size: int) -> memoryview:
        if size > _REUSED_MAX:
            return system.private_memory(size)
        if size > len(self._buffer):
            self._buffer = memoryview(b"")  # first, so that there are not two
            self._buffer = system.private_memory(size)
        return self._buffer[:size]


_memory: Callable[[int], memoryview] = system.private_memory


def reuse_memory() -> None:
    """Read one file after the other into the same memory, in a process that has one thread and judges many."""
    global _memory
    _memory = _Reused()


def _kind_of_stream(recognized: str, walked: Walk) -> str:
    if recognized in (UNKNOWN, PICKLE):
        wraps = WRAPPER in {(use.module, use.name) for use in walked.globals}
        return JOBLIB if wraps else PICKLE if walked.counts.opcodes else recognized
    return recognized


def _is_named_as_model(path: str) -> bool:
    """Tell whether the suffix says so, also before one of a compressor: `model.joblib.gz`, but not `model.pkl.md5`."""
    name = os.path.basename(path).lower()
    bare, suffix = os.path.splitext(name)
    return name.endswith(_MODEL_SUFFIXES) or (suffix in _COMPRESSED_SUFFIXES and bare.endswith(_STREAM_SUFFIXES))
