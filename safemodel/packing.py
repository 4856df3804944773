"""Packing a joblib or pickle file that exists: copied once, walked in the copy, signed; never unpickled."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from safemodel.arguments import Filename, is_same_place, signers_of
from safemodel.describe.given import given
from safemodel.errors import ConfigurationError
from safemodel.format.content import Progress
from safemodel.format.source import Source, open_source
from safemodel.format.writer import ArtifactWriter
from safemodel.payload.allowance import catalogue_with
from safemodel.writing import Claims, Descriptions, PayloadWriter, check_digest_algorithm, write_artifact

if TYPE_CHECKING:
    from safemodel.payload.dumping import Written


def pack(
    payload: Filename,
    filename: Filename,
    *,
    key: Any = None,
    name: str | None = None,
    version: str | None = None,
    expires: datetime | int | None = None,
    metrics: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    notes: str | None = None,
    allow: Iterable[str] | None = None,
    digest: str = "blake3",
    passphrase: Any = None,
    progress: Progress | None = None,
) -> str:
    """Write a joblib or pickle file into a signed artifact, without unpickling it.

    The file's bytes become the payload as they are, compressed ones too. What is walked and signed is the copy. Of the
    model, only the class is described, since more would need unpickling; and of its making only what is given, since
    the training table and the commit are those of another time.

    Args:
        payload: path of the `.joblib` or `.pkl` file, or a seekable binary file.
        filename: the artifact's path, replaced atomically, or a seekable binary file.
        key: private key file or URI (docs/keys.md), signer, or a list of them; None stands for what SAFEMODEL_KEY says.
        name: the model's name, `acme/churn`; None stands for the stem of `filename`.
        version: PEP 440 version of the model, `1.4.0`.
        expires: when it stops being acceptable: an aware datetime, or seconds since 1970 UTC.
        metrics: how good it is, such as `{"roc_auc": 0.91}`.
        metadata: anything else to keep with it: numbers, strings, lists, maps.
        notes: Markdown text, such as a model card.
        allow: exact names that the catalogue does not list and the model may reach for, `acme.transformers.Clip`.
        digest: `blake3` or `sha256`, for the chunk digests.
        passphrase: of the key: text, or a function that returns it.
        progress: called with (bytes copied, bytes in all).

    Returns:
        The artifact's digest: SHA-256 of the signed manifest, 64 hexadecimal digits.

    Raises:
        PayloadError: it is no joblib or pickle file, or a loader would refuse it.
        GlobalNotAllowedError: it reaches for what is neither in the catalogue nor in `allow`.
        FormatError: a name, version or value has no place in the format, or the file has changed while it was read.
        KeyMaterialError: a key cannot be used.
        ConfigurationError: no key was given, an argument is not one of its values, or both paths are one.
        OSError: a file cannot be read or written; what existed before is untouched.
    """
    if is_same_place(payload, filename):
        raise ConfigurationError(
            "the output is the place of the file that is packed", hint="write it to another file: -o churn.safemodel"
        )
    training = given(metrics=metrics, metadata=metadata, notes=notes)
    claims = Claims.of(filename, name=name, version=version, expires=expires, training=training)
    check_digest_algorithm(digest)
    signers = signers_of(key, passphrase)
    with open_source(payload) as source:
        return write_artifact(filename, claims, signers, digest, _payload_writer(source, allow, progress))


def _payload_writer(source: Source, allow: Iterable[str] | None, progress: Progress | None) -> PayloadWriter:
    from safemodel.payload.dumping import copy_payload

    catalogue = catalogue_with(allow)

    def write(file: BinaryIO, writer: ArtifactWriter) -> "tuple[Written, Descriptions]":
        written = copy_payload(source, file, writer.write, catalogue=catalogue, progress=progress)
        return written, {"model": {"class": written.root} if written.root else {}}

    return write
