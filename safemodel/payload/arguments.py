"""What may be given to the constructors that payloads call, for those where it matters.

A signed and allowed constructor can still be the tool of an attack: it calls what it is given, allocates what it is
told, or believes that its arguments fit together. Each rule takes exactly what picklers write. The rehearsal applies
them to stand-ins; what a load could change between then and the real call is checked once more on the real thing.
"""

import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from safemodel.errors import PayloadError
from safemodel.payload.dtypestate import Dtype
from safemodel.payload.standins import DTYPE, Arguments, Made, Pair, Wrapper, dtype_of, pair_of

RECORD: Final = ("numpy", "record")
RECONSTRUCT: Final = (("numpy._core.multiarray", "_reconstruct"), ("numpy.core.multiarray", "_reconstruct"))
RECONSTRUCTOR: Final = ("copyreg", "_reconstructor")

NEW_OBJECT: Final = "newObj"

# Compiled modules whose classes crash without a state, and are made by calls only.
COMPILED: Final = frozenset(
    (
        "sklearn.tree._tree",
        "sklearn.neighbors._ball_tree",
        "sklearn.neighbors._kd_tree",
        "sklearn.neighbors._dist_metrics",
        "sklearn.metrics._dist_metrics",
    )
)

# Of the module builtins, models need these and no others; the rest of it runs code, opens files or looks things up.
BUILTINS: Final = frozenset(
    [
        "bool",
        "bytearray",
        "bytes",
        "complex",
        "dict",
        "float",
        "frozenset",
        "getattr",
        "int",
        "list",
        "object",
        "range",
        "set",
        "slice",
        "str",
        "tuple",
    ]
)

_BIT_GENERATORS: Final = {
    "MT19937": "numpy.random._mt19937",
    "PCG64": "numpy.random._pcg64",
    "PCG64DXSM": "numpy.random._pcg64",
    "Philox": "numpy.random._philox",
    "SFC64": "numpy.random._sfc64",
}
_BIT_GENERATOR_CTOR: Final = ("numpy.random._pickle", "__bit_generator_ctor")
_BASES_WITH_STATE: Final = (("builtins", "dict"), ("builtins", "list"))
_LATIN1: Final = ("latin1", "latin-1")
_DIMENSIONS_MAX: Final = 64  # as numpy 2
_ITEMS_MAX: Final = 2**63 - 1  # numpy counts in signed 64 bits, and joblib once let it wrap (issue 859)
_EMPTY_ARRAYS: Final = (((0,), b"b"), ((0,), "b"))
_ENDS: Final = frozenset((int, float, str, type(None)))
_NUMBERS: Final = frozenset((int, float))
_INTEGER: Final = frozenset((int,))
_BYTES: Final = frozenset((bytes, bytearray))


@dataclass(frozen=True, slots=True)
class Constructor:
    """One rule.

    Attributes:
        check: is given the arguments, and raises PayloadError unless picklers write such.
        real: what the load calls, in the place of what the name says.
        plain: whether the result is plain data that the rehearsal needs as well.
        check_state: is given the state that BUILD sets on what was made.
    """

    check: Callable[[Arguments], None]
    real: Callable[..., object] | None = None
    plain: bool = False
    check_state: Callable[[object], None] | None = None


def check_builtin(pair: Pair) -> None:
    """Refuse the names of the module builtins that no model needs.

    Raises:
        PayloadError: it is one of them.
    """
    if pair[0] == "builtins" and pair[1] not in BUILTINS:
        raise PayloadError("the payload names something of the module builtins that no model needs")


def count_items(shape: object) -> int:
    """Multiply the dimensions of a shape.

    Raises:
        PayloadError: it is not a tuple of at most 64 sizes whose product, zeros left out, is below 2**63.
    """
    if type(shape) is not tuple or len(shape) > _DIMENSIONS_MAX:
        _refuse("a shape")
    count = product = 1
    for size in shape:
        if type(size) is not int or size < 0:
            _refuse("a shape")
        count *= size
        product *= size or 1
    if product > _ITEMS_MAX:
        _refuse("a shape")
    return count


