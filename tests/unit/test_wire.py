"""The canonical msgpack form: what it accepts has exactly one encoding."""

from collections import OrderedDict

import pytest

from safemodel.errors import FormatError, LimitExceededError
from safemodel.format import wire
from safemodel.format.limits import WIRE_DEPTH_MAX


def decode(data: bytes) -> object:
    return wire.decode(data, maximum=1000, where="test")


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (None, "c0"),
        (True, "c3"),
        (127, "7f"),
        (128, "cc80"),
        (-33, "d0df"),
        (2**64 - 1, "cfffffffffffffffff"),
        (1.5, "cb3ff8000000000000"),
        ("é", "a2c3a9"),
        (b"\0", "c40100"),
        ([1, []], "920190"),
        ({"b": 1, "a": 2}, "82a16102a16201"),
        (OrderedDict(z=1), "81a17a01"),
    ],
)
def test_known_encodings(value: object, encoded: str) -> None:
    assert wire.encode(value).hex() == encoded
    assert decode(bytes.fromhex(encoded)) == value


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param("", id="nothing"),
        pytest.param("0102", id="two values"),
        pytest.param("cc01", id="integer longer than needed"),
        pytest.param("cd00ff", id="integer in two bytes instead of one"),
        pytest.param("d001", id="positive integer encoded as signed"),
        pytest.param("ca3fc00000", id="float32"),
        pytest.param("cb7ff8000000000000", id="NaN"),
        pytest.param("cb7ff0000000000000", id="infinity"),
        pytest.param("cb8000000000000000", id="negative zero"),
        pytest.param("d90161", id="string longer than needed"),
        pytest.param("a1ff", id="not UTF-8"),
        pytest.param("a3eda080", id="surrogate"),
        pytest.param("c50000", id="bytes longer than needed"),
        pytest.param("dc0000", id="array longer than needed"),
        pytest.param("82a16201a16102", id="keys not ascending"),
        pytest.param("82a16101a16102", id="same key twice"),
        pytest.param("8101c0", id="integer key"),
        pytest.param("81c40161c0", id="bytes key"),
        pytest.param("8190c0", id="list key"),
        pytest.param("d40100", id="extension"),
        pytest.param("c70001", id="extension without content"),
        pytest.param("d6ff00000000", id="timestamp"),
        pytest.param("c1", id="never used"),
        pytest.param("ddffffffff", id="array of 4 billion"),
        pytest.param("dbffffffff", id="string of 4 GB"),
        pytest.param("dfffffffff", id="map of 4 billion"),
        pytest.param("91" * 990, id="nested to the end"),
        pytest.param("91" * (WIRE_DEPTH_MAX + 1) + "c0", id="nested too deep"),
    ],
)
def test_everything_else_is_refused(encoded: str) -> None:
    with pytest.raises(FormatError):
        decode(bytes.fromhex(encoded))


def test_the_size_is_capped_before_decoding() -> None:
    with pytest.raises(LimitExceededError):
        decode(b"\xc4\xff" + bytes(1001))


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\ud800", {1: 2}, {"a": object()}, float("nan"), -0.0, {1}])
def test_what_has_no_canonical_form_is_an_error(value: object) -> None:
    with pytest.raises(FormatError):
        wire.encode(value)


def test_what_no_reader_would_take_is_not_written() -> None:
    nested: object = None
    for _ in range(WIRE_DEPTH_MAX + 1):
        nested = [nested]
    with pytest.raises(LimitExceededError):
        wire.encode(nested)


def test_the_error_names_the_place() -> None:
    with pytest.raises(FormatError, match=r"metrics\.auc\[1\]"):
        wire.encode({"auc": [1.0, float("inf")]}, where="metrics")
