"""Random changes to bytes: what a fuzzer without coverage does."""

import random

INTERESTING = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"PK",
    b"\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes with one to eight changes."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        position = chance.randrange(len(changed) + 1)
        size = chance.choice((1, 1, 1, 2, 4, 8, 32))
        kind = chance.randrange(5)
        if kind == 0 and position < len(changed):
            changed[position] ^= 1 << chance.randrange(8)
        elif kind == 1:
            changed[position : position + size] = chance.choice(INTERESTING)
        elif kind == 2:
            del changed[position : position + size]
        elif kind == 3:
            changed[position:position] = chance.randbytes(size)
        else:
            source = chance.randrange(len(changed) + 1)
            changed[position : position + size] = changed[source : source + size]
    return bytes(changed)
