"""Edits of a `trust.toml`: what they say, what they leave alone, and what they refuse."""

import tomllib
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safemodel.errors import ConfigurationError
from safemodel.trust.editing import (
    BLANK,
    Change,
    add_rule,
    allow,
    edited,
    remove_key,
    remove_signer,
    revoke,
    set_signer,
)

DAY = date(2027, 1, 31)
POLICY = """\
# at the top
version = 7   # raised

[signers.alice]   # Alice
keys = [
  "alice.pub",  # the old one
  "alice-2027.pub",
]
contact = 'alice@example.com'
# about Alice

# about Bob
[signers.bob]
keys = ["bob.pub"]

# ---- rules ----

# production
[[rules]]
models = ["acme/*"]
signers = ["alice", "bob"] # both
allow = ["acme.One"]

# tests
[[rules]]
models = ["test/*"]
signers = ["bob", "alice"]

# ---- revoked ----
[[revoked]]
artifact = "aa"
date = 2026-11-02
reason = "bad"
# the end
"""
INLINE = """\
version = 1
signers = {alice = {keys = ["alice.pub", "b.pub"]}, bob = {keys = ["bob.pub"]}}
rules = [
  {models = ["acme/*"], signers = ["alice", "bob"]},
]
revoked = []
"""
LINE_ENDS = POLICY.replace("\n", "\r\n")


def add_signer(value: Any) -> None:
    value["signers"]["carol"] = {"keys": ["carol.pub"], "valid_until": DAY, "contact": "c"}


def add_to_signer(value: Any) -> None:
    value["signers"]["alice"]["keys"].append("new.pub")
    value["signers"]["alice"]["valid_from"] = datetime(2027, 1, 1, tzinfo=UTC)


def add_new_rule(value: Any) -> None:
    value["rules"].append({"models": ["other/*"], "signers": ["bob"]})


def do_nothing(value: Any) -> None:
    pass


def drop_key(value: Any) -> None:
    value["signers"]["alice"]["keys"].remove("alice.pub")


def drop_bob(value: Any) -> None:
    del value["signers"]["bob"]
    for rule in value["rules"]:
        rule["signers"].remove("bob")


def revoke_bob(value: Any) -> None:
    value["revoked"].append({"signer": "bob", "date": DAY, "reason": "stolen"})


def allow_more(value: Any) -> None:
    value["rules"][0].setdefault("allow", []).extend(["acme.Two", "acme.Three"])


CASES: list[tuple[Change, Callable[[Any], None]]] = [
    (set_signer("carol", ["carol.pub"], valid_until=DAY, contact="c"), add_signer),
    (set_signer("alice", ["new.pub"], valid_from=datetime(2027, 1, 1, tzinfo=UTC), contact=None), add_to_signer),
    (add_rule(["other/*"], "bob"), add_new_rule),
    (add_rule(["acme/*"], "bob"), do_nothing),
    (remove_key("alice", "alice.pub"), drop_key),
    (remove_signer("bob"), drop_bob),
    (revoke("signer", "bob", DAY, "stolen"), revoke_bob),
    (allow(1, ["acme.Two", "acme.Three"]), allow_more),
]


def is_subsequence(some: list[str], lines: list[str]) -> bool:
    remaining = iter(lines)
    return all(line in remaining for line in some)


@pytest.mark.parametrize("text", [POLICY, INLINE, LINE_ENDS], ids=["tables", "inline", "crlf"])
@pytest.mark.parametrize(("change", "expected"), CASES)
def test_an_edit_says_what_it_should(text: str, change: Change, expected: Callable[[Any], None]) -> None:
    value = tomllib.loads(text)
    expected(value)
    value["version"] += 1
    assert tomllib.loads(edited(text, change)) == value


@pytest.mark.parametrize("index", [0, 1, 2, 3, 6, 7])
def test_an_addition_keeps_every_line_but_those_that_it_extends(index: int) -> None:
    lines = POLICY.splitlines()
    untouched = [line for line in lines if not line.startswith(("version", "allow"))]
    assert is_subsequence(untouched, edited(POLICY, CASES[index][0]).splitlines())


def test_a_removal_keeps_the_rest() -> None:
    assert edited(POLICY, remove_signer("bob")) == (
        POLICY.replace("version = 7", "version = 8")
        .replace('[signers.bob]\nkeys = ["bob.pub"]\n', "")
        .replace('"alice", "bob"', '"alice"')
        .replace('"bob", "alice"', '"alice"')
    )


def test_new_tables_stand_below_their_kind_and_above_what_is_about_the_next() -> None:
    text = edited(POLICY, set_signer("carol", ["carol.pub"]), add_rule(["other/*"], "bob"))
    assert '[signers.carol]\nkeys = ["carol.pub"]\n\n# ---- rules ----\n' in text
    assert 'models = ["other/*"]\nsigners = ["bob"]\n\n# ---- revoked ----\n[[revoked]]\n' in text


def test_a_new_field_stands_with_the_others() -> None:
    text = edited(POLICY, set_signer("alice", valid_until=DAY))
    assert "'alice@example.com'\nvalid_until = 2027-01-31\n# about Alice\n\n# about Bob\n" in text


def test_a_field_is_replaced_where_it_stands() -> None:
    text = edited(POLICY, set_signer("alice", contact="a"))
    assert text == POLICY.replace("version = 7", "version = 8").replace("'alice@example.com'", '"a"')


def test_a_signer_joins_the_rule_for_the_same_models() -> None:
    text = edited(POLICY, set_signer("carol", ["carol.pub"]), add_rule(["acme/*"], "carol"))
    value = tomllib.loads(text)
    assert value["rules"][0]["signers"] == ["alice", "bob", "carol"]
    assert len(value["rules"]) == 2


