"""Content that compiled code believes: checked once all of it is there, before the model is handed out.

scikit-learn walks its trees without bounds checks, and takes nodes, features and depths from their arrays. Real trees
have each child after its parent, so that no walk goes in circles, and reach each child from one parent only. numpy's
generators keep a position in a buffer; scipy's distributions run the text of an argument parser that is in their state.

The checks read what the objects themselves hold, since an array may change between the moment it is copied from and a
check. They are chosen by the names of a class and its bases.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from safemodel.errors import PayloadError
from safemodel.payload.guard import Guard
from safemodel.payload.standins import Pair

BATCH_NODES: Final = 1 << 12  # nodes from which on a check does not wait for more: small trees are checked together

_FEW_TREES: Final = 16  # of which each is asked for its depths; of more, all go down level by level

_LEAF: Final = -1
_PLAIN: Final = frozenset((str, int, float, bool, type(None)))
_MT19937_KEY: Final = 624
_PHILOX_BUFFER: Final = 4

Integers = NDArray[np.intp]


def set_state(instance: Any, state: Any) -> None:
    """Do what BUILD does (CPython, Modules/_pickle.c, `load_build`).

    Args:
        instance: the object.
        state: what its `__setstate__` takes, or its attributes, or those and its slots.

    Raises:
        Exception: whatever the class raises.
    """
    setter = getattr(instance, "__setstate__", None)
    if setter is not None:
        setter(state)
        return
    slots = None
    if type(state) is tuple and len(state) == 2:
        state, slots = state
    if state:
        attributes = instance.__dict__
        for name, value in state.items():
            attributes[sys.intern(name) if type(name) is str else name] = value
    for name, value in (slots or {}).items():
        setattr(instance, name, value)


class ContentCheck:
    """What is known of one kind of object in one load.

    Args:
        guard: of the load.
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.made: list[Any] = []

    def set_state(self, instance: Any, state: Any) -> None:
        """Set a state, with a look at it before or after.

        Raises:
            PayloadError: it must not be set.
            Exception: whatever the class raises.
        """
        set_state(instance, state)
        self.made.append(instance)

    def finish(self) -> None:
        """Check what was made.

        Raises:
            PayloadError: compiled code would leave its arrays.
        """


def _refuse(what: str) -> NoReturn:
    raise PayloadError(f"{what} that its code would follow out of its memory", hint="the payload is damaged or forged")


class TreeCheck(ContentCheck):
    """Decision trees: `sklearn.tree._tree.Tree`. It copies its nodes, and gets a state once: they are checked as they
    come, while they are in the cache, small trees in batches.
    """

    def __init__(self, guard: Guard) -> None:
        super().__init__(guard)
        self._batch: list[tuple[Any, Any]] = []
        self._nodes = 0

    def set_state(self, instance: Any, state: Any) -> None:
        """Take real arrays only, of which scikit-learn checks the dtype and shape; then check its copy of the nodes."""
        if type(state) is not dict or not type(state.get("nodes")) is type(state.get("values")) is np.ndarray:
            _refuse("a tree has a state")
        instance.__setstate__(state)
        nodes = instance.__getstate__()["nodes"]
        self._batch.append((instance, nodes))
        self._nodes += len(nodes)
        if self._nodes >= BATCH_NODES:
            self._check_batch()

    def finish(self) -> None:
        """Check what waits, and that no tree was left without a state."""
        if self._batch:
            self._check_batch()
        if not all(tree.node_count > 0 for tree in self.made):
            _refuse("a tree has no node")

    def _check_batch(self) -> None:
        trees, nodes = zip(*self._batch, strict=True)
        self._batch, self._nodes = [], 0
        every = _joined(nodes)
        left = every["left_child"]
        parents = _Parents(left != _LEAF, nodes)
        children = parents.check_children(left, every["right_child"])
        parents.check_features(every["feature"], _numbers(tree.n_features for tree in trees))
        if len(trees) < _FEW_TREES and hasattr(trees[0], "compute_node_depths"):
            deepest = max(int(tree.compute_node_depths().max()) - 1 - tree.max_depth for tree in trees)
        else:
            deepest = parents.depth_over(children, [tree.max_depth for tree in trees])
        if deepest > 0:
            _refuse("a tree is deeper than it says")


