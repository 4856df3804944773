"""The catalogue: the exact globals that models need, with the roles in which they need them (docs/catalogue.md).

Rules kept here:

* A global is listed by its exact module and name. No prefix or pattern allows anything: scikit-learn's own modules
  expose a shell (attacks gen_g02 to gen_g08).
* What a user allows in addition is an exact name as well. The standard library, and what unpickles, evaluates or
  imports by name, cannot be added; that refusal is a help against mistakes and cannot be complete (`is_addable`).
* It is data, read in a millisecond, and nothing that it names is imported.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile
from types import MappingProxyType
from typing import Final, Self, TypeAlias

from safemodel.errors import ConfigurationError
from safemodel.format.manifest import ROLES
from safemodel.format.names import is_global_name

Pair: TypeAlias = tuple[str, str]  # module and name of a global
Roles: TypeAlias = frozenset[str]

_FILE: Final = os.path.join(os.path.dirname(__file__), "catalogue.tsv")
_ALL_ROLES: Final = frozenset(ROLES)
_TITLES: Final = {"numpy": "NumPy", "pandas": "pandas", "python": "Python", "scipy": "SciPy", "xgboost": "XGBoost"}

# Modules of the standard library that hold plain data types.
_DATA_TYPES: Final = frozenset(("array", "collections", "datetime", "decimal", "fractions", "ipaddress", "uuid"))
# Packages, and all that is in them, whose purpose is to unpickle, to evaluate, to build, or to open what they are told.
_NEVER_ADDED: Final = (sys.stdlib_module_names - _DATA_TYPES) | frozenset(
    (
        "__main__",
        "cloudpickle",
        "dill",
        "joblib",
        "numpy.ctypeslib",
        "numpy.distutils",
        "numpy.f2py",
        "numpy.lib._datasource",
        "numpy.lib._format_impl",
        "numpy.lib._npyio_impl",
        "numpy.lib.format",
        "numpy.lib.npyio",
        "numpy.testing",
        "pandas.compat.pickle_compat",
        "pandas.core.computation",
        "pandas.io",
        "pip",
        "pkg_resources",
        "safemodel",
        "scipy._lib._uarray",
        "scipy.datasets",
        "scipy.io",
        "setuptools",
        "sklearn.datasets",
        "sklearn.externals",
        "sklearn.utils._testing",
    )
)
_NEVER_ADDED_NAMES: Final[frozenset[Pair]] = frozenset(
    (
        ("numpy", "fromfile"),
        ("numpy", "load"),
        ("numpy", "memmap"),
        ("numpy._core", "_ufunc_reconstruct"),
        ("numpy.core", "_ufunc_reconstruct"),
        ("pandas", "eval"),
        ("pandas", "read_pickle"),
        ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
    )
)
# What the catalogue lists of these keeps its roles: rules of the loader count on them.
_FIXED: Final = sys.stdlib_module_names | {"numpy"}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Which globals a payload may reach for.

    Attributes:
        permissions: the roles of each global that is listed.
        renamed: the name that a global has now, for those that have had another one.
        covers: the versions of libraries that it was made with, for messages.
    """

    permissions: Mapping[Pair, Roles]
    renamed: Mapping[Pair, Pair]
    covers: str

    def allows(self, module: str, name: str, roles: Iterable[str]) -> bool:
        """Tell whether a global is listed, in all of these roles."""
        known = self.permissions.get((module, name))
        return known is not None and known.issuperset(roles)

    def is_same(self, one: Pair, other: Pair) -> bool:
        """Tell whether two names mean the same thing, in one version of its library or in two."""
        return self.renamed.get(one, one) == self.renamed.get(other, other)

    def with_additions(self, names: Iterable[str]) -> Self:
        """Return a catalogue that allows more.

        An addition gets every role. Less would not hold: what may be handed to a model as data, the model may call when
        it predicts, with arguments from the payload, and then no guard stands.

        Args:
            names: `acme.transformers.Clip`: the module, a dot, and the attribute of that module. One that is listed
                already gets all roles too, unless it is Python's or NumPy's own.

        Raises:
            ConfigurationError: not an exact name, or one that is never allowed.
        """
        added = self.check_additions(names)
        if not added:
            return self
        return replace(self, permissions=MappingProxyType({**self.permissions, **dict.fromkeys(added, _ALL_ROLES)}))

    def check_additions(self, names: Iterable[str]) -> list[Pair]:
        """Return which of some names `with_additions` would give more roles. Raises as it does."""
        added = [pair for pair in map(_parse_name, names) if not self._is_fixed(pair)]
        for pair in added:
            if not is_addable(*pair):
                raise ConfigurationError(f"{'.'.join(pair)} cannot be allowed", hint=reason_against(pair))
        return added

    def without(self, names: Iterable[str]) -> Self:
        """Return a catalogue that allows less: not these, and not what is the same thing under another name.

        Args:
            names: as for `with_additions`.

        Raises:
            ConfigurationError: not an exact name.
        """
        denied = {self.renamed.get(pair, pair) for pair in map(_parse_name, names)}
        kept = {pair: roles for pair, roles in self.permissions.items() if self.renamed.get(pair, pair) not in denied}
        return replace(self, permissions=MappingProxyType(kept))

    def _is_fixed(self, pair: Pair) -> bool:
        return pair in self.permissions and pair[0].partition(".")[0] in _FIXED

    def can_add(self, pair: Pair) -> bool:
        """Tell whether `with_additions` gives a global more roles than it has."""
        return is_addable(*pair) and not self._is_fixed(pair)


