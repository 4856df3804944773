"""An unpickler of the tests' own: pickle's in Python, with inert classes, where joblib's would run code.

It shares nothing with `safemodel` but the names of what it finds. The standard library's unpickler gives the meaning of
every opcode; joblib's `numpy_pickle` gives where arrays are read: at the file's position when a wrapper was built,
whatever a frame says. What it finds is the truth that walk, lexer and rehearsal are compared with, and the index and
the list of globals with which an attacker would sign.
"""

import io
import pickle
import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar, Final

from safemodel.payload.findings import NESTED, RAW, Region

Pair = tuple[str, str]

WRAPPER: Final = ("joblib.numpy_pickle", "NumpyArrayWrapper")
DTYPE: Final = ("numpy", "dtype")
RECONSTRUCTOR: Final = ("copyreg", "_reconstructor")
ITEMS_MAX: Final = 2**40


def mapped(module: str, name: str) -> Pair:
    """Return what a name of Python 2 means."""
    return NAME_MAPPING.get((module, name)) or (IMPORT_MAPPING.get(module, module), name)


class Unreadable(Exception):
    """The stream cannot be followed without running what it asks for."""


@dataclass
class Truth:
    """What an unpickler met.

    Attributes:
        uses: what was done with each global.
        spelled: the globals as the stream spells them, without the mapping of Python 2 names.
        regions: the arrays, in the order of the file.
        builds: where each BUILD is that makes no array, ascending.
        holes: whether a memo slot was written beyond the next one.
        loose: how often joblib's wrapper, or its class, became data and no array took its place.
        twice: whether a dict was given a key that it had.
        idle: whether no items at all were put into something.
        end: the offset after STOP.
        error: what ended it before STOP.
    """

    uses: dict[Pair, set[str]] = field(default_factory=dict)
    spelled: set[Pair] = field(default_factory=set)
    regions: list[Region] = field(default_factory=list)
    builds: list[int] = field(default_factory=list)
    holes: bool = False
    loose: int = 0
    twice: bool = False
    idle: bool = False
    end: int = 0
    error: Exception | None = None

    @property
    def roles(self) -> dict[Pair, frozenset[str]]:
        """The roles of each global; one that is only looked up is a reference."""
        return {pair: frozenset(roles or {"reference"}) for pair, roles in self.uses.items()}


def follow(data: bytes) -> Truth:
    """Unpickle a stream with inert classes.

    Args:
        data: the stream, uncompressed.

    Returns:
        What was met until its end, or until it could not be followed.
    """
    truth = Truth()
    _Unpickler(data, 0, truth, nested=False).follow()
    return truth


class Thing:
    """What a global made. It takes any state and any items, and notes that it did."""

    def __init__(self, truth: Truth, pair: Pair, arguments: tuple[Any, ...]) -> None:
        self.truth = truth
        self.pair = pair
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state
        self.truth.uses[self.pair].add("build")

    def append(self, item: object) -> None:
        self.truth.uses[self.pair].add("setitems")

    extend = add = append

    def __setitem__(self, key: object, value: object) -> None:
        hash(key)
        self.append(value)


class Table(dict[Any, Any]):
    """A dict that notes keys that come twice."""

    def __init__(self, truth: Truth) -> None:
        super().__init__()
        self.truth = truth

    def __setitem__(self, key: object, value: object) -> None:
        self.truth.twice |= key in self
        super().__setitem__(key, value)


class Array:
    """What joblib puts in the place of a wrapper."""


class Name:
    """A global itself."""

    def __init__(self, truth: Truth, pair: Pair) -> None:
        self.truth = truth
        self.pair = pair

    def make(self, role: str, arguments: tuple[Any, ...]) -> Thing:
        self.truth.uses[self.pair].add(role)
        first = arguments[0] if arguments else None
        if self.pair == RECONSTRUCTOR and isinstance(first, Name) and first.pair == WRAPPER:
            self.truth.loose -= 1
            return Thing(self.truth, WRAPPER, ())
        return Thing(self.truth, self.pair, arguments)


_PythonUnpickler: Any = vars(pickle)["_Unpickler"]