def make_checked_tree(cls: Any, made: list[Any]) -> Callable[..., Any]:
    """Return what is called in the place of `Tree`, which copies as many classes as it is told there are outputs.

    Args:
        cls: `Tree`.
        made: gets what it makes.
    """

    def make(n_features: int, n_classes: NDArray[Any], n_outputs: int) -> Any:
        if type(n_classes) is not np.ndarray or n_classes.shape != (n_outputs,) or n_classes.dtype.kind != "i":
            _refuse("a tree has classes")
        tree = cls(n_features, n_classes, n_outputs)
        made.append(tree)
        return tree

    return make


def make_noted(real: Callable[[Any], Any], note: Callable[[Any], None]) -> Callable[[Any], Any]:
    """Return what is called in the place of Cython's `newObj`: what it makes is noted, with or without a state."""

    def make(cls: Any) -> Any:
        made = real(cls)
        note(made)
        return made

    return make


def _joined(nodes: Sequence[Any]) -> Any:
    """The nodes of all trees, one tree after the other; they have one dtype."""
    if len(nodes) == 1:
        return nodes[0]
    # Not the arrays themselves: each would write a description of its record for the buffer protocol.
    return np.frombuffer(b"".join([each.tobytes() for each in nodes]), nodes[0].dtype)


def _numbers(numbers: Iterable[int]) -> Integers:
    return np.array(list(numbers), np.intp)


class _Parents:
    """The nodes that have children, of one tree or of several, one after the other.

    Args:
        inner: which of all nodes have children.
        nodes: the nodes of each tree.
    """

    def __init__(self, inner: NDArray[np.bool_], nodes: Sequence[Any]) -> None:
        self._inner = inner
        self._all = np.flatnonzero(inner)
        sizes = _numbers(map(len, nodes))
        self._roots = np.cumsum(sizes) - sizes
        # For each parent: the first node of its tree, the first one after it, and which tree it is.
        self._first: Any = 0
        self._end: Any = len(inner)
        self._tree: Any = 0
        if len(nodes) > 1:
            self._tree = np.repeat(np.arange(len(nodes)), sizes)[self._all]
            self._first = self._roots[self._tree]
            self._end = self._first + sizes[self._tree]

    def check_children(self, left: Any, right: Any) -> Integers:
        """Check that children come after their parents, in the same tree, and once each.

        Args:
            left, right: of each node, the number of a child in its tree.

        Returns:
            The number among all nodes of the left child of each parent, then of the right one.

        Raises:
            PayloadError: one does not.
        """
        parents = self._all
        children = np.empty((2, len(parents)), np.intp)
        for row, column in zip(children, (left, right), strict=True):
            np.add(column[parents], self._first, out=row, casting="unsafe")
            if not ((row > parents) & (row < self._end)).all():
                _refuse("a tree has a child")
        if len(parents) and np.bincount(children.ravel()).max() > 1:
            _refuse("a tree has a child of two parents")
        return children

    def check_features(self, feature: Any, features: Integers) -> None:
        """Check that parents choose among the features that their tree has.

        Raises:
            PayloadError: one does not.
        """
        chosen = feature[self._all]
        if not ((chosen >= 0) & (chosen < features[self._tree])).all():
            _refuse("a tree has a feature")

    def depth_over(self, children: Integers, announced: Sequence[int]) -> int:
        """Return by how much the depth of any tree exceeds what was announced for it, or a number below that.

        Args:
            children: what `check_children` returned.
            announced: the most for each tree.
        """
        parent_of = np.zeros(len(self._inner), np.intp)  # for each node: its place among the parents
        parent_of[self._all] = np.arange(len(self._all))
        level, most = self._roots, _numbers(announced)
        trees, depth = np.arange(len(most)), 0
        worst = int((-most).max())
        while len(level):
            deeper = self._inner[level]
            places = parent_of[level[deeper]]
            level = children[:, places].ravel()
            trees = np.tile(trees[deeper], 2)
            depth += 1
            if len(level):
                worst = max(worst, depth - int(most[trees].min()))
        return worst


