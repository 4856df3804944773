"""The opcodes of pickle protocols 0 to 5: how long each is, and what the plain values among them say.

The grammar is that of `pickletools`. Where CPython's C and Python unpicklers read one text differently (octal integers,
spaces, underscores), only what picklers write is accepted.
"""

import re
import struct
from codecs import escape_decode, raw_unicode_escape_decode  # the functions themselves: a look-up by name imports
from encodings.utf_8 import IncrementalDecoder
from typing import Final

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.format.limits import INTEGER_TEXT_MAX, MIB

NARROW: Final = 7  # bytes of an integer that stays below 2**61 - 1, from where on integers share hashes


def _counted(most: int, after_length: bytes = b"") -> bytes:
    """Return a pattern for one length byte up to `most`, then fixed bytes, then that many bytes of any value."""
    choices = (re.escape(bytes([length])) + after_length + b".{%d}" % length for length in range(most + 1))
    return b"(?:" + b"|".join(choices) + b")"


_BYTES = _counted(255)
_NARROW_LONG = rb"\x8a" + _counted(NARROW)
_NUMBER = rb"(?:K.|M..|J.{4}|G.{8}|[N\x88\x89]|" + _NARROW_LONG + rb")"

# Runs of (short text, MEMOIZE, number): the vocabulary of a text model is half a million of them in one dict.
PAIRS: Final = re.compile(rb"(?s:\x8c" + _BYTES + rb"\x94" + _NUMBER + rb"){4,}+")
PAIR: Final = re.compile(rb"(?s:\x8c(" + _BYTES + rb")\x94(" + _NUMBER + rb"))")
PAIR_TEXT: Final = re.compile(rb"(?s:\x8c(" + _BYTES + rb")\x94" + _NUMBER + rb")")

# joblib's array wrapper, from the second on: its class, state and BUILD, with every name from the memo.
_SLOT = rb"(?:h.|j.{4})"
_LENGTH = rb"(?:K.|M..|J.{4})"
_SHAPE = rb"(?:%b\x85|%b\x86|%b\x87)" % (_LENGTH, 2 * _LENGTH, 3 * _LENGTH)


def _wrapper(group: bytes) -> bytes:
    """Return the wrapper's pattern; `group` opens the groups around its slots and its shape."""
    slot, three, five = (group + count * _SLOT + b")" for count in (1, 3, 5))
    shape = group + _SHAPE + b")"
    return slot + rb"\)\x81\x94\}\x94\(" + three + shape + rb"\x94" + five + rb"[\x88\x89]" + slot + rb"K\x10ub"


WRAPPER: Final = re.compile(rb"(?s:" + _wrapper(b"(") + rb")")
SLOT: Final = re.compile(rb"(?s:" + _SLOT + rb")")
LENGTH: Final = re.compile(rb"(?s:" + _LENGTH + rb")")

# One opcode each, but a short text together with the MEMOIZE after it. A MARK before a run of
# pairs, and the GET that begins a wrapper, are left out.
_TOKEN = b"|".join(
    (
        rb"(?s:\x8c" + _BYTES + rb"\x94?",
        rb"[\x94\x85\x86\x87Rb\x93N\x88\x89)\]}012aselutd\x81\x8f\x90\x91\x92]",
        rb"(?!" + _wrapper(b"(?:") + rb")" + _SLOT,
        rb"[Kq].|M..|[Jr].{4}|G.{8}",
        rb"\((?!" + PAIRS.pattern + rb")",
        rb"C" + _BYTES,
        rb"X" + _counted(255, rb"\0\0\0"),
        _NARROW_LONG,
    )
)
TOKEN: Final = re.compile(_TOKEN + rb")")
TOKENS: Final = re.compile(_TOKEN + rb"|.+)")  # whatever begins no token swallows the rest, so nothing is skipped

