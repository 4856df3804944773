"""Lex: one pass over the opcodes of a payload, before any unpickler sees them.

Rules kept here:

* A stream is whole opcodes from its first byte to the STOP that is its last byte; arrays lie between, where the index
  says, and each right after a BUILD.
* Every length fits into what is left, every memo slot into a table that the stream's size warrants, every frame holds
  whole opcodes and no other frame. C's unpickler ignores where frames end, joblib's does not: a frame that reaches
  into an array would hide opcodes from one of them.
* Opcodes that no model needs are refused: EXT1 to EXT4, PERSID, BINPERSID, INST, OBJ, DUP, NEWOBJ_EX, NEXT_BUFFER,
  READONLY_BUFFER, and the texts of Python 2.

Opcodes are opaque to this pass; what they do is the rehearsal's matter. But it leaves notes where C's unpickler has to
ask (see `splice`), because only here is it known where an opcode begins: at each BUILD, at each array, at each NEWOBJ
with arguments, and at each tuple whose items might be tuples.
"""

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NoReturn, cast

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.format.limits import INTEGER_BYTES_MAX, INTEGER_TEXT_MAX, MIB
from safemodel.payload.findings import Region

WIDE_INTEGERS_MAX: Final = (
    256  # from 2**63 on; integers share hashes, and a dict of such keys is quadratic (oCERT-2011-003)
)

# What the notes make of the stack, see `splice`. A persistent id is a tuple: one value is looked at, two are an object
# and its state, three an object, its state and the number of an array, or a class, its arguments and None.
BUILD: Final = b"\x86Q"
LOOK: Final = b"\x85Q"
NEWOBJ: Final = b"N\x87Q"
_ARRAY: Final = b"\x87Q"

_FRAME: Final = 0x95
_FRAME_HEAD: Final = 9
_FRAMED: Final = 4  # the first protocol with frames
_PROTO: Final = b"\x80"
_PROTOCOLS: Final = (2, 3, 4, 5)  # those that PROTO announces
_STOP: Final = 0x2E
_BUILD: Final = 0x62
_LONG1: Final = 0x8A


def _counted(code: bytes, most: int, after_length: bytes = b"") -> bytes:
    """An opcode whose first argument byte says how many more follow."""
    lengths = b"|".join(re.escape(bytes([n])) + after_length + b".{%d}" % n for n in range(most + 1))
    return re.escape(code) + b"(?:" + lengths + b")"


_SHORT_TEXT = _counted(b"\x8c", 255)
_NARROW = rb"K.|M..|J.{4}|" + _counted(b"\x8a", 8)
_NUMBER = rb"(?:" + _NARROW + rb"|G.{8}|[N\x88\x89])"
_MEMO = rb"(?:\x94|q.|r.{3}\0)"

# Short texts and numbers in turn are a vocabulary: half a million of them in one dict. The rehearsal has no use for
# the texts, so blocks of 64 pairs are lexed at once and counted.
_PAIR: Final = _SHORT_TEXT + rb"\x94" + _NUMBER
_BLOCK_PAIRS: Final = 64
_BLOCK = re.compile(rb"(?s:(?:" + _PAIR + rb"){64}+)")

# A tuple of numbers holds no tuple, and the arguments of a call are seen by whom it calls; neither needs a look.
_NUMBERS: Final = _NUMBER + rb"(?:\x85|" + _NUMBER + rb"(?:\x86|" + _NUMBER + rb"\x87?+)?+)?+"
_CALL: Final = rb"[t\x85\x86\x87]" + _MEMO + rb"?+R"

# No zeros in front: C's unpickler reads I010 as 8, Python's refuses it.
_TEXT_LINES: Final = (
    rb"I(?:-?(?:0|[1-9][0-9]{0,17})|00|01)\n|L-?(?:0|[1-9][0-9]{0,17})L?\n|F[-+.0-9einfa]{1,32}\n|V[^\n]*+\n"
    rb"|c[^\n]{1,255}\n[^\n]{1,255}\n|g(?:0|[1-9][0-9]{0,8})\n|p(?:0|[1-9][0-9]{0,3})\n"
)


@lru_cache(maxsize=3)
def _run(highest: int) -> re.Pattern[bytes]:
    """Whole opcodes, as many as there are in a row that need no note (possessive: it never takes one back).

    Args:
        highest: the most that the third byte of a LONG_BINPUT's slot may be; the fourth is zero.
    """
    choices = (
        rb"h.|\x94",
        _NUMBERS,
        _SHORT_TEXT,
        rb"\)\x81|[)}\]Rusae\x93ld\x8f\x90\x9101]",
        rb"\((?!" + _BLOCK.pattern + rb")",
        _CALL,
        rb"j.{4}|q.|r..[\0-\x%02x]\0" % highest,
        _counted(b"C", 255),
        _counted(b"X", 255, rb"\0\0\0"),
        _counted(b"\x96", 255, rb"\0\0\0\0\0\0\0"),
        _TEXT_LINES,
    )
    return re.compile(rb"(?s:(?:" + rb"|".join(choices) + rb")*+)")


