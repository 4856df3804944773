"""The verbs that make and open artifacts: dump, load, verify, inspect.

Each resolves its arguments into values first, then does its work, and writes only whole files. The payload room, and
with it pickle, joblib and NumPy, is imported by the verbs that need it and by no other.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from safemodel.arguments import Filename, Name, Verifier, signers_of
from safemodel.decisions import decided
from safemodel.format.content import Progress
from safemodel.format.manifest import Manifest
from safemodel.format.source import open_source
from safemodel.format.unverified import UnverifiedArtifact, read_unverified
from safemodel.payload.allowance import catalogue_with
from safemodel.payload.extras import needing_numpy
from safemodel.trust.decision import Catalogue
from safemodel.trust.gate import Example, VerifiedArtifact, load_source, verify_source

if TYPE_CHECKING:
    from safemodel.format.writer import ArtifactWriter
    from safemodel.payload.compression import Compression
    from safemodel.payload.dumping import Written
    from safemodel.writing import Descriptions, PayloadWriter


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
    data: Any = None,
    notes: str | None = None,
    example: Any = None,
    example_tolerance: float | None = None,
    compress: Any = None,
    allow: Iterable[str] | None = None,
    digest: str = "blake3",
    passphrase: Any = None,
    progress: Progress | None = None,
) -> str:
    """Write a model into a signed artifact.

    What the model is gets captured without being asked for: its class, parameters, steps, features, classes and sizes,
    and the commit of the git checkout that the working directory lies in; never training data (SECURITY.md).

    Args:
        value: the model.
        filename: the artifact's path, replaced atomically, or a seekable binary file.
        key: private key file or URI (docs/keys.md), signer, or a list of them; None stands for what SAFEMODEL_KEY says.
        name: the model's name, `acme/churn`; None stands for the file's stem.
        version: PEP 440 version of the model, `1.4.0`.
        expires: when it stops being acceptable: an aware datetime, or seconds since 1970 UTC.
        metrics: how good it is, such as `{"roc_auc": 0.91}`; `confusion_matrix` may be a square of numbers, and
            `labels` the names of its rows.
        metadata: anything else to keep with it: numbers, strings, lists, maps.
        data: the table that it was trained on: a NumPy array, a pandas DataFrame, a scipy sparse matrix or a list of
            texts. Kept are rows, columns, types and a digest, never the data.
        notes: Markdown text, such as a model card.
        example: a few rows of inputs, `X[:5]`: a NumPy array, a pandas DataFrame, a SciPy sparse matrix, or a list of
            texts. They are kept in the artifact, readable by whoever has the file, with what the model gives for them
            (`predict`, `predict_proba` or else `decision_function`, `transform`, those of them that work), so that a
            loader can tell whether it still does.
        example_tolerance: the largest relative difference of floating-point numbers that counts as the same prediction,
            from 0 to below 1; everything else must be equal. None stands for 1e-6 where the predictions are float64,
            1e-4 where some are float32, 1e-2 where some are float16.
        compress: as for `joblib.dump`: a level of 1 to 9 for zlib, one of `zlib`, `gzip`, `bz2`, `xz` and `lzma`, or
            both in a tuple. None or 0 does not compress, and is what loads fastest.
        allow: exact names that the catalogue does not list and the model may reach for, `acme.transformers.Clip`.
        digest: `blake3` or `sha256`, for the chunk digests.
        passphrase: of the key: text, or a function that returns it.
        progress: called with (bytes pickled, 0), since the total is not known beforehand.

    Returns:
        The artifact's digest: SHA-256 of the signed manifest, 64 hexadecimal digits.

    Raises:
        PayloadError: the model cannot be pickled, or a loader would refuse it; or it fails on its example.
        GlobalNotAllowedError: the model reaches for what is neither in the catalogue nor in `allow`.
        FormatError: a name, version, value or example has no place in the format.
        KeyMaterialError: a key cannot be used.
        ConfigurationError: no key was given, an argument is not one of its values, or an example was given for what
            does not predict.
        OSError: the file cannot be written; what existed before is untouched.
    """
    from safemodel.describe.given import given  # late, these three: who verifies writes nothing
    from safemodel.describe.source import asking_git
    from safemodel.writing import Claims, check_digest_algorithm, write_artifact

    training = given(metrics=metrics, metadata=metadata, data=data, notes=notes)
    claims = Claims.of(filename, name=name, version=version, expires=expires, training=training)
    check_digest_algorithm(digest)
    signers = signers_of(key, passphrase)
    with asking_git() as source:
        write_payload = _payload_writer(value, compress, allow, progress, source)
        if example is not None:
            claims = claims.with_example(*_run_example(value, example, example_tolerance))
        return write_artifact(filename, claims, signers, digest, write_payload)


def load(
    filename: Filename,
    *,
    trust: Any = None,
    name: Name = None,
    allow: Iterable[str] | None = None,
    roles: str | None = None,
    environment: str | None = None,
    versions: Mapping[str, str] | None = None,
    reproduce: bool = False,
    progress: Progress | None = None,
) -> Any:
    """Verify an artifact, then unpickle the verified bytes.

    Args:
        filename: the artifact's path, or a seekable binary file.
        trust: a folder with a `trust.toml`, or a `TrustPolicy`; or the verifying keys that may sign: a file, a key
            object, or a list. None stands for what SAFEMODEL_TRUST names.
        name: the model that you want. None: a path's stem must be the last part of the signed name, optionally followed
            by `-VERSION`. `ANY_NAME` accepts every name.
        allow: exact names that the catalogue does not list and the model may reach for, `acme.transformers.Clip`. With
            a folder, they stand in its `trust.toml`.
        roles: `manifest`, the default: globals are used in no other roles than those that are signed. `walk`: the
            payload is also followed as when it was signed, at some million opcodes a second, and must hold what the
            manifest says. With a folder, it stands in its `trust.toml`.
        environment: what happens where other versions of libraries are installed than the model was made with:
            `warn`, the default, `error` or `ignore`. What a folder's `trust.toml` refuses stays refused.
        versions: versions that are accepted beside the signed one, `{"scikit-learn": ">=1.6,<1.9"}`: PEP 440 specifiers
            by distribution, or `python`. With a folder, they stand in its `trust.toml`.
        reproduce: whether the model must hold an example (see `dump`), and predict for it what it predicted when it was
            signed.
        progress: called with (bytes done, bytes in all).

    Returns:
        The model.

    Raises:
        FormatError: not a canonical artifact.
        VerificationError: it must not be loaded; nothing was unpickled.
        EnvironmentMismatchError: one of these: other versions are installed, and `environment` is `error`.
        DriftError: with `reproduce`, it was unpickled and run, and predicts something else.
        PayloadError: it cannot be unpickled under the rules.
        ConfigurationError: trust, a name or an argument is missing or wrong.
        OSError: the file cannot be read.

    Warns:
        EnvironmentWarning: other versions are installed, before anything is unpickled.
    """
    verifier = Verifier.of(trust, allow=allow, roles=roles, environment=environment, versions=versions)
    with decided(filename, verifier.policy) as decision, open_source(filename) as source:
        required = verifier.requirements(filename, name)
        artifact, value = load_source(
            source, required, _unpickle, _read_example, reproduce=reproduce, progress=progress
        )
        decision.verified(artifact.explanation)
    return value


def verify(
    filename: Filename,
    *,
    trust: Any = None,
    name: Name = None,
    allow: Iterable[str] | None = None,
    roles: str | None = None,
    environment: str | None = None,
    versions: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> VerifiedArtifact:
    """Verify an artifact without unpickling it.

    Args are those of `load`, without `reproduce`, for which the result has a method. What is installed is compared here
    only where `environment` is given, since whoever verifies need not be the one who loads; else the result's `load()`
    compares it.

    Returns:
        The verified artifact, a context manager that holds the file open; `.load()` unpickles it.

    Raises:
        FormatError: not a canonical artifact.
        VerificationError: it must not be loaded.
        ConfigurationError: trust, a name or an argument is missing or wrong.
        OSError: the file cannot be read.
    """
    verifier = Verifier.of(trust, allow=allow, roles=roles, environment=environment, versions=versions)
    source = open_source(filename)
    try:
        with decided(filename, verifier.policy) as decision:
            required = verifier.requirements(filename, name, comparing=environment is not None)
            artifact = verify_source(source, required, _unpickle, _read_example, progress=progress)
            decision.verified(artifact.explanation)
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


def _payload_writer(
    value: object,
    compress: object,
    allow: Iterable[str] | None,
    progress: Progress | None,
    source: Callable[[], Mapping[str, Any]],
) -> "PayloadWriter":
    from safemodel.describe.model import describe_model
    from safemodel.payload.dumping import dump_payload

    compression = _compression(compress)
    catalogue = catalogue_with(allow)

    def write(file: BinaryIO, writer: "ArtifactWriter") -> "tuple[Written, Descriptions]":
        written = dump_payload(
            value, file, writer.write, catalogue=catalogue, compression=compression, progress=progress
        )
        model = describe_model(value)  # afterwards: whatever its properties do, the payload is as it was
        commit = source()
        return written, {"model": model, "training": {"source": commit} if commit else {}}

    return write


def _compression(compress: object) -> "Compression | None":
    if compress is None:
        return None
    from safemodel.payload.compression import Compression  # late: Python can be built without bz2 and lzma

    return Compression.of(compress)


def _unpickle(catalogue: Catalogue, walking: bool, manifest: Manifest, payload: memoryview, index: bytes) -> Any:
    with needing_numpy():
        from safemodel.payload.loading import load_payload

    return load_payload(manifest.payload, payload, index, allowed=catalogue.permissions, walking=walking)


def _run_example(value: object, inputs: object, tolerance: float | None) -> tuple[dict[str, Any], dict[str, bytes]]:
    from safemodel.describe.example.example import Example as Kept

    return Kept.of(value, inputs, tolerance).to_claims()


def _read_example(described: Mapping[str, Any], attachment: Callable[[str, int], bytes]) -> Example:
    from safemodel.describe.example.example import Example as Kept

    return Kept.read(described, attachment)
