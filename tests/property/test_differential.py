"""Four readers of one payload: the walk, the lexer, the rehearsal, and an unpickler of the tests' own, `attacks.inert`.

On attacks, on real payloads and on mutations of both they agree on globals, roles and arrays, and what the walk refuses
is not loaded, even if it is signed with the truth. The exceptions, each with its reason:

* A key that cannot be hashed: to the walk objects are opaque, to the rehearsal those of its own. The load fails.
* A memo with holes: picklers write none, so the walk refuses them. To both of Python's unpicklers a slot is just a
  number, and the lexer bounds it, so the loader takes what was signed so.
* A key twice in the state of joblib's wrapper: to both of Python's unpicklers the last one counts.
* Opcodes that put no items into something: they do nothing, and picklers write none. The walk counts them as a use.
* A text that is no UTF-8 in a vocabulary, which the rehearsal leaves out: there the load itself fails.
* What only the load can tell from what it makes: items for a dtype, or a POP that reaches below the stack.
* joblib's wrapper, or its class, as data: the loader puts an inert one of its own there.
* The roles of joblib's wrapper, which is never imported, and references, which the guard's rules for arguments judge.
"""

import random
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from attacks.inert import WRAPPER, Pair, Truth, follow
from fuzz.generate import generated
from fuzz.payloads import ATTACKS, benign, joblib_dump, mutated_payload, seeds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from safemodel.errors import ConfigurationError, SafemodelError
from safemodel.format.manifest import ROLES
from safemodel.payload.catalogue import load_catalogue
from safemodel.payload.findings import Counts, Walk
from safemodel.payload.index import decode_index, encode_index
from safemodel.payload.lexer import BUILD
from safemodel.payload.rehearsal import Plan, Rehearsal
from safemodel.payload.restricted import load_restricted
from safemodel.payload.standins import Permissions
from safemodel.payload.streams import open_stream
from safemodel.payload.walk import walk

EXPANDED_MAX = 2**20
FRAME_HEAD = 9
ENFORCED = ("call", "newobj", "build", "setitems")


def walked(data: bytes) -> Walk | None:
    try:
        return walk(data)
    except SafemodelError:
        return None


def rehearsed(data: bytes, truth: Truth, signed: Permissions) -> Plan | None:
    """Rehearse a payload that was signed by force, with all that a user can allow."""
    try:
        regions = decode_index(encode_index(truth.regions), len(data))
        return Rehearsal(memoryview(bytearray(data)), regions, signed, allowed(truth)).run()
    except Exception:  # the loader makes an error of ours of it; the fuzz targets show that
        return None


def allowed(truth: Truth) -> Permissions:
    return {pair: frozenset(ROLES) for pair in truth.uses if may_be_allowed(pair)}


@cache
def may_be_allowed(pair: Pair) -> bool:
    try:
        return load_catalogue().with_additions([".".join(pair)]).allows(*pair, ())
    except ConfigurationError:
        return pair in load_catalogue().permissions


def compare(data: bytes) -> bool:
    """Compare what the four find, and tell whether all of them accept it."""
    truth, found = follow(data), walked(data)
    complete = truth.error is None and truth.end == len(data)
    if found is not None and complete:
        roles = {(use.module, use.name): frozenset(use.roles) for use in found.globals}
        assert roles == truth.roles or truth.idle
        assert roles.keys() == truth.roles.keys()
        assert found.regions == tuple(truth.regions)
    elif found is not None:
        assert isinstance(truth.error, TypeError)
        assert "unhashable" in str(truth.error)
    plan = rehearsed(data, truth, dict.fromkeys(truth.uses, frozenset(ROLES)))
    if plan is None:
        return False
    followed = found is not None or truth.holes or truth.idle or truth.loose or truth.twice
    if not complete or not followed:  # the rehearsal is not the last to judge
        assert not loaded(data, truth)
        return False
    assert plan.uses.keys() == truth.uses.keys()
    assert builds_of(plan) == truth.builds
    assert [cut for cut, _ in arrays_of(plan)] == [region.cut for region in truth.regions]
    for (_, after), region in zip(arrays_of(plan), truth.regions, strict=True):
        assert (after - region.start - region.size) % FRAME_HEAD == 0
    check_roles(data, truth)
    return True


