"""The walk's pickle machine: one stream, opcode by opcode, with its stack, marks, memo and frames.

It follows a stream only as far as CPython's C and Python unpicklers do the same:

1. PROTO comes first or not at all (protocols 0 and 1), and STOP leaves one value and no mark.
2. The memo has no holes: a slot is written that exists or is the next one.
3. Frames neither nest nor cut an opcode (the C unpickler ignores where they end, the Python one takes the bytes after
   it from elsewhere), and one that is open ends at an array wrapper's BUILD and at STOP. Opcodes outside of frames are
   what picklers write for large values and short remainders.
4. Every length is checked against the bytes that are left before anything is allocated.
"""

from collections.abc import Callable, Iterator
from typing import Final

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.format.limits import (
    DEPTH_MAX,
    GLOBAL_NAME_MAX,
    INTEGER_BYTES_MAX,
    MEMO_MAX,
    OPCODES_MAX,
    STACK_MAX,
)
from safemodel.payload.arrays import Array
from safemodel.payload.effects import ON_MARK, ON_STACK, Effects
from safemodel.payload.findings import NESTED, Region
from safemodel.payload.lookup import Census, Lookup
from safemodel.payload.opcodes import (
    LENGTH,
    NARROW,
    PAIR,
    PAIR_TEXT,
    PAIRS,
    SLOT,
    TOKEN,
    TOKENS,
    WRAPPER,
    check_text,
    integer,
    pack_integer,
    read_float,
    read_index,
    read_integer,
    read_line,
    read_string,
    read_unicode,
    text,
)
from safemodel.payload.values import OPAQUE, Item, Value, WideInteger

_PROTOCOLS = (2, 3, 4, 5)  # those that PROTO announces
_FRAMED = 4  # the first protocol with frames
_WINDOW_MIN = 1024  # bytes looked at after an array or a rare opcode: more than any token, and little to throw away
_WINDOW_MAX = 16 * 1024
_QUOTA_STEP = 4096  # opcodes from one look at the quotas to the next
_PAIRS_WINDOW = 1024 * 1024  # picklers put down a dict after 1,000 pairs
_SHORT_TEXT = 0x8C
_SETITEMS = ord("u")
_BINGET = ord("h")
_WRAPPER_OPCODES = 21  # beside the first one and the lengths
_REFUSED: Final = {
    b"\x80": "PROTO stands inside the stream",
    b"i": "INST is an opcode of Python 2's classes",
    b"o": "OBJ is an opcode of Python 2's classes",
    b"P": "PERSID names an object outside of the payload",
    b"Q": "BINPERSID names an object outside of the payload",
    b"\x82": "EXT1 names a global by the registry of the process",
    b"\x83": "EXT2 names a global by the registry of the process",
    b"\x84": "EXT4 names a global by the registry of the process",
    b"\x97": "NEXT_BUFFER takes a buffer from outside of the payload",
    b"\x98": "READONLY_BUFFER takes a buffer from outside of the payload",
}
_NUMBERS = b"KMJGC\x8a"  # first bytes of tokens that stand for themselves on the stack
_TOKENS = b"\x8c\x94\x85\x86\x87Rb\x93N\x88\x89)]}012aselutd\x81\x8f\x90\x91\x92KhqMJjrGCX\x8a"


class Tally:
    """What all streams of a payload share."""

    def __init__(self) -> None:
        self.census: Final = Census()
        self.regions: list[Region] = []
        self.opcodes = 0
        self.memo = 0
        self.depth = 0
        self.root = ""
        self.failure: int | None = None  # offset after the opcode that was refused


