"""Which globals the walk reports, in which roles, and where in the model."""

import copyreg
import io
import pickle
from collections import OrderedDict, defaultdict
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.payload.walk import GlobalUse, walk

NEWOBJ_EX = vars(copyreg)["__newobj_ex__"]


class Forged:
    def __init__(self, *reduced: object) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


def found(value: object, protocol: int = 4) -> dict[str, tuple[str, ...]]:
    return roles_in(pickle.dumps(value, protocol))


def roles_in(data: bytes) -> dict[str, tuple[str, ...]]:
    return {f"{use.module}.{use.name}": use.roles for use in walk(data).globals}


@pytest.mark.parametrize("protocol", range(6))
def test_roles(protocol: int) -> None:
    assert found(Decimal(5), protocol) == {"decimal.Decimal": ("call",)}
    assert found(OrderedDict(a=1), protocol) == {"collections.OrderedDict": ("call", "setitems")}
    assert found(date(2020, 1, 1), protocol).items() >= {"datetime.date": ("call",)}.items()
    assert found(partial(int, base=2), protocol) == {
        "builtins.int": ("reference",),
        "functools.partial": ("build", "call"),
    }
    assert found([Decimal, {"k": Decimal}, (Decimal,)], protocol) == {"decimal.Decimal": ("reference",)}
    assert found(Decimal, protocol) == {"decimal.Decimal": ("reference",)}
    assert found(defaultdict(list, a=[1]), protocol) == {
        "builtins.list": ("reference",),
        "collections.defaultdict": ("call", "setitems"),
    }


@pytest.mark.parametrize("protocol", range(2, 6))
def test_newobj(protocol: int) -> None:
    class_of_slots = Fraction(1, 3)
    assert found(class_of_slots, protocol).keys() == {"fractions.Fraction"}
    assert roles_in(b"\x80\x02cacme\nClip\n)\x81}b.") == {"acme.Clip": ("build", "newobj")}
    assert roles_in(b"\x80\x02cacme\nClip\nK\x01\x85\x81.") == {"acme.Clip": ("newobj",)}


@pytest.mark.parametrize("protocol", [4, 5])
def test_newobj_ex(protocol: int) -> None:
    made = Forged(NEWOBJ_EX, (Forged, ("a",), {"b": Decimal}), None)
    assert found(made, protocol) == {"decimal.Decimal": ("reference",), f"{Forged.__module__}.Forged": ("newobj",)}


@pytest.mark.parametrize(
    ("data", "roles"),
    [
        (b"\x80\x04ca\nb\n)R(K\x01K\x02u.", ("call", "setitems")),
        (b"\x80\x04ca\nb\n)RK\x01K\x02s.", ("call", "setitems")),
        (b"\x80\x04ca\nb\n)R(K\x01e.", ("call", "setitems")),
        (b"\x80\x04ca\nb\n)RK\x01a.", ("call", "setitems")),
        (b"\x80\x04ca\nb\n)R(K\x01\x90.", ("call", "setitems")),
        (b"\x80\x04ca\nb\n)R(" + 9 * b"\x8c\x01a\x94K\x01" + b"u.", ("call", "setitems")),
        (b"\x80\x04ca\nb\n)RNb.", ("build", "call")),
        (b"\x80\x04ca\nb\n)R\x8c\x01ab.", ("build", "call")),
        (b"\x80\x04ca\nb\n0N.", ("reference",)),
        (b"\x80\x04ca\nb\n\x850N.", ("reference",)),
        (b"\x80\x04ca\nb\nq\x000h\x00.", ("reference",)),
        (b"\x80\x04(ca\nb\n\x91.", ("reference",)),
        (b"\x80\x04\x8f(ca\nb\n\x90.", ("reference",)),
        (b"\x80\x04}ca\nb\nNs.", ("reference",)),
        (b"\x80\x04(ca\nb\nNd.", ("reference",)),
        (b"\x80\x04(ca\nb\nl.", ("reference",)),
        (b"\x80\x04\x8c\x01a\x94\x8c\x01b\x940h\x01\x93.", ("reference",)),
        (b"\x80\x04\x8c\x01a\x94\x8c\x01b\x94\x93.", ("reference",)),
        (b"\x80\x04\x8c\x01b\x940\x8c\x01ah\x00\x93.", ("reference",)),
        (b"\x80\x04X\x01\0\0\0aU\x01b\x93.", ("reference",)),
    ],
)
def test_roles_of_single_opcodes(data: bytes, roles: tuple[str, ...]) -> None:
    assert roles_in(data) == {"a.b": roles}


@pytest.mark.parametrize(
    "tail",
    [
        b"}b.",
        b"(K\x01K\x02u.",
        b"K\x01K\x02s.",
        b"(K\x01e.",
        b"K\x01a.",
        b"(K\x01\x90.",
        b"N\x86)R.",
        b"]R.",
        b"NR.",
        b"]\x81.",
        b")N\x92.",
        b"N}\x92.",
    ],
)
def test_nothing_is_done_to_a_global_itself(tail: bytes) -> None:
    with pytest.raises(PayloadError):
        walk(b"\x80\x04ca\nb\n" + tail)