def test_a_blank_policy() -> None:
    text = edited(BLANK, set_signer("alice", ["alice.pub"]), add_rule(["*"], "alice"), revoke("key", "ff", DAY, "x"))
    assert text.startswith(BLANK.replace("version = 0", "version = 1"))
    assert "\n\n\n" not in text
    assert text.count("\n\n[") == 3
    assert tomllib.loads(text) == {
        "version": 1,
        "signers": {"alice": {"keys": ["alice.pub"]}},
        "rules": [{"models": ["*"], "signers": ["alice"]}],
        "revoked": [{"key": "ff", "date": DAY, "reason": "x"}],
    }


def test_a_file_without_its_last_line_end() -> None:
    assert edited("version = 1", add_rule(["*"], "a")).startswith("version = 2\n")


@pytest.mark.parametrize(
    ("text", "change"),
    [
        (POLICY, set_signer("carol", contact="c")),
        (POLICY, remove_signer("carol")),
        (POLICY, remove_key("carol", "carol.pub")),
        (POLICY, remove_key("alice", "carol.pub")),
        (POLICY, remove_key("bob", "bob.pub")),
        (POLICY, revoke("artifact", "aa", DAY, "again")),
        (POLICY.replace('"alice", "bob"', '"bob"'), remove_signer("bob")),
        (POLICY.replace('["alice", "bob"]', '["alice", "bob"]\nrequire = ["bob"]'), remove_signer("bob")),
        ("version = 1", remove_signer("bob")),
        ('version = 1\n[signers.a]\nkeys = ["a"]\n[[rules]]\n[signers.b]\nkeys = ["b"]\n', add_rule(["*"], "a")),
    ],
)
def test_what_is_refused(text: str, change: Change) -> None:
    with pytest.raises(ConfigurationError):
        edited(text, change)


WORDS = st.text("abcdefghij", min_size=1, max_size=6)
COMMENTS = st.lists(st.text("abc #[]\"'=", max_size=8).map(lambda text: f"# {text}"), max_size=2)


@st.composite
def policies(draw: st.DrawFn) -> str:
    """A policy with comments and empty lines anywhere between its lines."""
    names = draw(st.lists(WORDS, min_size=2, max_size=3, unique=True))
    lines = ["version = 3"]
    for name in names:
        lines += [f"[signers.{name}]", f'keys = ["{name}.pub"]', f'contact = "{draw(WORDS)}"']
    for number in range(draw(st.integers(1, 2))):
        lines += ["[[rules]]", f'models = ["m{number}/*"]', f"signers = {names!r}".replace("'", '"')]
    for number in range(draw(st.integers(0, 2))):
        lines += ["[[revoked]]", f'key = "{number}"', "date = 2026-01-01", f'reason = "{draw(WORDS)}"']
    between = [draw(COMMENTS | st.just([""])) for _ in lines]
    return "\n".join(part for line, more in zip(lines, between, strict=True) for part in (line, *more)) + "\n"


@settings(deadline=None)
@given(policies(), st.sampled_from(["signer", "field", "rule", "revoke", "allow"]))
def test_an_addition_leaves_the_rest_as_it_was(text: str, what: str) -> None:
    name = next(iter(tomllib.loads(text)["signers"]))
    change = {
        "signer": set_signer("new", ["new.pub"]),
        "field": set_signer(name, valid_until=DAY),
        "rule": add_rule(["new/*"], name),
        "revoke": revoke("signer", name, DAY, "stolen"),
        "allow": allow(1, ["acme.Clip"]),
    }[what]
    after = edited(text, change)
    assert is_subsequence(text.splitlines()[1:], after.splitlines())
    before, value = tomllib.loads(text), tomllib.loads(after)
    assert value["version"] == before["version"] + 1
    for kind in ("signers", "rules", "revoked"):
        for one, other in zip(entries(before, kind), entries(value, kind), strict=False):
            assert one.items() <= other.items()


@settings(deadline=None)
@given(policies())
def test_taking_a_signer_away_leaves_the_others_as_they_were(text: str) -> None:
    before = tomllib.loads(text)
    [gone, *_] = before["signers"]
    value = tomllib.loads(edited(text, remove_signer(gone)))
    del before["signers"][gone]
    for rule in before["rules"]:
        rule["signers"].remove(gone)
    assert value == before | {"version": 4}


@settings(deadline=None)
@given(policies(), st.integers(0, 2))
def test_taking_a_signer_away_keeps_what_is_said_of_others(text: str, which: int) -> None:
    names = list(tomllib.loads(text)["signers"])
    gone = names[which % len(names)]
    start = text.index(f"[signers.{gone}]")
    remarks = text[:start].splitlines()[1:]
    table, _, rest = text[start:].partition("\n[")
    remarks += table.partition("\ncontact")[2].partition("\n\n")[2].splitlines()
    remarks += [line for line in rest.splitlines()[1:] if line.startswith("#")]
    assert is_subsequence(remarks, edited(text, remove_signer(gone)).splitlines())


def entries(value: Any, kind: str) -> list[Any]:
    found = value.get(kind, [])
    return list(found.values()) if isinstance(found, dict) else found


def test_whoever_is_removed_signs_no_bundles_either() -> None:
    text = POLICY.replace('signers = ["alice", "bob"] # both', 'signers = ["alice", "bob"]\noms = ["bob", "alice"]')
    text = text.replace('signers = ["bob", "alice"]', 'signers = ["bob", "alice"]\noms = ["bob"]')
    first, second = tomllib.loads(edited(text, remove_signer("bob")))["rules"]
    assert first["oms"] == ["alice"]
    assert "oms" not in second
