"""The walk's machine on hand-made streams: each opcode that it follows, and each that it refuses."""

import gc
import pickle
import pickletools
from collections.abc import Callable
from typing import Any

import pytest

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.format import limits
from safemodel.payload import machine
from safemodel.payload.walk import Counts, Walk, walk

RECURSIVE: list[Any] = []
RECURSIVE.append((RECURSIVE, {"self": RECURSIVE}))

VALUES = [
    None,
    True,
    [False, 0, 255, 256, 65535, 65536, -1, 2**31 - 1, -(2**31), 2**55, 2**60, 2**63, -(2**80), 10**200],
    [1.5, -0.0, float("inf"), float("-inf"), float("nan"), 1e300, 5e-324],
    [
        "",
        "a",
        "é",
        "\N{GRINNING FACE}",
        "\ud800",
        "line\nfeed\\ \x00",
        "x" * 255,
        "é" * 128,
        "x" * 256,
        "x" * 70_000,
    ],
    [b"", b"abc", b"x" * 255, b"x" * 256, bytearray(b"abc"), bytearray(b"x" * 300)],
    [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1], {}, {1: 2}, set(), {1}, frozenset(), frozenset({1, 2})],
    {"a": [{"b": ({"c": None},)}], 1: 2, None: 3, (1, "x", 2.5): 4, 2.5: 5, b"k": 6, frozenset({7}): 7},
    {f"term {number}": number * 7919 for number in range(5000)},
    [f"term {number}" for number in range(3000)] * 2,
    [[number, float(number)] for number in range(3000)],
    [3 * ["same"], 3 * [("shared",)]],
    RECURSIVE,
]


