"""Rehearse: C's own unpickler runs the payload, but every global is an inert stand-in; nothing is imported or called.

Rules kept here:

* A global must be signed and allowed under its exact names, and is used only in roles that are both.
* Constructors that matter get arguments that picklers write (`arguments`).
* State is set once, and only on what this payload made; BUILD never reaches C.
* Arrays come in the order of the index, each for a wrapper that says exactly the bytes that the index says.
* Every dtype is made anew from its arguments and state (`dtypestate`).

The opcodes that are run with the real classes afterwards are the same and meet the same decisions, since a pickle has
no branches. What the rehearsal finds out for them is its `Plan`.
"""

import pickle
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from safemodel.errors import GlobalNotAllowedError, LimitExceededError, PayloadError
from safemodel.payload.arguments import (
    COMPILED,
    CONSTRUCTORS,
    RECONSTRUCT,
    RECONSTRUCTOR,
    RECORD,
    check_builtin,
    count_items,
)
from safemodel.payload.dtypestate import Dtype
from safemodel.payload.findings import ALIGNMENT, NESTED, Region
from safemodel.payload.lexer import Stream, lex
from safemodel.payload.nesting import Nesting
from safemodel.payload.splice import OneFrame, splice_rehearsal
from safemodel.payload.standins import (
    CALL,
    DTYPE,
    NEWOBJ,
    WRAPPER,
    Global,
    Made,
    MadeArray,
    MadeDtype,
    Pair,
    Permissions,
    Roles,
    Wrapper,
    callable_class,
    made_class,
    pair_of,
    spell,
)

LAST_MAPPED_PROTOCOL: Final = 2  # whose names are those of Python 2

# joblib writes all three alike, and with numpy 2 reads them as plain arrays.
MATRIX: Final = ("numpy", "matrix")
_SUBCLASSES: Final = frozenset((("numpy", "ndarray"), ("numpy", "memmap"), MATRIX))
_MATRIX: Final = np.matrix if hasattr(np.ndarray, "__array_prepare__") else np.ndarray  # joblib makes them so
_FIELDS: Final = 5  # attributes of a wrapper
_FIELDS_PADDED: Final = 6  # since joblib 1.2, with "numpy_array_alignment_bytes"
_PADDING: Final = {1 + n: bytes([n]) + b"\xff" * n for n in range(1, ALIGNMENT + 1)}

Array = NDArray[Any]


@dataclass(slots=True)
class Plan:
    """What the rehearsal hands to the load.

    Attributes:
        streams: the lexed streams: the payload itself, and those of arrays of objects by the array's number.
        opcodes: of those streams in which the load runs the same ones.
        uses: the globals that the payload names, with their effective roles.
        arrays: views of the buffer by number, as they were written; None for an array of objects.
        converted: the numbers of the arrays that are handed out in this machine's byte order, or aligned, instead.
        dtypes: in the order in which the payload makes them.
    """

    streams: dict[int | None, Stream] = field(default_factory=dict)
    opcodes: dict[int | None, bytes] = field(default_factory=dict)
    uses: dict[Pair, Roles] = field(default_factory=dict)
    arrays: list[Array | None] = field(default_factory=list)
    converted: set[int] = field(default_factory=set)
    dtypes: list[Dtype | None] = field(default_factory=list)


class _Collapsed:
    """Stands for texts that the rehearsal leaves out."""


class _Bottom:
    """Lies below the stack of a stream, which cannot reach it."""


_COLLAPSED: Final = _Collapsed()
_BOTTOM: Final = _Bottom()
_ARRAY: Final = MadeArray()


def python3_name(module: str, name: str) -> Pair:
    """Map a name of Python 2, as pickle does for protocols up to 2."""
    if (module, name) in NAME_MAPPING:
        return NAME_MAPPING[module, name]
    return IMPORT_MAPPING.get(module, module), name


