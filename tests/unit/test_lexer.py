"""The lexer: whole opcodes, lengths that fit, frames that hold, and where the unpickler has to ask."""

import io
import pickle
import pickletools
import struct
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.format.limits import MIB
from safemodel.payload.findings import NESTED, RAW, Region
from safemodel.payload.lexer import BUILD, LOOK, NEWOBJ, WIDE_INTEGERS_MAX, Stream, lex
from safemodel.payload.splice import OneFrame, splice_load, splice_rehearsal
from safemodel.payload.walk import walk

ALL_KINDS = [
    None, True, False, 0, 255, 256, 65_536, -1, 2**31, -(2**40), 2**62, 2**200, 1.5, "", "a", "ä" * 300, b"",
    b"a" * 300, bytearray(b"abc"), bytearray(b"abc" * 200), (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1], [1, 2],
    {}, {1: 2},    {1: 2, 3: 4}, set(), {1}, frozenset({1}), "x" * 70_000, b"y" * 70_000, list(range(3000)),
    {f"t{i}": i for i in range(2000)}, Ellipsis.__class__, LogisticRegression(),
]  # fmt: skip


def lexed(data: bytes, *regions: Region) -> Stream:
    return lex(memoryview(data), 0, len(data), regions)


def loaded(data: bytes, found: Stream) -> bytes:
    """The stream that the load runs, without what shows that its stack ends as it began."""
    spliced = splice_load(memoryview(data), found)
    assert spliced.startswith(b")Q(")
    assert spliced.endswith(b"t\x86.")
    return spliced[3:-3] + b"."


def stream(*opcodes: bytes) -> bytes:
    return b"\x80\x04" + b"".join(opcodes) + b"."


def opcodes_of(data: bytes) -> list[tuple[str, Any]]:
    """Every opcode but PROTO, FRAME and STOP, as pickletools reads them."""
    left_out = ("PROTO", "FRAME", "STOP")
    return [(opcode.name, argument) for opcode, argument, _ in pickletools.genops(data) if opcode.name not in left_out]


