"""How large the parts of a model are in memory: the attributes of each of its steps.

An estimate that takes milliseconds: of a long collection, some items stand for the rest, and what several parts share
counts where it is met first. Nothing is copied.
"""

import sys
from itertools import islice
from typing import Any, Final

from safemodel.describe.structure import Step, attributes
from safemodel.describe.values import key

_LISTED_MAX: Final = 20
_SAMPLE: Final = 200  # items of a collection that are looked at
_LOOKS_MAX: Final = 30_000  # in all
_DEPTH_MAX: Final = 40
_ATOMS: Final = (str, bytes, bytearray, int, float, complex, bool, type(None))


def sizes(model: Step) -> list[dict[str, Any]]:
    """Return the largest parts.

    Args:
        model: with its steps.

    Returns:
        At most 20 maps of `part`, an attribute's path, and `bytes`, largest first.
    """
    measure = _Measure({id(step.value) for step in model.walk()})
    found = [
        (measure.of(held, 0), f"{step.path}.{key(name)}".removeprefix("."))
        for step in model.walk()
        for name, held in attributes(step.value).items()
        if isinstance(name, str)
    ]
    largest = sorted(found, key=lambda each: (-each[0], each[1]))[:_LISTED_MAX]
    return [{"part": part, "bytes": size} for size, part in largest if size]


class _Measure:
    """Measures values, each object once.

    Args:
        met: ids of objects that count elsewhere.
    """

    def __init__(self, met: set[int]) -> None:
        self._met = met
        self._looks = 0
        self._states: list[object] = []  # kept: an id may not be given to another object meanwhile

    def of(self, value: Any, depth: int) -> int:
        kind = type(value)
        self._looks += 1
        if kind in _ATOMS:
            return sys.getsizeof(value)
        if id(value) in self._met or self._looks > _LOOKS_MAX or depth > _DEPTH_MAX:
            return 0
        self._met.add(id(value))
        numpy = sys.modules.get("numpy")
        if numpy is not None and issubclass(kind, numpy.ndarray):
            return int(value.nbytes)
        if issubclass(kind, dict):
            return self._some(len(value), _spread(dict.items(value), len(value)), depth)
        if issubclass(kind, list | tuple | set | frozenset):
            return self._some(len(value), _spread(value, len(value)), depth)
        return sum(self.of(held, depth + 1) for held in [*attributes(value).values(), *self._state(value)])

    def _some(self, count: int, items: list[Any], depth: int) -> int:
        total = sum(self.of(item, depth + 1) for item in items)
        return total * count // len(items) if items else 0

    def _state(self, value: Any) -> list[Any]:
        """Return what a compiled object of scikit-learn, such as a tree, says that it holds; its arrays are views."""
        if attributes(value) or not type(value).__module__.startswith("sklearn.") or isinstance(value, type):
            return []
        self._states.append(value.__getstate__())
        return [self._states[-1]]


def _spread(items: Any, count: int) -> list[Any]:
    """Return some items, evenly spread."""
    return list(islice(iter(items), 0, None, max(1, count // _SAMPLE)))