class Machine:
    """Walks one stream.

    Args:
        data: the payload.
        start: offset of the stream.
        tally: where findings go.
        outer: the stream that this one lies in, or None.
        array: the array whose objects the stream holds, or None.
        persistent: whether BINPERSID may name objects outside of the stream, as the storages of tensors.
    """

    def __init__(
        self,
        data: memoryview,
        start: int,
        tally: Tally,
        *,
        outer: "Machine | None" = None,
        array: Value | None = None,
        persistent: bool = False,
    ) -> None:
        self._persistent = persistent
        self._data = data
        self._tally = tally
        self._array = array
        self._protocol, self._start = _read_protocol(data, start)
        lookup = Lookup(tally.census, self._protocol, outer._protocol if outer else None)
        self._effects = Effects(lookup, nested=outer is not None)
        self._stack: list[Item] = []
        self._marks: list[list[Item]] = []
        self._memo: list[Item] = []
        self._frame_end = 0  # 0: none is open
        self._tokens: Iterator[bytes] = iter(())
        self._tokens_end = self._start
        self._stopped = False
        tally.opcodes += self._start - start > 0

    def run(self) -> int:
        """Walk the stream.

        Returns:
            The offset after its STOP.

        Raises:
            LimitExceededError: a cap would be exceeded.
            PayloadError: it cannot be followed exactly.
        """
        try:
            return self._run()
        except (IndexError, UnicodeDecodeError, PayloadError, LimitExceededError) as error:
            if self._tally.failure is None:
                self._tally.failure = self._tokens_end - sum(map(len, self._tokens))
            if isinstance(error, IndexError):
                raise PayloadError("an opcode takes more from the stack or the memo than was put there") from error
            if isinstance(error, UnicodeDecodeError):
                raise PayloadError("a text is not in its encoding") from error
            raise

    def _run(self) -> int:
        # Half a million opcodes a second go through a method call each, three million through this loop: it is long so
        # that everything it touches is a local variable. Anything rare is done by a method, with the stack put back.
        data, memo, marks, stack = self._data, self._memo, self._marks, self._stack
        effects, on_stack, on_mark = self._effects, ON_STACK, ON_MARK
        position, window, opcodes, due, depth = self._start, _WINDOW_MIN, 0, 0, 0
        while not self._stopped:
            if opcodes >= due:
                self._check_quotas(opcodes, stack, depth)
                due = opcodes + _QUOTA_STEP
            if position >= self._frame_end:
                self._frame_end = 0
            if position < len(data) and data[position] == 0x95:  # FRAME, the first opcode after every array
                self._stack, self._tokens_end = stack, position
                position = self._frame(position + 1, len(data))
                stack = self._stack
                opcodes += 1
            limit = self._frame_end or len(data)
            end = min(position + window, limit)
            tokens = TOKENS.findall(data, position, end)
            rest = tokens.pop() if tokens and not TOKEN.fullmatch(tokens[-1]) else b""
            self._tokens_end = position = end - len(rest)
            self._tokens = pending = iter(tokens)
            opcodes += len(tokens)
            array = None
            for token in pending:
                if len(token) > 1:
                    code = token[0]
                    if code == 0x8C:  # SHORT_BINUNICODE
                        if len(token) == token[1] + 2:
                            stack.append(token[2:].decode("utf-8", "surrogatepass"))
                        else:  # with the MEMOIZE after it
                            value = token[2:-1].decode("utf-8", "surrogatepass")
                            stack.append(value)
                            memo.append(value)
                            opcodes += 1
                    elif code == 0x68:  # BINGET
                        stack.append(memo[token[1]])
                    elif code in _NUMBERS:
                        stack.append(token)
                    elif code == 0x6A:  # LONG_BINGET
                        stack.append(memo[_slot_number(token)])
                    elif code == 0x58:  # BINUNICODE
                        stack.append(text(token[5:]))
                    else:  # BINPUT, LONG_BINPUT
                        self._put(_slot_number(token), stack[-1])
                elif token == b"\x94":  # MEMOIZE
                    memo.append(stack[-1])
                elif token == b"(":  # MARK
                    marks.append(stack)
                    stack = []
                    if len(marks) > depth:
                        depth = len(marks)
                elif token == b"b":  # BUILD
                    array = effects.build(stack)
                    if array is not None:  # its data follows
                        break
                elif token in on_stack:
                    on_stack[token](effects, stack)
                elif token in on_mark:
                    items = stack
                    stack = marks.pop()
                    on_mark[token](effects, stack, items)
                elif token != b"0":  # NONE, NEWTRUE, NEWFALSE
                    stack.append(token)
                elif stack:  # POP
                    stack.pop()
                else:  # POP of a mark
                    stack = marks.pop()
            if array is not None:
                left = [*pending]
                opcodes -= len(left)
                position = self._skip_array(array, position - sum(map(len, left)))
                window = _WINDOW_MIN
            elif rest[:1] in _RARE:
                self._stack = stack
                position = _RARE[rest[:1]](self, position + 1, limit)
                stack = self._stack
                opcodes += 1
                window = _WINDOW_MIN
            else:
                self._check_rest(rest, end, limit)
                window = min(2 * window, _WINDOW_MAX)
        self._check_quotas(opcodes, stack, depth)
        self._tally.opcodes += opcodes
        return position

    def _check_rest(self, rest: bytes, end: int, limit: int) -> None:
        """Refuse bytes that begin no opcode, or one that the end of its frame or of the payload cuts."""
        code = rest[:1]
        if code and code not in _TOKENS:
            raise PayloadError(_REFUSED.get(code, f"{code.hex()} is no opcode of pickle"))
        if end == limit and (code or limit == len(self._data)):
            raise PayloadError("an opcode is cut, or the stream ends without STOP")

    def _check_quotas(self, opcodes: int, stack: list[Item], depth: int) -> None:
        tally = self._tally
        tally.depth = max(tally.depth, depth)
        tally.memo = max(tally.memo, len(self._memo))
        if tally.opcodes + opcodes > OPCODES_MAX:
            raise LimitExceededError(f"more than {OPCODES_MAX} opcodes")
        if tally.memo > MEMO_MAX or len(stack) > STACK_MAX:
            raise LimitExceededError(f"more than {MEMO_MAX} memo slots or {STACK_MAX} values on the stack")
        if tally.depth > DEPTH_MAX:
            raise LimitExceededError(f"more than {DEPTH_MAX} marks are open")

    def _put(self, slot: int, item: Item) -> None:
        if slot < len(self._memo):
            self._memo[slot] = item
        elif slot == len(self._memo):
            self._memo.append(item)
        else:
            refusal = LimitExceededError if slot >= MEMO_MAX else PayloadError
            raise refusal(f"memo slot {slot} is written, and only {len(self._memo)} are in use")

    def _skip_array(self, array: Array, cut: int) -> int:
        """Note where the data of an array lies, and return where the opcodes go on."""
        if cut < self._frame_end:
            raise PayloadError("a frame reaches past an array wrapper into the array's data")
        regions = self._tally.regions
        if not array.dtype.objects:
            region = array.region(self._data, cut)
            regions.append(region)
            return region.start + region.size
        number = len(regions)
        regions.append(Region(cut, cut, 0, NESTED))
        end = Machine(self._data, cut, self._tally, outer=self, array=array).run()
        regions[number] = Region(cut, cut, end - cut, NESTED)
        return end

    def _stop(self, position: int, limit: int) -> int:
        if self._marks:
            raise PayloadError("a mark is left over at STOP")
        if position < self._frame_end:
            raise PayloadError("a frame reaches past STOP")
        result = self._effects.finish(self._stack, self._array)
        self._tally.depth = max(self._tally.depth, result)
        self._stopped = True
        if self._array is None:
            self._tally.root = self._effects.root
        return position

    def _frame(self, position: int, limit: int) -> int:
        if self._frame_end or self._protocol < _FRAMED:
            raise PayloadError("a frame inside another one, or in a protocol without frames")
        start, size = self._counted(position, limit, 8)
        self._frame_end = start + size
        return self._pairs(start, self._frame_end)

    def _mark_and_pairs(self, position: int, limit: int) -> int:
        self._marks.append(self._stack)
        self._stack = []
        self._tally.depth = max(self._tally.depth, len(self._marks))
        return self._pairs(position, limit)

    def _pairs(self, position: int, limit: int) -> int:
        """Take a run of (text, MEMOIZE, number), and the SETITEMS after it, without looking at one after the other."""
        if position == limit or self._data[position] != _SHORT_TEXT:
            return position
        run = PAIRS.match(self._data, position, min(limit, position + _PAIRS_WINDOW))
        if run is None:
            return position
        end = run.end()
        if end < limit and self._data[end] == _SETITEMS and len(self._stack) % 2 == 0:
            texts = [text(pair[1:]) for pair in PAIR_TEXT.findall(self._data, position, end)]
            items, self._stack = self._stack, self._marks.pop()
            self._effects.setitems(self._stack, items, len(texts))
            self._tally.opcodes += 1
            end += 1
        else:
            pairs = PAIR.findall(self._data, position, end)
            texts = [text(pair[0][1:]) for pair in pairs]
            for key, pair in zip(texts, pairs, strict=True):
                self._stack += (key, pair[1])
        self._memo += texts
        self._tally.opcodes += 3 * len(texts)
        self._check_quotas(0, self._stack, 0)
        return end

    def _counted(self, position: int, limit: int, width: int) -> tuple[int, int]:
        """Read a length of `width` bytes, and return where what it counts begins, and how many bytes it has."""
        start = position + width
        size = int.from_bytes(self._data[position:start], "little")
        if start > limit:
            raise PayloadError("a length is cut")
        if size > limit - start:
            raise LimitExceededError(f"{size} bytes are announced, {limit - start} are left")
        return start, size

    def _wrapper(self, position: int, limit: int) -> int:
        """Take a whole array wrapper whose parts come from the memo; else just the GET that it begins with."""
        found = WRAPPER.match(self._data, position - 1, limit)
        if found is not None:
            slots = b"".join(found.group(1, 2, 4, 5))
            numbers = slots[1::2] if len(slots) == 20 else map(_slot_number, SLOT.findall(slots))  # all of them BINGET?
            items = [self._memo[number] for number in numbers]
            lengths = [integer(length) or 0 for length in LENGTH.findall(found[3])]
            array = self._effects.repeat_array(self._stack, self._memo, items, lengths)
            if array is not None:
                self._tally.opcodes += _WRAPPER_OPCODES + len(lengths)
                return self._skip_array(array, found.end())
        end = position + (1 if self._data[position - 1] == _BINGET else 4)
        if end > limit:
            raise PayloadError("an opcode is cut")
        self._stack.append(self._memo[int.from_bytes(self._data[position:end], "little")])
        return end

    def _long_text(self, position: int, limit: int, width: int) -> int:
        start, size = self._counted(position, limit, width)
        if size > 4 * GLOBAL_NAME_MAX:
            self._stack.append(OPAQUE)
            check_text(self._data[start : start + size])
        else:
            self._push_text(text(bytes(self._data[start : start + size])))
        return start + size

    def _push_text(self, value: str) -> None:
        # Only names and keys are ever asked for; a long text stands for itself.
        self._stack.append(value if len(value) <= GLOBAL_NAME_MAX else OPAQUE)

    def _long_bytes(self, position: int, limit: int, width: int) -> int:
        start, size = self._counted(position, limit, width)
        self._stack.append(OPAQUE)
        return start + size

    def _old_string(self, position: int, limit: int, width: int) -> int:
        start, size = self._counted(position, limit, width)
        self._push_text(str(self._data[start : start + size], "ascii"))
        return start + size

    def _long_integer(self, position: int, limit: int, width: int) -> int:
        start, size = self._counted(position, limit, width)
        if size > INTEGER_BYTES_MAX:
            raise LimitExceededError(f"an integer has {size} bytes, at most {INTEGER_BYTES_MAX} are allowed")
        self._push_integer(int.from_bytes(self._data[start : start + size], "little", signed=True))
        return start + size

    def _push_integer(self, number: int) -> None:
        narrow = number.bit_length() < 8 * NARROW
        self._stack.append(pack_integer(number) if narrow else WideInteger(number))

    def _line(self, position: int, limit: int) -> tuple[bytes, int]:
        line = read_line(self._data, position, limit)
        return line, position + len(line) + 1

    def _persistent_id(self, position: int, limit: int) -> int:
        if not self._persistent:
            raise PayloadError(_REFUSED[b"Q"])
        self._stack[-1] = OPAQUE
        return position

    def _global_lines(self, position: int, limit: int) -> int:
        module, position = self._line(position, limit)
        name, position = self._line(position, limit)
        self._stack.append(self._effects.lookup.find(module.decode("utf-8"), name.decode("utf-8")))
        return position

    def _integer_line(self, position: int, limit: int) -> int:
        line, position = self._line(position, limit)
        if line in (b"00", b"01"):
            self._stack.append(b"\x88" if line == b"01" else b"\x89")
        else:
            self._push_integer(read_integer(line))
        return position

    def _long_line(self, position: int, limit: int) -> int:
        line, position = self._line(position, limit)
        self._push_integer(read_integer(line.removesuffix(b"L")))
        return position

    def _float_line(self, position: int, limit: int) -> int:
        line, position = self._line(position, limit)
        self._stack.append(read_float(line))
        return position

    def _string_line(self, position: int, limit: int) -> int:
        line, position = self._line(position, limit)
        self._push_text(read_string(line))
        return position

    def _unicode_line(self, position: int, limit: int) -> int:
        line, position = self._line(position, limit)
        self._push_text(read_unicode(line))
        return position

    def _get_line(self, position: int, limit: int) -> int:
        line, position = self._line(position, limit)
        self._stack.append(self._memo[read_index(line)])
        return position

    def _put_line(self, position: int, limit: int) -> int:
        line, position = self._line(position, limit)
        self._put(read_index(line), self._stack[-1])
        return position


