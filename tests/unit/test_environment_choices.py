"""Loading where other versions are installed: warned of or refused before anything is unpickled, as was chosen."""

import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

import safemodel
from safemodel import EnvironmentMismatchError, EnvironmentWarning, writing
from safemodel.describe.installed import python_version
from safemodel.errors import ConfigurationError
from safemodel.trust.loader import read_trust

MADE_WITH = {
    "python": "3.11.0",
    "platform": {"system": "Plan 9", "machine": "vax"},
    "distributions": {"numpy": "1.26.4", "scikit-learn": "1.6.1"},
}
RESTORES = 'pip install "numpy==1.26.4" "scikit-learn==1.6.1"'
POLICY = """
version = 1
[signers.release]
keys = ["release.key.pub"]
[[rules]]
models = ["acme/churn"]
signers = ["release"]
"""


@pytest.fixture
def made(tmp_path: Path, release: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Dump a model with the real writer, in an environment that is described as given."""

    def make(environment: Any = MADE_WITH) -> Path:
        path = tmp_path / "churn.safemodel"
        with monkeypatch.context() as patch:
            patch.setattr(writing, "describe_environment", lambda *given: environment)
            safemodel.dump([1, 2], path, key=release.private, name="acme/churn")
        return path

    return make


@pytest.fixture
def folder(tmp_path: Path, release: Any) -> Callable[[str], Path]:
    """Write a trust folder whose only rule says more."""
    place = tmp_path / "keys"
    place.mkdir()
    (place / "release.key.pub").write_bytes(release.public.read_bytes())

    def write(lines: str) -> Path:
        (place / "trust.toml").write_text(f"{POLICY}{lines}\n")
        return place

    return write


def test_a_warning_is_the_default_and_points_to_the_caller(made: Callable[..., Path], release: Any) -> None:
    path = made()
    with pytest.warns(EnvironmentWarning) as caught:
        assert safemodel.load(path, trust=release.public) == [1, 2]
    [warned] = caught
    assert warned.filename == __file__
    assert isinstance(warned.message, EnvironmentWarning)
    assert {each.name for each in warned.message.differences if not each.accepted} == {"numpy", "scikit-learn"}
    assert {each.name for each in warned.message.differences} >= {"platform"}
    text = str(warned.message)
    assert text.startswith("acme/churn ")
    assert RESTORES in text
    assert any(line.split()[:3] == ["scikit-learn", "1.6.1", version("scikit-learn")] for line in text.splitlines())


def test_as_an_error_the_warning_comes_before_anything_is_unpickled(
    made: Callable[..., Path], release: Any, canary: list[str]
) -> None:
    path = made()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(EnvironmentWarning):
            safemodel.load(path, trust=release.public)
        with safemodel.verify(path, trust=release.public) as artifact, pytest.raises(EnvironmentWarning):
            artifact.load()
    assert canary == []


def test_an_error_refuses(made: Callable[..., Path], release: Any, canary: list[str]) -> None:
    path = made()
    for verb in (safemodel.load, safemodel.verify):
        with pytest.raises(EnvironmentMismatchError) as refused:
            verb(path, trust=release.public, environment="error")
        assert refused.value.code == "environment-mismatch"
        assert RESTORES in refused.value.hint
        assert {each.name for each in refused.value.differences} >= {"numpy", "scikit-learn"}
    with (
        safemodel.verify(path, trust=read_trust(release.public).with_environment("error")) as artifact,
        pytest.raises(EnvironmentMismatchError),
    ):
        artifact.load()
    assert canary == []


def test_ignoring_says_nothing(made: Callable[..., Path], release: Any) -> None:
    path = made()
    assert safemodel.load(path, trust=release.public, environment="ignore") == [1, 2]
    with safemodel.verify(path, trust=release.public, environment="ignore") as artifact:
        assert artifact.load() == [1, 2]
        assert artifact.explanation.differences == ()


def test_what_is_accepted_is_not_worth_a_word(made: Callable[..., Path], release: Any) -> None:
    path = made(MADE_WITH | {"distributions": {}})
    assert safemodel.load(path, trust=release.public, environment="warn") == [1, 2]
    assert safemodel.load(path, trust=release.public, environment="error") == [1, 2]


@pytest.mark.parametrize("part", ["major", "minor", "patch"])
@pytest.mark.parametrize("name", ["scikit-learn", "numpy", "scipy", "pandas", "python"])
def test_drifts_of_what_is_really_installed(name: str, part: str, made: Callable[..., Path], release: Any) -> None:
    here = Version(python_version() if name == "python" else version(name))
    numbers = [here.major, here.minor, here.micro]
    numbers[["major", "minor", "patch"].index(part)] += 1
    signed = ".".join(map(str, numbers))
    path = made({"python": signed} if name == "python" else {"distributions": {name: signed}})
    if (name, part) == ("scikit-learn", "minor") or part == "major":
        with pytest.raises(EnvironmentMismatchError) as refused:
            safemodel.load(path, trust=release.public, environment="error")
        [difference] = refused.value.differences
        assert (difference.name, difference.signed, difference.installed) == (name, signed, str(here))
    else:
        assert safemodel.load(path, trust=release.public, environment="error") == [1, 2]


@pytest.mark.parametrize("environment", [{}, {"distributions": [1]}, {"distributions": {"numpy": "\x1b[2J"}}])
def test_what_states_nothing_is_refused_only_where_it_is_demanded(
    environment: Any, made: Callable[..., Path], release: Any
) -> None:
    path = made(environment)
    assert safemodel.load(path, trust=release.public) == [1, 2]
    with pytest.raises(EnvironmentMismatchError):
        safemodel.load(path, trust=release.public, environment="error")


def test_verifying_compares_only_where_it_is_told_to(made: Callable[..., Path], release: Any) -> None:
    path = made()
    with safemodel.verify(path, trust=release.public) as artifact:
        assert artifact.explanation.differences == ()
        with pytest.warns(EnvironmentWarning) as caught:
            assert artifact.load() == [1, 2]
        assert caught[0].filename == __file__
    with pytest.warns(EnvironmentWarning) as caught:
        artifact = safemodel.verify(path, trust=release.public, environment="warn")
    assert caught[0].filename == __file__
    with artifact:
        assert len(artifact.explanation.differences) >= 2
        assert artifact.load() == [1, 2]  # warned of already


def test_versions_that_the_caller_accepts(made: Callable[..., Path], release: Any) -> None:
    path = made()
    anything = {"numpy": ">=1", "Scikit_Learn": ">=1"}
    assert safemodel.load(path, trust=release.public, environment="error", versions=anything) == [1, 2]
    with pytest.raises(EnvironmentMismatchError) as refused:
        safemodel.load(path, trust=release.public, environment="error", versions={"numpy": ">=1"})
    assert [each.name for each in refused.value.differences if not each.accepted] == ["scikit-learn"]


def test_a_rule_that_refuses_cannot_be_weakened(
    made: Callable[..., Path], folder: Callable[[str], Path], canary: list[str]
) -> None:
    path, trust = made(), folder('environment = "error"')
    for environment in (None, "warn", "ignore", "error"):
        with pytest.raises(EnvironmentMismatchError, match="rule 1"):
            safemodel.load(path, trust=trust, environment=environment)
    for environment in (None, "ignore"):
        with (
            pytest.raises(EnvironmentMismatchError, match="rule 1"),
            safemodel.verify(path, trust=trust, environment=environment) as artifact,
        ):
            artifact.load()
    with pytest.raises(ConfigurationError):
        safemodel.load(path, trust=trust, versions={"numpy": ">=1"})
    assert canary == []


def test_verifying_leaves_the_demand_of_a_rule_to_the_load(
    made: Callable[..., Path], folder: Callable[[str], Path]
) -> None:
    path, trust = made(), folder('environment = "error"')
    with safemodel.verify(path, trust=trust) as artifact:
        assert artifact.rule.environment == "error"
    with pytest.raises(EnvironmentMismatchError):
        safemodel.verify(path, trust=trust, environment="warn")


def test_a_rule_that_warns_can_be_silenced_or_made_stricter(
    made: Callable[..., Path], folder: Callable[[str], Path]
) -> None:
    path, trust = made(), folder("")
    with pytest.warns(EnvironmentWarning):
        safemodel.load(path, trust=trust)
    assert safemodel.load(path, trust=trust, environment="ignore") == [1, 2]
    with pytest.raises(EnvironmentMismatchError):
        safemodel.load(path, trust=trust, environment="error")


def test_versions_that_a_rule_accepts(made: Callable[..., Path], folder: Callable[[str], Path]) -> None:
    trust = folder('environment = "error"\nversions = { numpy = ">=1", scikit-learn = ">=1.6" }')
    assert safemodel.load(made(), trust=trust) == [1, 2]


def test_choices_that_are_none(made: Callable[..., Path], release: Any) -> None:
    path = made()
    for choice in ({"environment": "off"}, {"environment": ""}, {"versions": {"numpy": "2"}}, {"versions": ">=2"}):
        with pytest.raises(ConfigurationError):
            safemodel.load(path, trust=release.public, **choice)


def test_the_grounds_have_what_differs(made: Callable[..., Path], release: Any) -> None:
    with pytest.raises(EnvironmentMismatchError) as refused:
        safemodel.load(made(), trust=release.public, environment="error")
    explanation: Any = refused.value.explanation
    assert [text for label, text in explanation.rows() if label == "environment"][-1].startswith("scikit-learn 1.6.1")
    assert explanation.to_value()["differences"][-1]["drift"] == "another minor version"


def test_requirements_of_a_verified_artifact(made: Callable[..., Path], release: Any) -> None:
    with safemodel.verify(made(), trust=release.public) as artifact:
        assert artifact.requirements() == ["numpy==1.26.4", "scikit-learn==1.6.1"]
    assert not hasattr(safemodel.inspect(made()), "requirements")
