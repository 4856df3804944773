"""What cannot be stored, why, and what to do about it.

pickle itself finds most of it. `refuse` adds what pickle would take and a loader could not use: names of `__main__`,
which stand for something else in every other program; neural networks, which have formats of their own; arrays whose
items have no size, which joblib cannot read. Where the object is gets searched only after a failure.
"""

import io
import pickle
import threading
from dataclasses import dataclass
from types import AsyncGeneratorType, CoroutineType, FunctionType, GeneratorType, ModuleType
from typing import Any, Final

from safemodel.errors import PayloadError
from safemodel.payload.arraybytes import ARRAY_TYPES
from safemodel.payload.whereabouts import Whereabouts, locate

_MAIN: Final = ("__main__", "__mp_main__")  # the second is what multiprocessing calls the first in its children


class Refused(pickle.PicklingError):
    """Raised inside the pickler, which does not know where it is; `explain` finds out and gives the reason."""


def refuse(obj: object) -> None:
    """Raise Refused for what pickle would take and a loader could not use."""
    if _in_main(obj) or _framework(obj) or _without_size(obj):
        raise Refused("refused before it was pickled")


def is_named(obj: object) -> bool:
    """Return whether pickle stores the object as a name: a class or a function."""
    return isinstance(obj, type | FunctionType)


def explain(value: object, error: Exception) -> PayloadError:
    """Say why a value cannot be pickled.

    Args:
        value: the model.
        error: what pickling it raised.

    Returns:
        The error to raise from that one. It names the attribute path of the object, if the failure can be repeated.
    """
    if isinstance(error, RecursionError):
        return PayloadError("the model is nested too deeply", hint="flatten it, or call sys.setrecursionlimit first")
    found = locate(value, refuse)
    if found is None:
        return PayloadError(f"the model cannot be pickled: {type(error).__name__}", hint="see this error's cause")
    reason = _reason(found, error)
    where = found.path.removeprefix(".") or "the model"
    return PayloadError(f"{where} {'is' if _is_there(found) else 'holds'} {reason.what}", hint=reason.hint)


@dataclass(frozen=True, slots=True)
class _Reason:
    what: str  # after "is" or "holds"
    hint: str


_LEAVE_OUT: Final = "leave it out in __getstate__, or set it to None before dumping"

_KINDS: Final[tuple[tuple[Any, _Reason], ...]] = (
    (io.IOBase, _Reason("an open file", "keep its path instead, and open it when it is needed")),
    ((type(threading.Lock()), type(threading.RLock())), _Reason("a lock", _LEAVE_OUT)),
    (
        (GeneratorType, CoroutineType, AsyncGeneratorType),
        _Reason("a running generator or coroutine", "keep a list of its items instead"),
    ),
    (ModuleType, _Reason("a module", "keep its name instead, and import it when it is needed")),
)

# Package, then classes that mark what cannot be stored; found by name, since importing them would take seconds.
_FRAMEWORKS: Final = (
    (
        ("keras", "tf_keras", "tensorflow"),
        ("Layer", "Model", "Module"),
        _Reason("a Keras model or layer", "Keras has a format of its own: model.save('model.keras')"),
    ),
    (
        ("torch",),
        ("Module", "Tensor"),
        _Reason(
            "a PyTorch module or tensor", "PyTorch has formats of its own: torch.save of state_dict(), safetensors"
        ),
    ),
)


def _reason(found: Whereabouts, error: Exception) -> _Reason:
    offender = found.offender
    if is_named(offender):
        return _name_reason(found)
    if _without_size(offender):
        return _Reason("an array whose items have no size, which joblib.load cannot read", "give its dtype a field")
    known = _framework(offender) or next((reason for kind, reason in _KINDS if isinstance(offender, kind)), None)
    kind = _full_name(type(offender))
    return known or _Reason(f"an object of {kind}, which cannot be pickled: {type(error).__name__}", _LEAVE_OUT)


def _name_reason(found: Whereabouts) -> _Reason:
    """A class or function is stored as a name that another program must be able to import."""
    what, target = _full_name(found.offender), f"model{found.path}"
    if _is_instance(found):
        what, target = f"an instance of {what}", f"{target}.__class__"
    why, where = _name_trouble(found.offender)
    return _Reason(f"{what}, {why}", f"{where}, import it from there and set {target} to it; no new fit is needed")


def _name_trouble(named: Any) -> tuple[str, str]:
    if named.__name__ == "<lambda>":
        return "a function without a name", "write it with def in a module"
    if "<locals>" in named.__qualname__:
        return "which is defined inside a function", "move it to the top level of a module"
    if _in_main(named):
        return "which no other program can import", "move it to a module"
    return "which is not what this name stands for now", "define it once in a module"


def _is_there(found: Whereabouts) -> bool:
    return found.owner is found.offender or _is_instance(found)


def _is_instance(found: Whereabouts) -> bool:
    return type(found.owner) is found.offender


def _full_name(named: Any) -> str:
    return f"{named.__module__}.{named.__qualname__}"


def _in_main(obj: object) -> bool:
    return is_named(obj) and getattr(obj, "__module__", None) in _MAIN


def _framework(obj: object) -> _Reason | None:
    bases = [(str(base.__module__).partition(".")[0], base.__name__) for base in type(obj).__mro__]
    for packages, names, reason in _FRAMEWORKS:
        if any(package in packages and name in names for package, name in bases):
            return reason
    return None


def _without_size(obj: Any) -> bool:
    return type(obj) in ARRAY_TYPES and obj.dtype.itemsize == 0
