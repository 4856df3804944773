"""Restricted loading: lex, rehearse, load; always all three, over the same verified bytes in private memory.

1. `lexer`: one pass over every opcode stream.
2. `rehearsal`: C's unpickler with inert stand-ins; after it, globals, roles, arguments, dtypes and the places of
   arrays hold.
3. Here: the same opcodes with the real classes, under the `guard`. Arrays are views of the private memory.

joblib's own loader is not used: up to version 1.5 it reads arrays of objects with a bare `pickle.load`, and it opens
files that a payload names (docs/threat-model.md).
"""

import pickle
import sys
from collections.abc import Callable, Sequence
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final, NoReturn

import numpy as np

from safemodel.errors import LimitExceededError, PayloadError, SafemodelError
from safemodel.payload.arguments import (
    COMPILED,
    CONSTRUCTORS,
    NEW_OBJECT,
    check_array_state,
    check_masked_state,
)
from safemodel.payload.content import ContentCheck, TreeCheck, make_checked_tree, make_noted, rule_for, set_state
from safemodel.payload.dtypestate import Dtype, is_foreign
from safemodel.payload.findings import Counts, Region
from safemodel.payload.guard import Guard
from safemodel.payload.rehearsal import LAST_MAPPED_PROTOCOL, Plan, Rehearsal, python3_name
from safemodel.payload.resolution import resolve
from safemodel.payload.splice import OneFrame, splice_load
from safemodel.payload.standins import CALL, DTYPE, WRAPPER, Pair, Permissions, Wrapper


def load_restricted(
    buffer: memoryview,
    regions: Sequence[Region],
    signed: Permissions,
    counts: Counts,
    allowed: Permissions | None = None,
) -> Any:
    """Unpickle a payload under the rules.

    Args:
        buffer: the payload's verified bytes in private, writable memory. Arrays of the result are views of it.
        regions: where its arrays lie, from the index.
        signed: the globals that the manifest lists, with their roles.
        counts: the manifest's quotas.
        allowed: the globals that the verifier allows, with their roles; None if those that are signed.

    Returns:
        The model.

    Raises:
        GlobalNotAllowedError: a global, or a role of it, is not both signed and allowed, or is not what its name says.
        LimitExceededError: a quota or a limit would be exceeded, or there is not enough memory.
        PayloadError: anything else; the cause is kept.
    """
    try:
        return _load(buffer, regions, signed, counts, allowed)
    except (SafemodelError, KeyboardInterrupt):
        raise
    except (MemoryError, RecursionError) as error:
        raise LimitExceededError(f"the payload needs more than there is: {type(error).__name__}") from error
    except BaseException as error:  # the classes of a payload may raise anything, SystemExit as well
        raise PayloadError(f"the payload cannot be unpickled: {type(error).__name__}: {error}") from error


def _load(
    buffer: memoryview,
    regions: Sequence[Region],
    signed: Permissions,
    counts: Counts,
    allowed: Permissions | None,
) -> Any:
    if len(regions) != counts.arrays:
        raise LimitExceededError(f"the manifest says {counts.arrays} arrays, the index has {len(regions)}")
    plan = Rehearsal(buffer, regions, signed, allowed).run()
    load = _Load(buffer, plan)
    try:
        return load.run()
    finally:
        load.clear()


