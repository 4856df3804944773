"""How deep and how large tuples are, before anything hashes them.

Hashing a tuple recurses in C without a limit, and meets a shared tuple once for each path to it: forty tuples of two,
each holding the one before twice, hash for ever. The other containers cannot be hashed, or keep their hash.
"""

from typing import Final

from safemodel.errors import LimitExceededError
from safemodel.format.limits import DEPTH_MAX

EXPANDED_TUPLE_MAX: Final = 2**20  # items of a tuple that holds tuples, shared ones counted each time

Extent = tuple[int, int]  # depth, and items in all

_PLAIN: Final = frozenset((str, bytes, int, float, bool, type(None)))


class Nesting:
    """The tuples of one payload that were looked at."""

    def __init__(self) -> None:
        # By identity; the value is kept, so that its identity stays its own.
        self._known: dict[int, tuple[object, Extent]] = {}

    def look(self, value: tuple[object, ...]) -> None:
        """Bound a tuple that was just made.

        Raises:
            LimitExceededError: it is nested too deep, or repeats too much.
        """
        self._measure(value)

    def inherit(self, made: object, arguments: tuple[object, ...]) -> None:
        """Count an object that may be a tuple in the end, such as a named one, like the arguments it is made from."""
        self._known[id(made)] = (made, self._measure(arguments))

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()

    def _measure(self, value: tuple[object, ...]) -> Extent:
        if _PLAIN.issuperset(map(type, value)):
            return 1, len(value)
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        depth, size = 1, len(value)
        for item in value:
            inner = self._extent(item)
            depth = max(depth, inner[0] + 1)
            size += inner[1]
        if depth > DEPTH_MAX or (depth > 1 and size > EXPANDED_TUPLE_MAX):
            raise LimitExceededError(
                f"tuples are nested {depth} deep with {size} items in all, at most {DEPTH_MAX} and {EXPANDED_TUPLE_MAX}"
                " are allowed"
            )
        self._known[id(value)] = (value, (depth, size))
        return depth, size

    def _extent(self, item: object) -> Extent:
        # A tuple that was not looked at holds numbers only, or went straight into a call, which looked at what it
        # holds: this goes two levels down at most.
        if type(item) is tuple:
            return self._measure(item)
        known = self._known.get(id(item))
        return known[1] if known is not None else (0, 0)