class EstimatorCheck(ContentCheck):
    """Estimators that hand rows to their trees, as wide as they say themselves."""

    def finish(self) -> None:
        """Check that a tree chooses from no more features than there are."""
        for estimator in self.made:
            state = estimator.__dict__
            if "tree_" in state and state["tree_"].n_features != state.get("n_features_in_"):
                _refuse("a tree has features")


class EnsembleCheck(ContentCheck):
    """Forests and boosted trees: their rows go to the trees without another look."""

    def finish(self) -> None:
        """Check that all trees choose from the features of the ensemble."""
        for ensemble in self.made:
            state = ensemble.__dict__
            wanted = {state.get("n_features_in_")}
            if {tree.n_features for tree in _trees(state)} - wanted:
                _refuse("a tree of an ensemble has features")


class SubspaceCheck(ContentCheck):
    """Isolation forests: each tree has features of its own choice."""

    def finish(self) -> None:
        """Check that each tree chooses from as many features as it is given."""
        for forest in self.made:
            state = forest.__dict__
            if "estimators_" not in state:
                continue
            whole = state.get("_max_features") == state.get("n_features_in_")
            for tree, chosen in zip(_trees(state), state["estimators_features_"], strict=True):
                if tree.n_features != len(chosen) or (whole and tree.n_features != state["n_features_in_"]):
                    _refuse("a tree of an isolation forest has features")


def _trees(state: Mapping[str, Any]) -> Iterable[Any]:
    """The trees of an ensemble; boosting casts them without a look (`_gradient_boosting.pyx`)."""
    estimators = state.get("estimators_", ())
    flat = estimators.ravel() if isinstance(estimators, np.ndarray) else estimators
    trees = [estimator.__dict__["tree_"] for estimator in flat]
    if trees and set(map(type, trees)) != {sys.modules["sklearn.tree._tree"].Tree}:
        _refuse("an ensemble has something in the place of a tree")
    return trees


class PredictorCheck(ContentCheck):
    """Trees of histogram gradient boosting: `TreePredictor`."""

    def finish(self) -> None:
        """Check the nodes of all trees."""
        if self.made:
            nodes = _nodes_of(self.made)
            every = _joined(nodes)
            _Parents(every["is_leaf"] == 0, nodes).check_children(every["left"], every["right"])


class BoostingCheck(ContentCheck):
    """Histogram gradient boosting: which features its trees may ask for, and which of them have categories."""

    def finish(self) -> None:
        """Check features and categories of all trees of each estimator."""
        for estimator in self.made:
            state = estimator.__dict__
            predictors = [predictor for stage in state.get("_predictors", ()) for predictor in stage]
            if predictors:
                self._check(state, predictors)

    def _check(self, state: Mapping[str, Any], predictors: list[Any]) -> None:
        nodes = _nodes_of(predictors)
        every = _joined(nodes)
        feature, features = every["feature_idx"], state["n_features_in_"]
        inner = every["is_leaf"] == 0
        if not ((feature >= 0) & (feature < features) | ~inner).all():
            _refuse("a boosted tree has a feature")
        categorical = inner & (every["is_categorical"] != 0)
        if not categorical.any():
            return
        known = np.asarray(state["_bin_mapper"].is_categorical_)
        bitsets = np.repeat(_numbers(map(_bitsets, predictors)), _numbers(map(len, nodes)))
        if (
            known.shape != (features,)
            or not known[feature[categorical]].all()
            or not (every["bitset_idx"][categorical] < bitsets[categorical]).all()
        ):
            _refuse("a boosted tree has a category")


