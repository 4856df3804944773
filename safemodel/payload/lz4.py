"""The beginning of what LZ4 compresses, to tell what it is: no payload in LZ4 is read (LZ4 frame format 1.6)."""

from typing import Final

_HEADER_MIN: Final = 7  # magic, flags, block descriptor, check byte
_HAS_SIZE: Final = 0x08
_HAS_DICTIONARY: Final = 0x01
_UNCOMPRESSED: Final = 0x80000000
_MATCH_MIN: Final = 4


def first_block(frame: bytes, most: int) -> bytes:
    """Return up to `most` bytes of what a frame holds: as much as its first block gives before any damage."""
    if len(frame) <= _HEADER_MIN:
        return b""
    start = _HEADER_MIN + 8 * bool(frame[4] & _HAS_SIZE) + 4 * bool(frame[4] & _HAS_DICTIONARY)
    size = int.from_bytes(frame[start : start + 4], "little")
    block = frame[start + 4 : start + 4 + (size & ~_UNCOMPRESSED)]
    return block[:most] if size & _UNCOMPRESSED else _expand(block, most)


def _expand(block: bytes, most: int) -> bytes:
    """Follow the sequences of a block: a token, literals, and a match behind what is there (LZ4 block format)."""
    output = bytearray()
    position = 0
    while position < len(block) and len(output) < most:
        token = block[position]
        length, position = _length(block, position + 1, token >> 4)
        output += block[position : position + length]
        position += length
        distance = int.from_bytes(block[position : position + 2], "little")
        if not 0 < distance <= len(output):
            break
        length, position = _length(block, position + 2, token & 15)
        for _ in range(min(length + _MATCH_MIN, most)):
            output.append(output[-distance])
    return bytes(output[:most])


def _length(block: bytes, position: int, length: int) -> tuple[int, int]:
    if length < 15:
        return length, position
    while position < len(block):
        length += block[position]
        position += 1
        if block[position - 1] != 255:
            break
    return length, position
