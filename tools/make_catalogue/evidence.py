"""What one stack of libraries shows: the globals of its models' dumps, and what they are."""

import importlib
import io
import pickle
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Self

import joblib
import numpy as np

from safemodel.payload.pickling import pickle_into
from safemodel.payload.walk import walk

DISTRIBUTIONS: Mapping[str, str] = {
    "sklearn": "scikit-learn",
    "_loss": "scikit-learn",
    "imblearn": "imbalanced-learn",
}
STACK = ("numpy", "scipy", "scikit-learn", "pandas", "joblib", "xgboost", "lightgbm", "catboost", "imbalanced-learn")

Pair = tuple[str, str]


@dataclass(frozen=True)
class Found:
    """One global of one stack.

    Attributes:
        roles: those seen.
        kind: "class", "function" (compiled ones too), "ufunc" or "other".
        own: the module and name that it says of itself, if they are others.
        label: one of the models that need it.
    """

    roles: frozenset[str]
    kind: str
    own: Pair | None
    label: str


@dataclass(frozen=True)
class Evidence:
    """The globals of one stack, and the versions of its distributions."""

    versions: Mapping[str, str]
    found: Mapping[Pair, Found]

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read what `to_file` wrote."""
        lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        found = {
            (module, name): Found(frozenset(roles.split(",")), kind, _pair(own), label)
            for module, name, roles, kind, own, label in lines[1:]
        }
        return cls(dict(text.split("==") for text in lines[0]), found)

    def to_file(self, path: Path) -> None:
        """Write one line of versions, then one for each global."""
        lines = ["\t".join(f"{name}=={number}" for name, number in self.versions.items())]
        for (module, name), found in sorted(self.found.items()):
            own = " ".join(found.own or ())
            lines.append("\t".join((module, name, ",".join(sorted(found.roles)), found.kind, own, found.label)))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _pair(text: str) -> Pair | None:
    module, _, name = text.partition(" ")
    return (module, name) if name else None


class Collector:
    """Dumps and walks models, and counts what went wrong."""

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        self.models = 0
        self._roles: defaultdict[Pair, set[str]] = defaultdict(set)
        self._labels: dict[Pair, str] = {}

    def add(self, label: str, model: Any, *, every_protocol: bool) -> None:
        """Dump a model in the ways that users do, and note what the dumps need."""
        self.models += 1
        for stream in self._dumps(model, every_protocol):
            try:
                uses = walk(stream).globals
            except Exception as error:
                self.failures[f"walk: {label}: {type(error).__name__}: {error}"] += 1
                continue
            for use in uses:
                self._roles[use.module, use.name].update(use.roles)
                self._labels.setdefault((use.module, use.name), label)

    def _dumps(self, model: Any, every_protocol: bool) -> Iterator[bytes]:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1) if every_protocol else ():
            try:
                yield pickle.dumps(model, protocol)
            except Exception as error:
                self.failures[f"pickle {protocol}: {type(model).__name__}: {type(error).__name__}: {error}"] += 1
        try:
            yield _joblib_dump(model)
            stream = io.BytesIO()
            pickle_into(model, stream.write)
            yield stream.getvalue()
        except Exception as error:
            self.failures[f"dump: {type(model).__name__}: {type(error).__name__}: {error}"] += 1

    def evidence(self) -> Evidence:
        """Say what was found."""
        found = {
            pair: Found(frozenset(roles), *_describe(pair), self._labels[pair]) for pair, roles in self._roles.items()
        }
        return Evidence(dict(_versions()), found)


def _joblib_dump(model: Any) -> bytes:
    stream = io.BytesIO()
    joblib.dump(model, stream)
    return stream.getvalue()


def _versions() -> Iterator[tuple[str, str]]:
    import platform

    yield "python", platform.python_version()
    for name in STACK:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _describe(pair: Pair) -> tuple[str, Pair | None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thing = getattr(importlib.import_module(pair[0]), pair[1])
    own = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    return kind_of(thing), None if own == pair or None in own else own  # type: ignore[return-value]


def kind_of(thing: Any) -> str:
    """Say what a global is."""
    if isinstance(thing, type):
        return "class"
    if isinstance(thing, np.ufunc):
        return "ufunc"
    if isinstance(thing, ModuleType):
        return "module"
    cython = type(thing).__name__ == "cython_function_or_method"
    functions = FunctionType | BuiltinFunctionType
    wrapped = isinstance(getattr(thing, "__wrapped__", None), FunctionType)  # numpy's dispatchers
    return "function" if cython or wrapped or isinstance(thing, functions) else "other"


def collect(models: Iterable[tuple[str, Any]], collector: Collector) -> None:
    """Dump and walk all models; the first of each kind in every protocol."""
    seen: set[str] = set()
    for label, model in models:
        if model is None:
            continue
        first = label.partition(" ")[0]
        collector.add(label, model, every_protocol=first not in seen)
        seen.add(first)
