"""Plain values of the descriptive maps, read as what they may be: any key missing, any value of another type."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Number = int | float


def map_of(value: object) -> Mapping[str, Any]:
    """Return the value where it is a map that stands for itself, else an empty one."""
    return value if isinstance(value, Mapping) and not _is_stand_in(value) else {}


def list_of(value: object) -> list[Any]:
    """Return the value where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def number_of(value: object) -> Number | None:
    """Return the value where it is a number; a boolean is none."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def numbers_of(value: object) -> list[Number]:
    """Return the value where it is a list of numbers, else an empty one."""
    found = [number_of(item) for item in list_of(value)]
    numbers = [item for item in found if item is not None]
    return numbers if len(numbers) == len(found) else []


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of nested maps by its dotted name; a stand-in for a large value is one value."""
    for name, value in values.items():
        if inner := map_of(value):
            yield from flat(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def distinct(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return a map of pairs, in which a name that comes again is numbered."""
    found: dict[str, Any] = {}
    for number, (name, value) in enumerate(pairs, 1):
        label = name
        while label in found:
            label = f"{label} ({number})"
        found[label] = value
    return found


def text_of(value: object) -> str:
    """Return a value for people: text as it is, everything else as `code_of`."""
    return value if isinstance(value, str) else code_of(value)


def code_of(value: object) -> str:
    """Return a value as Python writes it, bytes in hexadecimal, and what a stand-in stands for."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping) and _is_stand_in(value):
        return _stand_in(value)
    return repr(value)


def figure_of(value: Number) -> str:
    """Return a number in at most nine characters or so."""
    return repr(value) if len(repr(value)) <= 8 else f"{value:.6g}"


def bytes_of(size: Number) -> str:
    """Return a size for people, `4.2 MiB`."""
    unit, value = "bytes", float(size)
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        unit, value = larger, value / 1024
    return f"{size:,} bytes" if unit == "bytes" else f"{value:,.1f} {unit}"


def _is_stand_in(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("attachment", value.get("shortened")), str) and "sha256" in value


def _stand_in(value: Mapping[str, Any]) -> str:
    digest = f"sha256 {text_of(value['sha256'])}"
    if "attachment" in value:
        return f"in the entry {value['attachment']} ({text_of(value.get('bytes'))} bytes, {digest})"
    return f"{value['shortened']}... (shortened from {text_of(value.get('length'))}, {digest})"
