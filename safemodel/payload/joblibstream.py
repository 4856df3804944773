"""From the stream of C's pickler to the stream that `joblib.load` reads.

joblib puts an array's bytes right after the BUILD of the array's wrapper. C's pickler cannot: it holds its opcodes back
until 64 KiB are complete. So it pickles two marks with each array, numbers that occur nowhere else. Where they come
out, the wrapper's opcodes are put right and the array's bytes are inserted:

    from C's pickler    class START TUPLE1   MEMOIZE  state... END SETITEMS NEWOBJ_EX        MEMOIZE
    as joblib reads it  class ()    NEWOBJ   MEMOIZE  state... 16  SETITEMS BUILD      bytes MEMOIZE

* Every MEMOIZE stays, so pickler and unpickler number the memo alike. The last one memoizes the array itself: an array
  met twice is written once and is one array again when loaded.
* FRAMEs are dropped: one must not reach over an array's bytes, and none is needed.
* Contiguous arrays pass without a copy, others in copies of 1 MiB. Their bytes are read when their opcodes come out,
  so nothing may change the model meanwhile.
"""

import os
import pickle
from collections.abc import Callable
from typing import Final

from safemodel.errors import PayloadError
from safemodel.format.limits import KIB, MIB
from safemodel.payload.arraybytes import Array, blocks
from safemodel.payload.findings import ALIGNMENT

Write = Callable[[bytes | memoryview], object]
Data = bytes | bytearray | memoryview | pickle.PickleBuffer  # whatever C's pickler hands to a file


_PROTO_SIZE: Final = 2
_FRAME_SIZE: Final = 9  # the opcode and eight bytes that say the length
_FRAMED_MIN: Final = 4  # fewer bytes of opcodes get no FRAME
_EMPTY_TUPLE_NEWOBJ: Final = pickle.EMPTY_TUPLE + pickle.NEWOBJ
_ALIGNMENT_SETITEMS_BUILD: Final = pickle.BININT1 + bytes((ALIGNMENT,)) + pickle.SETITEMS + pickle.BUILD

_NUMBER_SIZE: Final = 8  # bytes of the array's number in an end mark
_NONCE_SIZE: Final = 16
_LONG1_SIZE: Final = 2  # the opcode and the byte that says the length
_JOINED_MAX: Final = 64 * KIB  # anything smaller is copied together: a call each would cost more
_BLOCK: Final = MIB  # what is handed on at once, so that hashing, writing and progress go side by side


class Outlet:
    """Counts and hands on the stream's bytes.

    Args:
        write: takes the next bytes. A memoryview is of the model's own memory and stays as it is while the model does.

    Attributes:
        position: bytes taken so far.
        writing: whether `write` was called and has not returned, so that an exception is known to be its own.
    """

    def __init__(self, write: Write) -> None:
        self.position = 0
        self.writing = False
        self._write = write
        self._joined: list[bytes] = []
        self._joined_size = 0

    def write(self, data: Data) -> None:
        """Append to the stream."""
        view = data if isinstance(data, bytes) else pickle.PickleBuffer(data).raw()
        self.position += len(view)
        if len(view) < _JOINED_MAX:
            self._join(bytes(view))
        else:
            self.flush()
            self._hand_on(view)

    def flush(self) -> None:
        """Hand on what was joined."""
        if self._joined:
            data = b"".join(self._joined)
            self._joined.clear()
            self._joined_size = 0
            self._hand_on(data)

    def _join(self, data: bytes) -> None:
        self._joined.append(data)
        self._joined_size += len(data)
        if self._joined_size >= _JOINED_MAX:
            self.flush()

    def _hand_on(self, data: bytes | memoryview) -> None:
        for start in range(0, len(data), _BLOCK):
            self.writing = True
            self._write(data[start : start + _BLOCK])
            self.writing = False


