"""From a name to the real thing, which must be what its name says.

Rules kept here:

* One attribute of one module: no dots, and never a module.
* What is found must say the same of itself: its `__module__` and `__qualname__` are the two names, so that no class can
  be reached through a module that merely imports it. The exceptions are listed.
* Modules are imported here, before the guard stands.
"""

import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Final

import numpy as np

from safemodel.errors import GlobalNotAllowedError, PayloadError
from safemodel.payload.standins import Pair

# Names of one and the same thing in different versions of a library.
_ALIASES: Final[tuple[tuple[Pair, Pair], ...]] = (
    *(
        ((old, name), ("pandas", name))
        for old, name in (
            ("pandas.core.arrays.categorical", "Categorical"),
            ("pandas.core.dtypes.dtypes", "CategoricalDtype"),
            ("pandas.core.frame", "DataFrame"),
            ("pandas.core.indexes.base", "Index"),
            ("pandas.core.indexes.datetimes", "DatetimeIndex"),
            ("pandas.core.indexes.multi", "MultiIndex"),
            ("pandas.core.indexes.range", "RangeIndex"),
            ("pandas.core.series", "Series"),
            ("pandas.core.arrays.string_", "StringDtype"),
        )
    ),
    (("pandas.core.arrays.datetimes", "DatetimeArray"), ("pandas.arrays", "DatetimeArray")),
    (("pandas.core.arrays.string_", "StringArray"), ("pandas.arrays", "StringArray")),
    (("numpy.ma.core", "MaskedArray"), ("numpy.ma", "MaskedArray")),
    (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")),
    (("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar")),
    (("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer")),
    (
        ("sklearn.model_selection._classification_threshold", "_CurveScorer"),
        ("sklearn.metrics._scorer", "_CurveScorer"),
    ),
)
_SAME: Final = frozenset(_ALIASES) | {(newer, older) for older, newer in _ALIASES}


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
        found = getattr(importlib.import_module(module), name)
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
    own = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    return own == pair or (pair, own) in _SAME
