"""Content checks, with the real classes: what scikit-learn, numpy and scipy make passes, and nothing else does."""

import copy
import ctypes
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pytest
import xgboost
from scipy import stats
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.metrics import DistanceMetric
from sklearn.neighbors import BallTree, KDTree
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import Bunch

import safemodel
from safemodel.errors import PayloadError
from safemodel.payload import content
from safemodel.payload.guard import Guard
from safemodel.payload.restricted import load_restricted
from safemodel.payload.walk import walk

X, Y = make_classification(200, 8, random_state=0)
FOREST = RandomForestClassifier(3, random_state=0).fit(X, Y)
TREE = FOREST.estimators_[0].tree_
POINTS = np.random.RandomState(0).rand(100, 4)


def load(value: object) -> Any:
    buffer = io.BytesIO()
    joblib.dump(value, buffer)
    found = walk(buffer.getvalue())
    signed = {(use.module, use.name): frozenset(use.roles) for use in found.globals}
    return load_restricted(memoryview(bytearray(buffer.getvalue())), found.regions, signed, found.counts)


class Forged:
    """Pickles as something else, with parts of its state exchanged."""

    def __init__(self, value: Any, *changes: tuple[Any, Any], arguments: tuple[Any, ...] | None = None) -> None:
        self.value = value
        self.changes = changes
        self.arguments = arguments

    def __reduce__(self) -> Any:
        function, arguments, state = self.value.__reduce__()
        parts = dict(state) if isinstance(state, dict) else dict(enumerate(state))
        parts.update(self.changes)
        forged = parts if isinstance(state, dict) else tuple(parts.values())
        return function, self.arguments or arguments, forged


def nodes(tree: Any, field: str, place: int, value: int) -> Any:
    changed = tree.__getstate__()["nodes"].copy()
    changed[field][place] = value
    return changed


def single() -> Any:
    return DecisionTreeClassifier(max_depth=1).fit(X, np.zeros(200)).tree_


@pytest.mark.parametrize("how_many", [1, 40])
def test_trees_pass(how_many: int) -> None:
    assert len(load([Forged(TREE) for _ in range(how_many)])) == how_many
    assert len(load([Forged(single()) for _ in range(how_many)])) == how_many


