"""Which names a rule is for, and when two rules are for one."""

import string

import pytest

from safemodel.errors import ConfigurationError
from safemodel.format.limits import MODEL_NAME_MAX
from safemodel.trust.patterns import EVERY_NAME, ModelNames, check_pattern

FIRSTS = tuple(f"{letter}*" for letter in string.ascii_lowercase + string.digits)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("acme/churn", ["acme/churn"], ["acme/churn-2", "acme/churn/eu", "acme", "churn"]),
        ("acme/*", ["acme/churn", "acme/a"], ["acme", "acme/eu/churn", "other/churn", "acmex/churn"]),
        ("acme/churn-*", ["acme/churn-eu"], ["acme/churn", "acme/churneu", "acme/churn-eu/v2"]),
        ("acme/churn*", ["acme/churn", "acme/churn-eu"], ["acme/chur"]),
        ("*/churn", ["acme/churn", "other/churn"], ["churn", "a/b/churn"]),
        ("*", ["churn"], ["acme/churn"]),
    ],
)
def test_what_a_pattern_matches(pattern: str, matching: list[str], others: list[str]) -> None:
    names = ModelNames((check_pattern(pattern),))
    assert [name for name in [*matching, *others] if name in names] == matching


def test_an_exception_takes_names_away() -> None:
    names = ModelNames(("acme/*", "other/churn"), ("*/churn",))
    assert [name for name in ("acme/churn", "acme/fraud", "other/churn") if name in names] == ["acme/fraud"]
    assert str(names) == "acme/*, other/churn except */churn"


def test_every_name_is_one_that_a_pattern_matches() -> None:
    longest = "/".join("a" * (MODEL_NAME_MAX // 2))
    assert all(name in ModelNames(EVERY_NAME) for name in ("a", "acme/churn", longest))
    assert str(ModelNames(EVERY_NAME)) == "any name"


@pytest.mark.parametrize("pattern", ["**", "a*b", "-*", "a/", "/a", "a-", "A", "a?", "", "é", "a*/b**", "a" * 129])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(ConfigurationError):
        check_pattern(pattern)


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ((["acme/churn"], []), (["acme/churn"], []), True),
        ((["acme/churn"], []), (["acme/fraud"], []), False),
        ((["acme/*"], []), (["acme/churn"], []), True),
        ((["acme/*"], ["acme/churn"]), (["acme/churn"], []), False),
        ((["acme/*"], []), (["acme/*/*"], []), False),
        ((["acme/*"], []), (["*/churn"], []), True),
        ((["acme/*"], ["acme/c*"]), (["*/churn"], []), False),
        ((["acme/ab*"], []), (["acme/ac*"], []), False),
        ((["acme/ab*"], []), (["acme/abc*"], []), True),
        ((["acme/*"], ["acme/test-*"]), (["acme/test-*"], []), False),
        ((["acme/*"], ["acme/test-a*"]), (["acme/test-*"], []), True),
        ((["a-*"], ["a-a", "a-b*"]), (["a-*"], ["a-0"]), True),
        ((["*"], FIRSTS), (["*"], []), False),  # every first letter is excepted
        ((["*"], FIRSTS[:-1]), (["*"], []), True),
        ((["a*"], ["a", *(f"a{first}" for first in FIRSTS)]), (["a*"], []), True),
        ((["*/*"], ["a/*", "*/b"]), (["*/*"], ["b/*"]), True),
        ((["*/b"], ["a/*"]), (["a/*"], ["*/c"]), False),
        (([f"{'a' * 120}*/b*"], [f"{'a' * 120}*/b"]), ([f"{'a' * 120}*/b*"], []), True),
        (([f"{'a' * 125}*/*"], []), (["*/bcd*"], []), False),  # the shortest such name has 129 bytes
    ],
)
def test_a_name_that_two_rules_are_for(
    one: tuple[list[str], list[str]], other: tuple[list[str], list[str]], shared: bool
) -> None:
    left, right = (ModelNames(tuple(patterns), tuple(exceptions)) for patterns, exceptions in (one, other))
    for found in (left.shared_with(right), right.shared_with(left)):
        assert (found is not None) == shared
        assert found is None or (found in left and found in right)
