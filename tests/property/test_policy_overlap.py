"""Whether two rules are for one name is decided exactly: by trying every short name, nothing else is found."""

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from safemodel.trust.patterns import ModelNames

WORDS = [word for size in (1, 2, 3) for word in map("".join, product("ab-", repeat=size)) if word.strip("-") == word]
NAMES = [*WORDS, *map("/".join, product(WORDS, repeat=2))]
PARTS = st.one_of(st.just("*"), st.sampled_from(WORDS), st.sampled_from(["a*", "b*", "a-*", "aa*", "ab*", "b-*"]))
PATTERNS = st.lists(PARTS, min_size=1, max_size=2).map("/".join)
MODELS = st.builds(
    ModelNames, st.lists(PATTERNS, min_size=1, max_size=3).map(tuple), st.lists(PATTERNS, max_size=4).map(tuple)
)


@settings(max_examples=300, deadline=None)
@given(MODELS, MODELS)
def test_a_name_is_found_when_there_is_one(one: ModelNames, other: ModelNames) -> None:
    found = one.shared_with(other)
    if found is None:
        assert [name for name in NAMES if name in one and name in other] == []
    else:
        assert found in one
        assert found in other