def _nodes_of(predictors: Sequence[Any]) -> list[Any]:
    """The nodes of each tree: arrays of scikit-learn's record."""
    nodes = [predictor.__dict__.get("nodes") for predictor in predictors]
    dtype = sys.modules["sklearn.ensemble._hist_gradient_boosting.common"].PREDICTOR_RECORD_DTYPE
    if not all(type(each) is np.ndarray and each.ndim == 1 and len(each) for each in nodes):
        _refuse("a boosted tree has nodes")
    if any(other != dtype for other in {id(each.dtype): each.dtype for each in nodes}.values()):
        _refuse("a boosted tree has nodes")
    return nodes


def _bitsets(predictor: Any) -> int:
    state = predictor.__dict__
    sets = [state.get(name) for name in ("raw_left_cat_bitsets", "binned_left_cat_bitsets")]
    if any(type(each) is not np.ndarray or each.ndim != 2 or each.shape[1] != 8 for each in sets):
        _refuse("a boosted tree has categories")
    return min(len(each) for each in sets if each is not None)


class NeighboursCheck(ContentCheck):
    """KD trees and ball trees, whose nodes name ranges of an array of indices."""

    def set_state(self, instance: Any, state: Any) -> None:
        """Leave it to the end; `newObj` noted the tree."""
        instance.__setstate__(state)

    def finish(self) -> None:
        """Check each tree."""
        for tree in self.made:
            self._check(tree.__getstate__())

    def _check(self, state: tuple[Any, ...]) -> None:
        data, indices, nodes, bounds, _, levels, count = state[:7]
        metric, weights = state[11:13]
        samples, features = data.shape
        if count != len(nodes) or levels < 1 or count != 2**levels - 1 or bounds.shape[1:] != (count, features):
            _refuse("a neighbours' tree has nodes")
        if len(indices) != samples or indices.min() < 0 or indices.max() >= samples:
            _refuse("a neighbours' tree has an index")
        start, end, leaf = nodes["idx_start"], nodes["idx_end"], nodes["is_leaf"]
        if not ((start >= 0) & (start <= end) & (end <= samples)).all() or not leaf[count // 2 :].all():
            _refuse("a neighbours' tree has a range")
        if weights is not None and weights.shape != (samples,):
            _refuse("a neighbours' tree has weights")
        _check_metric(metric, features)


def _check_metric(metric: Any, features: int) -> None:
    """Some metrics have a parameter for each feature, and read as many as a row has."""
    name = type(metric).__name__
    if metric is None:
        _refuse("a neighbours' tree has a metric")
    _, vector, matrix = metric.__getstate__()[:3]
    if name.startswith("Mahalanobis"):
        fits = matrix.shape == (features, features)
    elif name.startswith("SEuclidean"):
        fits = vector.shape == (features,)
    else:
        fits = not name.startswith(("Minkowski", "WMinkowski")) or len(vector) in (0, features)
    if not fits:
        _refuse("a metric has parameters")


class GeneratorCheck(ContentCheck):
    """numpy's random generators: positions in their buffers."""

    def set_state(self, instance: Any, state: Any) -> None:
        """Check the positions first."""
        _check_positions(state, depth=4)
        set_state(instance, state)


def _check_positions(state: Any, depth: int) -> None:
    """Look through the parts of a state; those of numpy before 1.17 are not named."""
    if not depth or type(state) not in (dict, tuple, list):
        if isinstance(state, dict | tuple | list):
            _refuse("a random generator has a state")
        return
    if type(state) is dict:
        positions, parts = state, tuple(state.values())
    else:
        positions, parts = {"pos": state[2]} if len(state) > 2 and state[0] == "MT19937" else {}, state
    for name, limit in (("pos", _MT19937_KEY), ("buffer_pos", _PHILOX_BUFFER)):
        if name in positions and not (type(positions[name]) is int and 0 <= positions[name] <= limit):
            _refuse("a random generator has a position")
    for part in parts:
        _check_positions(part, depth - 1)


class DistributionCheck(ContentCheck):
    """scipy's distributions, which run a text of their state: it must be the one that scipy itself made."""

    def set_state(self, instance: Any, state: Any) -> None:
        """Compare the state with that of scipy's own instance of the class; then the text may run."""
        own = _pristine_state(type(instance))
        if type(state) is not dict or own is None or not all(_is_own(name, state[name], own) for name in state):
            raise PayloadError(
                f"the distribution {type(instance).__name__} has a state that scipy did not make",
                hint="only scipy's own distributions can be loaded, from the same version of scipy",
            )
        with self.guard.lifted():
            set_state(instance, state)


def _is_own(name: str, value: Any, own: Mapping[str, Any]) -> bool:
    """Whether scipy's state has it too: the text and what goes into it exactly, the rest as plain data."""
    if name in ("_parse_arg_template", "numargs", "shapes"):
        return bool(value == own[name]) and type(value) is type(own[name])
    return name in own and (type(value) is type(own[name]) or type(value) in _PLAIN)


def _pristine_state(cls: type) -> dict[str, Any] | None:
    stats = sys.modules.get("scipy.stats")
    for instance in vars(stats).values() if stats is not None else ():
        if type(instance) is cls:
            return cast(dict[str, Any], instance.__getstate__())
    return None


class BoosterCheck(ContentCheck):
    """Boosters, whose classes hand the model in their state to compiled code by `ctypes`: each needs one.

    The events of `ctypes` pass here only: they do not tell an array of characters over bytes of the state from a view
    of another address (CPython, Modules/_ctypes/_ctypes.c, `PyCData_AtAddress`). The libraries put the address of what
    they made into the state, which is no state for a second booster then: both would free it.
    """

    name: ClassVar[str]
    """Of the model in the state."""

    kind: ClassVar[type]
    """Of the model."""

    def set_state(self, instance: Any, state: Any) -> None:
        """Take a state with a model."""
        if type(state) is not dict or type(state.get(self.name)) is not self.kind:
            raise PayloadError("a booster has a state without a model", hint="the payload is damaged or forged")
        with self.guard.permitting("ctypes.cdata", "ctypes.cdata/buffer", "ctypes.dlsym"):
            set_state(instance, state)


class XGBoostCheck(BoosterCheck):
    """XGBoost's boosters."""

    name = "handle"
    kind = bytearray


class LightGBMCheck(BoosterCheck):
    """LightGBM's boosters, which follow an address of nothing when they predict."""

    name = "_handle"
    kind = str


_FORESTS: Final = "sklearn.ensemble._forest"
_BOOSTING: Final = "sklearn.ensemble._hist_gradient_boosting"

CONTENT_RULES: Final[Mapping[Pair, type[ContentCheck]]] = {
    ("sklearn.tree._tree", "Tree"): TreeCheck,
    ("sklearn.tree._classes", "BaseDecisionTree"): EstimatorCheck,
    (_FORESTS, "BaseForest"): EnsembleCheck,
    ("sklearn.ensemble._gb", "BaseGradientBoosting"): EnsembleCheck,
    ("sklearn.ensemble._iforest", "IsolationForest"): SubspaceCheck,
    (f"{_BOOSTING}.predictor", "TreePredictor"): PredictorCheck,
    (f"{_BOOSTING}.gradient_boosting", "BaseHistGradientBoosting"): BoostingCheck,
    **{
        (f"sklearn.neighbors.{module}", f"BinaryTree{suffix}"): NeighboursCheck
        for module in ("_ball_tree", "_kd_tree")
        for suffix in ("", "32", "64")
    },
    ("numpy.random.bit_generator", "BitGenerator"): GeneratorCheck,
    ("numpy.random.mtrand", "RandomState"): GeneratorCheck,
    ("numpy.random._generator", "Generator"): GeneratorCheck,
    ("scipy.stats._distn_infrastructure", "rv_generic"): DistributionCheck,
    ("lightgbm.basic", "Booster"): LightGBMCheck,
    ("xgboost.core", "Booster"): XGBoostCheck,
}
"""Which check looks at the instances of a class, by the names of the class or of a base of it."""


def rule_for(cls: type) -> type[ContentCheck] | None:
    """Find the check of a class; the nearest base decides."""
    for base in cls.__mro__:
        rule = CONTENT_RULES.get((base.__module__, base.__qualname__))
        if rule is not None:
            return rule
    return None