class _Unpickler(_PythonUnpickler):  # type: ignore[misc]
    dispatch: ClassVar[Any] = dict(_PythonUnpickler.dispatch)

    def __init__(self, data: bytes, start: int, truth: Truth, *, nested: bool) -> None:
        self.data = data
        self.truth = truth
        self.nested = nested
        self.source = io.BytesIO(data)
        self.source.seek(start)
        super().__init__(self.source)

    def follow(self) -> Any:
        """Run to STOP, and return the value."""
        try:
            value = self.load()
            self.as_data([value])
            self.truth.end = self.position()
            if self.stack:
                raise Unreadable("values are left over at STOP")
        except Exception as error:
            self.truth.error = self.truth.error or error
            return None
        return value

    def position(self) -> int:
        frame = self._unframer.current_frame
        return self.source.tell() - (len(frame.getbuffer()) - frame.tell() if frame else 0)

    def find_class(self, module: str, name: str) -> Any:
        pair = (module, name)
        self.truth.spelled.add(pair)
        if self.proto < 3:
            pair = mapped(module, name)
        self.truth.uses.setdefault(pair, set())
        return Name(self.truth, pair)

    def get_extension(self, code: int) -> Any:
        raise Unreadable("a global of the process's registry")

    def persistent_load(self, pid: Any) -> Any:
        raise Unreadable("a persistent id")

    def as_data(self, items: Iterable[object]) -> None:
        for item in items:
            if isinstance(item, Name):
                self.truth.uses[item.pair].add("reference")
            if isinstance(item, Name | Thing) and item.pair == WRAPPER:
                self.truth.loose += 1

    def reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self.made("call", self.stack[-1], arguments)

    def newobj(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self.made("newobj", self.stack[-1], arguments)

    def newobj_ex(self) -> None:
        keywords = self.stack.pop()
        arguments = self.stack.pop()
        self.as_data([keywords, *dict(keywords).values()])
        self.stack[-1] = self.made("newobj", self.stack[-1], arguments)

    def made(self, role: str, name: Any, arguments: Any) -> Thing:
        if type(arguments) is not tuple or not isinstance(name, Name):
            raise Unreadable("a call of what is no global, or with what are no arguments")
        return name.make(role, arguments)

    def build(self) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        self.as_data([state])
        where = self.position()
        if not isinstance(made, Thing):
            raise Unreadable("a state for what the stream did not make")
        made.__setstate__(state)
        if made.pair != WRAPPER or self.nested:
            self.truth.builds.append(where - 1)
        else:
            self.stack[-1] = self.read_array(state)

    def read_array(self, state: Any) -> Any:
        number, cut = len(self.truth.regions), self.source.tell()
        size = item_size(state["dtype"])
        if size is None:
            self.truth.regions.append(Region(cut, cut, 0, NESTED))
            inner = _Unpickler(self.data, cut, self.truth, nested=True)
            inner.follow()
            if self.truth.error:
                raise self.truth.error
            self.truth.regions[number] = Region(cut, cut, inner.source.tell() - cut, NESTED)
        else:
            padded = state.get("numpy_array_alignment_bytes") is not None
            start = cut + 1 + self.data[cut] if padded else cut
            count = prod(state["shape"])
            if not 0 <= count <= ITEMS_MAX or not 0 <= count * size <= len(self.data) - start:
                raise Unreadable("an array larger than the file")
            self.truth.regions.append(Region(cut, start, count * size, RAW))
        last = self.truth.regions[number]
        self.source.seek(last.start + last.size)
        return Array()

    def empty_dict(self) -> None:
        self.append(Table(self.truth))

    def filled_dict(self) -> None:
        items, table = self.pop_mark(), Table(self.truth)
        self.as_data(items)
        for key, value in zip(items[::2], items[1::2], strict=True):
            table[key] = value
        self.append(table)

    def byte_array(self) -> None:
        """Read BYTEARRAY8 without allocating what it announces."""
        size = int.from_bytes(self.read(8), "little")
        if size > len(self.data):
            raise Unreadable("more bytes than there are")
        self.append(bytearray(self.read(size)))


def item_size(dtype: Any) -> int | None:
    """Return the bytes of an item, or None if it holds objects."""
    if not isinstance(dtype, Thing) or dtype.pair != DTYPE:
        raise Unreadable("an array of what is no dtype")
    spec, state = dtype.arguments[0], dtype.state
    fields = state[4] if isinstance(state[4], dict) else {}
    parts = [part[0] for part in fields.values()] + ([state[2][0]] if isinstance(state[2], tuple) else [])
    if spec[0] == "O" or any(item_size(part) is None for part in parts):
        return None
    return (4 if spec[0] == "U" else 1) * int(spec[1:])


def _consuming(opcode: bytes, count: int | None) -> None:
    """Note globals among the topmost values, or among those since the mark, before an opcode takes them as data."""
    run = _PythonUnpickler.dispatch[opcode[0]]

    def consume(self: Any) -> None:
        self.as_data(self.stack[:] if count is None else self.stack[-count:])
        run(self)

    _Unpickler.dispatch[opcode[0]] = consume


def _filling(opcode: bytes) -> None:
    """Let an opcode without items do nothing, as in C, whatever it is done to."""
    run = _Unpickler.dispatch[opcode[0]]

    def fill(self: Any) -> None:
        if self.stack:
            run(self)
        else:
            self.truth.idle = True
            self.pop_mark()

    _Unpickler.dispatch[opcode[0]] = fill


for _opcode in (pickle.TUPLE, pickle.LIST, pickle.FROZENSET):
    _consuming(_opcode, None)
for _opcode in (pickle.APPENDS, pickle.SETITEMS, pickle.ADDITEMS):
    _consuming(_opcode, None)
    _filling(_opcode)
for _opcode, _count in (
    (pickle.TUPLE1, 1),
    (pickle.TUPLE2, 2),
    (pickle.TUPLE3, 3),
    (pickle.APPEND, 1),
    (pickle.SETITEM, 2),
):
    _consuming(_opcode, _count)


def _putting(opcode: bytes) -> None:
    run = _PythonUnpickler.dispatch[opcode[0]]

    def put(self: Any) -> None:
        before = len(self.memo)
        run(self)
        self.truth.holes |= max(self.memo) > before

    _Unpickler.dispatch[opcode[0]] = put


for _opcode in (pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT):
    _putting(_opcode)


def _unreadable(self: Any) -> None:
    raise Unreadable("an opcode of Python 2's classes, or of buffers outside of the stream")


_Unpickler.dispatch |= {
    pickle.REDUCE[0]: _Unpickler.reduce,
    pickle.NEWOBJ[0]: _Unpickler.newobj,
    pickle.NEWOBJ_EX[0]: _Unpickler.newobj_ex,
    pickle.BUILD[0]: _Unpickler.build,
    pickle.EMPTY_DICT[0]: _Unpickler.empty_dict,
    pickle.DICT[0]: _Unpickler.filled_dict,
    pickle.BYTEARRAY8[0]: _Unpickler.byte_array,
    **dict.fromkeys((pickle.INST[0], pickle.OBJ[0], pickle.NEXT_BUFFER[0], pickle.READONLY_BUFFER[0]), _unreadable),
}


def named(data: bytes) -> set[Pair]:
    """Return every global that the opcodes of a stream may name, also those that no unpickler gets to."""
    texts: list[str] = []
    pairs: set[Pair] = set()
    with suppress(Exception):
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in ("GLOBAL", "INST"):
                module, _, name = str(argument).partition(" ")
                pairs |= {(module, name), mapped(module, name)}
            elif opcode.name == "STACK_GLOBAL" and len(texts) > 1:
                pairs |= {(texts[-2], texts[-1]), mapped(texts[-2], texts[-1])}
            elif isinstance(argument, str):
                texts.append(argument)
    return pairs


def forged_index(data: bytes) -> tuple[tuple[Region, ...], set[Pair]]:
    """Return what an attacker would sign of a stream: where its arrays lie, and all globals that it may name."""
    truth = follow(data)
    return tuple(truth.regions), truth.uses.keys() | truth.spelled | named(data)
