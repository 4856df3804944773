"""Reading a payload from the private memory that was hashed (docs/spec.md, section "Payload")."""

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from safemodel.errors import LimitExceededError, PayloadError, SafemodelError
from safemodel.format.manifest import Payload
from safemodel.payload.findings import Region, Walk
from safemodel.payload.guard import HOLD
from safemodel.payload.index import decode_index
from safemodel.payload.rehearsal import Rehearsal
from safemodel.payload.restricted import load_restricted
from safemodel.payload.standins import Permissions
from safemodel.payload.walk import walk


def load_payload(
    payload: Payload, memory: memoryview, index: bytes, *, allowed: Permissions, walking: bool = False
) -> Any:
    """Unpickle verified bytes under the rules.

    Args:
        payload: what the signed manifest says of them.
        memory: the payload, in private memory; arrays of the result are views of it, or of what it expands to.
        index: the content of the index entry.
        allowed: the globals that the verifier allows, with their roles.
        walking: whether the payload is walked as well, and must hold what the manifest says.

    Returns:
        The model.

    Raises:
        PayloadError: it cannot be unpickled under the rules.
        GlobalNotAllowedError: it names a global that is not allowed.
        LimitExceededError: it exceeds a quota of the manifest.
        OSError: there is not enough memory for what it expands to.
    """
    with HOLD:  # every step makes about as many objects as the model has, and leaves no garbage
        stream = _expanded(payload, memory)
        regions, signed = decode_index(index, len(stream)), _signed(payload)
        if walking:
            _check_walk(walk(stream), payload, regions, signed)
        return load_restricted(stream, regions, signed, payload.counts, allowed)


def rehearse_payload(payload: Payload, stream: memoryview, index: bytes) -> None:
    """Refuse what `load_payload` would refuse before it imports anything; whoever signs does this.

    Args:
        payload: what the manifest will say.
        stream: the payload, expanded.
        index: the content of the index entry.

    Raises:
        PayloadError, GlobalNotAllowedError, LimitExceededError: as `load_payload` does.
    """
    try:
        Rehearsal(stream, decode_index(index, len(stream)), _signed(payload), None).run()
    except SafemodelError:
        raise
    except Exception as error:  # whatever C's unpickler raises for opcodes that make no sense
        raise PayloadError(f"the payload cannot be unpickled: {type(error).__name__}") from error


def _check_walk(walked: Walk, payload: Payload, regions: Sequence[Region], signed: Permissions) -> None:
    """Refuse a payload in which the walk finds other arrays, more roles or higher counts than were signed."""
    if walked.regions != tuple(regions):
        raise PayloadError("the walk finds other arrays than the index lists")
    for use in walked.globals:
        if not signed.get((use.module, use.name), frozenset()).issuperset(use.roles):
            raise PayloadError(f"the walk finds {use.module}.{use.name} in roles that the manifest does not list")
    if any(found > most for found, most in zip(astuple(walked.counts), astuple(payload.counts), strict=True)):
        raise LimitExceededError("the walk counts more than the manifest says")


def _signed(payload: Payload) -> Permissions:
    return {(reference.module, reference.name): frozenset(reference.roles) for reference in payload.globals}


def _expanded(payload: Payload, memory: memoryview) -> memoryview:
    """Return the payload's stream: exactly as many bytes as were signed, compressed exactly as was signed."""
    if payload.compression == "none":
        return memory
    from safemodel.payload.streams import open_stream  # late: Python can be built without bz2 and lzma

    stream, found = open_stream(memory, size=payload.raw_size)
    if found != payload.compression:
        raise PayloadError(f"the manifest says compression {payload.compression}, the payload has {found}")
    return stream
