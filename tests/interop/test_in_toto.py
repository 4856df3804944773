"""Our in-toto statements: verifiers that others wrote check the envelope, and the project's own schema the content."""

import json
from base64 import b64decode
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from interop.test_dsse import KEYS, public_value
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

import safemodel

TRAINING = {
    "metrics": {"roc_auc": 0.91},
    "metadata": {"owner": "risk", "raw": b"\0"},
    "notes": "trained *at night*",
    "data": {"rows": 10, "columns": [{"name": "age", "dtype": "float64"}], "digest": f"sha256:{'ab' * 32}"},
    "source": {"commit": "c" * 40, "dirty": False, "repository": "https://example.com/acme/churn"},
}
ENVIRONMENT = {"python": "3.11.9", "implementation": "CPython", "distributions": {"scikit-learn": "1.9.1"}}


@pytest.fixture
def described(forge: Callable[..., Path]) -> Path:
    """An artifact whose manifest has everything to say."""
    return forge(training=TRAINING, environment=ENVIRONMENT, model={"class": "sklearn.svm.SVC"}, expires=4_000_000_000)


def export(path: Path, release: Any, *keys: Path) -> dict[str, Any]:
    """Export, and return the envelope."""
    place = path.with_name("churn.intoto.json")
    safemodel.export_in_toto(path, place, key=list(keys), trust=release.public)
    value: dict[str, Any] = json.loads(place.read_bytes())
    return value


def statement_of(envelope: dict[str, Any]) -> Any:
    return json.loads(b64decode(envelope["payload"]))


@pytest.mark.parametrize("algorithm", KEYS)
def test_securesystemslib_verifies(algorithm: str, described: Path, release: Any, make_key: Callable[..., Any]) -> None:
    pair = make_key(algorithm.removesuffix("-sha256"))
    envelope = export(described, release, pair.private)
    key_id = safemodel.load_signer(pair.private).key_id.hex()
    key = SSlibKey(key_id, *KEYS[algorithm], {"public": public_value(algorithm, pair.public)})
    assert Envelope.from_dict(deepcopy(envelope)).verify([key], 1) == {key_id: key}
    other = make_key(algorithm.removesuffix("-sha256"))
    stranger = SSlibKey(key_id, *KEYS[algorithm], {"public": public_value(algorithm, other.public)})
    with pytest.raises(VerificationError):
        Envelope.from_dict(deepcopy(envelope)).verify([stranger], 1)
    changes: list[dict[str, Any]] = [{"payload": "e30="}, {"payloadType": "application/json"}, {"signatures": []}]
    for change in changes:
        with pytest.raises((VerificationError, ValueError)):
            Envelope.from_dict(deepcopy(envelope) | change).verify([key], 1)


def test_a_signature_of_the_artifact_is_none_of_a_statement(described: Path, release: Any) -> None:
    envelope = Envelope.from_dict(export(described, release, release.private))
    [record] = safemodel.inspect(described).signatures.records
    key_id = record.key_id.hex()
    key = SSlibKey(key_id, *KEYS["ed25519"], {"public": public_value("ed25519", release.public)})
    assert envelope.verify([key], 1) == {key_id: key}
    envelope.signatures[key_id].signature = record.signature.hex()
    with pytest.raises(VerificationError):
        envelope.verify([key], 1)


def test_every_key_signs(described: Path, release: Any, make_key: Callable[..., Any]) -> None:
    keys = [make_key(algorithm).private for algorithm in ("ed25519", "ecdsa-p256", "hmac-sha256")]
    envelope = export(described, release, *keys)
    signers = [safemodel.load_signer(key) for key in keys]
    assert [each["keyid"] for each in envelope["signatures"]] == [signer.key_id.hex() for signer in signers]


def test_the_schema_of_in_toto_and_slsa(described: Path, release: Any) -> None:
    """The published protobuf definitions, which refuse fields that they do not know."""
    json_format = pytest.importorskip("google.protobuf.json_format", reason="needs protobuf")
    reason = "needs in-toto-attestation"
    statements = pytest.importorskip("in_toto_attestation.v1.statement", reason=reason)
    raw = pytest.importorskip("in_toto_attestation.v1.statement_pb2", reason=reason)
    provenance = pytest.importorskip("in_toto_attestation.predicates.provenance.v1.provenance_pb2", reason=reason)
    statement = statement_of(export(described, release, release.private))
    message = json_format.ParseDict(statement, raw.Statement())
    statements.Statement.copy_from_pb(message).validate()
    assert message.predicate_type == "https://slsa.dev/provenance/v1"
    predicate = json_format.ParseDict(statement["predicate"], provenance.Provenance())
    assert predicate.build_definition.build_type
    assert predicate.build_definition.external_parameters
    assert predicate.run_details.builder.id
    with pytest.raises(json_format.ParseError):
        json_format.ParseDict(statement["predicate"] | {"more": 1}, provenance.Provenance())


def test_what_it_says(described: Path, release: Any) -> None:
    artifact = safemodel.inspect(described)
    statement = statement_of(export(described, release, release.private))
    file, manifest = statement["subject"]
    assert file["name"] == "churn.safemodel"
    assert manifest["digest"] == {"sha256": artifact.digest}
    assert [each["keyid"] for each in manifest["annotations"]["signers"]] == list(artifact.key_ids)
    definition, details = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    assert definition["externalParameters"] == {
        "name": "acme/churn",
        "version": "1.4.0",
        "expires": "2096-10-02T07:06:40Z",
    }
    assert definition["resolvedDependencies"] == [
        {
            "name": "source",
            "uri": "git+https://example.com/acme/churn",
            "digest": {"gitCommit": "c" * 40},
            "annotations": {"dirty": False},
        },
        {"name": "training data", "digest": {"sha256": "ab" * 32}},
        {"name": "scikit-learn", "uri": "pkg:pypi/scikit-learn@1.9.1"},
    ]
    assert details["builder"] == {"id": "urn:safemodel:creator:test", "version": {"test": "1"}}
    contents = {each["name"]: b64decode(each["content"]) for each in details["byproducts"]}
    assert json.loads(contents["training.metrics"]) == {"roc_auc": 0.91}
    assert json.loads(contents["training.metadata"]) == {"owner": "risk", "raw": "00"}
    assert contents["training.notes"] == b"trained *at night*"