_LINE = re.compile(rb"[^\n]*+\n")
_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]*+)")
_INDEX = re.compile(rb"0|[1-9][0-9]{0,9}")
_FLOAT = re.compile(rb"-?(?:[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?|inf)|nan")
_LITERAL = re.compile(rb"""(?:[^\\]|\\[\\'"abfnrtv]|\\x[0-9a-f]{2})*+""")  # inside the quotes of Python 2's repr
_CONSTANTS: dict[bytes, object] = {b"N": None, b"\x88": True, b"\x89": False}


def text(utf8: bytes) -> str:
    """Decode as the text opcodes do."""
    return utf8.decode("utf-8", "surrogatepass")


def check_text(utf8: memoryview) -> None:
    """Check a long text piece by piece, because the whole may take four times its bytes.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
    """
    decoder = IncrementalDecoder("surrogatepass")
    for start in range(0, len(utf8), MIB):
        decoder.decode(bytes(utf8[start : start + MIB]))
    decoder.decode(b"", True)


def plain(item: str | bytes) -> object:
    """Return the real value of a text or of the bytes of a plain opcode."""
    if isinstance(item, str):
        return item
    code = item[:1]
    if code in _CONSTANTS:
        return _CONSTANTS[code]
    if code == b"G":
        return struct.unpack(">d", item[1:])[0]
    return item[2:] if code == b"C" else integer(item)


def integer(item: object) -> int | None:
    """Return the integer that a stack item is, or None; True and False are none."""
    if not isinstance(item, bytes):
        return None
    code = item[:1]
    if code == b"K":
        return item[1]
    if code == b"M":
        return item[1] + 256 * item[2]
    if code == b"J":
        return int.from_bytes(item[1:], "little", signed=True)
    return int.from_bytes(item[2:], "little", signed=True) if code == b"\x8a" else None


def pack_integer(number: int) -> bytes:
    """Return the plain opcode of an integer that needs at most `NARROW` bytes."""
    data = number.to_bytes(NARROW, "little", signed=True)
    return b"\x8a" + bytes([NARROW]) + data


def read_line(data: memoryview, position: int, limit: int) -> bytes:
    """Return the bytes up to the next line feed, without it.

    Raises:
        PayloadError: there is none.
    """
    line = _LINE.match(data, position, limit)
    if line is None:
        raise PayloadError("a line has no end")
    return line.group()[:-1]


def read_integer(line: bytes) -> int:
    """Read the argument of INT or LONG.

    Raises:
        LimitExceededError: more digits than `INTEGER_TEXT_MAX`; reading them takes quadratic time (CVE-2020-10735).
        PayloadError: not a decimal integer as picklers write it.
    """
    if len(line) > INTEGER_TEXT_MAX:
        raise LimitExceededError(f"an integer has {len(line)} digits, at most {INTEGER_TEXT_MAX} are allowed")
    if not _INTEGER.fullmatch(line):
        raise PayloadError("a decimal integer was expected")
    return int(line)


def read_index(line: bytes) -> int:
    """Read the argument of GET or PUT.

    Raises:
        PayloadError: not a decimal number below 10**10.
    """
    if not _INDEX.fullmatch(line):
        raise PayloadError("the number of a memo slot was expected")
    return int(line)


def read_float(line: bytes) -> bytes:
    """Read the argument of FLOAT into the bytes of a BINFLOAT.

    Raises:
        PayloadError: not a number as picklers write it.
    """
    if not _FLOAT.fullmatch(line):
        raise PayloadError("a decimal number was expected")
    return b"G" + struct.pack(">d", float(line))


def read_string(line: bytes) -> str:
    """Read the argument of STRING, a Python 2 literal that must be ASCII.

    Raises:
        PayloadError: not a literal as Python 2 writes it.
        UnicodeDecodeError: not ASCII.
    """
    quoted = len(line) >= 2 and line[0] == line[-1] and line[:1] in (b"'", b'"')
    if not quoted or not _LITERAL.fullmatch(line, 1, len(line) - 1):
        raise PayloadError("a quoted string was expected")
    return escape_decode(line[1:-1])[0].decode("ascii")


def read_unicode(line: bytes) -> str:
    """Read the argument of UNICODE.

    Raises:
        UnicodeDecodeError: a broken escape.
    """
    return raw_unicode_escape_decode(line)[0]