def is_addable(module: str, name: str) -> bool:
    """Tell whether a user may allow a global.

    This cannot be complete. A function of any other package may run what it is given, and only its author knows. That a
    name stands for something of the standard library which its module merely imports shows when it is loaded: things
    must be what their names say (`resolution`).
    """
    parts = module.split(".")
    packages = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return packages.isdisjoint(_NEVER_ADDED) and (module, name) not in _NEVER_ADDED_NAMES


def reason_against(pair: Pair) -> str:
    """Say why a user may not allow a global, and what to do."""
    if pair[0] == "__main__":
        return "a class of a script or notebook exists nowhere else; move it to a module that loaders can import too"
    return "nothing allows it, since no model needs it; if yours does, wrap it in a function of a module of your own"


def _parse_name(text: object) -> Pair:
    if not isinstance(text, str):
        raise TypeError(f"expected the name of a global, found a {type(text).__name__}")
    module, _, name = text.rpartition(".")
    if not is_global_name(module, name):
        raise ConfigurationError(
            f"{text[:255]!r} is not the exact name of a global", hint='write module and name: "acme.transformers.Clip"'
        )
    return module, name


@lru_cache(maxsize=1)
def load_catalogue() -> Catalogue:
    """Return the catalogue that comes with this version.

    Raises:
        OSError: the installation is damaged.
    """
    with open(_FILE, encoding="utf-8") as file:
        return parse_catalogue(file.read())


def parse_catalogue(text: str) -> Catalogue:
    """Parse the catalogue's file.

    Args:
        text: lines such as ``# scikit-learn 1.3.2 1.9.1``, a line of titles, then one line for each global with four
            fields between tabs: full name, roles, its name now if that is another, versions in which it was seen.
    """
    lines = text.splitlines()
    comments = list(takewhile(lambda line: line.startswith("# "), lines))
    sets: dict[str, Roles] = {}
    permissions: dict[Pair, Roles] = {}
    renamed: dict[Pair, Pair] = {}
    for line in lines[len(comments) + 1 :]:
        full, roles, now, _ = line.split("\t")
        module, _, name = full.rpartition(".")
        if roles not in sets:
            sets[roles] = frozenset(roles.split(","))
        permissions[module, name] = sets[roles]
        if now:
            renamed[module, name] = _parse_name(now)
    covers = ", ".join(_range(line.split()) for line in comments)
    return Catalogue(MappingProxyType(permissions), MappingProxyType(renamed), covers)


def _range(words: list[str]) -> str:
    """Shorten a line of versions: ``scikit-learn 1.3 to 1.9``."""
    title, first, last = _TITLES.get(words[1], words[1]), _minor(words[2]), _minor(words[-1])
    return f"{title} {first}" if first == last else f"{title} {first} to {last}"


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