def check_array_state(state: object, dtype: Dtype | None, *, lists: bool) -> None:
    """Check what BUILD sets on an array that numpy's `_reconstruct` made.

    numpy reads as many items from the list as the shape says, however many there are (`_setlist_pkl`).

    Args:
        state: version, shape, dtype, whether in Fortran's order, and bytes or a list.
        dtype: what the third part is or stands for.
        lists: whether lists have all their items; the rehearsal leaves some out.

    Raises:
        PayloadError: its parts do not fit together.
    """
    if type(state) is not tuple or len(state) != 5 or state[0] != 1 or type(state[3]) is not bool or dtype is None:
        _refuse("the state of a numpy array")
    items = state[4]
    count = count_items(state[1])
    if dtype.hasobject:
        fits = type(items) is list and (len(items) == count or not lists)
    else:
        fits = type(items) is bytes and len(items) == count * dtype.itemsize
    if not fits or dtype.subdtype is not None:
        _refuse("the state of a numpy array")


def check_masked_state(state: object, dtype: Dtype | None, *, lists: bool) -> None:
    """Check what BUILD sets on a masked array: as an array, then one byte of mask for each item, and a fill value.

    Raises:
        PayloadError: its parts do not fit together, or it has fields.
    """
    if type(state) is not tuple or len(state) != 7 or dtype is None or dtype.fields:
        _refuse("the state of a masked array")
    check_array_state(state[:5], dtype, lists=lists)
    if type(state[5]) is not bytes or len(state[5]) != count_items(state[1]):
        _refuse("the state of a masked array")


def _refuse(what: str) -> NoReturn:
    raise PayloadError(f"{what} is not what picklers write")


# numpy's.


def _check_dtype(arguments: Arguments) -> None:
    if len(arguments) != 3 or arguments[1] is not False or arguments[2] is not True:
        _refuse("a call of numpy.dtype")
    if type(arguments[0]) is not str and pair_of(arguments[0]) != RECORD:
        _refuse("a call of numpy.dtype")


def _check_ndarray(arguments: Arguments) -> None:
    """An array without items: what any other would hold is whatever lay in memory."""
    dtype = dtype_of(arguments[1]) if len(arguments) == 2 else None
    if dtype is None or dtype.hasobject or dtype.subdtype is not None or count_items(arguments[0]):
        _refuse("a call of numpy.ndarray")


def _check_reconstruct(arguments: Arguments) -> None:
    if len(arguments) != 3 or pair_of(arguments[0]) is None or arguments[1:] not in _EMPTY_ARRAYS:
        _refuse("a call of numpy's _reconstruct")


def _check_masked_reconstruct(arguments: Arguments) -> None:
    if len(arguments) != 4 or None in map(pair_of, arguments[:2]) or arguments[2:] not in _EMPTY_ARRAYS:
        _refuse("a call of numpy.ma's _mareconstruct")


def _rehearsed_array_state(state: object) -> None:
    check_array_state(state, _dtype_in(state), lists=False)


def _rehearsed_masked_state(state: object) -> None:
    check_masked_state(state, _dtype_in(state), lists=False)


def _dtype_in(state: object) -> Dtype | None:
    return dtype_of(state[2]) if type(state) is tuple and len(state) > 2 else None


def _check_scalar(arguments: Arguments) -> None:
    dtype = dtype_of(arguments[0]) if len(arguments) == 2 else None
    if dtype is None or dtype.hasobject or type(arguments[1]) is not bytes or len(arguments[1]) != dtype.itemsize:
        _refuse("a call of numpy's scalar")


def _check_frombuffer(arguments: Arguments) -> None:
    if len(arguments) != 4:
        _refuse("a call of numpy's _frombuffer")
    buffer, stand_in, shape, order = arguments
    dtype = dtype_of(stand_in)
    if dtype is None or dtype.hasobject or type(buffer) not in _BYTES or order not in ("C", "F"):
        _refuse("a call of numpy's _frombuffer")
    if count_items(shape) * dtype.itemsize != len(buffer):
        _refuse("a call of numpy's _frombuffer")


def _from_buffer(buffer: bytes | bytearray, dtype: Dtype, shape: tuple[int, ...], order: Any) -> NDArray[Any]:
    """Do what numpy's `_frombuffer` does, in one step; numpy checks the size against the buffer's."""
    return np.ndarray(shape, dtype, buffer, 0, None, order)


