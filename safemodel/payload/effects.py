"""What the opcodes that make and change objects do to the walk's stack.

An object is made by a global alone, and only what this stream made is changed: BUILD, SETITEM and APPEND on a class or
a function would last in the process. What a pickler does not write is refused: calls of what is no global, arguments
that are no tuple (CPython's two unpicklers differ there), arrays where no array can be.
"""

from collections.abc import Callable
from itertools import repeat
from typing import Final

from safemodel.errors import PayloadError
from safemodel.format.limits import PARTS_MAX
from safemodel.payload.arrays import WRAPPER, Array, read_array, read_repeated
from safemodel.payload.constructors import check_arguments
from safemodel.payload.dtypes import DTYPE, DtypeValue
from safemodel.payload.lookup import Lookup
from safemodel.payload.values import (
    ARGUMENTS,
    KEY,
    SAME,
    STATE,
    Container,
    Global,
    Item,
    KeyGuard,
    Made,
    Use,
    Value,
    Wrapper,
    WrapperClass,
    make_tuple,
    put,
    put_all,
)

Stack = list[Item]
Lengths = list[int]
_VERSION_KEY: Final = "_sklearn_version"
RECONSTRUCTOR: Final = ("copyreg", "_reconstructor")


class Effects:
    """The opcodes of one stream. Each takes the stack above the last mark, or what was above it too.

    A stack that is too short raises IndexError; the machine says where.
    """

    def __init__(self, lookup: Lookup, *, nested: bool) -> None:
        self.lookup = lookup
        self._nested = nested
        self._guard = KeyGuard()
        self._spent: Wrapper | None = None
        self.root = ""  # the class of the stream's value, once it is known

    def stack_global(self, stack: Stack) -> None:
        """Look up the global that the two topmost texts name."""
        name, module = stack.pop(), stack.pop()
        stack.append(self.lookup.find(module, name))

    def reduce(self, stack: Stack) -> None:
        """Call a global."""
        arguments, callee = _arguments(stack.pop()), stack.pop()
        if not isinstance(callee, Global):
            raise PayloadError("REDUCE calls what is not a global")
        made = self._call(callee.use, arguments)
        put(made, arguments, ARGUMENTS)
        stack.append(made)

    def newobj(self, stack: Stack) -> None:
        """Make an instance of a global."""
        arguments, cls = _arguments(stack.pop()), stack.pop()
        stack.append(self._instance(cls, arguments))

    def newobj_ex(self, stack: Stack) -> None:
        """Make an instance of a global, with keyword arguments."""
        keywords, arguments, cls = stack.pop(), _arguments(stack.pop()), stack.pop()
        if not isinstance(keywords, Container) or keywords.kind != "dict":
            raise PayloadError("NEWOBJ_EX has keyword arguments that are no dict")
        made = self._instance(cls, arguments)
        put(made, keywords, ARGUMENTS)
        stack.append(made)

    def build(self, stack: Stack) -> Array | None:
        """Set the state of an object.

        Returns:
            The array that took the place of its wrapper, whose data follows; else None.
        """
        state, made = stack.pop(), stack[-1]
        if not isinstance(made, Made):
            raise PayloadError("BUILD changes what no global of this stream made")
        made.use.roles.add("build")
        if isinstance(made, Wrapper):
            return self._array(stack, made, state)
        if isinstance(made, DtypeValue):
            made.set_state(state)
        put(made, state, STATE)
        if isinstance(state, Container) and type(made) is Made:
            if state.kind == "dict" and state.parts:
                self._note_version(*state.parts[-2:])
            state.parts = None  # nothing looks into it any more, and it would keep all of the model's values
        return None

    def _note_version(self, key: Item, value: Item) -> None:
        """Keep the version of scikit-learn, which its estimators put behind the last item of their state."""
        if isinstance(key, str) and key == _VERSION_KEY and isinstance(value, str):
            self.lookup.census.estimator_versions.add(value)

    def setitems(self, stack: Stack, items: Stack, plain_pairs: int = 0) -> None:
        """Set items of a dict or an object.

        Args:
            stack: what holds the dict.
            items: keys and values in turn.
            plain_pairs: more items that are not listed, each a short text and a number.
        """
        target = _changed(stack[-1], "dict")
        keys, values = items[::2], items[1::2]
        if len(keys) != len(values):
            raise PayloadError("a key has no value")
        self._put_keys(target, keys)
        if isinstance(target, Container):
            target.remember(items, complete=not plain_pairs)
        target.size += 2 * plain_pairs
        put_all(target, values, keys)

    def appends(self, stack: Stack, items: Stack) -> None:
        """Append items to a list or an object."""
        target = _changed(stack[-1], "list")
        first = target.count if isinstance(target, Container) else 0
        put_all(target, items, range(first, first + len(items)))
        if isinstance(target, Container):
            target.count += len(items)

    def additems(self, stack: Stack, items: Stack) -> None:
        """Add members to a set or an object."""
        self._put_keys(_changed(stack[-1], "set"), items)

    def make_frozenset(self, stack: Stack, items: Stack) -> None:
        """Make a frozenset."""
        made = Container("frozenset", items if len(items) <= PARTS_MAX else None)
        self._put_keys(made, items)
        stack.append(made)

    def make_list(self, stack: Stack, items: Stack) -> None:
        """Make a list."""
        stack.append(Container("list", None))
        self.appends(stack, items)

    def make_dict(self, stack: Stack, items: Stack) -> None:
        """Make a dict."""
        stack.append(Container("dict", []))
        self.setitems(stack, items)

    def finish(self, stack: Stack, owner: Value | None) -> int:
        """Take the stream's value, which must be all that is left.

        Args:
            stack: at STOP.
            owner: the array whose objects the stream holds, or None.

        Returns:
            How many values lie inside one another.
        """
        result = stack.pop()
        if stack:
            raise PayloadError("values are left over at STOP")
        if isinstance(result, Global):
            result.put(owner, SAME)
        elif isinstance(result, Wrapper):
            raise PayloadError("an array wrapper is used as data")
        elif isinstance(result, Value):
            result.owner, result.key = owner, SAME
            self.root = _class_of(result)
            return result.height
        return 0

    def _call(self, use: Use, arguments: Container) -> Made:
        pair = (use.module, use.name)
        if pair == WRAPPER:
            raise PayloadError("joblib's array wrapper is called")
        if pair == DTYPE:
            return DtypeValue(use, arguments)
        if pair == RECONSTRUCTOR and arguments.parts and isinstance(arguments.parts[0], WrapperClass):
            use.roles.add("call")
            return self._reconstruct(arguments.parts, arguments)
        check_arguments(pair, arguments)
        return Made(use, "call")

    def _reconstruct(self, parts: Stack, arguments: Container) -> Wrapper:
        """Make an array wrapper as protocols 0 and 1 do: copyreg._reconstructor(NumpyArrayWrapper, object, None)."""
        cls, base = parts[0], parts[1] if len(parts) == 3 else None
        plain_base = isinstance(base, Global) and (base.use.module, base.use.name) == ("builtins", "object")
        if not isinstance(cls, WrapperClass) or not plain_base or parts[2] != b"N" or arguments.owner is not None:
            raise PayloadError("joblib's array wrapper is made in a way that joblib does not use")
        cls.loose -= 1
        return self._wrapper(cls.use, "reference")

    def _instance(self, cls: Item, arguments: Container) -> Made:
        if not isinstance(cls, Global):
            raise PayloadError("NEWOBJ makes an instance of what is not a global")
        if not isinstance(cls, WrapperClass):
            made = Made(cls.use, "newobj")
        elif arguments.parts == []:
            made = self._wrapper(cls.use, "newobj")
        else:
            raise PayloadError("joblib's array wrapper is made in a way that joblib does not use")
        if arguments.parts != []:
            put(made, arguments, ARGUMENTS)
        return made

    def _wrapper(self, use: Use, role: str) -> Wrapper:
        if self._nested:
            raise PayloadError("an array wrapper lies inside an array of objects")
        return Wrapper(use, role)

    def repeat_array(self, stack: Stack, memo: Stack, items: Stack, lengths: Lengths) -> Array | None:
        """Do at once what the opcodes of `opcodes.WRAPPER` do.

        Args:
            stack: gets the array.
            memo: gets what stands for the wrapper, its state and its shape: nothing that may be used.
            items: what the opcodes take from the memo.
            lengths: the shape.

        Returns:
            The array, or None where nothing was done.
        """
        array = None if self._spent is None else read_repeated(items, lengths)
        if array is not None and self._spent is not None:
            stack.append(array)
            memo += 3 * (self._spent,)
        return array

    def _array(self, stack: Stack, wrapper: Wrapper, state: Item) -> Array:
        if wrapper.owner is not None:
            raise PayloadError("an array wrapper is used twice")
        put(wrapper, state, STATE)
        array = stack[-1] = read_array(state)
        wrapper.become(array)
        self._spent = wrapper
        return array

    def _put_keys(self, target: Value, keys: Stack) -> None:
        """Put keys of a dict or members of a set into it; the plain ones need no look."""
        put_all(target, keys, repeat(KEY))
        if not Value.classes.isdisjoint(map(type, keys)):
            for key in keys:
                if isinstance(key, Value):
                    self._guard.check(key)


