"""Arguments of constructors that allocate memory by a number in the stream.

They are in every catalogue, because real models need them; what they are asked for must be what a pickler asks for.
"""

from collections.abc import Callable
from typing import Final

from safemodel.errors import LimitExceededError
from safemodel.payload.opcodes import integer
from safemodel.payload.values import Container, Item, Made, Opaque, WideInteger


def check_arguments(pair: tuple[str, str], arguments: Container) -> None:
    """Check the arguments of a call.

    Args:
        pair: module and name of the callee.
        arguments: the tuple that it gets.

    Raises:
        LimitExceededError: it would allocate more than the stream holds.
    """
    check = _CHECKS.get(pair)
    if check is not None and not check(arguments.parts or []):
        raise LimitExceededError(f"{'.'.join(pair)} is called with a size that the payload does not hold")


def _is_bytes(parts: list[Item]) -> bool:
    """Tell whether a bytearray copies bytes or a text of the stream, and does not count zeros."""
    if not parts:
        return True
    source = parts[0]
    if isinstance(source, Made):
        return (source.use.module, source.use.name) == ("_codecs", "encode")
    if isinstance(source, bytes):
        return source.startswith(b"C")
    return isinstance(source, str | Opaque) and not isinstance(source, WideInteger)


def _is_empty(number: int) -> Callable[[list[Item]], bool]:
    """Tell whether an array starts with the shape (0,), as numpy writes it: the state brings the items."""

    def check(parts: list[Item]) -> bool:
        shape = parts[number] if len(parts) > number else None
        return isinstance(shape, Container) and shape.parts is not None and [*map(integer, shape.parts)] == [0]

    return check


def _has_no_items(parts: list[Item]) -> bool:
    """Tell whether the first argument is a shape of integers, one of them 0."""
    shape = parts[0] if parts else None
    if not isinstance(shape, Container) or shape.parts is None:
        return False
    sizes = [*map(integer, shape.parts)]
    return None not in sizes and 0 in sizes


_CHECKS: Final = {
    ("builtins", "bytearray"): _is_bytes,
    ("numpy", "ndarray"): _has_no_items,
    ("numpy._core.multiarray", "_reconstruct"): _is_empty(1),
    ("numpy.core.multiarray", "_reconstruct"): _is_empty(1),
    ("numpy.ma.core", "_mareconstruct"): _is_empty(2),
}
