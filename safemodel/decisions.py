"""One structured log record per decision, for the service that loads models: the logger is `safemodel`.

Where nobody has imported `logging`, nobody listens, and a command line that verifies one file does not wait for it.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from safemodel.arguments import Filename
from safemodel.errors import SafemodelError
from safemodel.trust.gate import Admission, VerifiedArtifact


class Decision:
    """A decision in the making: measures its time and writes its record.

    Args:
        filename: the artifact.
    """

    def __init__(self, filename: Filename) -> None:
        self._label = str(filename) if isinstance(filename, str | os.PathLike) else "<file object>"
        self._started = time.monotonic()

    def verified(self, artifact: Admission | VerifiedArtifact) -> None:
        """Record that it was verified, with its warnings."""
        for warning in artifact.warnings:
            self._warn(warning)
        self._write(
            "verified",
            artifact_digest=artifact.digest,
            model_name=artifact.manifest.name,
            model_version=artifact.manifest.version,
            signers=[signer.key_id for signer in artifact.signers],
        )

    def refused(self, error: SafemodelError) -> None:
        """Record that it was refused, and why."""
        self._write("refused", code=error.code)

    def _warn(self, warning: str) -> None:
        import logging

        logging.getLogger("safemodel").warning("%s: %s", self._label, warning)

    def _write(self, outcome: str, **details: Any) -> None:
        if "logging" not in sys.modules:
            return
        import logging

        details |= {"file": self._label, "outcome": outcome, "seconds": time.monotonic() - self._started}
        logging.getLogger("safemodel").info("%s: %s", self._label, outcome, extra={"safemodel": details})


@contextmanager
def decided(filename: Filename) -> Iterator[Decision]:
    """Time a decision, and record it when it is a refusal; the body records that it verified."""
    decision = Decision(filename)
    try:
        yield decision
    except SafemodelError as error:
        decision.refused(error)
        raise
