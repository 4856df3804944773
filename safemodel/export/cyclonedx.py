"""A CycloneDX 1.6 bill of materials with a model card: the model, what it was trained on, and which packages it needs.

The same file gives the same bytes: the serial number follows from the artifact's digest, and the time is the signed
one. It is not signed. Source: https://cyclonedx.org/docs/1.6/json/.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from uuid import UUID, uuid5

from safemodel.arguments import Filename, Name
from safemodel.export.claims import (
    as_count,
    as_list,
    as_map,
    as_text,
    as_texts,
    commit,
    data_digest,
    distributions,
    moment,
    numbers,
    repository,
    said,
    shown,
)
from safemodel.export.statement import to_json
from safemodel.export.subject import Subject, check_target, verified_subject, write
from safemodel.format.content import Progress
from safemodel.version import VERSION

SCHEMA: Final = "http://cyclonedx.org/schema/bom-1.6.schema.json"
SERIAL_NUMBERS: Final = UUID("b2b64fd2-a6a7-5cfb-9d4a-2a0c2f4e9c51")  # a namespace (RFC 9562, 5.5)
APPROACHES: Final = ("supervised", "unsupervised", "reinforcement-learning", "semi-supervised", "self-supervised")
CONSIDERATIONS: Final = {
    "users": "users",
    "useCases": "use_cases",
    "technicalLimitations": "limitations",
    "performanceTradeoffs": "tradeoffs",
}

Properties = list[dict[str, str]]


def export_cyclonedx(
    filename: Filename,
    target: Filename,
    *,
    trust: Any = None,
    name: Name = None,
    allow: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Subject:
    """Verify an artifact, and write a CycloneDX bill of materials about it.

    Args are those of `export_oms`; nothing is signed.

    Returns:
        What the bill is about.

    Raises:
        ConfigurationError: trust is missing, or the bill would be written over the artifact.
        FormatError, VerificationError: the artifact is refused; nothing is written.
        OSError: a file cannot be read or written; what existed before is untouched.
    """
    check_target(filename, target)
    subject = verified_subject(filename, trust=trust, name=name, allow=allow, progress=progress)
    write(target, to_json(bill_of_materials(subject)))
    return subject


def bill_of_materials(subject: Subject) -> dict[str, Any]:
    """Return the bill of materials of an artifact."""
    manifest = subject.manifest
    model = _model(subject)
    needed = list(distributions(manifest.environment))
    urls = [url for _, _, url in needed]
    tool = {"type": "application", "name": "safemodel", "version": VERSION}
    return {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(SERIAL_NUMBERS, subject.digest)}",
        "version": 1,
        "metadata": said(timestamp=moment(manifest.created), tools={"components": [tool]}, component=model),
        "components": [
            said(type="library", name=name, version=version, purl=url) | {"bom-ref": url}
            for name, version, url in needed
        ],
        "dependencies": [{"ref": model["bom-ref"], "dependsOn": urls}, *({"ref": url} for url in urls)],
    }


def _model(subject: Subject) -> dict[str, Any]:
    manifest = subject.manifest
    group, _, name = manifest.name.rpartition("/")
    version = f"@{manifest.version}" if manifest.version else ""
    url = f"pkg:generic/{manifest.name}{version}?checksum=sha256:{subject.sha256}"
    place = repository(manifest.training)
    return said(
        type="machine-learning-model",
        group=group,
        name=name,
        version=manifest.version,
        description=as_text(manifest.training.get("notes")),
        hashes=[{"alg": "SHA-256", "content": subject.sha256}],
        purl=url,
        externalReferences=[{"type": "vcs", "url": place}] if place else None,
        modelCard=_card(subject),
        properties=_properties(subject),
    ) | {"bom-ref": url}


def _properties(subject: Subject) -> Properties:
    manifest = subject.manifest
    found = [_property("digest", subject.digest), _property("file", subject.file)]
    found += [_property("signed-by", f"{signed.algorithm}:{signed.key_id}") for signed in subject.signers]
    found.append(_property("creator", f"{manifest.creator.tool} {manifest.creator.version}"))
    if manifest.expires is not None:
        found.append(_property("expires", moment(manifest.expires) or str(manifest.expires)))
    if source := commit(manifest.training):
        found.append(_property("source-commit", source))
    keys = ("python", "implementation", "platform")
    return found + [_property(key, shown(manifest.environment[key])) for key in keys if manifest.environment.get(key)]


def _card(subject: Subject) -> dict[str, Any]:
    model, training = subject.manifest.model, subject.manifest.training
    metadata = as_map(training.get("metadata"))
    metrics = [{"type": name, "value": value} for name, value in numbers(training.get("metrics"))]
    considered = {field: as_texts(metadata.get(key)) for field, key in CONSIDERATIONS.items()}
    parameters = as_map(model.get("parameters"))
    return said(
        modelParameters=_parameters(model, training, metadata),
        quantitativeAnalysis={"performanceMetrics": metrics} if metrics else None,
        considerations={field: texts for field, texts in considered.items() if texts},
        properties=[_property(f"parameter:{name}", shown(value)) for name, value in sorted(parameters.items())],
    )


def _parameters(model: Mapping[str, Any], training: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    classes = as_list(model.get("classes"))
    approach = metadata.get("approach", "supervised" if classes else None)
    return said(
        approach={"type": approach} if approach in APPROACHES else None,
        task=as_text(metadata.get("task")) or ("classification" if classes else None),
        modelArchitecture=as_text(model.get("class")),
        datasets=_datasets(training),
        inputs=[{"format": text} for text in _inputs(model, training)],
        outputs=[{"format": f"class {shown(each)}"} for each in classes],
    )


def _datasets(training: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = as_map(training.get("data"))
    properties = [_property(f"column:{name}", kind) for name, kind in _columns(data)]
    if (rows := as_count(data.get("rows"))) is not None:
        properties.insert(0, _property("rows", str(rows)))
    if digest := data_digest(training):
        properties.insert(0, _property("sha256", digest))
    if not properties:
        return []
    return [{"type": "dataset", "name": "training data", "contents": {"properties": properties}}]


def _inputs(model: Mapping[str, Any], training: Mapping[str, Any]) -> Iterator[str]:
    columns = dict(_columns(as_map(training.get("data"))))
    names = as_texts(model.get("feature_names"))
    count = as_count(model.get("n_features_in"))
    if names:
        yield from (f"{name}: {columns[name]}" if name in columns else name for name in names)
    elif count is not None:
        yield f"{count} features"


def _columns(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for column in map(as_map, as_list(data.get("columns"))):
        name, kind = as_text(column.get("name")), as_text(column.get("dtype"))
        if name and kind:
            yield name, kind


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"safemodel:{name}", "value": value}
