"""Where in a model a value lies, as a user would write it: ``steps[1][1].estimators_[3].tree_``."""

from safemodel.payload.dtypes import DtypeValue
from safemodel.payload.opcodes import integer
from safemodel.payload.values import ARGUMENTS, KEY, STATE, Container, Value, Wrapper

_STEPS_MAX = 64  # deeper, or round and round in an object that holds itself
_TEXT_MAX = 40


def path_of(owner: Value | None, key: object) -> str:
    """Return the path to a place.

    Args:
        owner: the value that holds it, or None for the model itself.
        key: its place in the owner, as `Value.key`.

    Returns:
        Attributes and items in ASCII; empty for the model itself; ending in ``...`` at its front where it is long.
    """
    steps: list[str] = []
    while owner is not None and len(steps) < _STEPS_MAX:
        steps.append(_step(owner, key))
        key = owner.key
        owner = owner.owner
    front = "..." if owner is not None else ""
    return front + "".join(reversed(steps)).removeprefix(".")


def _step(owner: Value, key: object) -> str:
    """Return what leads from a value to what it holds: nothing where the two are one for the user."""
    if isinstance(owner.owner, Wrapper | DtypeValue):
        return ""
    if key is KEY:
        return "[keys]"
    if isinstance(key, str):
        is_attribute = _holds_attributes(owner) and key.isascii() and key.isidentifier()
        return f".{key}" if is_attribute else f"[{key[:_TEXT_MAX]!a}]"
    if isinstance(key, bytes):
        number = integer(key)
        return "[...]" if number is None else f"[{number}]"
    return f"[{key}]" if isinstance(key, int) and owner.key not in (STATE, ARGUMENTS) else ""


def _holds_attributes(owner: Value) -> bool:
    """Tell whether a dict is the state of an object, or inside the pair that objects with slots have as state."""
    holder = owner.owner
    return owner.key is STATE or (isinstance(holder, Container) and holder.kind == "tuple" and holder.key is STATE)
