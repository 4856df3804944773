"""Our bills of materials against the schema that CycloneDX publishes, and what they say."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from interop.test_in_toto import ENVIRONMENT, TRAINING

import safemodel

MODEL = {
    "class": "sklearn.svm.SVC",
    "parameters": {"C": 1.0, "kernel": "rbf", "class_weight": None, "probability": False, "tried": [1, 2]},
    "feature_names": ["age", "income"],
    "classes": [0, 1],
    "n_features_in": 2,
}
CONSIDERED = {"users": "clerks", "use_cases": ["churn"], "limitations": ["adults only"], "tradeoffs": ["slow"]}


@pytest.fixture(scope="session")
def problem_with() -> Callable[[str], object]:
    """What the published schema has against a text, or None."""
    validation = pytest.importorskip("cyclonedx.validation.json", reason="needs cyclonedx-python-lib[json-validation]")
    versions = pytest.importorskip("cyclonedx.schema", reason="needs cyclonedx-python-lib[json-validation]")
    validate: Callable[[str], object] = validation.JsonStrictValidator(versions.SchemaVersion.V1_6).validate_str
    return validate


def export(path: Path, release: Any) -> str:
    place = path.with_name("churn.cdx.json")
    safemodel.export_cyclonedx(path, place, trust=release.public)
    return place.read_text(encoding="ascii")


def test_a_plain_artifact(churn: Path, release: Any, tmp_path: Path, problem_with: Callable[[str], object]) -> None:
    place = tmp_path / "churn.cdx.json"
    safemodel.export_cyclonedx(churn, place, trust=release.public)
    assert problem_with(place.read_text()) is None
    assert problem_with(place.read_text().replace("machine-learning-model", "magic")) is not None


def test_an_artifact_that_says_everything(
    forge: Callable[..., Path], release: Any, problem_with: Callable[[str], object]
) -> None:
    training = TRAINING | {"metadata": CONSIDERED | {"task": "scoring"}}
    text = export(
        forge(model=MODEL, training=training, environment=ENVIRONMENT, expires=4_000_000_000, created=1_790_000_000),
        release,
    )
    assert problem_with(text) is None
    bill = json.loads(text)
    component = bill["metadata"]["component"]
    assert (component["group"], component["name"], component["version"]) == ("acme", "churn", "1.4.0")
    assert bill["metadata"]["timestamp"] == "2026-09-21T14:13:20Z"
    assert component["description"] == "trained *at night*"
    assert component["externalReferences"] == [{"type": "vcs", "url": "https://example.com/acme/churn"}]
    card = component["modelCard"]
    assert card["modelParameters"]["approach"] == {"type": "supervised"}
    assert card["modelParameters"]["task"] == "scoring"
    assert card["modelParameters"]["modelArchitecture"] == "sklearn.svm.SVC"
    assert card["modelParameters"]["inputs"] == [{"format": "age: float64"}, {"format": "income"}]
    assert card["modelParameters"]["outputs"] == [{"format": "class 0"}, {"format": "class 1"}]
    [dataset] = card["modelParameters"]["datasets"]
    assert [each["name"] for each in dataset["contents"]["properties"]] == [
        "safemodel:sha256",
        "safemodel:rows",
        "safemodel:column:age",
    ]
    assert card["quantitativeAnalysis"] == {"performanceMetrics": [{"type": "roc_auc", "value": "0.91"}]}
    assert card["considerations"] == {
        "users": ["clerks"],
        "useCases": ["churn"],
        "technicalLimitations": ["adults only"],
        "performanceTradeoffs": ["slow"],
    }
    assert {"name": "safemodel:parameter:class_weight", "value": "null"} in card["properties"]


def test_a_model_that_only_counts_its_features(forge: Callable[..., Path], release: Any) -> None:
    bill = json.loads(export(forge(model={"n_features_in": 4}), release))
    assert bill["metadata"]["component"]["modelCard"]["modelParameters"] == {"inputs": [{"format": "4 features"}]}


def test_packages_and_their_urls(forge: Callable[..., Path], release: Any, problem_with: Any) -> None:
    urls = pytest.importorskip("packageurl", reason="needs packageurl-python")
    needed = {
        "scikit-learn": "1.9.1",
        "Scikit_Learn": "1.9.1",
        "torch": "2.4.0+cpu",
        "odd": "not a version",
        "../evil": "1.0",
        "numpy": 3,
    }
    text = export(forge(environment={"distributions": needed}), release)
    assert problem_with(text) is None
    bill = json.loads(text)
    assert [each["purl"] for each in bill["components"]] == [
        "pkg:pypi/scikit-learn@1.9.1",
        "pkg:pypi/numpy",
        "pkg:pypi/odd",
        "pkg:pypi/torch@2.4.0%2Bcpu",
    ]
    model = bill["metadata"]["component"]
    for purl in [model["purl"], *(each["purl"] for each in bill["components"])]:
        assert urls.PackageURL.from_string(purl).to_string() == purl
    root, *others = bill["dependencies"]
    assert root == {"ref": model["bom-ref"], "dependsOn": [each["bom-ref"] for each in bill["components"]]}
    assert others == [{"ref": each["bom-ref"]} for each in bill["components"]]


def test_the_same_artifact_gives_the_same_bytes(churn: Path, release: Any, tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    subject = safemodel.export_cyclonedx(churn, one, trust=release.public)
    safemodel.export_cyclonedx(churn, other, trust=release.public)
    assert one.read_bytes() == other.read_bytes()
    assert subject.sha256 in one.read_text()
