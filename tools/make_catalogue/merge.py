"""Makes the catalogue of what stacks showed; to be run with the newest of them, which tells what was renamed."""

import importlib
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from evidence import DISTRIBUTIONS, Evidence, Found, Pair
from packaging.version import Version

from safemodel.payload.catalogue import Catalogue, parse_catalogue

# What models show, and what is withheld all the same: as data, these classes could be called when a model predicts,
# with the path of a file to read.
_WITHHELD: Mapping[Pair, str] = {("lightgbm.basic", "Booster"): "reference", ("xgboost.core", "Booster"): "reference"}
# What `safemodel.dump` itself writes, and joblib does not: arrays without items.
_ADDED: Mapping[Pair, str] = {("numpy", "ndarray"): "call"}

# Modules that have another name on some stacks.
_RENAMED: Mapping[str, str] = {"_loss": "sklearn._loss._loss", "pathlib._local": "pathlib"}

_LIBRARIES = ("sklearn", "imblearn")  # whose classes need no look by hand


def merge_files(paths: Sequence[Path], output: Path) -> int:
    """Write the catalogue.

    Args:
        paths: evidence, one file for each stack.
        output: the catalogue; what it has already counts as reviewed.

    Returns:
        0, or 1 if something is in it now that somebody must look at.
    """
    stacks = sorted(map(Evidence.from_file, paths), key=lambda stack: Version(stack.versions["scikit-learn"]))
    known = parse_catalogue(output.read_text(encoding="utf-8")) if output.exists() else None
    roles = merge_roles(stacks)
    lines = [*_headers(stacks), *_rows(stacks, roles)]
    output.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    unreviewed = list(_unreviewed(stacks, roles, known))
    for line in unreviewed:
        print(f"look at {line}", file=sys.stderr)
    print(f"{len(roles)} globals", file=sys.stderr)
    return 1 if unreviewed else 0


def merge_roles(stacks: Iterable[Evidence]) -> dict[Pair, frozenset[str]]:
    """Put together the roles of all stacks.

    Protocols 0 and 1 hand each class to `copyreg._reconstructor` as data, so what NEWOBJ may make may be data as well.
    """
    roles: defaultdict[Pair, set[str]] = defaultdict(set)
    for stack in stacks:
        for pair, found in stack.found.items():
            roles[pair] |= found.roles
            if found.kind == "class" and "newobj" in found.roles:
                roles[pair].add("reference")
    for pair, role in _WITHHELD.items():
        roles[pair].discard(role)
    for pair, role in _ADDED.items():
        if pair in roles:
            roles[pair].add(role)
    return {pair: frozenset(roles[pair]) for pair in sorted(roles) if roles[pair]}


def _headers(stacks: Sequence[Evidence]) -> Iterator[str]:
    for name in dict.fromkeys(name for stack in stacks for name in stack.versions):
        numbers = {stack.versions[name] for stack in stacks if name in stack.versions}
        yield f"# {name} {' '.join(sorted(numbers, key=Version))}"
    yield "global\troles\tnow\tseen"


def _rows(stacks: Sequence[Evidence], roles: Mapping[Pair, frozenset[str]]) -> Iterator[str]:
    for pair, allowed in roles.items():
        numbers = {_owner_version(pair, stack) for stack in stacks if pair in stack.found}
        now = current_name(pair)
        renamed = ".".join(now) if now in roles and now != pair else ""
        yield "\t".join((".".join(pair), ",".join(sorted(allowed)), renamed, " ".join(sorted(numbers, key=Version))))


def _owner_version(pair: Pair, stack: Evidence) -> str:
    """The first two numbers of the version of the distribution that has the global."""
    root = pair[0].partition(".")[0]
    number = Version(stack.versions.get(DISTRIBUTIONS.get(root, root), stack.versions["python"]))
    return f"{number.major}.{number.minor}"


def current_name(pair: Pair) -> Pair:
    """Return the name that a global has now, or the same one if nothing is known of it."""
    module, name = pair
    if module in _RENAMED:
        return _RENAMED[module], name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return pair
    return getattr(found, "__module__", None) or module, getattr(found, "__qualname__", None) or name


def _unreviewed(
    stacks: Iterable[Evidence], roles: Mapping[Pair, frozenset[str]], known: Catalogue | None
) -> Iterator[str]:
    """Yield what is new and can do more than be a class of scikit-learn's that NEWOBJ makes."""
    found: dict[Pair, Found] = {}
    for stack in stacks:
        found |= stack.found
    for pair, allowed in roles.items():
        new = allowed - (known.permissions.get(pair, frozenset()) if known else frozenset())
        ordinary = found[pair].kind == "class" and pair[0].partition(".")[0] in _LIBRARIES and "call" not in new
        if new and not ordinary:
            yield f"{'.'.join(pair)} ({found[pair].kind}): {', '.join(sorted(new))}; {found[pair].label}"
