"""What is installed here: versions of distributions, of Python, and the platform.

A library that is loaded is asked itself, since it may have been upgraded on disk under a running process; the metadata
of the others is read once in a process. `importlib.metadata` takes longer to import than a small model to load, so it
is imported when a version is asked for that no loaded library tells.
"""

import sys
from functools import cache, lru_cache
from typing import Final

from safemodel.trust.environment import Installed

# Libraries whose `__version__` is that of their distribution, with all distributions that bring them.
MODULES: Final = {
    "sklearn": ("scikit-learn",),
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "pandas": ("pandas",),
    "joblib": ("joblib",),
    "xgboost": ("xgboost", "xgboost-cpu"),
    "lightgbm": ("lightgbm",),
    "catboost": ("catboost",),
    "imblearn": ("imbalanced-learn",),
}
_TELLING: Final = {names[0]: module for module, names in MODULES.items() if len(names) == 1}
_LEVELS: Final = {"alpha": "a", "beta": "b", "candidate": "rc", "final": ""}


@cache
def installed() -> Installed:
    """Return what is installed here."""
    import platform  # late: who only verifies asks for none of this

    words = (platform.python_implementation(), platform.system(), platform.machine())
    return Installed(python_version(), ", ".join(words), version_of)


def python_version() -> str:
    """Return Python's version as PEP 440 writes it; `platform` appends a `+` to that of a development build."""
    release, level = sys.version_info[:3], _LEVELS[sys.version_info.releaselevel]
    return ".".join(map(str, release)) + (f"{level}{sys.version_info.serial}" if level else "")


def version_of(name: str) -> str | None:
    """Return the version of a distribution, by its normalised name, or None where it is not installed or says none."""
    module = sys.modules.get(_TELLING.get(name, ""))
    version = None if module is None else vars(module).get("__version__")
    return version if isinstance(version, str) else _from_metadata(name)


@lru_cache(maxsize=1024)
def _from_metadata(name: str) -> str | None:
    from importlib.metadata import version

    try:
        found: object = version(name)
    except Exception:  # not there, or whatever parsing somebody's damaged METADATA ends with
        return None
    return found if isinstance(found, str) else None