class Without:
    """Pickles as something else, without its state."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        return self.value.__reduce__()[:2]


@pytest.mark.parametrize("value", [TREE, BallTree(POINTS), KDTree(POINTS)], ids=["tree", "ball tree", "KD tree"])
def test_what_has_no_state(value: Any) -> None:
    with pytest.raises(PayloadError):
        load(Without(value))


def test_batches_of_trees_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "BATCH_NODES", 1)
    assert load([Forged(TREE), Forged(TREE)])


CHANGES = [
    ("max_depth", 1),
    ("node_count", -3),
    ("node_count", 1),
    ("nodes", None),
    ("values", [1.0]),
    ("nodes", nodes(TREE, "left_child", 0, 10**6)),
    ("nodes", nodes(TREE, "left_child", 0, -7)),
    ("nodes", nodes(TREE, "right_child", 0, 0)),
    ("nodes", nodes(TREE, "right_child", 0, 1)),
    ("nodes", nodes(TREE, "feature", 0, 8)),
    ("nodes", nodes(TREE, "feature", 0, -7)),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("how_many", [1, 40])
def test_forged_trees(change: tuple[str, Any], how_many: int) -> None:
    trees = [Forged(TREE) for _ in range(how_many - 1)]
    with pytest.raises(PayloadError):
        load([*trees, Forged(TREE, change)])


def test_depth_is_found_level_by_level_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_FEW_TREES", 0)
    assert load(FOREST) is not None
    with pytest.raises(PayloadError):
        load(Forged(TREE, ("max_depth", TREE.max_depth - 1)))


def test_a_tree_of_another_state_is_refused() -> None:
    check = content.TreeCheck(Guard())
    with pytest.raises(PayloadError):
        check.set_state(None, [])


@pytest.mark.parametrize(
    "arguments",
    [
        (8, np.array([2, 2]), 1),
        (8, np.array([2.0]), 1),
        (8, np.array([[2]]), 1),
        (8, np.ma.array([2], mask=[False]), 1),
    ],
)
def test_forged_arguments_of_trees(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(PayloadError):
        load(Forged(TREE, arguments=arguments))


def narrow_and_wide(cls: Any, **arguments: Any) -> tuple[Any, Any]:
    return cls(**arguments).fit(X[:, :4], Y), cls(**arguments).fit(X, Y)


@pytest.mark.parametrize("cls", [RandomForestClassifier, GradientBoostingClassifier, IsolationForest])
def test_ensembles(cls: Any) -> None:
    narrow, wide = narrow_and_wide(cls, n_estimators=3, random_state=0)
    assert load(narrow) is not None
    assert load(cls()) is not None
    narrow.estimators_[1] = wide.estimators_[1]
    with pytest.raises(PayloadError):
        load(narrow)


def test_an_isolation_forest_of_subspaces() -> None:
    forest = IsolationForest(n_estimators=3, max_features=2, random_state=0).fit(X)
    assert load(forest) is not None
    forest._max_features = 8
    with pytest.raises(PayloadError):
        load(forest)


def test_estimators() -> None:
    narrow, wide = narrow_and_wide(DecisionTreeClassifier)
    assert load(narrow) is not None
    assert load(DecisionTreeClassifier()) is not None
    narrow.tree_ = wide.tree_
    with pytest.raises(PayloadError):
        load(narrow)


def test_something_else_in_the_place_of_a_tree() -> None:
    narrow, _ = narrow_and_wide(GradientBoostingClassifier, n_estimators=3)
    narrow.estimators_[1, 0].tree_ = Bunch(n_features=4)
    with pytest.raises(PayloadError):
        load(narrow)


def boosted(**arguments: Any) -> Any:
    changed = X[:, :4].copy()
    changed[:, 2] = abs(changed[:, 2] * 3).round()
    return HistGradientBoostingClassifier(max_iter=3, **arguments).fit(changed, changed[:, 2] % 3 == 1)


def test_histogram_boosting() -> None:
    assert load(boosted()) is not None
    assert load(boosted(categorical_features=[2])) is not None
    assert load(HistGradientBoostingClassifier()) is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [("left", 10**6), ("left", 0), ("right", 1), ("feature_idx", 4), ("feature_idx", -1), ("is_categorical", 1)],
)
def test_forged_histogram_boosting(field: str, value: int) -> None:
    boosting = boosted()
    boosting._predictors[1][0].nodes[field][0] = value
    with pytest.raises(PayloadError):
        load(boosting)


@pytest.mark.parametrize("forged", [None, np.zeros(3), np.zeros((2, 2), "V56"), [], np.zeros(0)])
def test_boosted_trees_without_nodes(forged: Any) -> None:
    boosting = boosted()
    boosting._predictors[1][0].nodes = forged
    with pytest.raises(PayloadError):
        load(boosting)


@pytest.mark.parametrize("forged", [None, np.zeros(3), np.zeros((2, 2), "V56"), [], np.zeros(0)])
def test_nodes_that_an_older_scikit_learn_would_take(forged: Any) -> None:
    check = content.PredictorCheck(Guard())
    check.finish()
    predictor = Attributes()
    predictor.nodes = forged  # type: ignore[attr-defined]
    check.made.append(predictor)
    with pytest.raises(PayloadError):
        check.finish()


@pytest.mark.parametrize("sets", [np.zeros((0, 8), "u4"), np.zeros((9, 7), "u4"), np.zeros(8, "u4"), None])
def test_boosted_trees_without_categories(sets: Any) -> None:
    boosting = boosted(categorical_features=[2])
    for stage in boosting._predictors:
        stage[0].raw_left_cat_bitsets = sets
    with pytest.raises(PayloadError):
        load(boosting)


def test_categories_are_as_many_as_features() -> None:
    boosting = boosted(categorical_features=[2])
    boosting._bin_mapper.is_categorical_ = np.ones(3)
    with pytest.raises(PayloadError):
        load(boosting)


@pytest.mark.parametrize("cls", [BallTree, KDTree])
@pytest.mark.parametrize(
    ("place", "part"),
    [
        (1, np.full(100, 100)),
        (1, np.full(100, -1)),
        (1, np.arange(99)),
        (3, np.zeros((1, 1, 4))),
        (5, 60),
        (5, 0),
        (6, 1),
        (11, None),
        (11, DistanceMetric.get_metric("seuclidean", V=np.ones(2))),
        (11, DistanceMetric.get_metric("mahalanobis", VI=np.eye(2))),
        (11, DistanceMetric.get_metric("minkowski", p=3, w=np.ones(2))),
        (12, np.ones(3)),
    ],
)
def test_forged_neighbours(cls: Any, place: int, part: Any) -> None:
    with pytest.raises(PayloadError):
        load(Forged(cls(POINTS), (place, part)))


@pytest.mark.parametrize(("field", "place", "value"), [("idx_end", 0, 10**6), ("idx_start", 0, -1), ("is_leaf", -1, 0)])
def test_forged_ranges_of_neighbours(field: str, place: int, value: int) -> None:
    tree = BallTree(POINTS)
    changed = tree.__getstate__()[2].copy()
    changed[field][place] = value
    with pytest.raises(PayloadError):
        load(Forged(tree, (2, changed)))


@pytest.mark.parametrize(
    "arguments",
    [
        {"metric": "seuclidean", "V": np.ones(4)},
        {"metric": "mahalanobis", "VI": np.eye(4)},
        {"metric": "minkowski", "p": 3},
        {"metric": "minkowski", "p": 3, "w": np.ones(4)},
        {"sample_weight": np.ones(100)},
    ],
)
def test_neighbours_pass(arguments: dict[str, Any]) -> None:
    cls = BallTree if "metric" in arguments else KDTree
    assert load(cls(POINTS, **arguments)) is not None


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.PCG64, np.random.Philox, np.random.default_rng])
def test_generators_pass(make: Any) -> None:
    assert load(make(3)) is not None


@pytest.mark.parametrize(
    "state",
    [
        {"bit_generator": "MT19937", "state": {"key": np.zeros(624, "u4"), "pos": 625}},
        {"bit_generator": "MT19937", "state": {"key": np.zeros(624, "u4"), "pos": -1}},
        {"bit_generator": "MT19937", "state": {"key": np.zeros(624, "u4"), "pos": np.int64(3)}},
        {"bit_generator": "Philox", "buffer_pos": 5},
        ("MT19937", np.zeros(624, "u4"), 625, 0, 0.0),
        ["MT19937", np.zeros(624, "u4"), 625, 0, 0.0],
        {"state": Bunch(pos=625)},
        ({"a": {"b": {"c": {"pos": 625}}}},),
    ],
)
def test_forged_positions_of_generators(state: Any) -> None:
    with pytest.raises(PayloadError):
        content.GeneratorCheck(Guard()).set_state(np.random.RandomState(0), state)


def test_positions_of_generators() -> None:
    generator = np.random.RandomState(0)
    check = content.GeneratorCheck(Guard())
    check.set_state(generator, np.random.RandomState(1).get_state(legacy=False))
    check.set_state(generator, np.random.RandomState(1).get_state())
    assert generator.rand() == np.random.RandomState(1).rand()


@pytest.mark.parametrize("name", ["uniform", "loguniform", "randint", "norm"])
def test_distributions_pass(name: str) -> None:
    mine = load(getattr(stats, name)(1, 2))
    assert mine.support() == getattr(stats, name)(1, 2).support()


@pytest.mark.parametrize(
    "change",
    [
        {"_parse_arg_template": "raise SystemExit"},
        {"numargs": 7},
        {"_attach_methods": np.mean},
        {"moment_type": Bunch()},
    ],
)
def test_forged_distributions(change: dict[str, Any]) -> None:
    uniform = copy.deepcopy(stats.uniform)
    vars(uniform).update(change)
    with pytest.raises(PayloadError):
        load(uniform)


def test_a_distribution_that_scipy_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    check = content.DistributionCheck(Guard())
    for state in (dict[str, Any](), list[Any]()):
        with pytest.raises(PayloadError):
            check.set_state(type("Mine", (), {})(), state)
    monkeypatch.delitem(__import__("sys").modules, "scipy.stats")
    with pytest.raises(PayloadError):
        check.set_state(stats.uniform, {})


BOOSTERS = {
    "xgboost": xgboost.train({"max_depth": 2}, xgboost.DMatrix(X, Y), 2),
    "lightgbm": lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, Y), 2),
}


@pytest.mark.parametrize("name", BOOSTERS)
def test_boosters_pass(name: str) -> None:
    mine = load(BOOSTERS[name])
    assert mine.__getstate__() == BOOSTERS[name].__getstate__()


@pytest.mark.parametrize("name", BOOSTERS)
def test_boosters_pass_in_a_new_process(name: str, tmp_path: Path, release: Any) -> None:
    """A library looks a function of its compiled code up when it is first called."""
    path = tmp_path / "booster.safemodel"
    safemodel.dump(BOOSTERS[name], path, key=release.private)
    code = "import safemodel, sys; print(type(safemodel.load(sys.argv[1], trust=sys.argv[2])).__module__)"
    command = [sys.executable, "-c", code, str(path), str(release.public)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True)
    assert loaded.stdout.startswith(name)


CHECKS: dict[str, Any] = {"xgboost": content.XGBoostCheck, "lightgbm": content.LightGBMCheck}


def built(name: str, state: Any) -> None:
    booster: Any = type(BOOSTERS[name])
    CHECKS[name](Guard()).set_state(booster.__new__(booster), state)


@pytest.mark.parametrize("name", BOOSTERS)
@pytest.mark.parametrize("model", [None, 1, b"", bytearray, np.zeros(3), ctypes.c_void_p()])
def test_forged_boosters(name: str, model: Any) -> None:
    for state in ({"handle": model, "_handle": model}, [("handle", model), ("_handle", model)], {}):
        with pytest.raises(PayloadError):
            built(name, state)


@pytest.mark.parametrize("name", BOOSTERS)
def test_a_state_makes_one_booster(name: str) -> None:
    """The libraries put the address of what they made into the state: two would free it."""
    state: Any = BOOSTERS[name].__getstate__()
    built(name, state)
    assert type(state[CHECKS[name].name]) is ctypes.c_void_p
    with pytest.raises(PayloadError):
        built(name, state)


class Slots:
    __slots__ = ("first", "second")


class Attributes:
    pass


def test_states_are_set_as_pickle_sets_them() -> None:
    slots, attributes = Slots(), Attributes()
    content.set_state(slots, (None, {"first": 1}))
    content.set_state(attributes, {"name": 1, 2: 3})
    content.set_state(attributes, ({"other": 2}, None))
    content.set_state(attributes, None)
    assert slots.first == 1  # type: ignore[attr-defined]
    assert vars(attributes) == {"name": 1, 2: 3, "other": 2}
    with pytest.raises(AttributeError):
        content.set_state(slots, {"first": 1})


def test_a_class_without_a_rule() -> None:
    assert content.rule_for(dict) is None
    assert content.rule_for(RandomForestClassifier) is content.EnsembleCheck
