"""An in-toto statement with a SLSA provenance predicate: how the artifact came to be, as its manifest claims.

The subjects are the file and its entry `manifest.msgpack`, whose SHA-256 is the artifact's digest and survives another
signature. A predicate says what its signer says: no build platform vouches for it, and no SLSA level is claimed. The
project has no domain, so its own URIs are names and no addresses (docs/adr/0014-standards-as-export.md).
Source: https://slsa.dev/spec/v1.0/provenance.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

from safemodel.arguments import Filename, Name, signers_of
from safemodel.export.claims import as_map, as_text, commit, data_digest, distributions, moment, repository, said, shown
from safemodel.export.statement import envelope, make_statement, message, to_json
from safemodel.export.subject import Subject, check_target, verified_subject, write
from safemodel.format.container import MANIFEST
from safemodel.format.content import Progress
from safemodel.format.manifest import FORMAT, Manifest
from safemodel.signing import sign_checked

PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "urn:safemodel:build:v1"
CREATOR: Final = "urn:safemodel:creator:"  # the manifest's creator.tool follows


def export_in_toto(
    filename: Filename,
    target: Filename,
    *,
    key: Any = None,
    trust: Any = None,
    name: Name = None,
    allow: Iterable[str] | None = None,
    passphrase: Any = None,
    progress: Progress | None = None,
) -> Subject:
    """Verify an artifact, and sign an in-toto statement of its provenance.

    Args are those of `export_oms`; every key signs, and of any algorithm.

    Returns:
        What the statement is about.

    Raises:
        ConfigurationError: no key was given, or the statement would be written over the artifact.
        KeyMaterialError: a key cannot be used.
        FormatError, VerificationError: the artifact is refused; nothing is written.
        SigningError: a signer failed.
        OSError: a file cannot be read or written; what existed before is untouched.
    """
    signers = signers_of(key, passphrase)
    check_target(filename, target)
    subject = verified_subject(filename, trust=trust, name=name, allow=allow, progress=progress)
    body = to_json(statement_about(subject))
    signatures = [(signer.key_id.hex(), sign_checked(signer, message(body))) for signer in signers]
    write(target, to_json(envelope(body, signatures)))
    return subject


def statement_about(subject: Subject) -> Any:
    """Return the statement about an artifact."""
    signers = [{"keyid": signed.key_id, "algorithm": signed.algorithm} for signed in subject.signers]
    subjects = [
        {"name": subject.file, "digest": {"sha256": subject.sha256}},
        {"name": MANIFEST, "digest": {"sha256": subject.digest}, "annotations": {"signers": signers}},
    ]
    return make_statement(subjects, PREDICATE_TYPE, provenance(subject.manifest))


def provenance(manifest: Manifest) -> dict[str, Any]:
    """Return the predicate: what was asked for, what went into it, and what came out beside the model."""
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": said(
                name=manifest.name,
                version=manifest.version,
                expires=None if manifest.expires is None else moment(manifest.expires),
            ),
            "internalParameters": _internal(manifest),
            "resolvedDependencies": list(_dependencies(manifest)),
        },
        "runDetails": {
            "builder": {
                "id": CREATOR + quote(manifest.creator.tool, safe=""),
                "version": {manifest.creator.tool: manifest.creator.version},
            },
            "metadata": said(finishedOn=moment(manifest.created)),
            "byproducts": list(_byproducts(manifest)),
        },
    }


def _internal(manifest: Manifest) -> dict[str, Any]:
    payload, environment = manifest.payload, manifest.environment
    return said(
        format=FORMAT,
        digest={"algorithm": manifest.digest.algorithm, "chunkSize": manifest.digest.chunk_size},
        payload={
            "codec": payload.codec,
            "codecVersion": payload.codec_version,
            "compression": payload.compression,
        },
        python=as_text(environment.get("python")),
        implementation=as_text(environment.get("implementation")),
        modelClass=as_text(manifest.model.get("class")),
    )


def _dependencies(manifest: Manifest) -> Iterator[dict[str, Any]]:
    source, place = commit(manifest.training), repository(manifest.training)
    if source is not None:
        is_dirty = as_map(manifest.training["source"]).get("dirty") is True
        yield said(
            name="source",
            uri=None if place is None else f"git+{place}",
            digest={"gitCommit": source},
            annotations={"dirty": is_dirty},
        )
    if (digest := data_digest(manifest.training)) is not None:
        yield {"name": "training data", "digest": {"sha256": digest}}
    for name, _, url in distributions(manifest.environment):
        yield {"name": name, "uri": url}


def _byproducts(manifest: Manifest) -> Iterator[dict[str, Any]]:
    for key in ("metrics", "metadata"):
        if value := as_map(manifest.training.get(key)):
            yield _content(f"training.{key}", "application/json", shown(value))
    if notes := as_text(manifest.training.get("notes")):
        yield _content("training.notes", "text/markdown", notes)


def _content(name: str, media_type: str, text: str) -> dict[str, Any]:
    return {"name": name, "mediaType": media_type, "content": b64encode(text.encode("utf-8")).decode("ascii")}
