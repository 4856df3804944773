"""What a scan says of a file or a model: values only."""

from dataclasses import dataclass
from typing import Final

from safemodel.payload.findings import GlobalUse

ALLOWED: Final = "allowed"
NOT_ALLOWED: Final = "not-allowed"
MALFORMED: Final = "malformed"
UNREADABLE: Final = "unreadable"


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one file or model.

    Attributes:
        path: of the file; empty for an object.
        kind: "artifact", "joblib", "pickle", "object", or "unknown" for what is none of these.
        verdict: "allowed"; "not-allowed": it reaches for a global that the catalogue does not list; "malformed": it
            cannot be followed exactly, so a loader refuses it; "unreadable": the system refused to read it.
        globals: what it reaches for, in which roles and from where in the model; empty if malformed or unreadable.
        refused: those that are not allowed, with the roles that are not.
        reason: why it is not allowed, or empty.
        hint: what to do about it, or empty.
    """

    path: str
    kind: str
    verdict: str
    globals: tuple[GlobalUse, ...] = ()
    refused: tuple[GlobalUse, ...] = ()
    reason: str = ""
    hint: str = ""
