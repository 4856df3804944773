"""What an export is about: an artifact that the gate admitted, and the SHA-256 of the very bytes that it verified.

The container is canonical, so the file's bytes are the chunks as they are hashed, in private memory, and structure that
follows from them. Nothing is read a second time, and no copy is made.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from safemodel.arguments import Filename, Name, Verifier, is_same_place, output
from safemodel.decisions import decided
from safemodel.errors import ConfigurationError
from safemodel.format.content import Content, Progress
from safemodel.format.envelope import SignatureSet
from safemodel.format.manifest import Manifest
from safemodel.format.source import SUFFIX, open_source
from safemodel.format.unverified import read_unverified
from safemodel.trust.explanation import SignedBy
from safemodel.trust.gate import admit
from safemodel.trust.loader import DETACHED_SUFFIX


@dataclass(frozen=True, slots=True)
class Subject:
    """An artifact that was verified.

    Attributes:
        file: its file's name, without folder.
        sha256: of the file's bytes, 64 hexadecimal digits; another signature in the file changes it.
        digest: the artifact's digest, 64 hexadecimal digits; that survives.
        manifest: the signed manifest.
        signers: the keys whose signatures counted.
    """

    file: str
    sha256: str
    digest: str
    manifest: Manifest
    signers: tuple[SignedBy, ...]


def verified_subject(
    filename: Filename, *, trust: Any, name: Name, allow: Iterable[str] | None, progress: Progress | None
) -> Subject:
    """Verify an artifact and digest its file in the same pass; arguments and errors are those of `safemodel.verify`."""
    verifier = Verifier.of(trust, allow=allow)
    with decided(filename, verifier.policy) as decision, open_source(filename) as source:
        unverified = read_unverified(source)
        admission = admit(source, unverified, verifier.requirements(filename, name, comparing=False))
        digest = file_digest(admission.content, unverified.signatures, progress)
        decision.verified(admission.explanation)
    found = admission.explanation
    return Subject(file_name(filename, admission.manifest), digest, found.artifact, admission.manifest, found.signers)


def file_digest(content: Content, signatures: SignatureSet, progress: Progress | None) -> str:
    """Check every chunk, and return the SHA-256 of the whole file, 64 hexadecimal digits.

    Raises:
        DigestMismatchError: a chunk has another digest than was signed.
    """
    hasher = sha256()
    done = 0
    for piece in content.file(signatures.to_bytes()):
        hasher.update(piece)
        done += len(piece)
        if progress is not None:
            progress(done, content.layout.size)
    return hasher.hexdigest()


def file_name(filename: Filename, manifest: Manifest) -> str:
    """Return the file's name, for people; that of a file object is what its model would have."""
    if isinstance(filename, str | os.PathLike):
        # JSON takes no half of a surrogate pair, which stands for a byte of a name that is not in UTF-8.
        return os.path.basename(os.fsdecode(filename)).encode("utf-8", "replace").decode()
    return manifest.name.rpartition("/")[2] + SUFFIX


def check_target(filename: Filename, target: Filename) -> None:
    """Refuse to write over the artifact, or to where its detached signatures are looked for.

    Raises:
        ConfigurationError: it would.
    """
    if not (isinstance(filename, str | os.PathLike) and isinstance(target, str | os.PathLike)):
        return
    for taken, what in ((filename, "the artifact itself"), (f"{os.fsdecode(filename)}{DETACHED_SUFFIX}", "signatures")):
        if is_same_place(taken, target):
            raise ConfigurationError(
                f"the output is the place of {what}: {os.fsdecode(target)}", hint="write it to another file"
            )


def write(target: Filename, data: bytes) -> None:
    """Write a file as a whole, or leave what is there."""
    with output(target) as file:
        file.write(data)