class Rehearsal:
    """One rehearsal of one payload."""

    def __init__(
        self, data: memoryview, regions: Sequence[Region], signed: Permissions, allowed: Permissions | None
    ) -> None:
        self.plan = Plan()
        self.nesting = Nesting()
        self._data = data
        self._regions = regions
        self._signed = signed
        self._allowed = allowed
        self._stand_ins: dict[Pair, object] = {}

    def run(self) -> Plan:
        """Rehearse the payload.

        Returns:
            What the load needs.

        Raises:
            GlobalNotAllowedError: a global, or a role of it, is not signed and allowed.
            PayloadError: any other rule is broken.
            Exception: whatever C's unpickler raises for opcodes that make no sense.
        """
        try:
            stream = lex(self._data, 0, len(self._data), self._regions)
            self._run_stream(None, stream)
        finally:
            # Classes that may be called belong to this load and are cycles; they must not keep the buffer alive.
            self.nesting.clear()
            self._stand_ins.clear()
        if any(dtype is None for dtype in self.plan.dtypes):  # not "in": numpy takes None for float64
            raise PayloadError("a numpy dtype never gets its state")
        return self.plan

    def _run_stream(self, number: int | None, stream: Stream) -> object:
        self.plan.streams[number] = stream
        opcodes = splice_rehearsal(self._data, stream)
        if not stream.collapsed:
            self.plan.opcodes[number] = opcodes
        result = _Unpickler(self, opcodes, stream.protocol, nested=number is not None).load()
        if result[0] is not _BOTTOM or len(result[1]) != 1:
            raise PayloadError("the stream leaves more or less than one value")
        return result[1][0]

    def find(self, pair: Pair, *, nested: bool) -> object:
        """Return the stand-in of a global."""
        stand_in = self._stand_ins.get(pair)
        if stand_in is None:
            stand_in = self._stand_ins[pair] = self._admit(pair)
        if stand_in is Wrapper and nested:
            raise PayloadError("an array of objects holds one of joblib's array wrappers")
        return stand_in

    def _admit(self, pair: Pair) -> object:
        roles = self.plan.uses[pair] = self._roles(pair)
        if pair == WRAPPER:
            return Wrapper
        rule = CONSTRUCTORS.get(pair)
        if NEWOBJ in roles and rule is None and pair[0] not in COMPILED:
            return callable_class(pair, roles, self.nesting.look) if CALL in roles else made_class(pair, roles)
        if rule is None:
            return Global(pair, roles, self.nesting.look)
        value = rule.real if rule.plain else None
        if pair == DTYPE:
            value = partial(self._make_dtype, roles)
        elif pair == RECONSTRUCTOR:
            value = partial(_reconstruct, made_class(pair, roles))
        return Global(pair, roles, self.nesting.look, rule.check, value, rule.check_state)

    def _roles(self, pair: Pair) -> Roles:
        signed = self._signed.get(pair)
        allowed = signed if self._allowed is None else self._allowed.get(pair)
        if signed is None or allowed is None:
            lacks = "signed" if signed is None else "allowed"
            raise GlobalNotAllowedError(
                f"the payload names {spell(pair)}, which is not {lacks}",
                hint="a model needs no such thing unless its author can say why",
            )
        if not pair[1].isidentifier():
            raise GlobalNotAllowedError(
                f"the payload names {spell(pair)}, which is more than one attribute of a module"
            )
        check_builtin(pair)
        return signed & allowed

    def _make_dtype(self, roles: Roles, spec: object, align: bool, copy: bool) -> MadeDtype:
        return MadeDtype(roles, np.record if pair_of(spec) == RECORD else spec, self.plan.dtypes)

    def make_instance(self, cls: object, arguments: object) -> object:
        """Stand for NEWOBJ with arguments."""
        if not isinstance(cls, type) or not issubclass(cls, Made) or type(arguments) is not tuple:
            raise PayloadError("NEWOBJ makes an instance of something that is no class")
        made = object.__new__(cls)
        self.nesting.inherit(made, arguments)
        return made

    # Arrays.

    def array(self, wrapper: object, state: object, number: int) -> object:
        """Stand for an array wrapper's BUILD; the view is made here and kept for the load."""
        arrays = self.plan.arrays
        if type(wrapper) is not Wrapper or wrapper.used:
            raise PayloadError(f"array {number} of the index does not follow an array wrapper")
        wrapper.used = True
        region = self._regions[number]
        dtype, shape, order, padded, kind = _read_wrapper(state)
        real, count = dtype.real, count_items(shape)
        if real is None or (region.kind == NESTED) != real.hasobject:
            raise PayloadError(f"array {number} holds objects, and the index says otherwise, or the other way round")
        if region.kind == NESTED:
            arrays.append(None)
            return self._nested_array(number, region)
        padding = bytes(self._data[region.cut : region.start])
        if padding != (_PADDING.get(len(padding)) if padded else b""):
            raise PayloadError(f"array {number} does not begin where its wrapper says")
        size = real.itemsize
        if not size or real.subdtype is not None or count * size != region.size:
            raise LimitExceededError(f"array {number} has another size than the index says")
        array: Array = np.ndarray(shape, real, self._data, region.start, None, order)
        if dtype.foreign or not array.flags.aligned:
            self.plan.converted.add(number)
        arrays.append(array.view(_MATRIX) if kind == MATRIX else array)
        return _ARRAY

    def _nested_array(self, number: int, region: Region) -> object:
        stream = lex(self._data, region.start, region.start + region.size)
        value = self._run_stream(number, stream)
        if not isinstance(value, Made) or value.pair not in RECONSTRUCT or not value.built:
            raise PayloadError(f"array {number} is to hold objects, and its stream makes no array")
        return value