def _tuple2(effects: Effects, stack: Stack) -> None:
    second, first = stack.pop(), stack.pop()
    stack.append(make_tuple([first, second]))


def _tuple3(effects: Effects, stack: Stack) -> None:
    third, second, first = stack.pop(), stack.pop(), stack.pop()
    stack.append(make_tuple([first, second, third]))


def _class_of(value: Value) -> str:
    """Return the class of an object; what a function made can be of any."""
    if isinstance(value, Container):
        return value.kind
    if isinstance(value, Made) and "newobj" in value.use.roles and "call" not in value.use.roles:
        return f"{value.use.module}.{value.use.name}"
    return ""


def _arguments(item: Item) -> Container:
    if not isinstance(item, Container) or item.kind != "tuple":
        raise PayloadError("the arguments of a call are not a tuple")
    return item


def _changed(target: Item, kind: str) -> Container | Made:
    """Return what an opcode may change: a container of that kind, or an object."""
    if isinstance(target, Container) and target.kind == kind:
        return target
    if type(target) is not Made:
        raise PayloadError(f"items are put into what is neither a {kind} nor an object of this stream")
    target.use.roles.add("setitems")
    return target


ON_STACK: Final[dict[bytes, Callable[[Effects, Stack], object]]] = {
    b"\x93": Effects.stack_global,
    b"R": Effects.reduce,
    b"\x81": Effects.newobj,
    b"\x92": Effects.newobj_ex,
    b"\x85": lambda effects, stack: stack.append(make_tuple([stack.pop()])),
    b"\x86": _tuple2,
    b"\x87": _tuple3,
    b")": lambda effects, stack: stack.append(make_tuple([])),
    b"]": lambda effects, stack: stack.append(Container("list", None)),
    b"}": lambda effects, stack: stack.append(Container("dict", [])),
    b"\x8f": lambda effects, stack: stack.append(Container("set", None)),
    b"a": lambda effects, stack: effects.appends(stack, [stack.pop()]),
    b"s": lambda effects, stack: effects.setitems(stack, [stack.pop(), stack.pop()][::-1]),
    b"2": lambda effects, stack: stack.append(stack[-1]),
}
ON_MARK: Final[dict[bytes, Callable[[Effects, Stack, Stack], object]]] = {
    b"t": lambda effects, stack, items: stack.append(make_tuple(items)),
    b"u": Effects.setitems,
    b"e": Effects.appends,
    b"\x90": Effects.additems,
    b"\x91": Effects.make_frozenset,
    b"l": Effects.make_list,
    b"d": Effects.make_dict,
    b"1": lambda effects, stack, items: None,  # POP_MARK
}