def test_what_a_call_gives_is_not_called() -> None:
    for tail in (b")R.", b")\x81.", b")}\x92."):
        with pytest.raises(PayloadError):
            walk(b"\x80\x04ca\nb\n)R" + tail)


@pytest.mark.parametrize(
    ("protocol", "pair", "expected"),
    [
        (b"", "__builtin__ set", "builtins.set"),
        (b"\x80\x02", "copy_reg _reconstructor", "copyreg._reconstructor"),
        (b"\x80\x02", "__builtin__ xrange", "builtins.range"),
        (b"\x80\x02", "commands getoutput", "subprocess.getoutput"),
        (b"\x80\x02", "urllib2 HTTPError", "urllib.error.HTTPError"),
        (b"\x80\x02", "builtins set", "builtins.set"),
        (b"\x80\x03", "__builtin__ set", "__builtin__.set"),
        (b"\x80\x04", "copy_reg _reconstructor", "copy_reg._reconstructor"),
    ],
)
def test_names_of_python_2(protocol: bytes, pair: str, expected: str) -> None:
    module, name = pair.encode().split()
    assert roles_in(protocol + b"c" + module + b"\n" + name + b"\n.") == {expected: ("reference",)}


def nested(outer: bytes, inner: bytes) -> bytes:
    """Return a stream with an array of objects that holds another stream."""
    fields = {"subclass": np.ndarray, "shape": (1,), "order": "C", "dtype": np.dtype("O"), "allow_mmap": False}
    state = pickle.dumps(fields, 2)[2:-1]
    return outer + b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81" + state + b"b" + inner + b"."


def test_names_of_python_2_in_a_nested_stream() -> None:
    """joblib up to 1.5 maps them by the protocol of the nested stream, joblib 1.6 by that of the outer one."""
    name = b"c__builtin__\nset\n."
    assert "builtins.set" in roles_in(nested(b"\x80\x04", b"\x80\x02" + name))
    assert "builtins.set" in roles_in(nested(b"\x80\x02", b"\x80\x02" + name))
    assert "__builtin__.set" in roles_in(nested(b"\x80\x04", b"\x80\x05" + name))
    assert "builtins.set" in roles_in(nested(b"\x80\x02", b"\x80\x05cbuiltins\nset\n."))
    with pytest.raises(PayloadError):
        walk(nested(b"\x80\x02", b"\x80\x05" + name))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("", ""),
        ("a", ""),
        ("", "a"),
        ("a.", "b"),
        (".a", "b"),
        ("a..b", "c"),
        ("a", "b.c"),
        ("a", "b c"),
        ("a ", "b"),
        ("a\r", "b"),
        ("a\0", "b"),
        ("a-b", "c"),
        ("1a", "b"),
        ("\uff4f\uff53", "system"),
        ("os", "\u1e9b\u0323"),
        ("a\ud800", "b"),
        ("a" * 256, "b"),
        ("a", "é" * 128),
    ],
)
def test_names_that_no_module_has(module: str, name: str) -> None:
    def text(value: str) -> bytes:
        data = value.encode("utf-8", "surrogatepass")
        return b"X" + len(data).to_bytes(4, "little") + data

    with pytest.raises(PayloadError):
        walk(b"\x80\x04" + text(module) + text(name) + b"\x93.")


def test_a_class_inside_a_class_is_refused_with_advice() -> None:
    with pytest.raises(PayloadError) as caught:
        walk(b"\x80\x04\x8c\x04acme\x8c\x0aOuter.Clip\x93.")
    assert "module" in caught.value.hint


# Paths.


class Step:
    """A model of which the tests pickle real instances; in `acme` as far as the payload says."""

    def __init__(self, **attributes: object) -> None:
        self.__dict__ |= attributes


def paths_of(value: object, name: str = "Decimal", protocol: int = 4) -> tuple[str, ...]:
    return next(use.paths for use in walk(pickle.dumps(value, protocol)).globals if use.name == name)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_paths(protocol: int) -> None:
    here = Decimal(5)
    assert paths_of(here, protocol=protocol) == ("",)
    assert paths_of(Decimal, protocol=protocol) == ("",)
    assert paths_of([0, [1, here]], protocol=protocol) == ("[1][1]",)
    assert paths_of({"a b": {7: (here,)}}, protocol=protocol) == ("['a b'][7][0]",)
    assert paths_of({2.5: here}, protocol=protocol) == ("[...]",)
    assert paths_of({here: 1}, protocol=protocol) == ("[keys]",)
    assert paths_of({here}, protocol=protocol) == ("[keys]" if protocol >= 4 else "[0]",)  # before: set([here])
    assert paths_of(Step(steps=[("scale", Step(clip_=here))]), protocol=protocol) == ("steps[0][1].clip_",)
    assert paths_of(Step(é=here), protocol=protocol) == (r"['\xe9']",)
    assert paths_of(OrderedDict(a=here), protocol=protocol) == ("['a']",)
    assert paths_of(partial(int, here), protocol=protocol) == ("[0]",)
    assert paths_of({"x" * 50: here}, protocol=protocol) == (f"['{'x' * 40}']",)


