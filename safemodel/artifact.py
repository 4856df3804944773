"""The verbs that make and open artifacts: dump, load, verify, inspect.

Each resolves its arguments into values first, then does its work, and writes only whole files. The payload room, and
with it pickle, joblib and NumPy, is imported by the verbs that need it and by no other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Self

from safemodel.arguments import Filename, Name, now, output, requirements, seconds, signers_of, stem
from safemodel.countersigning import add_signatures
from safemodel.decisions import decided
from safemodel.describe.given import plain
from safemodel.errors import ConfigurationError
from safemodel.format.container import INDEX, Entry
from safemodel.format.content import Progress
from safemodel.format.digests import ALGORITHMS
from safemodel.format.envelope import SignatureSet, artifact_digest
from safemodel.format.manifest import ChunkDigests, Creator, Manifest, Payload
from safemodel.format.names import check_model_name, check_model_version
from safemodel.format.source import open_source
from safemodel.format.unverified import UnverifiedArtifact, read_unverified
from safemodel.format.writer import ArtifactWriter
from safemodel.trust.gate import VerifiedArtifact, load_source, verify_source
from safemodel.version import VERSION


def dump(
    value: object,
    filename: Filename,
    *,
    key: Any = None,
    name: str | None = None,
    version: str | None = None,
    expires: datetime | int | None = None,
    metrics: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    digest: str = "blake3",
    passphrase: Any = None,
    progress: Progress | None = None,
) -> str:
    """Write a model into a signed artifact.

    Args:
        value: the model.
        filename: the artifact's path, replaced atomically, or a seekable binary file.
        key: private key file, signer, or a list of them; None stands for the files that SAFEMODEL_KEY names.
        name: the model's name, `acme/churn`; None stands for the file's stem.
        version: PEP 440 version of the model, `1.4.0`.
        expires: when it stops being acceptable: an aware datetime, or seconds since 1970 UTC.
        metrics: how good it is, such as `{"roc_auc": 0.91}`.
        metadata: anything else to keep with it: numbers, strings, lists, maps.
        digest: `blake3` or `sha256`, for the chunk digests.
        passphrase: of the key: text, or a function that returns it.
        progress: called with (bytes written, 0), since the total is not known beforehand.

    Returns:
        The artifact's digest: SHA-256 of the signed manifest, 64 hexadecimal digits.

    Raises:
        PayloadError: the model cannot be pickled, or a loader would refuse it.
        FormatError: a name, version or value has no place in the format.
        KeyMaterialError: a key cannot be used.
        ConfigurationError: no key was given, or an argument is not one of its values.
        OSError: the file cannot be written; what existed before is untouched.
    """
    identity = _Identity.of(filename, name, version, expires)
    training = _training(metrics, metadata)
    _check_digest_algorithm(digest)
    signers = signers_of(key, passphrase)
    with output(filename) as file, ArtifactWriter(file, "joblib", digest) as writer:
        payload, index = _write_payload(value, file, writer, progress)
        entries, digests = writer.describe({INDEX: index})
        manifest = identity.manifest(entries, digests, payload, training).to_bytes()
        signed = artifact_digest(manifest)
        writer.finish(manifest, add_signatures(SignatureSet(()), signers, signed))
    return signed.hex()


def load(filename: Filename, *, trust: Any = None, name: Name = None, progress: Progress | None = None) -> Any:
    """Verify an artifact, then unpickle the verified bytes.

    Args:
        filename: the artifact's path, or a seekable binary file.
        trust: the verifying keys that may sign: a file, a key object, or a list; None stands for the files that
            SAFEMODEL_TRUST names.
        name: the model that you want. None: a path's stem must be the last part of the signed name, optionally followed
            by `-VERSION`. `ANY_NAME` accepts every name.
        progress: called with (bytes done, bytes in all).

    Returns:
        The model.

    Raises:
        FormatError: not a canonical artifact.
        VerificationError: it must not be loaded; nothing was unpickled.
        PayloadError: it cannot be unpickled under the rules.
        OSError: the file cannot be read.
    """
    with decided(filename) as decision, open_source(filename) as source:
        artifact, value = load_source(source, requirements(filename, trust, name), _unpickle, progress=progress)
        decision.verified(artifact)
    return value


def verify(
    filename: Filename, *, trust: Any = None, name: Name = None, progress: Progress | None = None
) -> VerifiedArtifact:
    """Verify an artifact without unpickling it.

    Args are those of `load`.

    Returns:
        The verified artifact, a context manager that holds the file open; `.load()` unpickles it.

    Raises:
        FormatError: not a canonical artifact.
        VerificationError: it must not be loaded.
        OSError: the file cannot be read.
    """
    source = open_source(filename)
    try:
        with decided(filename) as decision:
            artifact = verify_source(source, requirements(filename, trust, name), _unpickle, progress=progress)
            decision.verified(artifact)
        return artifact
    except BaseException:
        source.close()
        raise


def inspect(filename: Filename) -> UnverifiedArtifact:
    """Read what an artifact says about itself, without keys: nothing in the result is verified.

    Args:
        filename: the artifact's path, or a seekable binary file.

    Returns:
        Structure, manifest and signature records.

    Raises:
        FormatError: not a canonical artifact.
        OSError: the file cannot be read.
    """
    with open_source(filename) as source:
        return read_unverified(source)


@dataclass(frozen=True, slots=True)
class _Identity:
    """Who the model is, checked before any work is done."""

    name: str
    version: str | None
    created: int
    expires: int | None

    @classmethod
    def of(cls, filename: Filename, name: str | None, version: str | None, expires: datetime | int | None) -> Self:
        return cls(
            check_model_name(stem(filename) if name is None else name),
            None if version is None else check_model_version(version),
            now(),
            seconds(expires),
        )

    def manifest(
        self, entries: tuple[Entry, ...], digests: ChunkDigests, payload: Payload, training: Mapping[str, Any]
    ) -> Manifest:
        creator = Creator("safemodel", VERSION)
        return Manifest(
            creator, self.name, self.version, self.created, self.expires, entries, digests, payload, training=training
        )


def _training(metrics: Mapping[str, Any] | None, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    given = {"metrics": metrics, "metadata": metadata}
    return {name: plain(value, name) for name, value in given.items() if value}


def _check_digest_algorithm(algorithm: str) -> None:
    if algorithm not in ALGORITHMS:
        raise ConfigurationError(f"digest is {algorithm!r}, expected one of {', '.join(ALGORITHMS)}")


def _write_payload(
    value: object, file: BinaryIO, writer: ArtifactWriter, progress: Progress | None
) -> tuple[Payload, bytes]:
    from safemodel.payload.dumping import dump_payload

    return dump_payload(value, file, writer.write, progress)


def _unpickle(manifest: Manifest, payload: memoryview, index: bytes) -> Any:
    from safemodel.payload.loading import load_payload

    return load_payload(manifest.payload, payload, index)
