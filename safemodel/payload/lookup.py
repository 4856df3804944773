"""The globals that a stream looks up: which pair the unpickler would import, and what is done with each."""

from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING  # the tables of pickle's fix_imports, and only the tables

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.format.limits import GLOBALS_MAX
from safemodel.format.names import is_global_name
from safemodel.payload.arrays import WRAPPER
from safemodel.payload.findings import GlobalUse
from safemodel.payload.paths import path_of
from safemodel.payload.values import Global, Item, Use, WrapperClass

Pair = tuple[str, str]
_PYTHON_3 = 3  # the first protocol whose names are Python 3's


class Census:
    """The globals of a payload, all its streams together, and the versions that its estimators say they are of."""

    def __init__(self) -> None:
        self._globals: dict[Pair, Global] = {}
        self.estimator_versions: set[str] = set()

    def take(self, pair: Pair) -> Global:
        """Return the one value that stands for a global.

        Raises:
            LimitExceededError: too many different ones.
            PayloadError: a name that no module or attribute has.
        """
        found = self._globals.get(pair)
        if found is None:
            if not is_global_name(*pair):
                raise PayloadError(
                    f"the global {pair[0]!a} {pair[1]!a} is not an identifier in a module",
                    hint="a class inside another class cannot be stored; move it to the top of its module",
                )
            if len(self._globals) >= GLOBALS_MAX:
                raise LimitExceededError(f"more than {GLOBALS_MAX} globals")
            found = self._globals[pair] = WrapperClass(Use(*pair)) if pair == WRAPPER else Global(Use(*pair))
        return found

    def check(self) -> None:
        """Refuse joblib's array wrapper where it is data.

        Raises:
            PayloadError: it is.
        """
        wrapper = self._globals.get(WRAPPER)
        if isinstance(wrapper, WrapperClass) and wrapper.loose:
            raise PayloadError("the class of joblib's array wrapper is used as data")

    def report(self) -> tuple[GlobalUse, ...]:
        """Say what was found."""
        return tuple(_describe(self._globals[pair].use) for pair in sorted(self._globals))


class Lookup:
    """The look-ups of one stream, which depend on its protocol."""

    def __init__(self, census: Census, protocol: int, outer_protocol: int | None) -> None:
        self.census = census
        self._maps = protocol < _PYTHON_3
        # joblib 1.6 looks the names of a nested stream up as the outer stream's, joblib before as its own.
        self._differs = outer_protocol is not None and outer_protocol < _PYTHON_3 <= protocol
        self._found: dict[tuple[object, object], Global] = {}

    def find(self, module: Item, name: Item) -> Global:
        """Return the global that the unpickler would import for two stack items.

        Raises:
            LimitExceededError: too many different ones.
            PayloadError: not two names, or names that could mean something else.
        """
        found = self._found.get((module, name))
        if found is None:
            if not isinstance(module, str) or not isinstance(name, str):
                raise PayloadError("the name of a global is not a short text")
            found = self._found[module, name] = self.census.take(self._resolve(module, name))
        return found

    def _resolve(self, module: str, name: str) -> Pair:
        mapped = NAME_MAPPING.get((module, name)) or (IMPORT_MAPPING.get(module, module), name)
        if self._differs and mapped != (module, name):
            raise PayloadError("a name of Python 2 is used in a stream of Python 3")
        return mapped if self._maps else (module, name)


def _describe(use: Use) -> GlobalUse:
    paths = dict.fromkeys(path_of(owner, key) for owner, key in use.places)
    return GlobalUse(use.module, use.name, tuple(sorted(use.roles or {"reference"})), tuple(paths))
