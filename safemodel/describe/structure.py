"""How a model is composed: the tree of its steps, read from the attributes of each, without calling any of them.

A step is what has both `fit` and `get_params`: the items of pipelines, unions, column transformers, votes and stacks by
their names, and whatever estimator lies in a public attribute, or in a dict or list that is the model. Of `estimator`
and `estimator_` or `best_estimator_`, the fitted one counts. The hundred trees of a forest are its parts, and no steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from safemodel.describe.values import class_name, key, summary

_LISTS: Final = ("steps", "transformer_list", "transformers_", "transformers", "estimators")
_DEPTH_MAX: Final = 12  # two levels of the wire each, which has 32
_STEPS_MAX: Final = 500  # in all; who combines more looks at the model itself


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the model that was fitted by itself.

    Attributes:
        name: as its owner calls it.
        path: from the model to it, `steps[1][1]`.
        value: the estimator, or the text that stands for one: `passthrough`, `drop`.
        columns: what a column transformer gives it, as plain values, or None.
        steps: what it is made of.
    """

    name: str
    path: str
    value: Any
    columns: Any
    steps: "tuple[Step, ...]"

    def walk(self) -> "Iterator[Step]":
        """Yield it and all below, from outside in."""
        yield self
        for step in self.steps:
            yield from step.walk()

    def to_value(self) -> dict[str, Any]:
        """Return it as it stands in the manifest."""
        kind = key(self.value) if isinstance(self.value, str) else class_name(type(self.value))
        found: dict[str, Any] = {"name": self.name, "class": kind}
        if self.columns is not None:
            found["columns"] = self.columns
        return found | ({"steps": [step.to_value() for step in self.steps]} if self.steps else {})


def structure(value: object) -> Step:
    """Return a model as the root of its steps."""
    return _Composition().step("", "", value, None, 0)


def attributes(value: object) -> dict[str, Any]:
    """Return what an instance holds, without its properties; nothing for what has no such dict."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


class _Composition:
    """One walk, which meets each estimator once and so many in all."""

    def __init__(self) -> None:
        self._met: set[int] = set()
        self._count = 0

    def step(self, name: str, path: str, value: Any, columns: Any, depth: int) -> Step:
        self._met.add(id(value))
        self._count += 1
        steps = tuple(self._steps(path, value, depth + 1)) if depth < _DEPTH_MAX else ()
        return Step(name, path, value, columns, steps)

    def _steps(self, path: str, value: Any, depth: int) -> Iterator[Step]:
        for name, at, child, columns in _parts(value):
            if self._count < _STEPS_MAX and (isinstance(child, str) or id(child) not in self._met):
                yield self.step(name, f"{path}{at}".removeprefix("."), child, columns, depth)


def _parts(value: Any) -> Iterator[tuple[str, str, Any, Any]]:
    """Yield name, path from the value, estimator and columns of each part."""
    if type(value) in (dict, list, tuple):
        named = value.items() if type(value) is dict else enumerate(value)
        for name, item in islice(named, _STEPS_MAX):
            if _is_estimator(item):
                yield key(name), f"[{key(name)!a}]" if isinstance(name, str) else f"[{key(name)}]", item, None
        return
    held = attributes(value)
    listed = next((name for name in _LISTS if _is_named_list(held.get(name))), None)
    if listed is not None:
        yield from _listed(listed, held[listed])
    for name, item in held.items():
        if isinstance(name, str) and _is_estimator(item) and not _is_private_or_superseded(name, held):
            yield key(name), f".{key(name)}", item, None


def _is_private_or_superseded(name: str, held: dict[str, Any]) -> bool:
    return name.startswith("_") or f"{name}_" in held or f"best_{name}_" in held


def _listed(attribute: str, items: list[Any]) -> Iterator[tuple[str, str, Any, Any]]:
    for number, item in enumerate(items):
        if isinstance(item[1], str) or _is_estimator(item[1]):
            columns = _columns(item[2]) if len(item) > 2 else None
            yield key(item[0]), f".{attribute}[{number}][1]", item[1], columns


def _is_named_list(value: object) -> bool:
    """Tell whether it is a list of (name, estimator) or (name, transformer, columns)."""
    return type(value) is list and all(
        type(item) is tuple and len(item) in (2, 3) and isinstance(item[0], str) for item in value
    )


def _is_estimator(value: object) -> bool:
    kind = type(value)
    return not issubclass(kind, type) and hasattr(kind, "fit") and hasattr(kind, "get_params")


def _columns(value: Any) -> Any:
    """Return the columns of a transformer as texts: names or numbers, of a slice its ends."""
    if isinstance(value, slice):
        return [":".join("" if end is None else key(end) for end in (value.start, value.stop))]
    listed = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(listed, list) and listed and all(type(item) is bool for item in listed):
        listed = [number for number, chosen in enumerate(listed) if chosen]
    plain = summary(listed)
    if isinstance(plain, list):
        return [item if isinstance(item, str) else key(item) for item in plain]
    return plain if isinstance(plain, dict) else [key(plain)]
