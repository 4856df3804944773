"""What differs between the signed environment and the one here, what of it matters, and what is said: values only."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safemodel.errors import ConfigurationError, EnvironmentMismatchError
from safemodel.trust.environment import (
    Difference,
    Drift,
    Installed,
    check_versions,
    compare,
    requirements_of,
    stated_python,
    states_nothing,
)
from safemodel.trust.mismatch import refusal, remedy, table

HERE = {
    "scikit-learn": "1.9.1",
    "numpy": "2.4.6",
    "scipy": "1.17.1",
    "pandas": "3.1.1",
    "imbalanced-learn": "0.14.0",
    "lightgbm": "4.7.0",
    "xgboost-cpu": "3.2.0",
    "torch": "2.1.0+cpu",
    "acme": "0.3.0",
    "broken": "not a version",
    "epochal": "1!2.0",
}
SIGNED: dict[str, Any] = {
    "python": "3.11.7",
    "implementation": "CPython",
    "platform": {"system": "Linux", "machine": "x86_64"},
    "distributions": {name: HERE[name] for name in ("scikit-learn", "numpy", "scipy", "pandas")},
}
ACCEPTED, MATTERS = True, False

# The scenarios: what was signed of one distribution, what that is to what is here, and whether it is accepted.
DRIFTS = [
    ("scikit-learn", "1.9.0", Drift.PATCH, ACCEPTED),
    ("scikit-learn", "1.9.1.post1", Drift.PATCH, ACCEPTED),
    ("scikit-learn", "1.6.1", Drift.MINOR, MATTERS),
    ("scikit-learn", "2.0", Drift.MAJOR, MATTERS),
    ("numpy", "2.4.0", Drift.PATCH, ACCEPTED),
    ("numpy", "2.2.6", Drift.MINOR, ACCEPTED),
    ("numpy", "1.26.4", Drift.MAJOR, MATTERS),
    ("scipy", "1.17.0", Drift.PATCH, ACCEPTED),
    ("scipy", "1.11.4", Drift.MINOR, ACCEPTED),
    ("scipy", "2.0.0", Drift.MAJOR, MATTERS),
    ("pandas", "3.1.0", Drift.PATCH, ACCEPTED),
    ("pandas", "3.0.6", Drift.MINOR, ACCEPTED),
    ("pandas", "2.3.3", Drift.MAJOR, MATTERS),
    ("python", "3.11.9", Drift.PATCH, ACCEPTED),
    ("python", "3.13.0", Drift.MINOR, ACCEPTED),
    ("python", "4.0.0", Drift.MAJOR, MATTERS),
    ("imbalanced-learn", "0.13.0", Drift.MINOR, MATTERS),
    ("lightgbm", "4.1.0", Drift.MINOR, ACCEPTED),
    ("xgboost-cpu", "3.1.3", Drift.MINOR, MATTERS),
    ("xgboost", "3.1.3", Drift.MINOR, MATTERS),
    ("catboost", "1.2.8", Drift.MISSING, MATTERS),
    ("scikit-learn", "1.9.1rc1", Drift.PRE_RELEASE, MATTERS),
    ("numpy", "2.5.0.dev0", Drift.PRE_RELEASE, MATTERS),
    ("torch", "2.1.0+cu118", Drift.BUILD, ACCEPTED),
    ("torch", "2.1.0", Drift.BUILD, ACCEPTED),
    ("torch", "2.0.1+cpu", Drift.MINOR, ACCEPTED),
    ("acme", "0.2.9", Drift.MINOR, MATTERS),
    ("broken", "1.0", Drift.INCOMPARABLE, MATTERS),
    ("epochal", "2.0", Drift.MAJOR, MATTERS),
]
SAME = [("scikit-learn", "1.9.1"), ("scikit-learn", "1.9.1.0"), ("xgboost", "3.2.0"), ("python", "3.11.7")]

# What a signer can put in the place of names and versions, and what must be on no terminal and in no command.
HOSTILE = [
    "1.0; rm -rf ~",
    "1.0\n1.0",
    "1.0\x1b[2J",
    "1.0\u202e",
    "1.0$(id)",
    '1.0" "evil',
    "\u212a1.0",
    "1.0+\u017f",
    "1.0+\u212a",
    "９.0",
    "9" * 5000,
    "1." * 40 + "0",
    "",
    "latest",
    "\ud800",
]
HOSTILE_NAMES = [
    "-r",
    "--index-url",
    "a b",
    "a;b",
    "a@https",
    "Numpy",
    "a_b",
    "a.b",
    "-",
    "a-",
    "a\n",
    "ａ",
    "n" * 65,
    "",
    "python",
    "platform",
]


def here(name: str) -> str | None:
    return HERE.get(name)


INSTALLED = Installed("3.11.7", "CPython, Linux, x86_64", here)


def signed(name: str, version: Any) -> dict[str, Any]:
    if name == "python":
        return SIGNED | {"python": version}
    return SIGNED | {"distributions": SIGNED["distributions"] | {name: version}}


def test_the_same_is_no_difference() -> None:
    assert compare(SIGNED, INSTALLED) == ()


def test_what_is_installed_beyond_is_none() -> None:
    assert compare({"distributions": {"numpy": "2.4.6"}}, INSTALLED) == ()


@pytest.mark.parametrize(("name", "version"), SAME)
def test_what_counts_as_the_same(name: str, version: str) -> None:
    assert compare(signed(name, version), INSTALLED) == ()


@pytest.mark.parametrize(("name", "version", "drift", "accepted"), DRIFTS)
def test_what_differs_and_whether_it_matters(name: str, version: str, drift: Drift, accepted: bool) -> None:
    [difference] = compare(signed(name, version), INSTALLED)
    assert (difference.name, difference.signed) == (name, version)
    assert (difference.drift, difference.accepted) == (drift, accepted)
    assert (refusal([difference], "churn", signed(name, version)) is None) == accepted


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"platform": {"system": "Darwin", "machine": "arm64"}}, "CPython, Darwin, arm64"),
        ({"implementation": "PyPy"}, "PyPy, Linux, x86_64"),
        ({"platform": "Linux"}, None),
        ({"platform": {"system": "L\x1b[2J", "machine": "x"}}, None),
        ({"platform": {"system": "L" * 100, "machine": "x"}}, None),
        ({"platform": {"system": 1, "machine": None}, "implementation": 2}, None),
    ],
)
def test_another_platform_is_told_and_accepted(change: dict[str, Any], told: str | None) -> None:
    expected = [] if told is None else [Difference("platform", told, INSTALLED.platform, Drift.MACHINE, accepted=True)]
    assert list(compare(SIGNED | change, INSTALLED)) == expected


@pytest.mark.parametrize("version", HOSTILE)
@pytest.mark.parametrize("name", ["scikit-learn", "python"])
def test_what_is_no_version_states_nothing(name: str, version: str) -> None:
    assert compare(signed(name, version), INSTALLED) == ()
    assert requirements_of({"distributions": {"numpy": version}}) == []
    assert states_nothing({name: version, "distributions": {name: version}})


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_what_is_no_name_states_nothing(name: str) -> None:
    assert compare({"distributions": {name: "1.0"}}, INSTALLED) == ()
    assert requirements_of({"distributions": {name: "1.0"}}) == []


@pytest.mark.parametrize(
    "value", [None, 1, 1.5, True, "1.0", b"1.0", [], ["numpy"], {}, {"numpy": 1}, {"numpy": ["1"]}]
)
def test_maps_of_another_shape_state_nothing(value: Any) -> None:
    for environment in ({"distributions": value}, {"python": [value]}, {"platform": value}):
        assert compare(environment, INSTALLED) == ()
        assert states_nothing(environment)
    assert stated_python({"python": "3.12.1"}) == "3.12.1"


def test_too_many_distributions_state_nothing_and_cost_nothing() -> None:
    asked: list[str] = []
    many = {f"d{number}": "1.0" for number in range(257)}
    assert compare({"distributions": many}, Installed("3", "", asked.append)) == ()
    assert asked == []


texts = st.text("1.0+-rc!ax \n\x1b\u202e\u017f\u212a\ud800", max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
)
keys = st.sampled_from(["python", "implementation", "platform", "distributions"])
maps = st.dictionaries(keys, plain | st.dictionaries(st.sampled_from([*HERE, "system", "machine"]), plain))


@given(maps)
def test_no_map_breaks_the_comparison_or_what_is_printed(environment: dict[str, Any]) -> None:
    differences = compare(environment, INSTALLED)
    shown = "".join([*table(differences), remedy(differences), *map(str, differences), *requirements_of(environment)])
    assert shown.isascii()
    assert shown.isprintable()


def test_specifiers_decide_in_place_of_the_rule() -> None:
    def accepted(specifier: str, version: str, name: str = "scikit-learn") -> bool:
        [difference] = compare(signed(name, version), INSTALLED, check_versions({name: specifier}))
        return difference.accepted

    assert accepted(">=1.6,<1.10", "1.6.1")
    assert not accepted(">=1.6,<1.9", "1.9.0")
    assert accepted(">=1.9rc1", "1.9rc1")
    assert not accepted("==2.0.*", "2.0.1", "torch")
    assert accepted("==2.0.*", "2.1.0+cu118", "torch")  # the same version, built otherwise
    assert accepted(">=3.11", "4.0", "python")
    assert compare(SIGNED, INSTALLED, check_versions({"numpy": "<1"})) == ()  # what was signed is always accepted


def test_pre_releases_here_are_in_the_versions_that_are_accepted() -> None:
    coming = Installed("3.11.7", "", {"numpy": "3.0.0rc1"}.get)
    [difference] = compare({"distributions": {"numpy": "2.4.6"}}, coming, check_versions({"numpy": ">=2,<4"}))
    assert (difference.drift, difference.accepted) == (Drift.PRE_RELEASE, True)


def test_versions_are_normalised_where_they_are_given() -> None:
    assert check_versions({"Scikit_Learn": "<2, >=1.6"}) == (("scikit-learn", "<2,>=1.6"),)
    for wrong in ({"numpy": "2"}, {"numpy": 2}, {"": ">1"}, {1: ">1"}, {"a b": ">1"}):
        with pytest.raises(ConfigurationError):
            check_versions(wrong)  # type: ignore[arg-type]


def test_the_remedy_restores_what_was_signed() -> None:
    environment = signed("torch", "1.13.1+cu117") | {"python": "4.0.0"}
    environment["distributions"] |= {"scikit-learn": "1.6.1", "numpy": "2.2.6", "catboost": "1.2.8"}
    differences = compare(environment, INSTALLED)
    text = remedy(differences)
    assert 'pip install "catboost==1.2.8" "scikit-learn==1.6.1" "torch==1.13.1"' in text
    assert "Python 4.0.0" in text
    assert '"scikit-learn": "==1.9.1"' in text
    assert "numpy" not in text  # it is accepted
    lines = table(differences)
    assert [line.split()[0] for line in lines[1:]] == ["python", "catboost", "scikit-learn", "torch", "numpy"]
    assert lines[2].split()[1:3] == ["1.2.8", "none"]


def test_a_long_list_is_cut_where_people_read_it() -> None:
    many = {f"d{number}": "1.0" for number in range(100)}
    differences = compare({"distributions": many}, INSTALLED)
    assert len(differences) == 100
    assert len(table(differences)) < 30
    found = refusal(differences, "churn", {"distributions": many})
    assert found is not None
    assert found.kind is EnvironmentMismatchError
    assert len(found.message) + len(found.hint) < 2000


def test_an_artifact_that_states_nothing_is_refused_where_that_is_demanded() -> None:
    silences: list[dict[str, Any]] = [{}, {"platform": {"system": "Linux"}}, {"distributions": {}}]
    for silent in silences:
        found = refusal((), "churn", silent)
        assert found is not None
        assert found.kind is EnvironmentMismatchError
    assert refusal((), "churn", {"python": "3.11.7"}) is None


def test_equal_versions_are_not_parsed() -> None:
    code = (
        "import sys; from safemodel.trust.environment import *\n"
        "compare({'python': '3', 'distributions': {'numpy': '2.4.6'}}, Installed('3', '', lambda name: '2.4.6'))\n"
        "print('packaging' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