def _check_bit_generator(arguments: Arguments) -> None:
    if len(arguments) != 1 or not _is_bit_generator(arguments[0]):
        _refuse("a call of numpy's __bit_generator_ctor")


def _check_generator(arguments: Arguments) -> None:
    """The second argument is called with the first one."""
    if len(arguments) == 1:
        fits = _is_bit_generator(arguments[0]) or isinstance(arguments[0], Made)
    else:
        fits = len(arguments) == 2 and _is_bit_generator(arguments[0]) and pair_of(arguments[1]) == _BIT_GENERATOR_CTOR
    if not fits:
        _refuse("a call of numpy's __generator_ctor or __randomstate_ctor")


def _is_bit_generator(value: object) -> bool:
    if type(value) is str:
        return value in _BIT_GENERATORS
    module, name = pair_of(value) or ("", "")
    return _BIT_GENERATORS.get(name) == module


# Python's own.


def _check_bytearray(arguments: Arguments) -> None:
    if (len(arguments) == 2 and not _is_latin1(arguments)) or (len(arguments) == 1 and type(arguments[0]) is not bytes):
        _refuse("a call of bytearray")


def _check_encode(arguments: Arguments) -> None:
    if len(arguments) != 2 or not _is_latin1(arguments):
        _refuse("a call of _codecs.encode")


def _is_latin1(arguments: Arguments) -> bool:
    return type(arguments[0]) is str and type(arguments[1]) is str and arguments[1] in _LATIN1


def _check_partial(arguments: Arguments) -> None:
    """A function that is signed and allowed; its arguments come with the state."""
    if len(arguments) != 1 or pair_of(arguments[0]) is None:
        _refuse("a call of functools.partial")


def _check_partial_state(state: object) -> None:
    """The function again, arguments, keywords, attributes."""
    if type(state) is not tuple or len(state) != 4 or pair_of(state[0]) is None:
        _refuse("the state of functools.partial")
    if (
        type(state[1]) is not tuple
        or type(state[2]) is not dict
        or (state[3] is not None and type(state[3]) is not dict)
    ):
        _refuse("the state of functools.partial")


def _check_reconstructor(arguments: Arguments) -> None:
    """What protocols 0 and 1 write for every object: its class, the base that holds a state of its own, that state."""
    known = len(arguments) == 3 and (arguments[0] is Wrapper or pair_of(arguments[0]) is not None)
    base = pair_of(arguments[1]) if known else None
    if base in _BASES_WITH_STATE:
        fits = type(arguments[2]) in (dict, list)
    else:
        fits = base == ("builtins", "object") and arguments[2] is None
    if not fits:
        _refuse("a call of copyreg._reconstructor")


def _check_getattr(arguments: Arguments) -> None:
    """A bound method of an object that the payload made."""
    if len(arguments) != 2 or not isinstance(arguments[0], Made) or not _is_method_name(arguments[1]):
        _refuse("a call of getattr")


def _is_method_name(name: object) -> bool:
    return type(name) is str and name.isidentifier() and not name.startswith("__")


def _bind_method(instance: object, name: str) -> MethodType:
    """Look a method up on the class, so that no property and no `__getattr__` runs."""
    for cls in type(instance).__mro__:
        if name in vars(cls):
            method = vars(cls)[name]
            if isinstance(method, FunctionType):
                return MethodType(method, instance)
            break
    raise PayloadError("getattr is called for something that is no method")


def _check_slice(arguments: Arguments) -> None:
    if not 1 <= len(arguments) <= 3 or not _ENDS.issuperset(map(type, arguments)):
        _refuse("a call of slice")


def _check_range(arguments: Arguments) -> None:
    if not 1 <= len(arguments) <= 3 or not _INTEGER.issuperset(map(type, arguments)):
        _refuse("a call of range")


def _check_complex(arguments: Arguments) -> None:
    if len(arguments) != 2 or not _NUMBERS.issuperset(map(type, arguments)):
        _refuse("a call of complex")


def _check_set(arguments: Arguments) -> None:
    """What protocols up to 3 write for a set."""
    if len(arguments) != 1 or type(arguments[0]) is not list:
        _refuse("a call of set or frozenset")


