"""In-toto statements in DSSE envelopes, the form in which attestations are signed.

Signed are the statement's exact bytes, under a payload type of their own. Whoever verifies compares those bytes and
parses them only then. Sources: https://github.com/in-toto/attestation, spec/v1; https://github.com/secure-systems-lab/dsse.
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from safemodel.format.envelope import pre_authentication_encoding

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"


def make_statement(subjects: Sequence[Mapping[str, Any]], predicate_type: str, predicate: Mapping[str, Any]) -> Any:
    """Return a statement: what the predicate says of the subjects."""
    return {"_type": STATEMENT_TYPE, "subject": subjects, "predicateType": predicate_type, "predicate": predicate}


def to_json(value: Any) -> bytes:
    """Return JSON in ASCII, the same bytes for equal values; sorted, so that the order of maps says nothing."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False).encode("ascii") + b"\n"


def message(body: bytes) -> bytes:
    """Return the bytes that are signed for a statement's bytes."""
    return pre_authentication_encoding(PAYLOAD_TYPE, body)


def envelope(body: bytes, signatures: Sequence[tuple[str, bytes]]) -> dict[str, Any]:
    """Return a DSSE envelope.

    Args:
        body: the statement's bytes.
        signatures: each with what names its key, or nothing.
    """
    return {
        "payload": b64encode(body).decode("ascii"),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [
            {"keyid": key_id, "sig": b64encode(signature).decode("ascii")} for key_id, signature in signatures
        ],
    }
