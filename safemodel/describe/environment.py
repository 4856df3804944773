"""What a model was made with: Python, the platform, and the distributions that its payload's globals come from.

Only what is known is said. A payload that states another version of scikit-learn than is installed was made elsewhere:
then that version is all that is known. Nothing here fails: an environment that cannot be described is no reason not to
keep a model.
"""

import json
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from safemodel.describe.installed import MODULES, python_version, version_of
from safemodel.trust.environment import stated_distributions

_SCIKIT_LEARN: Final = "scikit-learn"


def describe_environment(modules: Iterable[str], estimator_versions: Collection[str] = ()) -> dict[str, Any]:
    """Describe what a payload was made with.

    Args:
        modules: those that the payload's globals are in, `sklearn.linear_model._logistic`.
        estimator_versions: the versions of scikit-learn that the estimators in the payload say they are of.

    Returns:
        The manifest's map `environment`.
    """
    if estimator_versions and set(estimator_versions) != {version_of(_SCIKIT_LEARN)}:
        return _made_elsewhere(estimator_versions)
    distributions = _distributions(modules)
    import platform  # late: only who writes describes

    described: dict[str, Any] = {
        "python": python_version(),
        "implementation": platform.python_implementation(),
        "platform": {"system": platform.system(), "machine": platform.machine()},
    }
    return described | ({"distributions": distributions} if distributions else {})


def _made_elsewhere(estimator_versions: Collection[str]) -> dict[str, Any]:
    """Return what the estimators say, when they agree on a version that is one."""
    if len(estimator_versions) > 1:
        return {}
    distributions = stated_distributions({"distributions": dict.fromkeys([_SCIKIT_LEARN], *estimator_versions)})
    return {"distributions": distributions} if distributions else {}


def _distributions(modules: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that modules are from; a module that is from none is left out."""
    tops = {module.partition(".")[0] for module in modules} - {*sys.stdlib_module_names, "__main__"}
    others = frozenset(tops - MODULES.keys())
    names = {name for top in tops & MODULES.keys() for name in MODULES[top]} | (_owners(others) if others else set())
    found = {name: version for name in names if (version := version_of(name)) is not None}
    return stated_distributions({"distributions": found})


@lru_cache(maxsize=64)
def _owners(tops: frozenset[str]) -> set[str]:
    """Return the names of the distributions that top-level modules are from.

    Looking through all that is installed takes a tenth of a second, so it is done only where it can find something, and
    for the same modules once.
    """
    owners = _look_through() if any(map(_may_be_installed, tops)) else {}
    return {name for top in tops for name in _normalised(owners.get(top) or _editable(top))}


def _look_through() -> Mapping[str, list[str]]:
    from importlib.metadata import packages_distributions

    try:
        return packages_distributions()
    except Exception:  # whatever somebody's damaged metadata ends with
        return {}


def _may_be_installed(top: str) -> bool:
    """Tell whether a module can be one that pip installed: such a one lies beside its metadata."""
    module = sys.modules.get(top)
    path = getattr(module, "__file__", None)
    if path is None:
        return True  # not loaded, so that nothing is known of it
    folder = os.path.dirname(os.path.dirname(path) if hasattr(module, "__path__") else path)
    try:
        return any(name.endswith((".dist-info", ".egg-info")) for name in os.listdir(folder or "."))
    except OSError:
        return True  # such as in a ZIP file


def _editable(top: str) -> list[str]:
    """Return the editable distribution of a module's own name: what it installs is a path, no module (PEP 660)."""
    from importlib.metadata import distribution

    try:
        origin = json.loads(distribution(top).read_text("direct_url.json") or "{}")  # PEP 610
        return [top] if origin["dir_info"]["editable"] else []
    except Exception:  # there is none, or it is no such one, or damaged
        return []


def _normalised(names: Iterable[str | None]) -> Iterator[str]:
    from packaging.utils import canonicalize_name

    return (canonicalize_name(name) for name in names if name is not None)