def _slot_number(token: bytes) -> int:
    return int.from_bytes(token[1:], "little")


def _read_protocol(data: memoryview, start: int) -> tuple[int, int]:
    """Return the protocol of a stream, and where its opcodes begin; without PROTO it is 1 or 0."""
    head = bytes(data[start : start + 2])
    if head[:1] != b"\x80":
        return 1, start
    if len(head) < 2 or head[1] not in _PROTOCOLS:
        raise PayloadError(f"a pickle of protocol {head[1:].hex()}, expected 0 to 5")
    return head[1], start + 2


_RARE: Final[dict[bytes, Callable[[Machine, int, int], int]]] = {
    b".": Machine._stop,
    b"(": Machine._mark_and_pairs,
    b"\x95": Machine._frame,
    b"h": Machine._wrapper,
    b"j": Machine._wrapper,
    b"X": lambda machine, position, limit: machine._long_text(position, limit, 4),
    b"\x8d": lambda machine, position, limit: machine._long_text(position, limit, 8),
    b"B": lambda machine, position, limit: machine._long_bytes(position, limit, 4),
    b"\x8e": lambda machine, position, limit: machine._long_bytes(position, limit, 8),
    b"\x96": lambda machine, position, limit: machine._long_bytes(position, limit, 8),
    b"T": lambda machine, position, limit: machine._old_string(position, limit, 4),
    b"U": lambda machine, position, limit: machine._old_string(position, limit, 1),
    b"\x8a": lambda machine, position, limit: machine._long_integer(position, limit, 1),
    b"\x8b": lambda machine, position, limit: machine._long_integer(position, limit, 4),
    b"Q": Machine._persistent_id,
    b"c": Machine._global_lines,
    b"I": Machine._integer_line,
    b"L": Machine._long_line,
    b"F": Machine._float_line,
    b"S": Machine._string_line,
    b"V": Machine._unicode_line,
    b"g": Machine._get_line,
    b"p": Machine._put_line,
}
