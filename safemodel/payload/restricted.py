"""Restricted loading: lex, rehearse, load; always all three, over the same verified bytes in private memory.

1. `lexer`: one pass over every opcode stream.
2. `rehearsal`: C's unpickler with inert stand-ins; globals, roles, arguments, dtypes and the places of arrays hold after it.
3. Here: the same opcodes with the real classes, under the `guard`. Arrays are views of the private memory.

joblib's own loader is not used: up to version 1.5 it reads arrays of objects with a bare `pickle.load`, and it opens
files that a payload names (docs/threat-model.md).
"""

import pickle
import sys
from collections.abc import Sequence
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final

import numpy as np

from safemodel.errors import LimitExceededError, PayloadError, SafemodelError
from safemodel.payload.arguments import (
    COMPILED,
    CONSTRUCTORS,
    NEW_OBJECT,
    check_array_state,
    check_masked_state,
)
from safemodel.payload.content import ContentCheck, TreeCheck, make_checked_tree, make_noted, rule_for
from safemodel.payload.dtypestate import Dtype, is_foreign
from safemodel.payload.findings import Counts, Region
from safemodel.payload.guard import Guard
from safemodel.payload.rehearsal import LAST_MAPPED_PROTOCOL, WRAPPER, Plan, Rehearsal, Wrapper, python3_name
from safemodel.payload.resolution import resolve
from safemodel.payload.splice import OneFrame, splice_load
from safemodel.payload.standins import CALL, DTYPE, Pair, Permissions


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
        self._data = data
        self._plan = plan
        self._dtypes = iter(plan.dtypes)
        self._checks: dict[type[ContentCheck], ContentCheck] = {}
        self._check_of: dict[type, ContentCheck] = {}  # by the class of an instance
        self.guard = Guard()
        self.globals: dict[Pair, Any] = {WRAPPER: Wrapper} if WRAPPER in plan.uses else {}
        self.globals |= resolve(plan.uses.keys() - self.globals.keys())
        self._put_checked()

    def _put_checked(self) -> None:
        """Put checked constructors in the place of those that must not be called themselves."""
        for pair, roles in self._plan.uses.items():
            found = self.globals[pair]
            rule = rule_for(found) if isinstance(found, type) else None
            if rule is not None:
                self._check_of[found] = self._checks.setdefault(rule, rule())
            if CALL not in roles:
                continue
            if pair == DTYPE:
                self.globals[pair] = self._next_dtype
            elif rule is TreeCheck:
                self.globals[pair] = make_checked_tree(found, self._check_of[found])
            elif pair[1] == NEW_OBJECT and pair[0] in COMPILED:
                self.globals[pair] = make_noted(found, self._note)
            elif pair in CONSTRUCTORS:
                self.globals[pair] = CONSTRUCTORS[pair].real or found

    def run(self) -> Any:
        """Load the payload.

        Raises:
            Exception: whatever the real classes raise.
        """
        with self.guard:
            value = self.run_stream(None)
            for check in self._checks.values():
                check.finish()
        return value

    def clear(self) -> None:
        """Let go of everything: the checked constructors refer back here."""
        self.globals.clear()

    def run_stream(self, number: int | None) -> Any:
        """Load one stream: the payload's own, or that of an array of objects."""
        stream = self._plan.streams[number]
        return _Unpickler(self, splice_load(self._data, stream), stream.protocol).load()

    def _next_dtype(self, spec: object, align: bool, copy: bool) -> Dtype | None:
        """Stand for `numpy.dtype`: the rehearsal made all of them, in this order."""
        return next(self._dtypes)

    def _note(self, made: Any) -> None:
        check = self._check_of.get(type(made))
        if check is not None:
            check.note(made)

    # What BUILD and the arrays do.

    def build(self, instance: Any, state: Any) -> None:
        """Set a state, after a look at it where that is needed."""
        check = self._check_of.get(type(instance))
        if check is not None:
            self._build_checked(check, instance, state)
            return
        if isinstance(instance, np.dtype):
            return  # it has its state already
        if isinstance(instance, np.ndarray):
            self._check_array(instance, state)
        elif isinstance(instance, _NEVER_BUILT):
            raise PayloadError("the payload sets the state of something that it did not make")
        set_state(instance, state)

    def _build_checked(self, check: ContentCheck, instance: Any, state: Any) -> None:
        if check.before_state(instance, state):
            with self.guard.lifted():
                set_state(instance, state)
        else:
            set_state(instance, state)
        check.after_state(instance)

    def _check_array(self, array: np.ndarray[Any, Any], state: Any) -> None:
        dtype = state[2] if type(state) is tuple and len(state) > 2 and isinstance(state[2], np.dtype) else None
        if isinstance(array, np.ma.MaskedArray):
            check_masked_state(state, dtype, lists=True)
        elif type(array).__setstate__ is np.ndarray.__setstate__:
            check_array_state(state, dtype, lists=True)
        else:  # a class that adds something of its own to what numpy sets
            check_array_state(state[:5] if dtype is not None else None, dtype, lists=True)

    def array(self, number: int) -> Any:
        """Hand out an array."""
        array = self._plan.arrays[number]
        if array is not None:
            return array
        value = self.run_stream(number)
        return value.byteswap().view(value.dtype.newbyteorder("=")) if is_foreign(value.dtype) else value


def set_state(instance: Any, state: Any) -> None:
    """Do what BUILD does (CPython, Modules/_pickle.c, `load_build`).

    Args:
        instance: the object.
        state: what its `__setstate__` takes, or its attributes, or those and its slots.

    Raises:
        Exception: whatever the class raises.
    """
    setter = getattr(instance, "__setstate__", None)
    if setter is not None:
        setter(state)
        return
    slots = None
    if type(state) is tuple and len(state) == 2:
        state, slots = state
    if state:
        attributes = instance.__dict__
        for name, value in state.items():
            attributes[sys.intern(name) if type(name) is str else name] = value
    for name, value in (slots or {}).items():
        setattr(instance, name, value)


class _Unpickler(pickle.Unpickler):
    """C's unpickler, asking the load."""

    def __init__(self, load: _Load, opcodes: bytes, protocol: int) -> None:
        super().__init__(OneFrame(opcodes))
        self._load = load
        self._mapped = protocol <= LAST_MAPPED_PROTOCOL

    def find_class(self, module: str, name: str) -> Any:
        return self._load.globals[python3_name(module, name) if self._mapped else (module, name)]

    def persistent_load(self, question: Any) -> Any:
        """Answer a question, see `lexer`."""
        if len(question) == 2:
            self._load.build(*question)
        elif len(question) == 3:
            cls, arguments, number = question
            return cls.__new__(cls, *arguments) if number is None else self._load.array(number)
        return question[0]


_NEVER_BUILT: Final = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)
