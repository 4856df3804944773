"""A signer may put anything into the descriptive maps: what is exported fits the published schemas all the same."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safemodel.export.cyclonedx import CONSIDERATIONS, bill_of_materials
from safemodel.export.in_toto import statement_about
from safemodel.export.statement import to_json
from safemodel.export.subject import Subject
from safemodel.format.container import Entry
from safemodel.format.limits import TOTAL_MAX
from safemodel.format.manifest import ChunkDigests, Counts, Creator, Manifest, Payload

KEYS = (
    *("class", "parameters", "feature_names", "classes", "n_features_in"),
    *("metrics", "metadata", "data", "notes", "source", "rows", "columns", "digest", "name", "dtype", "commit"),
    *("repository", "dirty", "task", "approach", *CONSIDERATIONS.values()),
    *("python", "implementation", "platform", "distributions", "attachment", "bytes", "sha256"),
)
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["1.0", "f" * 40, f"sha256:{'a' * 64}", "https://a.b:1/c", "http://a:99999/", "supervised", "\0"]),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value or 0.0),  # the format has no negative zero
    TEXTS,
    st.binary(max_size=4),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.sampled_from(KEYS), TEXTS), inner, max_size=4)
    ),
    max_leaves=8,
)
MAPS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8)
TIMES = st.integers(0, TOTAL_MAX)


@st.composite
def subjects(draw: st.DrawFn) -> Subject:
    manifest = Manifest(
        Creator(draw(TEXTS), draw(TEXTS)),
        "acme/churn",
        draw(st.sampled_from((None, "1.4.0"))),
        created=draw(TIMES),
        expires=draw(st.one_of(st.none(), TIMES)),
        entries=(Entry("mimetype", 29, 0),),
        digest=ChunkDigests("blake3", 2**22, bytes(32)),
        payload=Payload("joblib", "1.2", "none", 1, (), Counts(1, 0, 0, 1)),
        model=draw(MAPS),
        training=draw(MAPS),
        environment=draw(MAPS),
    )
    return Subject("churn.safemodel", "a" * 64, "b" * 64, Manifest.from_bytes(manifest.to_bytes()), ())


@pytest.fixture(scope="module")
def problem_with() -> Callable[[str], object]:
    validation = pytest.importorskip("cyclonedx.validation.json", reason="needs cyclonedx-python-lib[json-validation]")
    versions = pytest.importorskip("cyclonedx.schema", reason="needs cyclonedx-python-lib[json-validation]")
    validate: Callable[[str], object] = validation.JsonStrictValidator(versions.SchemaVersion.V1_6).validate_str
    return validate


@pytest.fixture(scope="module")
def parse_provenance() -> Callable[[Any], object]:
    json_format = pytest.importorskip("google.protobuf.json_format", reason="needs protobuf")
    package = "in_toto_attestation.predicates.provenance.v1.provenance_pb2"
    provenance = pytest.importorskip(package, reason="needs in-toto-attestation")
    return lambda value: json_format.ParseDict(value, provenance.Provenance())


@settings(max_examples=150, deadline=None)
@given(subject=subjects())
def test_every_bill_of_materials_fits_the_schema(subject: Subject, problem_with: Callable[[str], object]) -> None:
    bill = to_json(bill_of_materials(subject)).decode("ascii")
    assert problem_with(bill) is None
    references = [each["bom-ref"] for each in json.loads(bill)["components"]]
    assert len(references) == len(set(references))


@settings(max_examples=150, deadline=None)
@given(subject=subjects())
def test_every_provenance_fits_the_schema(subject: Subject, parse_provenance: Callable[[Any], object]) -> None:
    parse_provenance(json.loads(to_json(statement_about(subject)))["predicate"])
