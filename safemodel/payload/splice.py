"""Splice: the opcodes of a stream without its arrays, and with a question wherever C's unpickler has to ask.

A question is a persistent id: the values are packed into a tuple, BINPERSID hands it to `persistent_load`, and the
answer takes its place. So BUILD never runs in C, an array comes from the private buffer, and a payload's own PERSID and
BINPERSID are refused by the lexer.
"""

from safemodel.payload.lexer import Stream


class OneFrame:
    """A file that hands a stream to C's unpickler as one frame, without a copy and without a call for each opcode."""

    def __init__(self, opcodes: bytes) -> None:
        self._replies = iter((b"\x95", len(opcodes).to_bytes(8, "little"), opcodes))

    def read(self, size: int) -> bytes:
        """Return the opcode FRAME, its length, then all the rest."""
        return next(self._replies, b"")

    def readline(self) -> bytes:
        """Return nothing: all lines are in the frame."""
        return b""


def splice_rehearsal(data: memoryview, stream: Stream) -> bytes:
    """Return the opcodes that the rehearsal runs.

    The stack must end as it began, with one value on it: a MARK and a TUPLE around the stream gather whatever is there,
    and a second tuple around that one and around the answer to an empty question shows that no MARK was left open.
    """
    return _spliced(data, stream, rehearsal=True)


def splice_load(data: memoryview, stream: Stream) -> bytes:
    """Return the opcodes that are run with the real classes: the same, with the texts that the rehearsal left out."""
    return _spliced(data, stream, rehearsal=False)


def _spliced(data: memoryview, stream: Stream, *, rehearsal: bool) -> bytes:
    position = stream.start
    pieces: list[memoryview | bytes] = [b")Q("]
    for begin, end, rehearsed, loaded in stream.notes:
        text = rehearsed if rehearsal else loaded
        if text is not None:
            pieces.append(data[position:begin])
            pieces.append(text)
            position = end
    pieces += [data[position : stream.end], b"t\x86."]
    return b"".join(pieces)
