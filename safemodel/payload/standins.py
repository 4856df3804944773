"""Inert things that stand for globals, and for what globals make, while a payload is rehearsed.

They name their global and its roles, and refuse whatever the roles do not cover. C's unpickler wants a real class for
NEWOBJ, so a global that may make instances is stood for by a class of its own; those classes hold nothing of a load and
are kept from one to the next.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import Any, ClassVar, Final, NoReturn, TypeAlias, cast

from safemodel.errors import GlobalNotAllowedError, PayloadError
from safemodel.payload.dtypestate import Dtype, derive_dtype, is_foreign

Pair: TypeAlias = tuple[str, str]  # module and name of a global
Roles: TypeAlias = frozenset[str]
Permissions: TypeAlias = Mapping[Pair, Roles]
Arguments: TypeAlias = tuple[Any, ...]
Look: TypeAlias = Callable[[Arguments], None]

CALL: Final = "call"
NEWOBJ: Final = "newobj"
REFERENCE: Final = "reference"
SETITEMS: Final = "setitems"
SETS_STATE: Final = "build"

DTYPE: Final = ("numpy", "dtype")
WRAPPER: Final = ("joblib.numpy_pickle", "NumpyArrayWrapper")

CLASSES_KEPT: Final = 4096  # more than the catalogue has


def spell(pair: Pair) -> str:
    """Write a global for a message, whatever characters a payload put into its name."""
    return ascii(".".join(pair))[1:-1]


def refuse_role(pair: Pair, role: str) -> NoReturn:
    """Refuse a use that the roles of a global do not cover.

    Raises:
        GlobalNotAllowedError: always.
    """
    raise GlobalNotAllowedError(
        f"the payload uses {spell(pair)} in the role {role!r}, for which it is not signed or not allowed",
        hint="see which roles it was signed for with `safemodel inspect`",
    )


class Wrapper:
    """Stands for joblib's array wrapper, in the rehearsal and in the load; joblib's own is never imported.

    Attributes:
        used: its array was handed out.
    """

    used = False


class Made:
    """An object that a global would make. Its class says which.

    Attributes:
        built: whether it got its state.
    """

    pair: ClassVar[Pair] = ("", "")
    roles: Roles = frozenset()
    check_state: ClassVar[Callable[[object], None] | None] = None
    built: bool = False

    def set_state(self, state: object) -> None:
        """Stand for BUILD.

        Raises:
            GlobalNotAllowedError: its global may not set states.
            PayloadError: the state breaks a rule, or is the second one.
        """
        if SETS_STATE not in self.roles:
            refuse_role(self.pair, SETS_STATE)
        if self.built:
            raise PayloadError(f"the state of something that {spell(self.pair)} made is set twice")
        self.built = True
        check = type(self).check_state
        if check is not None:
            check(state)

    def append(self, item: object) -> None:
        """Stand for APPEND."""
        if SETITEMS not in self.roles:
            refuse_role(self.pair, SETITEMS)

    def extend(self, items: Iterable[object]) -> None:
        """Stand for APPENDS."""
        self.append(items)

    def add(self, item: object) -> None:
        """Stand for ADDITEMS."""
        self.append(item)

    def __setitem__(self, key: object, value: object) -> None:
        self.append(value)


class MadeArray(Made):
    """An array whose bytes lie in the private buffer."""

    pair = ("numpy", "ndarray")
    built = True


class MadeDtype(Made):
    """A dtype; it is one as soon as its state came.

    Args:
        roles: of `numpy.dtype`.
        spec: its first argument.
        dtypes: all dtypes of the payload, in the order in which they are made; this one gets the next place.

    Attributes:
        real: the dtype, or None before it has its state.
        foreign: whether joblib swaps the bytes of its arrays.
    """

    pair = DTYPE

    def __init__(self, roles: Roles, spec: object, dtypes: list[Dtype | None]) -> None:
        self.roles = roles
        self.real: Dtype | None = None
        self.foreign = False
        self._spec = spec
        self._dtypes = dtypes
        self._number = len(dtypes)
        dtypes.append(None)

    def set_state(self, state: object) -> None:
        """Stand for BUILD, by making the dtype."""
        super().set_state(state)
        self.real = self._dtypes[self._number] = derive_dtype(self._spec, _with_real_dtypes(state))
        self.foreign = is_foreign(self.real)


def _with_real_dtypes(state: object) -> object:
    """Put dtypes for their stand-ins, in the fields and in the base of a subarray."""
    if type(state) is not tuple or len(state) < 5:
        return None
    base, fields = state[2], state[4]
    if type(base) is tuple:
        base = tuple(map(_real, base))
    if type(fields) is dict:
        fields = {key: tuple(map(_real, value)) if type(value) is tuple else None for key, value in fields.items()}
    return (*state[:2], base, state[3], fields, *state[5:])


def _real(value: object) -> object:
    return value.real if isinstance(value, MadeDtype) else value


def _refuse_call(pair: Pair, arguments: Arguments) -> NoReturn:
    refuse_role(pair, CALL)


class Global:
    """A global that makes no instances with NEWOBJ; REDUCE may call it if its roles say so.

    Args:
        pair: its module and name.
        roles: its roles.
        look: is given each tuple among the arguments of a call.
        check: is given the arguments of a call.
        value: makes the result, if that is plain data which the rehearsal needs.
        check_state: is given the state of what a call made.
    """

    __slots__ = ("_check", "_look", "_value", "made", "pair", "roles")

    def __init__(
        self,
        pair: Pair,
        roles: Roles,
        look: Look,
        check: Callable[[Arguments], None] | None = None,
        value: Callable[..., object] | None = None,
        check_state: Callable[[object], None] | None = None,
    ) -> None:
        self.pair = pair
        self.roles = roles
        self.made = made_class(pair, roles, check_state)
        self._look = look
        self._check = (
            check if CALL in roles else partial(_refuse_call, pair)
        )  # no method of its own, it would be a cycle
        self._value = value

    def __call__(self, *arguments: object) -> object:
        """Stand for REDUCE.

        Raises:
            GlobalNotAllowedError: it may not be called.
            PayloadError: the arguments break a rule.
        """
        if self._check is None:
            self._look_at(arguments)
        else:
            self._check(arguments)  # takes no tuples, but for those of numbers
            if self._value is not None:
                return self._value(*arguments)
        return object.__new__(self.made)

    def _look_at(self, arguments: Arguments) -> None:
        for argument in arguments:
            if type(argument) is tuple:
                self._look(argument)


class _Class(type):
    """What REDUCE meets when it calls a class that is there for NEWOBJ."""

    pair: Pair
    look: Look | None

    def __call__(cls, *arguments: object) -> object:
        if cls.look is None:
            refuse_role(cls.pair, CALL)
        cls.look(arguments)
        return type.__call__(cls)

    def __setitem__(cls, key: object, value: object) -> NoReturn:
        cls._refuse_items()

    def _refuse_items(cls) -> NoReturn:
        refuse_role(cls.pair, SETITEMS)

    # Looked up on the class itself, in the place of what its instances have.
    append = extend = add = property(_refuse_items)


@lru_cache(maxsize=CLASSES_KEPT)
def made_class(pair: Pair, roles: Roles, check_state: Callable[[object], None] | None = None) -> type[Made]:
    """Return the class of what a global makes; NEWOBJ makes instances of it, REDUCE does not.

    Args:
        pair: module and name of the global.
        roles: its roles.
        check_state: is given the state that an instance gets.
    """
    return _class(pair, roles, check_state, None)


def callable_class(pair: Pair, roles: Roles, look: Look) -> type[Made]:
    """Return a class that REDUCE may call as well; a new one, since it belongs to one load.

    Args:
        pair: module and name of the global.
        roles: its roles.
        look: is given the arguments of each call.
    """
    return _class(pair, roles, None, look)


def _class(pair: Pair, roles: Roles, check_state: Callable[[object], None] | None, look: Look | None) -> type[Made]:
    functions = {"check_state": check_state, "look": look}
    content = {name: staticmethod(function) if function else None for name, function in functions.items()}
    return cast(type[Made], _Class(spell(pair), (Made,), {"pair": pair, "roles": roles, **content}))


def pair_of(value: object) -> Pair | None:
    """Return which global a value stands for, if it stands for one.

    Raises:
        GlobalNotAllowedError: it does, and may not be used as data.
    """
    if type(value) is not Global and not (isinstance(value, type) and issubclass(value, Made)):
        return None
    if REFERENCE not in value.roles:
        refuse_role(value.pair, REFERENCE)
    return value.pair


def dtype_of(value: object) -> Dtype | None:
    """Return the dtype that a value stands for, if it stands for one that has its state."""
    return value.real if type(value) is MadeDtype else None
