"""Signing an artifact that exists: all of it is checked first, on the very copy that gets the signature."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from safemodel import system
from safemodel.arguments import Filename, Name, copy, output, requirements, signers_of
from safemodel.errors import ConfigurationError, DigestMismatchError, SigningError
from safemodel.format.content import Content, Progress
from safemodel.format.envelope import DetachedSignatures, SignatureRecord, SignatureSet, artifact_digest, signed_bytes
from safemodel.format.limits import DIGEST_SIZE
from safemodel.format.source import Source, open_source
from safemodel.format.unverified import UnverifiedArtifact, read_unverified
from safemodel.format.writer import replace_signatures
from safemodel.signing import Signer, sign_checked
from safemodel.trust.decision import Requirements, Unjudged
from safemodel.trust.gate import admit
from safemodel.trust.loader import DETACHED_SUFFIX, TRUST_VARIABLE, read_detached, read_trust


def sign(
    filename: Filename,
    *,
    key: Any = None,
    trust: Any = None,
    digest: str | None = None,
    name: Name = None,
    detached: bool = False,
    passphrase: Any = None,
    progress: Progress | None = None,
) -> str:
    """Add a signature to an artifact, after checking all of it on the very copy that is signed.

    Args:
        filename: the artifact's path, replaced atomically, or a seekable binary file.
        key: private key file or URI (docs/keys.md), signer, or a list of them; None stands for what SAFEMODEL_KEY says.
        trust: the artifact must be verified by these keys already, as for `load`; of a policy, one signature by a
            signer of the rule is enough, since others are still to sign.
        digest: or it must be the artifact with this digest, 64 hexadecimal digits, as `dump` and `inspect` show it.
        name: as for `load`, where `trust` is given.
        detached: leave the artifact alone and write `FILENAME.sig` beside it.
        passphrase: of the key: text, or a function that returns it.
        progress: called with (bytes done, bytes in all).

    Returns:
        The artifact's digest, 64 hexadecimal digits.

    Raises:
        ConfigurationError: neither `trust` nor `digest` was given.
        SigningError: the key has signed already, or another process is signing this file.
        FormatError, VerificationError: the artifact is not what was expected; it is left as it was.
        KeyMaterialError: a key cannot be used.
        OSError: the file cannot be read or written; what existed before is untouched.
    """
    expected = _Expected.of(filename, trust, digest, name)
    signers = signers_of(key, passphrase)
    with _lock(filename):
        if detached:
            return _sign_detached(filename, signers, expected, progress)
        return _sign_embedded(filename, signers, expected, progress)


def add_signatures(present: SignatureSet, signers: Iterable[Signer], digest: bytes) -> SignatureSet:
    """Return the records with one more for each signer, over the artifact's digest of 32 bytes.

    Raises:
        SigningError: a key signs a second time, or a signer failed.
        LimitExceededError: more signatures than fit.
    """
    records = {record.key_id: record for record in present.records}
    for signer in signers:
        if signer.key_id in records:
            raise SigningError(
                f"key {signer.key_id.hex()} signs this artifact a second time", hint="sign with another key"
            )
        records[signer.key_id] = SignatureRecord(signer.key_id, sign_checked(signer, signed_bytes(digest)))
    return SignatureSet.of(records.values())


@dataclass(frozen=True, slots=True)
class _Expected:
    """The artifact that the caller means: one that the gate admits, or the one with this digest."""

    by: Requirements | bytes

    @classmethod
    def of(cls, filename: Filename, trust: Any, digest: str | None, name: Name) -> Self:
        if digest is not None and name is not None:
            raise ConfigurationError(
                "name was given beside digest, which fixes the artifact and with it the name",
                hint="leave name away, or give trust in the place of digest",
            )
        if digest is not None:
            return cls(_digest_from_hexadecimal(digest))
        if trust is None and not os.environ.get(TRUST_VARIABLE):
            raise ConfigurationError(
                "neither trust nor the expected digest was given, so a swapped file could be signed",
                hint="say trust='release.key.pub' (--trust) or digest=... (--digest), as safemodel inspect shows it",
            )
        policy = read_trust(trust).for_countersigning()
        return cls(requirements(filename, policy, name, Unjudged()))

    def check(self, source: Source, progress: Progress | None) -> UnverifiedArtifact:
        """Check that this is the artifact, then its structure and every digest; return its parts."""
        unverified = read_unverified(source)
        if isinstance(self.by, Requirements):
            content = admit(source, unverified, self.by).content
        else:
            _check_digest(unverified, self.by)
            content = Content.of(source, unverified)
        content.check(progress=progress)
        return unverified


def _check_digest(unverified: UnverifiedArtifact, expected: bytes) -> None:
    if unverified.digest != expected.hex():
        raise DigestMismatchError(
            f"the artifact's digest is {unverified.digest}, expected {expected.hex()}",
            hint="this is not the artifact that you meant to sign",
        )


def _digest_from_hexadecimal(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) == DIGEST_SIZE:
        return digest
    raise ConfigurationError(
        "the expected digest is not 64 hexadecimal digits", hint="give it as safemodel inspect shows it"
    )


def _sign_embedded(filename: Filename, signers: list[Signer], expected: _Expected, progress: Progress | None) -> str:
    with output(filename) as snapshot:
        with open_source(filename) as original:
            copy(original, snapshot)
        unverified = expected.check(open_source(snapshot), progress)
        digest = artifact_digest(unverified.manifest_bytes)
        replace_signatures(snapshot, unverified.layout, add_signatures(unverified.signatures, signers, digest))
    return unverified.digest


def _sign_detached(filename: Filename, signers: list[Signer], expected: _Expected, progress: Progress | None) -> str:
    if not isinstance(filename, str | os.PathLike):
        raise ConfigurationError("a file object has no place for a detached signature", hint="give the artifact's path")
    with open_source(filename) as source:
        unverified = expected.check(source, progress)
    digest = artifact_digest(unverified.manifest_bytes)
    present = read_detached(filename)
    if present is None or present.artifact != digest:
        present = DetachedSignatures(digest, SignatureSet(()))
    signatures = add_signatures(present.signatures, signers, digest)
    with system.atomic_file(f"{os.fsdecode(filename)}{DETACHED_SUFFIX}") as file:
        file.write(DetachedSignatures(digest, signatures).to_bytes())
    return unverified.digest


@contextmanager
def _lock(filename: Filename) -> Iterator[None]:
    if not isinstance(filename, str | os.PathLike):
        yield
        return
    try:
        with system.locked(filename):
            yield
    except BlockingIOError as error:
        raise SigningError("another process is signing this file", hint="try again when it has finished") from error