def test_paths_of_many_uses_are_three() -> None:
    values = [Decimal(number) for number in range(9)]
    assert paths_of(values) == ("[0]", "[1]", "[2]")
    assert paths_of([values[0]] * 9) == ("[8]",)
    assert paths_of(3 * [Decimal]) == ("[0]", "[1]", "[2]")


def test_paths_of_long_and_round_structures() -> None:
    deep: object = Decimal(5)
    for _ in range(200):
        deep = [deep]
    assert paths_of(deep) == ("..." + 63 * "[0]",)
    step = Step(name="a")
    step.__dict__["child"] = Step(parent=step, clip=Decimal(5))
    assert paths_of(step) == ("child.clip",)
    assert paths_of(step, "Step") == ("", "child")


def test_paths_in_the_state_of_an_object_with_slots() -> None:
    data = b"\x80\x04ca\nb\n)\x81N}\x8c\x04clipcdecimal\nDecimal\n)Rs\x86b."
    assert [use.paths for use in walk(data).globals] == [("",), ("clip",)]


def test_a_report_is_sorted_and_names_each_global_once() -> None:
    uses = walk(pickle.dumps([partial(int), Decimal(1), OrderedDict(), Decimal(2), OrderedDict])).globals
    assert uses == (
        GlobalUse("builtins", "int", ("reference",), ("[0]",)),
        GlobalUse("collections", "OrderedDict", ("call", "reference"), ("[2]", "[4]")),
        GlobalUse("decimal", "Decimal", ("call",), ("[1]", "[3]")),
        GlobalUse("functools", "partial", ("build", "call"), ("[0]",)),
    )


# Constructors that allocate by a number.


@pytest.mark.parametrize("protocol", range(6))
def test_what_picklers_ask_of_constructors(protocol: int) -> None:
    masked = np.ma.masked_array([1, 2], mask=[True, False])
    values = [
        bytearray(),
        bytearray(b"abc"),
        bytearray(b"x" * 300),
        np.arange(5),
        np.array(["a"], object),
        masked,
        np.array(3),
    ]
    walk(pickle.dumps(values, protocol))


@pytest.mark.parametrize(
    "made",
    [
        Forged(bytearray, (5,)),
        Forged(bytearray, (2**60,)),
        Forged(bytearray, (True,)),
        Forged(bytearray, ([5],)),
        Forged(bytearray, (Decimal(5),)),
        Forged(bytearray, (None,)),
        Forged(np.ndarray, ((2**33,), np.dtype("f8"))),
        Forged(np.ndarray, (0, np.dtype("f8"))),
        Forged(np.ndarray, ((0, "a"), np.dtype("f8"))),
        Forged(np.ndarray, ()),
        Forged(np.zeros(0).__reduce__()[0], (np.ndarray, (2**33,), b"b")),
        Forged(np.zeros(0).__reduce__()[0], (np.ndarray, (0, 2**33), b"b")),
        Forged(np.zeros(0).__reduce__()[0], (np.ndarray, 2**33, b"b")),
        Forged(np.zeros(0).__reduce__()[0], (np.ndarray,)),
        Forged(np.ma.masked_array([1]).__reduce__()[0], (np.ma.MaskedArray, np.ndarray, (2**33,), b"b")),
    ],
)
def test_what_picklers_do_not_ask_of_constructors(made: Forged) -> None:
    with pytest.raises(LimitExceededError):
        walk(pickle.dumps(made))


def test_a_walk_leaves_nothing_behind_for_the_next_one() -> None:
    empty_state = b"\x80\x02cacme\nClip\n)\x81)b."
    joblibs = io.BytesIO()
    joblib.dump(np.arange(3.0), joblibs)
    before = walk(joblibs.getvalue())
    assert roles_in(empty_state) == {"acme.Clip": ("build", "newobj")}
    assert walk(joblibs.getvalue()) == before


@pytest.mark.parametrize(
    ("value", "root"),
    [
        (GridSearchCV(Ridge(), {}), "sklearn.model_selection._search.GridSearchCV"),
        ({"a": 1}, "dict"),
        ([np.array([Ridge()], object)], "list"),
        (1, ""),
        (partial(len), ""),
        (OrderedDict(a=1), ""),
        (Ridge, ""),
        (np.eye(2), ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_class_of_what_the_stream_holds(value: object, root: str) -> None:
    file = io.BytesIO()
    joblib.dump(value, file)
    assert walk(file.getvalue()).root == root


def test_a_class_that_is_called_as_well_does_not_say_what_it_makes() -> None:
    made = walk(b"\x80\x04cbuiltins\nset\n)\x81cbuiltins\nset\n)R0.")
    assert [use.roles for use in made.globals] == [("call", "newobj")]
    assert made.root == ""
