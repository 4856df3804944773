"""Where in a model the object is that cannot be pickled.

C's pickler does not tell what it was inside of, so after a failure, and only then, the model is pickled once more by
Python's pickler, into nothing. The objects that it was inside of when it failed too become an attribute path.
"""

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import MemberDescriptorType
from typing import Any, BinaryIO, Final, cast

import numpy as np

from safemodel.payload.arraybytes import ARRAY_TYPES

_KEY_MAX: Final = 64  # characters of a key that are shown


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The object that cannot be pickled, and where it is.

    Attributes:
        path: from the model to `owner`, such as `.steps[1][1].func`; empty for the model itself.
        owner: the innermost object that the path reaches: the offender, or the object whose state or class it is.
        offender: what cannot be pickled.
    """

    path: str
    owner: object
    offender: object


def locate(value: object, refuse: Callable[[object], None]) -> Whereabouts | None:
    """Pickle once more and see where it fails.

    Args:
        value: the model.
        refuse: raises for what must not be stored.

    Returns:
        Where, or None if it does not fail again, or only because Python's pickler needs a deeper stack.
    """
    tracer = _Tracer(refuse)
    try:
        tracer.dump(value)
    except RecursionError:
        return None
    except Exception:  # whatever the model's own __reduce__ raises, as it did before
        return _whereabouts(tracer.chain)
    return None


class _Nothing:
    def write(self, data: object) -> None:
        """Drop what Python's pickler writes."""


class _Tracer(pickle._Pickler):
    """Python's pickler, which can be asked what it is inside of.

    Attributes:
        chain: the objects being pickled, each inside the one before; after a failure, those it left unfinished.
    """

    def __init__(self, refuse: Callable[[object], None]) -> None:
        super().__init__(cast(BinaryIO, _Nothing()), pickle.DEFAULT_PROTOCOL)
        self.chain: list[object] = []
        self._refuse = refuse

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        self.chain.append(obj)
        self._refuse(obj)
        if type(obj) not in ARRAY_TYPES or obj.dtype.hasobject:
            super().save(obj, save_persistent_id)  # type: ignore[misc]  # typeshed leaves it out
        self.chain.pop()


def _whereabouts(chain: Sequence[object]) -> Whereabouts:
    path, owner, unnamed = "", chain[0], None
    for child in chain[1:]:
        step = next(_steps(owner, child), None) or _state_step(unnamed, child)
        if step:
            path, owner, unnamed = path + step, child, None
        else:
            unnamed = child
    return Whereabouts(path, owner, chain[-1])


def _steps(owner: object, child: object) -> Iterator[str]:
    """Yield the ways in which an object holds another: as an item, then as an attribute."""
    yield from (item for item, held in _items(owner) if held is child)
    yield from (f".{name}" for name, held in _attributes(owner) if held is child)


def _state_step(state: object, child: object) -> str:
    """Return the step to a value that exists only in the state that `__getstate__` made."""
    if isinstance(state, dict):
        return next((f".{key}" for key, held in state.items() if held is child and isinstance(key, str)), "")
    return ""


def _items(owner: object) -> Iterator[tuple[str, object]]:
    if isinstance(owner, dict):
        yield from ((f"[{_shown(key)}]", held) for key, held in owner.items())
    elif isinstance(owner, list | tuple):
        yield from ((f"[{number}]", held) for number, held in enumerate(owner))
    elif isinstance(owner, np.ndarray) and owner.dtype == object:
        yield from ((str(list(index)), held) for index, held in np.ndenumerate(owner))


def _attributes(owner: object) -> Iterator[tuple[str, object]]:
    yield from getattr(owner, "__dict__", {}).items()
    for kind in type(owner).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, MemberDescriptorType) and hasattr(owner, name):
                yield name, getattr(owner, name)


def _shown(key: object) -> str:
    return repr(key)[:_KEY_MAX] if isinstance(key, str | int) else "..."
