"""Reading decoded maps field by field: what is missing, of another type or unknown is an error that names its place."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from safemodel.errors import FormatError, UnsupportedVersionError

T = TypeVar("T")

_MISSING: Final = object()


class Fields:
    """The fields of one map, taken one after the other; `finish` refuses what nobody took.

    Args:
        value: the decoded map.
        where: its place in the whole, for messages.
    """

    def __init__(self, value: object, where: str) -> None:
        self._rest = dict(expect(value, dict, where))
        self._where = where

    def take(self, name: str, kind: type[T]) -> T:
        """Take a required field of exactly this type."""
        value = self._rest.pop(name, _MISSING)
        if type(value) is kind:  # nearly always; the place is put into words for errors only
            return value
        return expect(self._present(value, name), kind, f"{self._where}.{name}")

    def take_any(self, name: str) -> Any:
        """Take a required field of any type."""
        return self._present(self._rest.pop(name, _MISSING), name)

    def _present(self, value: Any, name: str) -> Any:
        if value is _MISSING:
            raise FormatError(f"{self._where}.{name} is missing")
        return value

    def take_or_nil(self, name: str, kind: type[T]) -> T | None:
        """Take a required field that may be nil."""
        value = self.take_any(name)
        return None if value is None else expect(value, kind, f"{self._where}.{name}")

    def take_list(self, name: str, item: Callable[[object, str], T]) -> tuple[T, ...]:
        """Take a required list, each item read by `item(value, where)`."""
        values = self.take(name, list)
        return tuple(item(value, f"{self._where}.{name}[{number}]") for number, value in enumerate(values))

    def take_optional_map(self, name: str) -> dict[str, Any]:
        """Take an optional map: absent reads as empty, and an empty one must be absent (one form for one meaning)."""
        if name not in self._rest:
            return {}
        if value := self.take(name, dict):
            return value
        raise FormatError(f"{self._where}.{name} is empty, it must be absent instead")

    def finish(self) -> None:
        """Refuse fields that this reader does not know."""
        if self._rest:
            raise UnsupportedVersionError(
                f"{self._where} has unknown fields: {', '.join(sorted(self._rest))}",
                hint="the artifact was made by a newer safemodel; update the reader",
            )


def expect(value: object, kind: type[T], where: str) -> T:
    """Return the value when it is of exactly this type (a boolean is no integer)."""
    if type(value) is kind:
        return value
    raise FormatError(f"{where} is of type {type(value).__name__}, expected {kind.__name__}")


def expect_range(value: int, low: int, high: int, where: str) -> int:
    """Return the integer when low <= value <= high."""
    if low <= value <= high:
        return value
    raise FormatError(f"{where} is {value}, expected {low} to {high}")


def expect_size(value: bytes, size: int, where: str) -> bytes:
    """Return the bytes when there are exactly `size` of them."""
    if len(value) == size:
        return value
    raise FormatError(f"{where} has {len(value)} bytes, expected {size}")
