"""Reading a payload from the private memory that was hashed (docs/spec.md, section "Payload")."""

from typing import Any

from safemodel.format.manifest import Payload
from safemodel.payload.index import decode_index
from safemodel.payload.restricted import load_restricted


def load_payload(payload: Payload, memory: memoryview, index: bytes) -> Any:
    """Unpickle verified bytes under the rules.

    Args:
        payload: what the signed manifest says of them.
        memory: the payload, in private memory; arrays of the result are views of it.
        index: the content of the index entry.

    Returns:
        The model.

    Raises:
        PayloadError: it cannot be unpickled under the rules.
        GlobalNotAllowedError: it names a global that is not allowed.
        LimitExceededError: it exceeds a quota of the manifest.
    """
    signed = {(reference.module, reference.name): frozenset(reference.roles) for reference in payload.globals}
    return load_restricted(memory, decode_index(index, len(memory)), signed, payload.counts)