# A note: where it begins, where what it replaces ends, what stands there for the rehearsal and for the load.
Note = tuple[int, int, bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class Stream:
    """One lexed stream.

    Attributes:
        start, end: where its opcodes lie, without PROTO and STOP.
        protocol: which PROTO announced, else 0.
        notes: ascending, apart from one another.
        collapsed: whether the rehearsal leaves texts out that the load has.
    """

    start: int
    end: int
    protocol: int
    notes: list[Note] = field(repr=False)
    collapsed: bool = False


def lex(data: memoryview, start: int, end: int, regions: Sequence[Region] = (), *, first: int = 0) -> Stream:
    """Lex one stream.

    Args:
        data: the payload.
        start, end: where the stream lies in it.
        regions: the arrays that lie in the stream, ascending.
        first: the number of the first of them.

    Returns:
        Where the opcodes lie, and the notes.

    Raises:
        LimitExceededError: a length, a number or a memo slot is too large.
        PayloadError: anything else that breaks a rule above.
    """
    return _Lexer(data, start, end).lex(regions, first)


class _Lexer:
    """The state of one pass: the notes so far, and how many wide integers were met."""

    def __init__(self, data: memoryview, start: int, end: int) -> None:
        self._data = data
        self._start = start
        self._end = end
        self._protocol = 0
        self._stopped = False
        self._slots = end - start
        # It matches the empty text too, hence always.
        self._run = cast(Callable[[memoryview, int, int], re.Match[bytes]], _run(_third_byte(end - start)).match)
        self._notes: list[Note] = []
        self._collapsed = False
        self._wide = 0

    def lex(self, regions: Sequence[Region], first: int) -> Stream:
        """See the function `lex`."""
        self._protocol, position = self._read_protocol()
        begin = position
        for number, region in enumerate(regions, first):
            position = self._lex_to_array(position, region, number)
        self._lex_opcodes(position, self._end)
        if not self._stopped:
            raise PayloadError("an opcode stream does not end with STOP")
        return Stream(begin, self._end - 1, self._protocol, self._notes, self._collapsed)

    def _read_protocol(self) -> tuple[int, int]:
        head = bytes(self._data[self._start : min(self._start + 2, self._end)])
        if head[:1] != _PROTO:
            return 0, self._start
        protocol = int.from_bytes(head[1:], "little")
        if protocol not in _PROTOCOLS:
            raise PayloadError(f"pickle protocol {protocol} was announced, expected 2 to {_PROTOCOLS[-1]}")
        return protocol, self._start + 2

    def _lex_to_array(self, position: int, region: Region, number: int) -> int:
        """Lex up to the BUILD of an array's wrapper; the array's bytes go into that BUILD's note."""
        data, notes, cut = self._data, self._notes, region.cut
        last, resume = cut - 1, region.start + region.size
        if not position <= last < region.start <= resume < self._end:
            raise PayloadError(f"array {number} does not lie between opcodes")
        body = position + _FRAME_HEAD
        if body <= last and _HEAD.unpack_from(data, position) == (_FRAME, cut - body):
            position = self._drop_frame_head(position)  # the frame that joblib closes at a wrapper: most of them
        if self._run(data, position, last).end() != last or data[last] != _BUILD:
            self._lex_opcodes(position, cut)
            if not notes or notes.pop() != (last, cut, BUILD, BUILD):
                raise PayloadError(f"array {number} does not follow a BUILD")
        note = b"J" + number.to_bytes(4, "little") + _ARRAY
        notes.append((last, resume, note, note))
        return resume

    def _lex_opcodes(self, position: int, end: int, *, framed: bool = False) -> None:
        """Lex whole opcodes, from a position to an end exactly."""
        data, run = self._data, self._run
        while True:
            position = run(data, position, end).end()
            if position >= end:
                return
            code = data[position]
            if code == _BUILD:
                self._notes.append((position, position + 1, BUILD, BUILD))
                position += 1
            elif code == _FRAME and not framed:
                body = self._drop_frame_head(position)
                position = self._frame_end(position, end)
                self._lex_opcodes(body, position, framed=True)
            else:
                position = _STOPS.get(code, _refuse)(self, position, end)

    def _frame_end(self, position: int, end: int) -> int:
        """Where a frame ends; it must lie inside the opcodes that it is met in."""
        body = position + _FRAME_HEAD
        frame_end = body + int.from_bytes(self._data[position + 1 : body], "little")
        if frame_end > end:
            raise PayloadError(f"a frame reaches to byte {frame_end}, the opcodes end at {end}")
        return frame_end

    def _drop_frame_head(self, position: int) -> int:
        """Leave a frame's head out; it goes with the note before it, if that ends there."""
        if self._protocol < _FRAMED:
            raise PayloadError(f"a frame in protocol {self._protocol}, which has none")
        notes, body = self._notes, position + _FRAME_HEAD
        if notes and notes[-1][1] == position:
            begin, _, rehearsed, loaded = notes[-1]
            notes[-1] = (begin, body, rehearsed, loaded)
        else:
            notes.append((position, body, b"", b""))
        return body

    def _note(self, position: int, size: int, text: bytes) -> int:
        after = position + size
        self._notes.append((position, after, text, text))
        return after

    def _stop(self, position: int, end: int) -> int:
        if position + 1 != self._end:
            _refuse(self, position, end)
        self._stopped = True
        return self._end

    def _newobj(self, position: int, end: int) -> int:
        return self._note(position, 1, NEWOBJ)

    def _tuple(self, position: int, end: int) -> int:
        self._note(position + 1, 0, LOOK)
        return position + 1

    def _vocabulary(self, position: int, end: int) -> int:
        """Count blocks of pairs. What stands for them keeps the memo's numbering: one slot for each text."""
        begin = position = position + 1
        pairs = 0
        while (block := _BLOCK.match(self._data, position, end)) is not None:
            position = block.end()
            pairs += _BLOCK_PAIRS
        self._collapsed = True
        self._notes.append((begin, position, b"NQ" + b"\x94" * pairs + b"N", None))
        return position

    def _sized(self, position: int, end: int) -> int:
        """A text or bytes with a length of four or eight bytes."""
        length = _LENGTHS[self._data[position]]
        head = position + 1 + length.size
        if head > end:
            _refuse(self, position, end)
        (announced,) = length.unpack_from(self._data, position + 1)
        after: int = head + announced
        if after > end:
            raise LimitExceededError(f"{after - head} bytes are announced, {end - head} are left")
        return after

    def _wide_integer(self, position: int, end: int) -> int:
        size = 1 if self._data[position] == _LONG1 else 4
        head = position + 1 + size
        after = head + int.from_bytes(self._data[position + 1 : head], "little")
        if after - head > INTEGER_BYTES_MAX:
            raise LimitExceededError(f"an integer has {after - head} bytes, at most {INTEGER_BYTES_MAX} are allowed")
        return self._count_wide(after, end)

    def _wide_text(self, position: int, end: int) -> int:
        line = _WIDE_TEXT.match(self._data, position, end)
        if line is None:
            raise LimitExceededError(f"an integer has more than {INTEGER_TEXT_MAX} digits, or is not in decimal")
        return self._count_wide(line.end(), end)

    def _count_wide(self, after: int, end: int) -> int:
        self._wide += 1
        if self._wide > WIDE_INTEGERS_MAX or after > end:
            raise LimitExceededError(f"more than {WIDE_INTEGERS_MAX} integers have over 8 bytes, or one is cut off")
        return after

    def _put(self, position: int, end: int) -> int:
        """A slot that is higher than the run allows."""
        return self._check_slot(int.from_bytes(self._data[position + 1 : position + 5], "little"), position + 5, end)

    def _put_text(self, position: int, end: int) -> int:
        line = _PUT.match(self._data, position, end)
        if line is None:
            _refuse(self, position, end)
        return self._check_slot(int(line[1]), line.end(), end)

    def _check_slot(self, slot: int, after: int, end: int) -> int:
        """Bound a slot; C's unpickler allocates the table up to it."""
        if slot >= self._slots or after > end:
            raise LimitExceededError(f"memo slot {slot} is used in a stream of {self._slots} bytes")
        return after


def _third_byte(size: int) -> int:
    """The highest slots that a stream of this size may name without a look at each: few patterns, to compile few."""
    return 0 if size < MIB else 0x0F if size < 16 * MIB else 0xFF


def _refuse(lexer: _Lexer, position: int, end: int) -> NoReturn:
    raise PayloadError(
        f"opcode {lexer._data[position]:#04x} at byte {position} is cut off, out of place, or not allowed"
    )


_WIDE_TEXT = re.compile(rb"[IL]-?[1-9][0-9]{18,%d}L?\n" % INTEGER_TEXT_MAX)
_PUT = re.compile(rb"p([1-9][0-9]{0,8})\n")
_HEAD: Final = struct.Struct("<BQ")

_FOUR: Final = struct.Struct("<I")
_EIGHT: Final = struct.Struct("<Q")
_LENGTHS: Final = {
    0x42: _FOUR,  # BINBYTES
    0x58: _FOUR,  # BINUNICODE
    0x8D: _EIGHT,  # BINUNICODE8
    0x8E: _EIGHT,  # BINBYTES8
    0x96: _EIGHT,  # BYTEARRAY8
}

_STOPS: Final[dict[int, Callable[[_Lexer, int, int], int]]] = {
    _STOP: _Lexer._stop,
    0x81: _Lexer._newobj,
    0x28: _Lexer._vocabulary,
    **dict.fromkeys(b"t\x85\x86\x87", _Lexer._tuple),
    **dict.fromkeys(_LENGTHS, _Lexer._sized),
    **dict.fromkeys(b"\x8a\x8b", _Lexer._wide_integer),
    **dict.fromkeys(b"IL", _Lexer._wide_text),
    0x70: _Lexer._put_text,
    0x72: _Lexer._put,
}