class JoblibStream:
    """The file that C's pickler writes to, at protocol 4.

    Args:
        outlet: takes the stream that joblib reads.
        pickle_objects: writes an array of objects as a pickle stream of its own.

    Attributes:
        start_mark: the item of the tuple that stands for the wrapper's arguments.
    """

    def __init__(self, outlet: Outlet, pickle_objects: Callable[[Array, Outlet], None]) -> None:
        self._outlet = outlet
        self._pickle_objects = pickle_objects
        self._arrays: dict[int, Array] = {}
        self._announced = 0
        self._started = 0
        self._content_follows = False
        self._begun = False
        self._tail = b""
        start, self._end = _nonce(), _nonce()
        self.start_mark = int.from_bytes(start, "little")
        self._start_opcodes = pickle.LONG1 + bytes((_NONCE_SIZE,)) + start + pickle.TUPLE1
        self._end_opcodes = self._end + pickle.SETITEMS + pickle.NEWOBJ_EX

    def announce(self, array: Array) -> int:
        """Take an array whose wrapper is about to be pickled.

        Returns:
            The end mark: the last value of the wrapper's state.
        """
        number = self._announced
        self._announced += 1
        self._arrays[number] = array
        return int.from_bytes(number.to_bytes(_NUMBER_SIZE, "little") + self._end, "little")

    def write(self, piece: bytes) -> None:
        """Take what C's pickler writes at once: opcodes, or the content of one large string or bytes object."""
        self._outlet.write(self._tail)
        self._tail = b""
        if self._content_follows:
            self._content_follows = False
            self._outlet.write(piece)
        else:
            self._splice(self._unframe(piece))

    def finish(self) -> None:
        """Hand on everything, but no MEMOIZE so near to the end that nothing can refer to it.

        Without that byte no stream is larger than joblib's, which has no FRAME there.

        Raises:
            PayloadError: the marks did not come out as they should; not with any CPython that is known.
        """
        if self._arrays or self._started != self._announced:
            raise PayloadError("the pickler of this Python does not write arrays as expected", hint="use CPython")
        is_needless = len(self._tail) <= _FRAMED_MIN and self._tail.startswith(pickle.MEMOIZE)
        self._outlet.write(self._tail[is_needless:])
        self._outlet.flush()

    def _unframe(self, piece: bytes) -> bytes:
        """Drop the FRAME. What comes after the framed opcodes is the head of a large object, whose content follows."""
        start = 0 if self._begun else _PROTO_SIZE
        self._begun = True
        if not piece.startswith(pickle.FRAME, start):
            self._content_follows = len(piece) - start >= _FRAMED_MIN
            return piece
        opcodes = start + _FRAME_SIZE
        self._content_follows = opcodes + int.from_bytes(piece[start + 1 : opcodes], "little") < len(piece)
        return piece[:start] + piece[opcodes:]

    def _splice(self, opcodes: bytes) -> None:
        pieces = opcodes.split(self._start_opcodes)
        self._started += len(pieces) - 1
        *wrappers, rest = _EMPTY_TUPLE_NEWOBJ.join(pieces).split(self._end_opcodes)
        for wrapper in wrappers:
            self._outlet.write(wrapper[: -_NUMBER_SIZE - _LONG1_SIZE])
            self._outlet.write(_ALIGNMENT_SETITEMS_BUILD)
            self._insert(self._arrays.pop(int.from_bytes(wrapper[-_NUMBER_SIZE:], "little")))
        self._tail = rest

    def _insert(self, array: Array) -> None:
        if array.dtype.hasobject:
            self._pickle_objects(array, self._outlet)
            return
        self._outlet.write(_padding(self._outlet.position))
        for block in blocks(array):
            self._outlet.write(block)


def _nonce() -> bytes:
    # The highest byte is 1, so that the number is positive and LONG1 neither shortens it nor adds a byte.
    return os.urandom(_NONCE_SIZE - 1) + b"\x01"


def _padding(position: int) -> bytes:
    """As joblib pads: one byte that says how many follow, 1 to 16."""
    size = ALIGNMENT - (position + 1) % ALIGNMENT
    return bytes((size,)) + b"\xff" * size
