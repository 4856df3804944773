"""What the walk's stack holds in place of real objects.

A text is a `str`, any other plain value the `bytes` of its opcode (`opcodes.plain` reads it when asked), and everything
else a `Value`. A value knows where it was put last, which is enough to tell attribute paths, and how deep and how large
a reader without a memo would see it, which is what a chain of references in a few bytes can blow up.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count
from typing import ClassVar, Final, TypeAlias

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.format.limits import (
    COLLISIONS_MAX,
    DEPTH_MAX,
    EXPANDED_MAX,
    KEY_DEPTH_MAX,
    PARTS_MAX,
    PATHS_MAX,
)
from safemodel.payload.opcodes import plain

# What a value is to its owner, where that is neither an attribute nor an item. Not texts, so that no key equals them.
STATE: Final = object()  # set by BUILD
ARGUMENTS: Final = object()  # given to a constructor
SAME: Final = object()  # stands for the owner: the wrapper of an array, the root of its nested stream
KEY: Final = object()  # a key of a dict, or a member of a set


class Value:
    """Anything that can hold others or be held.

    Attributes:
        owner: the value that it was put into last, or None.
        key: its place there: a text, an opcode's bytes, a list's index, or one of the constants above.
        height: values inside one another, this one included.
        size: values inside it, itself included, shared ones counted each time they are met.
    """

    __slots__ = ("height", "key", "owner", "size")
    classes: ClassVar[set[type]] = set()

    def __init_subclass__(cls) -> None:
        cls.classes.add(cls)

    def __init__(self) -> None:
        self.owner: Value | None = None
        self.key: object = None
        self.height = 1
        self.size = 1

    def put(self, owner: "Value | None", key: object) -> None:
        """Note that the value now lies in another one."""
        self.owner = owner
        self.key = key


Item: TypeAlias = str | bytes | Value


class Opaque(Value):
    """Bytes, or a text too long for a name, whose content does not matter; shared, so it keeps no owner."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.height = 0

    def put(self, owner: Value | None, key: object) -> None:
        """Keep nothing."""


class WideInteger(Opaque):
    """An integer of 2**55 or more: as a key, many of them can share one hash."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Container(Value):
    """A list, dict, set, tuple, frozenset or array that the stream made without any global.

    Attributes:
        kind: "list", "dict", "set", "tuple", "frozenset" or "array".
        count: items put in so far.
        parts: the items (of a dict: keys and values in turn), or None where there are too many or they are not needed.
    """

    __slots__ = ("count", "kind", "parts")

    def __init__(self, kind: str, parts: list[Item] | None) -> None:
        self.owner = self.key = None
        self.height = self.size = 1
        self.kind = kind
        self.count = 0
        self.parts = parts

    def remember(self, items: list[Item], *, complete: bool) -> None:
        """Keep the items of a dict, as long as all of them are known and few."""
        if self.parts is not None and complete and len(self.parts) + len(items) <= PARTS_MAX:
            self.parts += items
        else:
            self.parts = None


class Use:
    """One global, and what the stream did with it so far."""

    __slots__ = ("module", "name", "places", "roles")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name
        self.roles: set[str] = set()
        self.places: list[tuple[Value | None, object]] = []

    def met(self, role: str, owner: Value | None, key: object) -> None:
        """Note one use, and where it happened."""
        self.roles.add(role)
        if len(self.places) < PATHS_MAX:
            self.places.append((owner, key))


class Global(Value):
    """The imported thing itself: a class or a function, not an object that this stream made."""

    __slots__ = ("use",)

    def __init__(self, use: Use) -> None:
        super().__init__()
        self.height = 0
        self.use = use

    def put(self, owner: Value | None, key: object) -> None:
        """Note that the global is used as data."""
        self.use.met("reference", owner, key)


class WrapperClass(Global):
    """joblib's array wrapper itself. Only copyreg may have it as data, to make an instance in protocols 0 and 1.

    Attributes:
        loose: times it became data and no instance was made of it.
    """

    __slots__ = ("loose",)

    def __init__(self, use: Use) -> None:
        super().__init__(use)
        self.loose = 0

    def put(self, owner: Value | None, key: object) -> None:
        """Note that the class is used as data."""
        super().put(owner, key)
        self.loose += 1


class Made(Value):
    """An object that a global made."""

    __slots__ = ("use",)

    def __init__(self, use: Use, role: str) -> None:
        self.owner = self.key = None
        self.height = self.size = 1
        self.use = use
        use.met(role, self, SAME)


class Wrapper(Made):
    """joblib's array wrapper. Its BUILD puts an array in its place; what is left of it may not be used."""

    __slots__ = ()

    def put(self, owner: Value | None, key: object) -> None:
        """Refuse."""
        raise PayloadError("an array wrapper is used as data")

    def become(self, array: Value) -> None:
        """Give its place to the array."""
        self.owner, self.key = array, SAME


