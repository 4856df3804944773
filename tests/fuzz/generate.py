"""Opcode streams made from a grammar: every way to spell a value, a global, a memo slot, a frame and an array.

Mutations of what picklers write seldom leave a stream that anything accepts. These are accepted for the greater part,
and use the opcodes that picklers have not written for years.
"""

import pickle
import random
import struct
from collections.abc import Callable
from typing import Final

import numpy as np

CLASSES: Final = (
    ("sklearn.utils._bunch", "Bunch"),
    ("sklearn.linear_model._logistic", "LogisticRegression"),
    ("numpy", "ndarray"),
    ("collections", "OrderedDict"),
)
PYTHON2: Final = (("__builtin__", "set"), ("__builtin__", "xrange"), ("copy_reg", "_reconstructor"))
CALLABLE: Final = (("collections", "OrderedDict"), ("sklearn.utils._bunch", "Bunch"))
DTYPES: Final = (("f8", b"<"), ("f8", b">"), ("i4", b"<"), ("b1", b"|"), ("S3", b"|"), ("U2", b"<"))
OBJECTS: Final = ("O8", b"|")
DEPTH: Final = 4
FRAMED: Final = 4
ODD: Final = 0.02
ODD_NUMBERS: Final = (b"I010\n", b"I0x10\n", b"I 1\n", b"I1_0\n", b"I+1\n", b"L010L\n", b"Fnan\n", b"F 1\n", b"\x8a\0")


def generated(chance: random.Random) -> bytes:
    """Return a stream with one value."""
    return _Stream(chance).finish()


