"""Mutated payloads: whatever becomes of a real stream, the walk ends, with a report or with an error of ours."""

import io
import pickle
import pickletools
from functools import cache
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from safemodel.errors import LimitExceededError, PayloadError
from safemodel.payload.findings import ROLES
from safemodel.payload.index import decode_index, encode_index
from safemodel.payload.streams import open_stream
from safemodel.payload.walk import walk

ATTACKS = Path(__file__).parent.parent / "attacks" / "files"
KINDS = 8


@cache
def payload(number: int) -> bytes:
    """Return a small stream of one kind."""
    features = np.arange(20.0).reshape(10, 2)
    model = LogisticRegression().fit(features, np.array(["no", "yes"] * 5, dtype=object))
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    structure = np.zeros(3, [("a", "i4"), ("b", "U2"), ("c", "f8", (2,))])
    vocabulary = {f"term {number}": number * 97 for number in range(40)}
    values = [model, frame, [structure, structure, vocabulary], [np.arange(3)] * 2 + [np.zeros(2), np.zeros((2, 2))]]
    if number >= len(values):
        return pickle.dumps(values[number - len(values)], number - 2)
    buffer = io.BytesIO()
    joblib.dump(values[number], buffer)
    return buffer.getvalue()


OPCODES = bytes(ord(opcode.code) for opcode in pickletools.opcodes)
changes = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=10**6),  # where, of a million
        st.integers(min_value=0, max_value=4),  # bytes taken out
        st.one_of(st.sampled_from([bytes([code]) for code in OPCODES]), st.binary(max_size=3)),  # bytes put in
    ),
    min_size=1,
    max_size=4,
)


def mutated(data: bytes, steps: list[tuple[int, int, bytes]]) -> bytes:
    for place, taken, put in steps:
        position = place * len(data) // 10**6
        data = data[:position] + put + data[position + taken :]
    return data


def check(data: bytes) -> None:
    """Walk twice, and check what is promised of every report."""
    try:
        found = walk(data)
    except (PayloadError, LimitExceededError) as error:
        with pytest.raises(type(error)):
            walk(memoryview(data))
        return
    assert found == walk(bytearray(data))
    assert decode_index(encode_index(found.regions), len(data)) == found.regions
    assert found.counts.arrays == len(found.regions)
    assert found.counts.opcodes <= len(data)
    for use in found.globals:
        assert use.roles
        assert set(use.roles) <= set(ROLES)
        assert len(use.paths) <= 3
        assert "".join(use.paths).isascii()
        assert use.name.isidentifier()


@given(st.integers(min_value=0, max_value=KINDS - 1), changes)
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutations_of_real_payloads(number: int, steps: list[tuple[int, int, bytes]]) -> None:
    check(mutated(payload(number), steps))


@pytest.mark.parametrize("number", range(KINDS))
def test_the_payloads_themselves(number: int) -> None:
    check(payload(number))
    walk(payload(number))


@pytest.mark.parametrize("number", [0, 3])
def test_every_truncation(number: int) -> None:
    data = payload(number)
    for size in range(len(data)):
        with pytest.raises((PayloadError, LimitExceededError)):
            walk(data[:size])


@pytest.mark.parametrize("number", [0, 2, 3])
def test_every_byte_as_another_opcode(number: int) -> None:
    data = payload(number)
    for position in range(0, len(data), 3):
        for code in OPCODES[position % 5 :: 5]:
            try:
                walk(data[:position] + bytes([code]) + data[position + 1 :])
            except (PayloadError, LimitExceededError):
                continue


@given(st.sampled_from(sorted(path.name for path in ATTACKS.iterdir() if path.stat().st_size < 2000)), changes)
@settings(max_examples=500, deadline=None)
def test_mutations_of_attacks(file: str, steps: list[tuple[int, int, bytes]]) -> None:
    try:
        stream, _ = open_stream(mutated((ATTACKS / file).read_bytes(), steps), limit=10**6)
    except (PayloadError, LimitExceededError):
        return
    check(bytes(stream))


@given(st.one_of(st.binary(max_size=200), st.lists(st.sampled_from([bytes([code]) for code in OPCODES])).map(b"".join)))
@example(b"")
@example(b"\x80")
@settings(max_examples=500, deadline=None)
def test_any_bytes(data: bytes) -> None:
    check(data)
    check(b"\x80\x04" + data)
