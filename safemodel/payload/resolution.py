"""From a name to the real thing, which must be what its name says.

Rules kept here:

* One attribute of one module: no dots, and never a module.
* What is found must say the same of itself: its `__module__` and `__qualname__` are the two names, so that no class can
  be reached through a module that merely imports it. Libraries change names; the catalogue says which are the same.
* Modules are imported here, before the guard stands.
"""

import importlib
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np

from safemodel.errors import GlobalNotAllowedError, PayloadError
from safemodel.payload.catalogue import Pair, load_catalogue


def resolve(pairs: Iterable[Pair]) -> dict[Pair, Any]:
    """Import the modules and look the names up.

    Args:
        pairs: modules and names that are signed and allowed.

    Returns:
        What each of them names.

    Raises:
        GlobalNotAllowedError: something is not what its name says.
        PayloadError: a module or name does not exist here.
    """
    return {pair: _resolve(pair) for pair in pairs}


def _resolve(pair: Pair) -> Any:
    module, name = pair
    try:
        found = getattr(sys.modules.get(module) or importlib.import_module(module), name)
    except Exception as error:  # a module may raise anything when it is imported
        raise PayloadError(
            f"{module}.{name} cannot be imported: {type(error).__name__}: {error}",
            hint="compare the versions that `safemodel inspect` shows with those installed",
        ) from error
    if isinstance(found, ModuleType) or not _is_itself(found, pair):
        raise GlobalNotAllowedError(
            f"{module}.{name} is not what its name says", hint="it is defined under another name"
        )
    return found


def _is_itself(found: Any, pair: Pair) -> bool:
    if isinstance(found, np.ufunc):  # they tell their module only from numpy 2.2 on, and cannot be changed
        return found.__name__ == pair[1]
    own = str(getattr(found, "__module__", None)), str(getattr(found, "__qualname__", None))
    return load_catalogue().is_same(own, pair)