class _Stream:
    """A stream under construction.

    Attributes:
        done: what lies before the last array, and that array.
        opcodes: those after it.
        slots: how many the memo has.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.protocol = chance.randrange(6)
        self.framing = self.protocol >= FRAMED and chance.random() < 0.7
        self.done = [bytes((0x80, self.protocol)) if self.protocol >= 2 else b""]
        self.opcodes: list[bytes] = []
        self.slots = 0

    def finish(self) -> bytes:
        self.value(0)
        self.add(b".")
        self.raw(b"")
        return b"".join(self.done)

    def raw(self, data: bytes) -> None:
        """Put frames around the opcodes so far, and bytes behind them that are none."""
        cut = self.chance.randint(0, len(self.opcodes))
        for run in (b"".join(self.opcodes[:cut]), b"".join(self.opcodes[cut:])):
            if run and self.framing and self.chance.random() < 0.9:
                self.done.append(b"\x95" + struct.pack("<Q", len(run)))
            self.done.append(run)
        self.done.append(data)
        self.opcodes.clear()

    def add(self, *opcodes: bytes) -> None:
        self.opcodes += opcodes

    def pick(self, *ways: Callable[[], None]) -> None:
        self.chance.choice(ways)()

    # Values.

    def value(self, depth: int) -> None:
        """Push one value, and sometimes keep it in the memo, or push and drop another."""
        if depth >= DEPTH or self.chance.random() < 0.5:
            self.pick(self.number, self.text, self.constant, self.known, self.group, self.reference, self.array)
        else:
            self.chance.choice((self.sequence, self.mapping, self.instance))(depth + 1)
        self.keep(0.4)
        if self.chance.random() < ODD:
            self.constant()
            self.add(b"0")
        if self.chance.random() < ODD:
            self.add(b"(")
            self.number()
            self.add(b"1")

    def values(self, depth: int) -> None:
        for _ in range(self.chance.randint(0, 4)):
            self.value(depth)

    def keep(self, probability: float = 0.5) -> None:
        """Write a memo slot: the next one, as a rule."""
        if self.chance.random() > probability:
            return
        slot = self.chance.randint(0, self.slots + 1) if self.chance.random() < ODD else self.slots
        ways = [b"p%d\n" % slot, b"r" + struct.pack("<I", slot)] + ([b"q%c" % slot] if slot < 256 else [])
        if self.protocol >= FRAMED and slot == self.slots:
            ways += 4 * [b"\x94"]
        self.add(self.chance.choice(ways))
        self.slots = max(self.slots, slot + 1)

    def known(self) -> None:
        """Read a memo slot; there is one but at the beginning."""
        slot = self.chance.randrange(max(self.slots, 1))
        ways = [b"g%d\n" % slot, b"j" + struct.pack("<I", slot)] + ([b"h%c" % slot] if slot < 256 else [])
        self.add(self.chance.choice(ways) if self.slots else b"N")

    def constant(self) -> None:
        self.add(self.chance.choice((b"N", b"\x88", b"\x89", b"I00\n", b"I01\n", b")", b"]", b"}")))

    def number(self) -> None:
        bits = self.chance.choice((3, 8, 16, 31, 64, 80))
        number = self.chance.randrange(2**bits) * self.chance.choice((1, 1, -1))
        long = number.to_bytes(11, "little", signed=True)
        ways = [b"I%d\n" % number, b"L%dL\n" % number, b"L%d\n" % number, b"\x8a\x0b" + long]
        ways += [b"\x8b\x0b\0\0\0" + long, b"G" + struct.pack(">d", number), b"F%d.5\n" % number]
        if 0 <= number < 256:
            ways.append(b"K%c" % number)
        if 0 <= number < 2**16:
            ways.append(b"M" + struct.pack("<H", number))
        if abs(number) < 2**31:
            ways.append(b"J" + struct.pack("<i", number))
        if self.chance.random() < ODD:
            ways = list(ODD_NUMBERS)
        self.add(self.chance.choice(ways))

    def text(self) -> None:
        content = self.chance.choice(("", "a", "name", "ü" * 3, "x" * 300, "fit", "\\u0041", "two\nlines"))
        self.spell(content, self.chance.randrange(9))

    def spell(self, content: str, way: int) -> None:
        data = content.encode()
        if way == 0 and len(data) < 256:
            self.add(b"\x8c%c" % len(data) + data)
        elif way == 1:
            self.add(b"\x8d" + struct.pack("<Q", len(data)) + data)
        elif way == 2 and "\n" not in content:
            self.add(b"V" + content.encode("raw-unicode-escape") + b"\n")
        elif way == 3 and content.isascii():
            self.add(b"S" + ascii(content).encode() + b"\n")
        elif way == 4 and content.isascii() and len(data) < 256:
            self.add(b"U%c" % len(data) + data)
        elif way == 5:
            self.add(b"B" + struct.pack("<I", len(data)) + data)
        elif way == 6:
            self.add(b"\x96" + struct.pack("<Q", len(data)) + data)
        elif way == 7 and len(data) < 256:
            self.add(b"C%c" % len(data) + data)
        else:
            self.add(b"X" + struct.pack("<I", len(data)) + data)

    def sequence(self, depth: int) -> None:
        way = self.chance.randrange(7)
        if way == 0:
            count = self.chance.randint(1, 3)
            for _ in range(count):
                self.value(depth)
            self.add((b"\x85", b"\x86", b"\x87")[count - 1])
        elif way <= 2:
            self.add(b"(")
            self.values(depth)
            self.add(b"t" if way == 1 else b"l")
        elif way == 3:
            self.add(b"]", b"(")
            self.values(depth)
            self.add(b"e")
        else:
            self.add(b"]")
            for _ in range(self.chance.randint(0, 3)):
                self.value(depth)
                self.add(b"a")

    def pairs(self, depth: int) -> None:
        for _ in range(self.chance.randint(0, 3)):
            self.key()
            self.value(depth)

    def key(self) -> None:
        self.chance.choice((*4 * [self.number], *4 * [self.text], self.known))()
        self.keep()

    def mapping(self, depth: int) -> None:
        if self.chance.random() < 0.3:
            self.add(b"(")
            self.pairs(depth)
            self.add(b"d")
        else:
            self.add(b"}")
            self.fill(depth)

    def fill(self, depth: int) -> None:
        """Put items into what lies on top."""
        for _ in range(self.chance.randint(0, 2)):
            if self.chance.random() < 0.5:
                self.add(b"(")
                self.pairs(depth)
                self.add(b"u")
            else:
                self.key()
                self.value(depth)
                self.add(b"s")

    def group(self) -> None:
        frozen = self.chance.random() < 0.5
        self.add(*((b"(",) if frozen else (b"\x8f", b"(")))
        for _ in range(self.chance.randint(0, 3)):
            self.key()
        self.add(b"\x91" if frozen else b"\x90")

    # Globals.

    def name(self, module: str, name: str) -> None:
        if self.protocol < FRAMED or self.chance.random() < 0.3:
            self.add(b"c%b\n%b\n" % (module.encode(), name.encode()))
        else:
            for part in (module, name):
                self.spell(part, self.chance.choice((0, 0, 1, 2, 8)))
                self.keep()
            self.add(b"\x93")
        self.keep()

    def reference(self) -> None:
        self.name(*self.chance.choice((*CLASSES, *PYTHON2) if self.protocol < 3 else CLASSES))

    def instance(self, depth: int) -> None:
        self.name(*self.chance.choice(CALLABLE))
        if self.chance.random() < 0.1:
            self.sequence(depth)
        else:
            self.add(b")")
        self.add(self.chance.choice((b"R", b"\x81")))
        self.keep()
        if self.chance.random() < 0.4:
            self.fill(depth)
        if self.chance.random() < 0.5:
            self.add(b"}")
            self.fill(depth)
            self.add(b"b")

    # Arrays.

    def array(self) -> None:
        self.name("joblib.numpy_pickle", "NumpyArrayWrapper")
        self.add(b")", b"\x81")
        self.keep()
        self.add(b"}", b"(")
        count, padding = self.chance.randint(0, 3), self.chance.randint(1, 16)
        padded = self.chance.random() < 0.7
        dtype = self.chance.choice((*DTYPES, OBJECTS))
        ways = [self.class_field, lambda: self.shape_field(count), self.order_field, self.map_field]
        ways += [lambda: self.dtype_field(*dtype), *([self.alignment_field] if padded else [])]
        self.chance.shuffle(ways)
        for way in ways:
            way()
        self.add(b"u", b"b")
        content = bytes([padding]) + b"\xff" * padding if padded else b""
        self.raw(self.objects(count) if dtype == OBJECTS else content + self.items(count, dtype[0]))

    def objects(self, count: int) -> bytes:
        items = np.array([None, "a", 2.5][:count], dtype=object)
        return pickle.dumps(items, self.chance.choice((self.protocol, 2, 4)))

    def items(self, count: int, spec: str) -> bytes:
        size = int(spec[1:]) * (4 if spec[0] == "U" else 1)
        return self.chance.randbytes(count * size) if spec[0] in "fi" else bytes(count * size)

    def class_field(self) -> None:
        self.spell("subclass", 8)
        self.name("numpy", "ndarray")

    def shape_field(self, count: int) -> None:
        self.spell("shape", 0)
        ways = (b"K%c" % count, b"I%d\n" % count, b"L%dL\n" % count, b"J%c\0\0\0" % count, b"\x8a\x01%c" % count)
        self.add(self.chance.choice(ways))
        self.add(b"\x85")

    def order_field(self) -> None:
        self.spell("order", 2)
        self.spell(self.chance.choice("CF"), self.chance.choice((0, 2, 8)))

    def map_field(self) -> None:
        self.spell("allow_mmap", 8)
        self.add(self.chance.choice((b"\x88", b"\x89", b"I01\n")))

    def alignment_field(self) -> None:
        self.spell("numpy_array_alignment_bytes", 0)
        self.add(self.chance.choice((b"K\x10", b"I16\n")))

    def dtype_field(self, spec: str, order: bytes) -> None:
        self.spell("dtype", 8)
        self.name("numpy", "dtype")
        self.spell(spec, 0)
        self.add(b"\x89", b"\x88", b"\x87", b"R")
        self.keep()
        self.add(b"(", b"K\x03")
        self.spell(order.decode(), 0)
        size = {"S3": b"K\x03", "U2": b"K\x08"}.get(spec, b"J\xff\xff\xff\xff")
        alignment = {"S3": b"K\x01", "U2": b"K\x04"}.get(spec, b"J\xff\xff\xff\xff")
        flags = {"O8": b"K\x3f", "U2": b"K\x08"}.get(spec, b"K\x00")
        self.add(*3 * [b"N"], size, alignment, flags, b"t", b"b")