def _check_empty(arguments: Arguments) -> None:
    """What protocols up to 2 write for no bytes, and all of them for an OrderedDict before its items."""
    if arguments:
        _refuse("a call of bytes or OrderedDict")


def _check_defaultdict(arguments: Arguments) -> None:
    """The argument is called for each key that is missing."""
    if len(arguments) > 1 or (arguments and arguments[0] is not None and pair_of(arguments[0]) is None):
        _refuse("a call of collections.defaultdict")


def _check_no_call(arguments: Arguments) -> None:
    _refuse("a call of a class of the module builtins")


# scikit-learn's.


def _check_tree(arguments: Arguments) -> None:
    """`Tree.__cinit__` believes both numbers; the second is compared with the real array of classes."""
    if len(arguments) != 3 or not isinstance(arguments[1], Made):
        _refuse("a call of scikit-learn's Tree")
    features, _, outputs = arguments
    if type(features) is not int or type(outputs) is not int or features < 1 or outputs < 1:
        _refuse("a call of scikit-learn's Tree")


def _check_class_of(module: str) -> Callable[[Arguments], None]:
    """Cython's `newObj(cls)` makes an instance of whatever class it is given."""

    def check(arguments: Arguments) -> None:
        pair = pair_of(arguments[0]) if len(arguments) == 1 else None
        if pair is None or pair[0] != module:
            _refuse(f"a call of {module}.newObj")

    return check


def _function_of(value: Any) -> Callable[..., object]:
    """What numpy pickles a value with."""
    function: Callable[..., object] = value.__reduce__()[0]
    return function


_ARRAY: Final = Constructor(
    _check_reconstruct,
    _function_of(np.zeros(0)),  # its module changed its name in numpy 2
    check_state=_rehearsed_array_state,
)
_SCALAR: Final = Constructor(_check_scalar, _function_of(np.float64(0)))
_BUFFER: Final = Constructor(_check_frombuffer, _from_buffer)

CONSTRUCTORS: Final[Mapping[Pair, Constructor]] = {
    DTYPE: Constructor(_check_dtype),
    ("numpy", "ndarray"): Constructor(_check_ndarray),
    **dict.fromkeys(RECONSTRUCT, _ARRAY),
    ("numpy._core.multiarray", "scalar"): _SCALAR,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.numeric", "_frombuffer"): _BUFFER,
    ("numpy.core.numeric", "_frombuffer"): _BUFFER,
    ("numpy.ma.core", "_mareconstruct"): Constructor(_check_masked_reconstruct, check_state=_rehearsed_masked_state),
    _BIT_GENERATOR_CTOR: Constructor(_check_bit_generator),
    ("numpy.random._pickle", "__generator_ctor"): Constructor(_check_generator),
    ("numpy.random._pickle", "__randomstate_ctor"): Constructor(_check_generator),
    ("_codecs", "encode"): Constructor(_check_encode, codecs.encode, plain=True),
    ("functools", "partial"): Constructor(_check_partial, check_state=_check_partial_state),
    RECONSTRUCTOR: Constructor(_check_reconstructor),
    ("collections", "OrderedDict"): Constructor(_check_empty),
    ("collections", "defaultdict"): Constructor(_check_defaultdict),
    **{("builtins", name): Constructor(_check_no_call) for name in BUILTINS - {"object"}},
    ("builtins", "bytes"): Constructor(_check_empty, bytes, plain=True),
    ("builtins", "bytearray"): Constructor(_check_bytearray, bytearray, plain=True),
    ("builtins", "complex"): Constructor(_check_complex),
    ("builtins", "getattr"): Constructor(_check_getattr, _bind_method),
    ("builtins", "range"): Constructor(_check_range),
    ("builtins", "set"): Constructor(_check_set),
    ("builtins", "frozenset"): Constructor(_check_set),
    ("builtins", "slice"): Constructor(_check_slice),
    ("sklearn.tree._tree", "Tree"): Constructor(_check_tree),
    **{(module, NEW_OBJECT): Constructor(_check_class_of(module)) for module in COMPILED - {"sklearn.tree._tree"}},
}
"""The constructors with a rule, by the names under which payloads call them."""