class _Load:
    """The third pass: one load with the real classes."""

    def __init__(self, data: memoryview, plan: Plan) -> None:
        self.plan = plan
        self.globals: dict[Pair, Any] = {}
        self.setters: dict[type, Callable[[Any, Any], None]] = {}  # what BUILD does, by the class of the instance
        self._data = data
        self._dtypes = iter(plan.dtypes)
        self._guard = Guard()
        self._checks: dict[type[ContentCheck], ContentCheck] = {}
        self._resolve()

    def run(self) -> Any:
        """Load the payload.

        Raises:
            Exception: whatever the real classes raise.
        """
        with self._guard:
            value = self.run_stream(None)
            for check in self._checks.values():
                check.finish()
        return value

    def clear(self) -> None:
        """Let go of everything: what was put in the place of globals and of BUILD refers back here."""
        self.globals.clear()
        self.setters.clear()

    def run_stream(self, number: int | None) -> Any:
        """Load one stream: the payload's own, or that of an array of objects."""
        stream = self.plan.streams[number]
        opcodes = self.plan.opcodes.get(number) or splice_load(self._data, stream)
        return _Unpickler(self, opcodes, stream.protocol).load()[1][0]

    def _resolve(self) -> None:
        """Look the globals up, and put checked constructors in the place of those that must not be called."""
        uses = self.plan.uses
        found = resolve(uses.keys() - {WRAPPER})
        self.globals |= found
        if WRAPPER in uses:
            self.globals[WRAPPER] = Wrapper
        for pair, real in found.items():
            check = self._check_for(real) if isinstance(real, type) else None
            if CALL not in uses[pair]:
                continue
            if pair == DTYPE:
                self.globals[pair] = self._next_dtype
            elif isinstance(check, TreeCheck):
                self.globals[pair] = make_checked_tree(real, check.made)
            elif pair[1] == NEW_OBJECT and pair[0] in COMPILED:
                self.globals[pair] = make_noted(real, self._note)
            elif pair in CONSTRUCTORS:
                self.globals[pair] = CONSTRUCTORS[pair].real or real

    def _check_for(self, cls: type) -> ContentCheck | None:
        rule = rule_for(cls)
        if rule is None:
            return None
        check = self._checks.setdefault(rule, rule(self._guard))
        self.setters[cls] = check.set_state
        return check

    def _next_dtype(self, spec: object, align: bool, copy: bool) -> Dtype | None:
        """Stand for `numpy.dtype`: the rehearsal made all of them, in this order."""
        return next(self._dtypes)

    def _note(self, made: Any) -> None:
        check = self._check_for(type(made))
        if check is not None:
            check.made.append(made)

    def setter_for(self, cls: type) -> Callable[[Any, Any], None]:
        """Return what BUILD does to the instances of a class, when the first of them is met."""
        if self._check_for(cls) is None:
            self.setters[cls] = _setter_for(cls)
        return self.setters[cls]

    def array(self, number: int) -> Any:
        """Hand out an array."""
        array = self.plan.arrays[number]
        if array is None:
            array = self.run_stream(number)
        elif number not in self.plan.converted:
            return array
        if is_foreign(array.dtype):  # in place: nothing else looks at these bytes
            array = array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))
        return array if array.flags.aligned else array.copy("K")


def _setter_for(cls: type) -> Callable[[Any, Any], None]:
    if issubclass(cls, np.dtype):
        return _keep_state
    masked = sys.modules.get("numpy.ma")  # if it is not imported, the class is none of its
    if masked is not None and issubclass(cls, masked.MaskedArray):
        return _set_masked_state
    if issubclass(cls, np.ndarray):
        return _set_array_state
    return _refuse_state if issubclass(cls, _NEVER_BUILT) else set_state


def _keep_state(instance: object, state: object) -> None:
    """A dtype is complete from the beginning."""


def _set_array_state(array: Any, state: Any) -> None:
    plain = type(array).__setstate__ is np.ndarray.__setstate__
    # A class of its own may add to what numpy sets.
    check_array_state(state if plain or type(state) is not tuple else state[:5], _dtype_in(state), lists=True)
    array.__setstate__(state)


def _set_masked_state(array: Any, state: Any) -> None:
    check_masked_state(state, _dtype_in(state), lists=True)
    array.__setstate__(state)


def _dtype_in(state: Any) -> Dtype | None:
    return state[2] if type(state) is tuple and len(state) > 2 and isinstance(state[2], np.dtype) else None


def _refuse_state(instance: object, state: object) -> NoReturn:
    raise PayloadError("the payload sets the state of something that it did not make")


class _Unpickler(pickle.Unpickler):
    """C's unpickler, asking the load."""

    def __init__(self, load: _Load, opcodes: bytes, protocol: int) -> None:
        super().__init__(OneFrame(opcodes))
        self._load = load
        self._setters = load.setters
        self._mapped = protocol <= LAST_MAPPED_PROTOCOL

    def find_class(self, module: str, name: str) -> Any:
        return self._load.globals[python3_name(module, name) if self._mapped else (module, name)]

    def persistent_load(self, question: Any) -> Any:
        """Answer a question, see `lexer`."""
        if len(question) == 2:
            instance, state = question
            cls = type(instance)
            (self._setters.get(cls) or self._load.setter_for(cls))(instance, state)
            return instance
        if len(question) == 3:
            first, second, number = question
            return first.__new__(first, *second) if number is None else self._load.array(number)
        return question[0] if question else None


_NEVER_BUILT: Final = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)