def undone(spliced: bytes) -> list[tuple[str, Any]]:
    """The opcodes of a spliced stream, with BUILD and NEWOBJ back where the questions are."""
    found = opcodes_of(spliced)
    plain: list[tuple[str, Any]] = []
    for name, argument in found:
        if name == "BINPERSID":
            question, _ = plain.pop()
            if question == "TUPLE2":
                plain.append(("BUILD", None))
            elif question == "TUPLE3":
                plain[-1] = ("NEWOBJ", None)
        else:
            plain.append((name, argument))
    return plain


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", ALL_KINDS, ids=lambda value: repr(value)[:20])
def test_opcodes_come_out_as_pickletools_reads_them(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert undone(loaded(data, lexed(data))) == opcodes_of(data)


def test_the_protocol_is_noted() -> None:
    assert lexed(pickle.dumps(1, 3)).protocol == 3
    assert lexed(pickle.dumps(1, 0)).protocol == 0


@pytest.mark.parametrize("code", b"\x82\x83\x84PQio2\x92\x97\x98STU\x95\xff\x00")
def test_opcodes_that_no_model_needs(code: int) -> None:
    with pytest.raises(PayloadError):
        lexed(stream(b"N", bytes([code]), b"a\nb\n" + bytes(300)))


@pytest.mark.parametrize("value", ALL_KINDS[:32], ids=lambda value: repr(value)[:20])
def test_a_stream_that_is_cut_off(value: object) -> None:
    data = pickle.dumps(value, 4)
    for end in range(len(data)):
        with pytest.raises((PayloadError, LimitExceededError)):
            lexed(data[:end])


def test_a_stream_that_goes_on() -> None:
    for more in (b".", b"N.", b"\0"):
        with pytest.raises(PayloadError):
            lexed(stream(b"N") + more)


@pytest.mark.parametrize(
    "data", [b"", b".", b"\x80", b"\x80\x06N.", b"\x80\x01N.", b"\x80\x04N\x80\x04.", b"\x80\x04\x80\x04N."]
)
def test_beginnings(data: bytes) -> None:
    if data == b".":
        assert lexed(data).notes == []
    else:
        with pytest.raises(PayloadError):
            lexed(data)


@pytest.mark.parametrize("code", [b"X", b"B", b"\x8d", b"\x8e", b"\x96"])
def test_lengths_that_do_not_fit(code: bytes) -> None:
    size = 4 if code in b"XB" else 8
    for length in (5, 2**31, 2 ** (8 * size) - 1):
        data = stream(code + length.to_bytes(size, "little") + b"abc")
        with pytest.raises(LimitExceededError):
            lexed(data)
    with pytest.raises(PayloadError):
        lexed(b"\x80\x04N" + code + b"\0.")


@pytest.mark.parametrize(
    "opcodes",
    [
        b"\x8b\x01\x04\x00\x00" + bytes(1025),
        b"\x8b\xff\xff\xff\xff",
        b"\x8a\x09abc",
        b"L" + b"9" * 3000 + b"L\n",
        b"I" + b"9" * 30,
        b"Lx\n",
        b"I010\n",
        b"I-010\n",
        b"I0x10\n",
        b"L010L\n",
        b"I" + b"0" * 30 + b"10\n",
    ],
)
def test_integers_that_are_too_long_or_not_in_decimal(opcodes: bytes) -> None:
    with pytest.raises(LimitExceededError):
        lexed(stream(opcodes))


@pytest.mark.parametrize("wide", [b"\x8a\x09" + bytes(8) + b"\x01", b"L18446744073709551616L\n"])
def test_wide_integers_are_counted(wide: bytes) -> None:
    lexed(stream(b"(", wide * WIDE_INTEGERS_MAX, b"l"))
    with pytest.raises(LimitExceededError):
        lexed(stream(b"(", wide * (WIDE_INTEGERS_MAX + 1), b"l"))


@pytest.mark.parametrize("line", [b" 1", b"+1", b"01", b"1_1", b"-1", b"x", b""])
def test_slots_that_are_not_in_decimal(line: bytes) -> None:
    """C's unpickler takes some of them, and what the lexer takes for an opcode must be one to it."""
    for after in (b"", b"\0"):
        with pytest.raises(PayloadError):
            lexed(stream(b"B\0\0\x0b\0" + bytes(11 * 2**16), b"p" + line + b"\n", after))
        with pytest.raises(PayloadError):
            lexed(stream(b"Nq\1", b"g" + line + b"\n", after))


@pytest.mark.parametrize("slot", [2**16, 2**24, 2**32 - 1])
def test_slots_that_the_stream_does_not_warrant(slot: int) -> None:
    with pytest.raises(LimitExceededError):
        lexed(stream(b"Nr" + struct.pack("<I", slot)))
    with pytest.raises((LimitExceededError, PayloadError)):
        lexed(stream(b"Np%d\n" % slot))


def test_slots_that_the_stream_warrants() -> None:
    filler = b"\x8e" + struct.pack("<Q", MIB) + bytes(MIB)
    for put in (b"r" + struct.pack("<I", 100_000), b"p100000\n", b"r" + struct.pack("<I", 2**20)):
        lexed(stream(filler, put))
    for put in (b"r" + struct.pack("<I", 2**21), b"p3000000\n"):
        with pytest.raises(LimitExceededError):
            lexed(stream(filler, put))


def test_a_very_large_stream_may_have_many_slots() -> None:
    filler = b"\x8e" + struct.pack("<Q", 16 * MIB) + bytes(16 * MIB)
    lexed(stream(filler, b"r" + struct.pack("<I", 2**24 - 1)))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x95" + struct.pack("<Q", 100) + b"N.",
        b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"N.",
        b"\x80\x04\x95" + struct.pack("<Q", 4) + b"N\x8c\x03abc.",
        b"\x80\x04\x95" + struct.pack("<Q", 13) + b"\x95" + struct.pack("<Q", 1) + b"NNNN.",
        b"\x80\x04\x95\x01",
    ],
)
def test_frames_that_do_not_hold(data: bytes) -> None:
    with pytest.raises(PayloadError):
        lexed(data)


