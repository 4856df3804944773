"""What a static walk finds in a payload: values only, no code that reads one.

The walk makes them when a payload is dumped, packed or scanned; the manifest and the index carry them; the loader
checks the payload against them.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from safemodel.format.manifest import ROLES, Counts

__all__ = ["ALIGNMENT", "NESTED", "RAW", "ROLES", "Counts", "GlobalUse", "Region", "Walk"]

ALIGNMENT: Final = 16  # of an array's bytes from the payload's start: joblib's NUMPY_ARRAY_ALIGNMENT_BYTES

RAW: Final = 0  # the bytes of an array, as numpy holds them
NESTED: Final = 1  # an array of objects: a pickle stream of its own


@dataclass(frozen=True, slots=True)
class GlobalUse:
    """One global that the payload reaches for, and what it does with it.

    Attributes:
        module: the module that the unpickler would import, after the mapping of Python 2 names.
        name: the attribute of that module; an identifier without dots.
        roles: sorted members of `ROLES`. "call": REDUCE calls it; "newobj": NEWOBJ makes an instance; "build": BUILD
            sets the state of what it made; "setitems": SETITEM, APPEND or ADDITEMS fills what it made; "reference": the
            global itself is data, or is looked up and dropped.
        paths: where in the model it was met, at most three, such as ``steps[1][1].estimators_[3].tree_``; empty text
            stands for the model itself.
    """

    module: str
    name: str
    roles: tuple[str, ...]
    paths: tuple[str, ...]


class Region(NamedTuple):
    """Where the data of one array lies in the uncompressed payload; offsets and sizes in bytes. There may be millions.

    Attributes:
        cut: the first byte after the BUILD opcode of joblib's array wrapper.
        start: the first byte of the data, after the alignment padding.
        size: of the data; at ``start + size`` the opcodes go on.
        kind: `RAW` or `NESTED`.
    """

    cut: int
    start: int
    size: int
    kind: int


@dataclass(frozen=True, slots=True)
class Walk:
    """Everything a walk found.

    Attributes:
        globals: sorted by module and name, each pair once.
        regions: in file order.
        root: the class of the object that the payload holds; empty where that is not plain to see.
        counts: opcodes of all streams together; regions, raw and nested; memo slots of the stream that fills most; the
            most values inside one another, or marks open at once, whichever is more.
        estimator_versions: of scikit-learn, as the estimators in the payload say.
    """

    globals: tuple[GlobalUse, ...]
    regions: tuple[Region, ...]
    counts: Counts
    root: str = ""
    estimator_versions: frozenset[str] = frozenset()
