"""What a scan says of a file or a model: values only."""

from dataclasses import dataclass
from typing import Final

from safemodel.payload.findings import GlobalUse

VERIFIED: Final = "verified"
UNCHECKED: Final = "unchecked"
UNSIGNED: Final = "unsigned"
NOT_JUDGED: Final = "not-judged"
NOT_TRUSTED: Final = "not-trusted"
DANGEROUS: Final = "dangerous"
MALFORMED: Final = "malformed"
UNREADABLE: Final = "unreadable"

# From good to bad: of an archive's members the worst counts.
VERDICTS: Final = (VERIFIED, UNCHECKED, UNSIGNED, NOT_JUDGED, NOT_TRUSTED, MALFORMED, DANGEROUS, UNREADABLE)


@dataclass(frozen=True, slots=True)
class Verification:
    """Who vouches for an artifact, where the gate let it pass.

    Attributes:
        name, version: the signed ones; the version may be None.
        digest: the artifact's, 64 hexadecimal digits.
        signers: names of those whose signatures count, or ids of bare keys.
        rule: the number of the rule in the trust policy's file; None for bare keys.
        warnings: what the user should know, such as a stale `.sig` file.
    """

    name: str
    version: str | None
    digest: str
    signers: tuple[str, ...]
    rule: int | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one file, on one member of an archive, or on a model in memory.

    Attributes:
        path: of the file; the name of a member, with `!` between the names of nested archives; empty for an object.
        kind: what it is by its content: "artifact", "joblib", "pickle", "npz", "pytorch", ...; "object"; or "unknown".
        verdict: "verified": signed by whom the trust policy names, all bytes checked, only allowed globals;
            "unchecked": an artifact with only allowed globals, and no trust was given to check its signatures by;
            "unsigned": only allowed globals, and nobody vouches for it; "not-judged": a kind that is only named;
            "not-trusted": an artifact that the gate refuses; "malformed": it cannot be followed exactly, so a loader
            refuses it; "dangerous": it reaches for a global that is not allowed; "unreadable": it could not be read.
        globals: what it reaches for, in which roles and from where in the model, as far as it could be followed.
        refused: those that are not allowed, with the roles that are not.
        reason: why the verdict is no better, or empty.
        hint: what to do about it, or empty.
        code: that of the error behind "not-trusted" or "malformed", or empty.
        members: the findings on an archive's members that are models.
        verification: for "verified", who vouches.
        sha256: of the file, 64 hexadecimal digits, where it was asked for.
    """

    path: str
    kind: str
    verdict: str
    globals: tuple[GlobalUse, ...] = ()
    refused: tuple[GlobalUse, ...] = ()
    reason: str = ""
    hint: str = ""
    code: str = ""
    members: "tuple[Finding, ...]" = ()
    verification: Verification | None = None
    sha256: str = ""


def worst(verdicts: "tuple[str, ...]") -> str:
    """Return the worst of one or more verdicts."""
    return max(verdicts, key=VERDICTS.index)
