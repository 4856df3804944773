"""How large the parts of a model are in memory: the attributes of each of its steps.

An estimate that takes milliseconds: of a long collection, the first items stand for the rest, and what several parts
share counts where it is met first. Nothing large is copied.
"""

import sys
from itertools import islice
from typing import Any, Final

from safemodel.describe.structure import Step, attributes
from safemodel.describe.values import key

_LISTED_MAX: Final = 20
_LEAST: Final = 100  # parts of the whole; smaller ones say nothing
_SAMPLE: Final = 50  # items of a collection that are looked at
_LOOKS_MAX: Final = 30_000  # in all
_DEPTH_MAX: Final = 40
_ATOMS: Final = (str, bytes, bytearray, int, float, complex, bool, type(None))


def sizes(model: Step) -> list[dict[str, Any]]:
    """Return the largest parts.

    Args:
        model: with its steps.

    Returns:
        At most 20 maps of `part`, an attribute's path, and `bytes`, largest first; none below a hundredth of the whole.
    """
    measure = _Measure({id(step.value) for step in model.walk()})
    found = [
        (measure.of(held, 0), f"{step.path}.{key(name)}".removeprefix("."))
        for step in model.walk()
        for name, held in attributes(step.value).items()
        if isinstance(name, str) and type(held) not in _ATOMS
    ]
    total = sum(size for size, _ in found)
    largest = sorted(found, key=lambda each: (-each[0], each[1]))[:_LISTED_MAX]
    return [{"part": part, "bytes": size} for size, part in largest if size > total // _LEAST]


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
            held = value.ravel()[:_SAMPLE].tolist() if value.dtype.hasobject else []
            return int(value.nbytes) + self._all(held, int(value.size), depth)
        if issubclass(kind, dict):  # not pairs: a pair is made anew each time, and its id goes to the next
            parts = [part for pair in islice(dict.items(value), _SAMPLE) for part in pair]
            return sys.getsizeof(value) + self._all(parts, 2 * len(value), depth)
        if issubclass(kind, list | tuple | set | frozenset):
            return sys.getsizeof(value) + self._all(list(islice(value, _SAMPLE)), len(value), depth)
        parts = [*attributes(value).values(), *self._state(value)]
        return self._all(parts, len(parts), depth)

    def _all(self, some: list[Any], count: int, depth: int) -> int:
        """Return the size of so many values, of which these are some."""
        total = sum(self.of(value, depth + 1) for value in some)
        return total * count // len(some) if some else 0

    def _state(self, value: Any) -> list[Any]:
        """Return what a compiled object of scikit-learn, such as a tree, says that it holds; its arrays are views."""
        if attributes(value) or not type(value).__module__.startswith("sklearn.") or isinstance(value, type):
            return []
        self._states.append(value.__getstate__())
        return [self._states[-1]]
