"""What is said where other versions are installed than were signed: a refusal or a warning, with the way back.

All that is shown has passed `safemodel.trust.environment`: names by PEP 503 and versions by PEP 440, so that a command
can be pasted.
"""

import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from safemodel.errors import EnvironmentMismatchError, EnvironmentWarning
from safemodel.trust.environment import PYTHON, Difference, requirement, states_nothing
from safemodel.trust.refusal import Refusal

if TYPE_CHECKING:
    from safemodel.trust.explanation import Explanation

_SHOWN_MAX: Final = 20  # rows; a model has some five


def refusal(differences: Iterable[Difference], model: str, environment: Mapping[str, Any]) -> Refusal | None:
    """Return why a model is refused where other versions are, or None where nothing that matters differs.

    Args:
        differences: between what is signed and what is installed.
        model: the signed name.
        environment: the manifest's map.
    """
    if states_nothing(environment):
        return Refusal(
            EnvironmentMismatchError,
            f"{model} does not say what it was made with, so it cannot be compared with what is installed",
            hint="have it signed by a version that says so, or do not demand it",
        )
    beyond = [each for each in differences if not each.accepted]
    if not beyond:
        return None
    shown = "; ".join(map(str, beyond[:_SHOWN_MAX])) + ("; ..." if len(beyond) > _SHOWN_MAX else "")
    return Refusal(EnvironmentMismatchError, f"{model} was made with other versions: {shown}", hint=remedy(beyond))


def warn(found: "Explanation") -> None:
    """Warn of what differs beyond what is accepted, at the line that called this library.

    With `-W error` the warning is raised, and the model is not loaded.
    """
    if all(difference.accepted for difference in found.differences):
        return
    rows = (f"  {line}" for line in table(found.differences))
    lines = [f"{found.model} was made with other versions than are installed", *rows, remedy(found.differences)]
    warnings.warn(EnvironmentWarning("\n".join(lines), found.differences), stacklevel=_callers_level())


def remedy(differences: Iterable[Difference]) -> str:
    """Say how to get what was signed, and how to accept what is here."""
    beyond = [each for each in differences if not each.accepted][:_SHOWN_MAX]
    wanted = " ".join(f'"{requirement(each.name, each.signed)}"' for each in beyond if each.name != PYTHON)
    found = ", ".join(f'"{each.name}": "=={each.installed}"' for each in beyond if each.installed is not None)
    steps = [f"run Python {each.signed}" for each in beyond if each.name == PYTHON]
    if wanted:
        steps.append(f"to restore them: pip install {wanted}")
    if found:
        steps.append(f"to accept what is here: versions={{{found}}}, or the same in a folder's rule")
    return "; ".join(steps)


def table(differences: Iterable[Difference]) -> list[str]:
    """Return one line for each difference, below a line of titles, those that matter first."""
    ordered = sorted(differences, key=lambda difference: difference.accepted)
    rows = [("", "signed", "installed", ""), *map(_row, ordered[:_SHOWN_MAX])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _row(difference: Difference) -> tuple[str, str, str, str]:
    comment = f"{difference.drift}, accepted" if difference.accepted else str(difference.drift)
    return difference.name, difference.signed, difference.installed or "none", comment


def _callers_level() -> int:
    """Return how many frames above `warn` the first one is that is not of this library."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("safemodel."):
        frame, level = frame.f_back, level + 1
    return level