OPAQUE: Final = Opaque()


def put_all(owner: Value, items: Sequence[Item], keys: Iterable[object]) -> None:
    """Put items into a value.

    Args:
        owner: where they go.
        items: what goes there.
        keys: the place of each.

    Raises:
        LimitExceededError: the owner would become too deep or too large.
        PayloadError: an item may not be put anywhere.
    """
    size, height = owner.size + len(items), owner.height
    if not Value.classes.isdisjoint(map(type, items)):
        for item, key in zip(items, keys, strict=False):
            if isinstance(item, Value):
                item.put(owner, key)
                size += item.size - 1
                if item.height >= height:
                    height = item.height + 1
    owner.size, owner.height = size, height
    _check_caps(height, size)


def put(owner: Value, item: Item, key: object) -> None:
    """Put one item into a value, as `put_all`."""
    if isinstance(item, Value):
        item.put(owner, key)
        owner.size += item.size
        if item.height >= owner.height:
            owner.height = item.height + 1
        _check_caps(owner.height, owner.size)
    else:
        owner.size += 1


def _check_caps(height: int, size: int) -> None:
    if height > DEPTH_MAX or size > EXPANDED_MAX:
        raise LimitExceededError(f"values lie over {DEPTH_MAX} deep, or would be over {EXPANDED_MAX} without the memo")


def make_tuple(parts: list[Item]) -> Container:
    """Make a tuple."""
    made = Container("tuple", parts if len(parts) <= PARTS_MAX else None)
    for part in parts:  # most hold plain values only
        if part.__class__ in Value.classes:
            put_all(made, parts, range(len(parts)))
            return made
    made.size += len(parts)
    return made


class KeyGuard:
    """Counts keys that are neither texts nor small integers by their hash.

    Texts are hashed with a secret; integers, and tuples of them, are not: a few kilobytes of equal hashes make a dict
    quadratic (oCERT-2011-003).
    """

    def __init__(self) -> None:
        self._hashes: Counter[int] = Counter()

    def check(self, key: Value) -> None:
        """Count one key.

        Raises:
            LimitExceededError: too many keys of this stream have its hash, or hashing it takes too long.
        """
        if key.size > PARTS_MAX or key.height > KEY_DEPTH_MAX:
            raise LimitExceededError(f"a key holds more than {PARTS_MAX} values, or more than {KEY_DEPTH_MAX} deep")
        number = hash(_twin(key))
        self._hashes[number] += 1
        if self._hashes[number] > COLLISIONS_MAX:
            raise LimitExceededError(f"more than {COLLISIONS_MAX} keys share one hash")


_serial = count()


def _twin(key: Item) -> object:
    """Return a real value with the same hash; a number of its own where the key's class decides about the hash."""
    if isinstance(key, WideInteger):
        return key.number
    if isinstance(key, Container) and key.parts is not None and key.kind in ("tuple", "frozenset"):
        twins = map(_twin, key.parts)
        return tuple(twins) if key.kind == "tuple" else frozenset(twins)
    return next(_serial) if isinstance(key, Value) else plain(key)