def _reconstruct(made: type[Made], cls: object, base: object, state: object) -> object:
    """Stand for what protocols 0 and 1 make all objects with."""
    return Wrapper() if cls is Wrapper else object.__new__(made)


def _read_wrapper(state: Any) -> tuple[MadeDtype, tuple[int, ...], Any, bool, Pair]:
    """Read the state of an array wrapper: dtype, shape, order, whether padding comes before the items, and class."""
    if type(state) is not dict or len(state) not in (_FIELDS, _FIELDS_PADDED):
        raise PayloadError("an array wrapper has a state that joblib does not write")
    try:
        dtype, shape, order = state["dtype"], state["shape"], state["order"]
        subclass, mappable = state["subclass"], state["allow_mmap"]
        alignment = state["numpy_array_alignment_bytes"] if len(state) == _FIELDS_PADDED else None
    except KeyError:
        raise PayloadError("an array wrapper has a state that joblib does not write") from None
    if type(dtype) is not MadeDtype or order not in ("C", "F") or alignment not in (None, ALIGNMENT):
        raise PayloadError("an array wrapper has a dtype, an order or an alignment that joblib does not write")
    if type(mappable) is not bool:
        raise PayloadError("an array wrapper has a field that joblib does not write")
    kind = pair_of(subclass)
    if kind is None or kind not in _SUBCLASSES:
        raise PayloadError("an array wrapper has a class that joblib does not write")
    return dtype, shape, order, alignment is not None, kind


class _Unpickler(pickle.Unpickler):
    """C's unpickler, asking the rehearsal."""

    def __init__(self, rehearsal: Rehearsal, opcodes: bytes, protocol: int, *, nested: bool) -> None:
        super().__init__(OneFrame(opcodes))
        self._rehearsal = rehearsal
        self._nested = nested
        self._mapped = protocol <= LAST_MAPPED_PROTOCOL

    def find_class(self, module: str, name: str) -> Any:
        pair = python3_name(module, name) if self._mapped else (module, name)
        return self._rehearsal.find(pair, nested=self._nested)

    def persistent_load(self, question: Any) -> Any:
        """Answer a question, see `lexer`."""
        if question is None:
            return _COLLAPSED
        if len(question) == 2:
            made, state = question
            if not isinstance(made, Made):
                raise PayloadError("the payload sets the state of something that it did not make")
            made.set_state(state)
            return made
        if len(question) == 1:
            self._rehearsal.nesting.look(question[0])
            return question[0]
        if not question:
            return _BOTTOM
        first, second, number = question
        if number is None:
            return self._rehearsal.make_instance(first, second)
        return self._rehearsal.array(first, second, number)
