"""Writing a signed artifact around a payload: what `dump` and `pack` have in common.

Every argument is checked before any work is done, and a file appears only when it is whole.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from safemodel.arguments import Filename, now, output, seconds, stem
from safemodel.countersigning import add_signatures
from safemodel.describe.attachments import fitted
from safemodel.describe.environment import describe_environment
from safemodel.errors import ConfigurationError, FormatError
from safemodel.format.container import INDEX, Entry
from safemodel.format.digests import ALGORITHMS
from safemodel.format.envelope import SignatureSet, artifact_digest
from safemodel.format.manifest import ChunkDigests, Creator, Manifest, Payload
from safemodel.format.names import check_model_name, check_model_version
from safemodel.format.writer import ArtifactWriter
from safemodel.signing import Signer
from safemodel.version import VERSION

if TYPE_CHECKING:
    from safemodel.payload.dumping import Written

Descriptions = Mapping[str, Mapping[str, Any]]  # `model`, and what there is for `training` beside what was given
PayloadWriter = Callable[[BinaryIO, ArtifactWriter], tuple["Written", Descriptions]]


@dataclass(frozen=True, slots=True)
class Claims:
    """What the signer says of the model: who it is, how long it is acceptable, what it is, and what was given with it.

    Attributes:
        model, training, environment, example: the descriptive maps of the manifest.
        attachments: further entries by name.
    """

    name: str
    version: str | None
    created: int
    expires: int | None
    training: Mapping[str, Any]
    model: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    example: Mapping[str, Any] = field(default_factory=dict)
    attachments: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        filename: Filename,
        *,
        name: str | None,
        version: str | None,
        expires: datetime | int | None,
        training: Mapping[str, Any],
    ) -> Self:
        """Check what the user gives; the arguments are those of `dump`, and what `describe.given` makes of the rest.

        Raises:
            FormatError: a name, version or value has no place in the format.
            ConfigurationError: a file object whose model has no name, or a time without a zone.
        """
        fitted({"training": training})  # refuses what cannot be stored, before any work is done
        return cls(
            _name_of(filename) if name is None else check_model_name(name),
            None if version is None else check_model_version(version),
            now(),
            seconds(expires),
            training,
        )

    def describing(self, found: Descriptions, environment: Mapping[str, Any]) -> Self:
        """Return these claims with what the model is; values too large for a manifest move to attachments."""
        training = {**self.training, **found.get("training", {})}
        maps, moved = fitted({"model": found["model"], "training": training})
        return replace(self, **maps, environment=environment, attachments={**self.attachments, **moved})

    def with_example(self, described: Mapping[str, Any], attachments: Mapping[str, bytes]) -> Self:
        """Return the same claims with an example: its descriptive map, and the attachments that hold it."""
        return replace(self, example=described, attachments={**self.attachments, **attachments})

    def manifest(self, entries: tuple[Entry, ...], digests: ChunkDigests, payload: Payload) -> Manifest:
        """Return the manifest that makes these claims of these contents."""
        creator = Creator("safemodel", VERSION)
        return Manifest(
            creator,
            self.name,
            self.version,
            self.created,
            self.expires,
            entries,
            digests,
            payload,
            model=self.model,
            training=self.training,
            environment=self.environment,
            example=self.example,
        )


def _name_of(filename: Filename) -> str:
    """Return the name that a file gives to its model."""
    found = stem(filename)
    try:
        return check_model_name(found)
    except FormatError as error:
        raise FormatError(
            f"{found!r} would be the model's name, after its file, and is none",
            hint=f"{error.hint}; say name=, here and when loading, or rename the file",
        ) from None


def check_digest_algorithm(algorithm: str) -> None:
    """Refuse what is no algorithm for the chunk digests.

    Raises:
        ConfigurationError: it is not one of them.
    """
    if algorithm not in ALGORITHMS:
        raise ConfigurationError(f"digest is {algorithm!r}, expected one of {', '.join(ALGORITHMS)}")


def write_artifact(
    filename: Filename, claims: Claims, signers: list[Signer], algorithm: str, write_payload: PayloadWriter
) -> str:
    """Write an artifact and sign it.

    Args:
        filename: the artifact's path, replaced atomically, or a seekable binary file.
        claims: what the signer says.
        signers: who signs.
        algorithm: of the chunk digests.
        write_payload: appends the payload to the writer, and returns what that was and what describes it; it may read
            back from the file what it has written.

    Returns:
        The artifact's digest, 64 hexadecimal digits.

    Raises:
        SigningError: a key is given twice, or a signer failed.
        FormatError: the manifest or an attachment would be too large.
        OSError: the file cannot be written; what existed before is untouched.
    """
    with output(filename) as file, ArtifactWriter(file, "joblib", algorithm) as writer:
        written, found = write_payload(file, writer)
        modules = {use.module for use in written.payload.globals}
        claims = claims.describing(found, describe_environment(modules, written.estimator_versions))
        entries, digests = writer.describe({INDEX: written.index, **claims.attachments})
        manifest = claims.manifest(entries, digests, written.payload).to_bytes()
        signed = artifact_digest(manifest)
        writer.finish(manifest, add_signatures(SignatureSet(()), signers, signed))
    return signed.hex()