def test_frames_are_left_out() -> None:
    data = b"\x80\x04" + 3 * (b"\x95" + struct.pack("<Q", 1) + b"N") + b"l."
    assert loaded(data, lexed(data)) == b"NNNl."


@pytest.mark.parametrize("protocol", [2, 3])
def test_protocols_without_frames(protocol: int) -> None:
    with pytest.raises(PayloadError):
        lexed(b"\x80%c\x95\x01\0\0\0\0\0\0\0N." % protocol)


def test_where_the_unpickler_asks() -> None:
    data = stream(b"h\0)\x81}b", b"h\0K\1\x85\x81", b"h\0h\0\x86", b"K\1K\2\x86", b"h\0h\0\x86\x94R", b"(h\0t")
    texts = [rehearsed for _, _, rehearsed, _ in lexed(data).notes]
    assert texts == [BUILD, NEWOBJ, LOOK, LOOK]


def test_a_vocabulary_is_left_out_of_the_rehearsal() -> None:
    words = {f"word{number}": number for number in range(2000)}
    data = pickle.dumps(words, 4)
    found = lexed(data)
    rehearsed = splice_rehearsal(memoryview(data), found)
    assert len(rehearsed) < len(data) / 5
    assert rehearsed.count(b"\x94") >= 2000
    assert pickle.loads(loaded(data, found)) == words


def test_arrays_are_cut_out() -> None:
    model = RandomForestClassifier(5).fit(np.random.rand(50, 3), np.arange(50) % 2)
    buffer = io.BytesIO()
    joblib.dump([model, np.array(["a", None], dtype=object), np.zeros(0)], buffer)
    data = buffer.getvalue()
    found = walk(data)
    spliced = loaded(data, lexed(data, *found.regions))
    assert opcodes_of(spliced).count(("BINPERSID", None)) >= len(found.regions)
    assert [number for name, number in opcodes_of(spliced) if name == "BININT"][-1] == len(found.regions) - 1


@pytest.mark.parametrize("kind", [RAW, NESTED])
@pytest.mark.parametrize(
    ("cut", "start", "size"), [(5, 5, 9), (3, 3, 4), (4, 3, 0), (1, 1, 1), (0, 0, 0), (2, 2, 1), (9, 9, 0)]
)
def test_arrays_that_do_not_lie_between_opcodes(cut: int, start: int, size: int, kind: int) -> None:
    data = b"\x80\x04]}bAAAA."
    with pytest.raises(PayloadError):
        lexed(data, Region(cut, start, size, kind))


def test_an_array_follows_a_build_and_nothing_else() -> None:
    assert lexed(b"\x80\x04]}bAAAA.", Region(5, 5, 4, RAW)).notes[0][:2] == (4, 9)
    for before in (b"]}N", b"]b\x85", b"Kb", b"\x8c\x01b"):
        data = b"\x80\x04" + before + b"AAAA."
        cut = 2 + len(before)
        with pytest.raises(PayloadError):
            lexed(data, Region(cut, cut, 4, RAW))


def test_a_frame_may_end_at_an_array() -> None:
    framed = b"]]}bb}b"
    for head in (framed, b"\x95" + struct.pack("<Q", len(framed)) + framed):
        data = b"\x80\x04" + head + b"AAAA" + head + b"AAAA."
        cut = 2 + len(head)
        found = lexed(data, Region(cut, cut, 4, RAW), Region(cut + 4 + len(head), cut + 4 + len(head), 4, RAW))
        assert loaded(data, found).count(b"\x87Q") == 2


def test_one_frame_hands_out_everything_once() -> None:
    file = OneFrame(b"N.")
    assert [file.read(1), file.read(8), file.read(2)] == [b"\x95", struct.pack("<Q", 2), b"N."]
    assert file.read(1) == b""
    assert file.readline() == b""
