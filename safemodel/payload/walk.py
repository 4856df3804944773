"""Static walk of one joblib or pickle stream: which globals it reaches for, and where its arrays lie.

Nothing is unpickled and nothing is imported, whatever the bytes say. The walk keeps what the unpickler's stack and memo
would hold, in place of the objects: so a global is resolved exactly, whichever opcodes spell its name, and the bytes of
an array are skipped exactly. What cannot be followed exactly is refused, never skipped.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.payload.findings import NESTED, RAW, ROLES, Counts, GlobalUse, Region, Walk
from safemodel.payload.machine import Machine, Tally

__all__ = ["NESTED", "RAW", "ROLES", "Counts", "GlobalUse", "Region", "Walk", "walk"]

_HINT: Final = "the file is damaged, or it is not what a pickler writes; dump the model again"


def walk(data: bytes | bytearray | memoryview) -> Walk:
    """Walk a stream.

    Args:
        data: the whole uncompressed payload (`streams.open_stream` gives it); the bytes of raw arrays are not touched.

    Returns:
        The globals, the positions of the arrays, and the counts.

    Raises:
        LimitExceededError: a cap of `format/limits.py` would be exceeded.
        PayloadError: the stream is not what a pickler writes, or has bytes after its end.
    """
    tally = Tally()
    with _collection_held_off(), memoryview(data) as whole, whole.cast("B") as view:
        try:
            end = Machine(view, 0, tally).run()
            if end != len(view):
                raise PayloadError(f"{len(view) - end} bytes follow the end of the pickle")
            uses = tally.census.report()
        except (PayloadError, LimitExceededError) as error:
            place = "" if tally.failure is None else f" at byte {tally.failure}"
            raise type(error)(error.args[0] + place, hint=error.hint or _HINT) from error.__cause__
    counts = Counts(tally.opcodes, len(tally.regions), tally.memo, tally.depth)
    return Walk(uses, tuple(tally.regions), counts, tally.root, frozenset(tally.census.estimator_versions))


@contextmanager
def _collection_held_off() -> Iterator[None]:
    """Spare the collector the walk's many values, none of which is garbage before it ends."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
