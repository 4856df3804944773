"""Static walk of one joblib or pickle stream: which globals it reaches for, and where its arrays lie.

Nothing is unpickled and nothing is imported, whatever the bytes say. The walk keeps what the unpickler's stack and memo
would hold, in place of the objects: so a global is resolved exactly, whichever opcodes spell its name, and the bytes of
an array are skipped exactly. What cannot be followed exactly is refused, never skipped.
"""

from typing import Final

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.payload.findings import NESTED, RAW, ROLES, Counts, GlobalUse, Region, Walk
from safemodel.payload.guard import HOLD
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
    walked, failure = walk_as_far_as_possible(data)
    if failure is not None:
        raise failure
    return walked


def walk_as_far_as_possible(
    data: bytes | bytearray | memoryview, *, streams: int = 1, persistent: bool = False
) -> tuple[Walk, PayloadError | LimitExceededError | None]:
    """Walk a stream up to what cannot be followed: an unpickler would have run everything before that.

    Args:
        data: as for `walk`.
        streams: how many there are, one after the other. After a single one nothing may follow; after more, anything.
        persistent: whether BINPERSID may name objects outside of the stream, as PyTorch's storages.

    Returns:
        What was found, and why the walk ended early, or None.
    """
    tally = Tally()
    failure = None
    with HOLD, memoryview(data) as whole, whole.cast("B") as view:
        try:
            _run(view, tally, streams, persistent)
        except (PayloadError, LimitExceededError) as error:
            place = "" if tally.failure is None else f" at byte {tally.failure}"
            failure = type(error)(error.args[0] + place, hint=error.hint or _HINT)
            failure.__cause__ = error.__cause__
    counts = Counts(tally.opcodes, len(tally.regions), tally.memo, tally.depth)
    versions = frozenset(tally.census.estimator_versions)
    return Walk(tally.census.report(), tuple(tally.regions), counts, tally.root, versions), failure


def _run(view: memoryview, tally: Tally, streams: int, persistent: bool) -> None:
    end = 0
    for _ in range(streams):
        end = Machine(view, end, tally, persistent=persistent).run()
    if streams == 1 and end != len(view):
        raise PayloadError(f"{len(view) - end} bytes follow the end of the pickle")
    tally.census.check()