def loaded(data: bytes, truth: Truth) -> bool:
    """Tell whether a payload loads that was signed by force."""
    signed, counts = dict.fromkeys(truth.uses, frozenset(ROLES)), Counts(0, len(truth.regions), 0, 0)
    try:
        load_restricted(memoryview(bytearray(data)), truth.regions, signed, counts, load_catalogue().permissions)
    except SafemodelError:
        return False
    return True


def check_roles(data: bytes, truth: Truth) -> None:
    """Show that the rehearsal takes the very roles that the truth has, and no role less."""
    assert rehearsed(data, truth, truth.roles)
    for pair, roles in truth.roles.items():
        for role in roles.intersection(ENFORCED) if pair != WRAPPER else ():
            assert not rehearsed(data, truth, truth.roles | {pair: roles - {role}})


def builds_of(plan: Plan) -> list[int]:
    return sorted(begin for stream in plan.streams.values() for begin, _, text, _ in stream.notes if text == BUILD)


def arrays_of(plan: Plan) -> list[tuple[int, int]]:
    """Where the lexer cut, and where it went on: behind the array, or behind the head of the frame after it."""
    return [(begin + 1, after) for begin, after, text, _ in plan.streams[None].notes if text.startswith(b"J")]


# Payloads.


def models() -> list[object]:
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.array([0, 1] * 20)
    text = [f"word{number} and word{number % 7}" for number in range(40)]
    column = ColumnTransformer([("numbers", StandardScaler(), [0, 1]), ("kinds", OneHotEncoder(), [2])])
    return [
        LogisticRegression().fit(X, np.array(["no", "yes"] * 20, object)),
        RandomForestRegressor(3).fit(X, y),
        HistGradientBoostingClassifier(max_iter=3).fit(X, y),
        make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(text, y),
        KNeighborsClassifier(algorithm="kd_tree").fit(X, y),
        GridSearchCV(SVC(), {"C": [1, 2]}, cv=2).fit(X, y),
        column.fit(np.round(X)),
        GaussianProcessRegressor(random_state=np.random.RandomState(1)).fit(X, y),
        [np.ma.array([1, 2], mask=[False, True]), np.zeros((0, 3)), np.array([{"a": np.arange(2)}, None], object)],
    ]


@pytest.mark.parametrize("protocol", range(6))
def test_models_as_joblib_writes_them(protocol: int) -> None:
    for model in models():
        assert compare(joblib_dump(model, protocol=protocol))


@pytest.mark.parametrize("seed", range(len(benign())))
def test_small_payloads(seed: int) -> None:
    assert compare(bytes(open_stream(benign()[seed])[0]))


@pytest.mark.parametrize("file", sorted(path.name for path in ATTACKS.iterdir() if path.suffix not in (".tsv", ".md")))
def test_attacks(file: str) -> None:
    try:
        stream, _ = open_stream((ATTACKS / file).read_bytes(), limit=EXPANDED_MAX)
    except SafemodelError:
        return
    compare(bytes(stream))


# Mutations.


def mutations(seed: int, count: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    for _ in range(count):
        try:
            yield bytes(open_stream(mutated_payload(chance.choice(seeds()), chance), limit=EXPANDED_MAX)[0])
        except SafemodelError:
            continue


anything = st.integers(min_value=0, max_value=2**64 - 1)


@given(anything)
@settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutations(seed: int) -> None:
    for data in mutations(seed, 8):
        compare(data)


@pytest.mark.slow
@given(anything)
@settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_many_mutations(seed: int) -> None:
    for data in mutations(seed, 10):
        compare(data)


def generations(seed: int, count: int) -> Iterator[bytes]:
    """Streams of a grammar, as they are made and with changes."""
    chance = random.Random(seed)
    for _ in range(count):
        yield (made := generated(chance))
        yield mutated_payload(made, chance)


@given(anything)
@settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_generated_streams(seed: int) -> None:
    for data in generations(seed, 10):
        compare(data)


@pytest.mark.slow
@given(anything)
@settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_many_generated_streams(seed: int) -> None:
    for data in generations(seed, 10):
        compare(data)


def test_most_generated_streams_are_accepted() -> None:
    chance = random.Random(0)
    assert sum(compare(generated(chance)) for _ in range(300)) > 200


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_every_truncation_is_refused(seed: int) -> None:
    data = benign()[seed]
    assert not any(compare(data[:size]) for size in range(len(data)))


def test_every_bit() -> None:
    data = benign()[4]
    for place in range(8 * len(data)):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        compare(bytes(changed))
