"""One structured log record per decision, for the service that loads models: the logger is `safemodel`.

Where nobody has imported `logging`, nobody listens, and a command line that verifies one file does not wait for it.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from safemodel.arguments import Filename
from safemodel.errors import SafemodelError
from safemodel.trust.explanation import Explanation
from safemodel.trust.policy import TrustPolicy


def _log(warning: str) -> None:
    import logging

    logging.getLogger("safemodel").warning("%s", warning)


_show: ContextVar[Callable[[str], None]] = ContextVar("show", default=_log)


@contextmanager
def warnings_shown_by(show: Callable[[str], None]) -> Iterator[None]:
    """Hand warnings of decisions that are made in the body to a function, in the place of the logger."""
    before = _show.set(show)
    try:
        yield
    finally:
        _show.reset(before)


class Decision:
    """A decision in the making: measures its time and writes its record.

    Args:
        filename: the artifact.
        policy: what decides.
    """

    def __init__(self, filename: Filename, policy: TrustPolicy) -> None:
        self._policy = policy
        self._label = str(filename) if isinstance(filename, str | os.PathLike) else "<file object>"
        self._started = time.monotonic()

    def verified(self, found: Explanation) -> None:
        """Record that it was verified, with its warnings."""
        for warning in found.signatures.warnings:
            _show.get()(f"{self._label}: {warning}")
        self._write("verified", **_grounds(found))

    def bundle_accepted(self, found: Explanation) -> None:
        """Record that a bundle of another standard was accepted, on which nothing is loaded."""
        self._write("bundle accepted", **_grounds(found))

    def refused(self, error: SafemodelError) -> None:
        """Record that it was refused, and why."""
        found = getattr(error, "explanation", None)
        grounds = _grounds(found) if isinstance(found, Explanation) else {}
        self._write("refused", code=error.code, **grounds)

    def _write(self, outcome: str, **details: Any) -> None:
        if "logging" not in sys.modules:
            return
        import logging

        details |= {"file": self._label, "outcome": outcome, "seconds": time.monotonic() - self._started}
        details |= {"policy_version": self._policy.version, "policy_digest": self._policy.digest}
        logging.getLogger("safemodel").info("%s: %s", self._label, outcome, extra={"safemodel": details})


def _grounds(found: Explanation) -> dict[str, Any]:
    return {
        "artifact_digest": found.artifact,
        "model_name": found.model,
        "model_version": found.version,
        "signers": [signed.key_id for signed in found.signers],
        "rule": found.rule.number or None,
    }


@contextmanager
def decided(filename: Filename, policy: TrustPolicy) -> Iterator[Decision]:
    """Time a decision, and record it when it is a refusal; the body records that it verified."""
    decision = Decision(filename, policy)
    try:
        yield decision
    except SafemodelError as error:
        decision.refused(error)
        raise