def body(data: bytes) -> bytes:
    return b"\x80\x04" + data


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("number", range(len(VALUES)))
def test_follows_what_the_pickler_writes_and_counts_every_opcode(protocol: int, number: int) -> None:
    data = pickle.dumps(VALUES[number], protocol)
    found = walk(data)
    opcodes = [opcode.name for opcode, _, _ in pickletools.genops(data)]
    slots = sum(name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE") for name in opcodes)
    assert (found.counts.opcodes, found.counts.memo, found.counts.arrays) == (len(opcodes), slots, 0)


@pytest.mark.parametrize("protocol", range(6))
def test_follows_what_python_s_pickler_writes(protocol: int) -> None:
    data = pickle._dumps(VALUES, protocol)  # type: ignore[attr-defined]
    assert walk(data).counts.opcodes == sum(1 for _ in pickletools.genops(data))


def test_follows_a_very_long_text() -> None:
    data = pickle.dumps(["\ud800" * 2**20, "\N{GRINNING FACE}" * 2**19], 4)
    assert walk(data).counts.opcodes == sum(1 for _ in pickletools.genops(data))


def test_follows_an_optimized_pickle() -> None:
    data = pickletools.optimize(pickle.dumps(VALUES, 4))
    assert walk(data).counts.opcodes == sum(1 for _ in pickletools.genops(data))


@pytest.mark.parametrize("data", [b"N.", bytearray(b"N."), memoryview(b"N.")])
def test_takes_any_bytes(data: bytes) -> None:
    assert walk(data) == Walk((), (), Counts(1 + 1, 0, 0, 0))


def test_lets_go_of_the_bytes() -> None:
    data = bytearray(b"N.")
    walk(data)
    data.append(0)  # BufferError while a view is alive
    with pytest.raises(PayloadError):
        walk(data)
    data.append(0)


ACCEPTED = {
    "POP": b"N0N.",
    "POP of a mark": b"(0N.",
    "POP_MARK": b"(NNN1N.",
    "DUP": b"N2\x86.",
    "LIST and DICT": b"(K\x01(NNld0(l.",
    "SETITEM": b"}K\x01Ns.",
    "APPEND": b"]Na.",
    "empty SETITEMS": b"}(u.",
    "empty APPENDS": b"](e.",
    "empty ADDITEMS": b"\x8f(\x90.",
    "PUT over a slot": b"Nq\x000K\x01q\x00.",
    "LONG_BINPUT, LONG_BINGET": b"Nr\0\0\0\x000j\0\0\0\0.",
    "BINUNICODE8": b"\x8d\x02" + bytes(7) + b"ab.",
    "BINBYTES8": b"\x8e\x02" + bytes(7) + b"ab.",
    "BYTEARRAY8": b"\x96\x02" + bytes(7) + b"ab.",
    "BINSTRING": b"T\x02\0\0\0ab.",
    "SHORT_BINSTRING": b"U\x02ab.",
    "STRING": b"S'a\\'\\x41\\n'\n.",
    "short BINUNICODE": b"X\x02\0\0\0ab.",
    "short BINBYTES": b"B\x02\0\0\0ab.",
    "LONG1 of no bytes": b"\x8a\x00.",
    "LONG4": b"\x8b\x02\0\0\0\xff\x7f.",
    "INT as truth": b"I01\n0I00\n.",
    "LONG with and without L": b"L5L\n0L-7\n.",
    "FLOAT": b"F-1.5e-07\n0Fnan\n0F-inf\n.",
    "UNICODE": b"Va\\u0041\xe9\n.",
    "opcodes outside of frames": b"\x95\x01" + bytes(7) + b"N0\x95\x01" + bytes(7) + b"N.",
    "a frame of nothing": b"\x95" + bytes(8) + b"N.",
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_follows(name: str) -> None:
    data = body(ACCEPTED[name])
    assert walk(data).counts.opcodes == sum(1 for _ in pickletools.genops(data))
    pickle.loads(data)  # made above and harmless: CPython takes it too


REFUSED = {
    "nothing": b"",
    "half of PROTO": b"\x80",
    "protocol 6": b"\x80\x06N.",
    "protocol 1, which has no PROTO": b"\x80\x01N.",
    "PROTO inside": body(b"\x80\x04N."),
    "no STOP": body(b"N"),
    "bytes after STOP": body(b"N.\0"),
    "a second pickle": body(b"N.") + body(b"N."),
    "STOP without a value": body(b"."),
    "STOP with two values": body(b"NN."),
    "STOP with a mark": body(b"N(."),
    "no opcode": body(b"\xffN."),
    "a text cut": body(b"\x8c\x05abc."),
    "a number cut": body(b"J\0\0"),
    "a length cut": body(b"B\0\0"),
    "a GET cut": body(b"N\x94h"),
    "a text that is not UTF-8": body(b"\x8c\x01\xff."),
    "a long text that is not UTF-8": body(b"X\x00\x01\0\0" + 256 * b"\xff" + b"."),
    "a STRING that is not ASCII": body(b"U\x01\xff."),
    "a STRING without quotes": body(b"Sabc\n."),
    "a STRING with one quote": body(b"S'\n."),
    "a STRING with an unknown escape": body(b"S'\\q'\n."),
    "a very long text that is not UTF-8": body(b"X\x00\x00\x20\0" + 2**21 * b"\xe9" + b"."),
    "a very long text that ends inside a letter": body(b"X\x00\x10\0\0" + 4095 * b"a" + b"\xc3."),
    "a UNICODE with a broken escape": body(b"V\\u12\n."),
    "a line without an end": body(b"I12"),
    "an octal INT": body(b"I010\n."),
    "an INT with a space": body(b"I 1\n."),
    "an INT with an underscore": body(b"I1_0\n."),
    "a hexadecimal LONG": body(b"L0x10\n."),
    "a FLOAT with an underscore": body(b"F1_0.5\n."),
    "a FLOAT with a space": body(b"F 1.5\n."),
    "a GET that is no number": body(b"Ng-1\n."),
    "a PUT that is no number": body(b"Np+1\n."),
    "GET of an empty slot": body(b"h\0."),
    "LONG_BINGET of an empty slot": body(b"j\0\0\0\0."),
    "PUT beyond the next slot": body(b"Nq\x01."),
    "PUT of nothing": body(b"q\0N."),
    "MEMOIZE of nothing": body(b"\x94N."),
    "MEMOIZE of a mark": body(b"N(\x940."),
    "POP of nothing": body(b"0N."),
    "POP_MARK without a mark": body(b"1N."),
    "DUP of a mark": body(b"N(20."),
    "TUPLE without a mark": body(b"t."),
    "TUPLE2 of one": body(b"N\x86."),
    "TUPLE1 across a mark": body(b"N(\x85."),
    "SETITEM of one": body(b"}Ns."),
    "SETITEMS with a key too many": body(b"}(NNNu."),
    "DICT with a key too many": body(b"(NNNd."),
    "SETITEMS on nothing": body(b"(NNu."),
    "SETITEMS on a list": body(b"](NNu."),
    "SETITEMS on a text": body(b"\x8c\x01a(NNu."),
    "APPEND to a tuple": body(b")Na."),
    "APPEND to bytes": body(b"\x96\0" + bytes(7) + b"K\x01a."),
    "APPENDS to a dict": body(b"}(Ne."),
    "ADDITEMS to a list": body(b"](N\x90."),
    "BUILD on a dict": body(b"}}b."),
    "BUILD on a text": body(b"\x8c\x01a}b."),
    "REDUCE of a text": body(b"\x8c\x01a)R."),
    "NEWOBJ of a text": body(b"\x8c\x01a)\x81."),
    "STACK_GLOBAL of bytes": body(b"C\x01aC\x01b\x93."),
    "STACK_GLOBAL of a long text": body(b"X\x00\x01\0\0" + 256 * b"a" + b"\x8c\x01b\x93."),
    "GLOBAL that is not UTF-8": body(b"c\xff\nb\n."),
    "INST": body(b"(imodule\nname\n."),
    "OBJ": body(b"(cmodule\nname\no."),
    "PERSID": b"Pid\n.",
    "BINPERSID": body(b"\x8c\x01aQ."),
    "EXT1": body(b"\x82\x01."),
    "EXT2": body(b"\x83\x01\0."),
    "EXT4": body(b"\x84\x01\0\0\0."),
    "NEXT_BUFFER": b"\x80\x05\x97.",
    "READONLY_BUFFER": b"\x80\x05\x97\x98.",
    "FRAME before protocol 4": b"\x80\x03\x95\x02" + bytes(7) + b"N.",
    "a frame cut": body(b"\x95\x02\0"),
    "a frame past the end": body(b"\x95\x03" + bytes(7) + b"N."),
    "a frame inside a frame": body(b"\x95\x0b" + bytes(7) + b"\x95\x02" + bytes(7) + b"N."),
    "a frame that cuts an opcode": body(b"\x95\x01" + bytes(7) + b"K\x01."),
    "a frame that cuts a GET": body(b"N\x94\x95\x01" + bytes(7) + b"h\x00\x86."),
    "a frame that cuts a length": body(b"\x95\x02" + bytes(7) + b"B\0\0\0\0."),
    "a frame that cuts a long text": body(b"\x95\x05" + bytes(7) + b"X\x00\x01\0\0" + 256 * b"a" + b"."),
    "a frame that cuts a line": body(b"\x95\x02" + bytes(7) + b"I1\n."),
    "a frame past STOP": body(b"\x95\x03" + bytes(7) + b"N.\0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    with pytest.raises((PayloadError, LimitExceededError)):
        walk(REFUSED[name])


LAUGH = b"](%be\x94"
COLLIDING = [b"\x8a\x09" + (number * (2**61 - 1)).to_bytes(9, "little") for number in range(9, 42)]
LIMITED = {
    "a text longer than the file": body(b"X\xff\xff\xff\x7f."),
    "bytes longer than the file": body(b"\x8e" + 8 * b"\xff" + b"."),
    "a slot beyond the cap": body(b"Nr\xff\xff\xff\xff."),
    "a LONG4 of a kilobyte and one": body(b"\x8b\x01\x04\0\0" + bytes(1025) + b"."),
    "an INT of 2049 digits": body(b"I" + 2049 * b"1" + b"\n."),
    "tuples 5000 deep": body(b")" + 5000 * b"\x85" + b"."),
    "marks 5000 deep": body(5000 * b"(" + 5000 * b"t" + b"."),
    "lists of lists of the same list": body(b"]\x94" + b"".join(LAUGH % (12 * (b"h%c" % n)) for n in range(40)) + b"."),
    "33 integers with one hash": body(b"}(" + b"".join(number + b"N" for number in COLLIDING) + b"u."),
    "33 tuples with one hash": body(b"}(" + b"".join(number + b"\x85N" for number in COLLIDING) + b"u."),
    "33 members with one hash": body(b"(" + b"".join(COLLIDING) + b"\x91."),
    "a key of 5000 values": body(b"}(" + 5000 * b"N" + b"tNs."),
    "a key 40 deep": body(b"})" + 40 * b"\x85" + b"Ns."),
    "5000 globals": body(b"(" + b"".join(b"cmodule\nname_%d\n" % n for n in range(5000)) + b"l."),
    "bytearray that counts zeros": body(b"cbuiltins\nbytearray\nK\x05\x85R."),
}


@pytest.mark.parametrize("name", LIMITED)
def test_stops_at_a_limit(name: str) -> None:
    with pytest.raises(LimitExceededError):
        walk(LIMITED[name])


@pytest.mark.parametrize(
    ("cap", "data"),
    [
        ("OPCODES_MAX", body(10_000 * b"N0" + b"N.")),
        ("OPCODES_MAX", body(b"}(" + 10_000 * b"\x8c\x01a\x94K\x01" + b"u.")),
        ("MEMO_MAX", body(10_000 * b"N\x940" + b"N.")),
        ("MEMO_MAX", body(b"}(" + 10_000 * b"\x8c\x01a\x94K\x01" + b"u.")),
        ("STACK_MAX", body(b"(" + 20_000 * b"N" + b"t.")),
        ("STACK_MAX", body(b"(" + 20_000 * b"I1\n" + b"t.")),
    ],
)
def test_stops_at_a_quota(cap: str, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    walk(data)
    monkeypatch.setattr(machine, cap, 4000)
    with pytest.raises(LimitExceededError):
        walk(data)


def test_keys_of_objects_are_not_taken_for_collisions() -> None:
    keys = b"".join(b"cmodule\nname\nK%c\x85RN" % n for n in range(100))
    assert walk(body(b"}(" + keys + b"u.")).globals[0].roles == ("call",)


RUN = b"".join(b"\x8c\x02k%c\x94K%c" % (n, n) for n in range(65, 75))
NAMES = b"\x8c\x04math\x94\x8c\x02pi\x94"


@pytest.mark.parametrize(
    ("data", "names_it"),
    [
        (b"}(" + RUN + b"u0h\x00h\x01\x86.", False),
        (b"}(" + NAMES + RUN + b"u0h\x00h\x01\x93.", True),
        (b"}(" + RUN + NAMES + b"u0h\x0ah\x0b\x93.", True),
        (b"(" + RUN + NAMES + b"t0h\x0ah\x0b\x93.", True),
        (b"(" + NAMES + RUN + NAMES + b"t0h\x0ch\x0d\x93.", True),
        (b"}(" + NAMES + RUN + b"u(" + RUN + b"u0h\x00h\x01\x93.", True),
    ],
)
def test_a_run_of_pairs_is_followed_exactly(data: bytes, names_it: bool) -> None:
    """Whatever lies around a run of (text, MEMOIZE, number), memo and stack are those of the single opcodes."""
    found = walk(body(data))
    assert [(use.module, use.name) for use in found.globals] == [("math", "pi")] * names_it
    assert found.counts.opcodes == sum(1 for _ in pickletools.genops(body(data)))
    pickle.loads(body(data))


@pytest.mark.parametrize(
    "data",
    [
        b"}(" + RUN + b"N" + NAMES + b"u.",
        b"}(N" + RUN + b"u.",
        b"(" + RUN + b"u.",
        RUN + b"u.",
        b"]" + b"(" + RUN + b"u.",
    ],
)
def test_a_run_of_pairs_in_a_wrong_place_is_refused(data: bytes) -> None:
    with pytest.raises(PayloadError):
        walk(body(data))


def test_a_run_of_pairs_that_a_frame_cuts() -> None:
    pair = b"\x8c\x02os\x94K\x01"
    half = 10 * pair
    frame = b"\x95" + len(half).to_bytes(8, "little")
    data = body(b"}(" + frame + half + frame + half + b"u.")
    assert walk(data).counts == Counts(opcodes=1 + 2 + 2 + 20 * 3 + 2, arrays=0, memo=20, depth=1)


def test_a_run_of_pairs_with_long_and_odd_texts() -> None:
    value = {("\ud800" * 40 if number % 2 else "é" * number) + str(number): number for number in range(100)}
    data = pickle.dumps(value, 4)
    assert walk(data).counts.opcodes == sum(1 for _ in pickletools.genops(data))


def test_a_run_of_pairs_that_is_not_utf_8() -> None:
    data = body(b"}(" + 9 * b"\x8c\x01a\x94K\x01" + b"\x8c\x01\xff\x94K\x01u.")
    with pytest.raises(PayloadError):
        walk(data)


def test_the_collector_is_as_before() -> None:
    assert gc.isenabled()
    walk(b"N.")
    assert gc.isenabled()
    gc.disable()
    try:
        walk(b"N.")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_refusal_says_where() -> None:
    with pytest.raises(PayloadError, match="at byte 5;"):
        walk(body(b"NNN\x82\x00"))


@pytest.mark.parametrize(
    "make", [lambda: b"]" * 10**6, lambda: b"(" * 10**6, lambda: b"N" * 10**6, lambda: b"I1\n" * 10**5]
)
def test_a_stream_without_an_end_is_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises((PayloadError, LimitExceededError)):
        walk(body(make()))


def test_the_limits_leave_room_for_real_models() -> None:
    assert limits.OPCODES_MAX >= 10**8
    assert limits.MEMO_MAX >= 10**7
