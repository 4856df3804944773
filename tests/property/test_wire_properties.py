"""Whatever bytes come, decoding gives a value whose encoding is these bytes, or one of our errors."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from safemodel.errors import FormatError
from safemodel.format import wire

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: number != 0 or str(number) == "0.0")
    | st.text()
    | st.binary()
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_round_trip(value: object) -> None:
    assert wire.decode(wire.encode(value), maximum=2**20, where="test") == value


@given(st.binary(max_size=200))
def test_one_encoding_for_a_value(data: bytes) -> None:
    with suppress(FormatError):
        assert wire.encode(wire.decode(data, maximum=200, where="test")) == data


@given(VALUES, st.data())
def test_a_changed_byte_gives_another_value_or_an_error(value: object, data: st.DataObject) -> None:
    encoded = bytearray(wire.encode(value))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    with suppress(FormatError):
        assert wire.encode(wire.decode(bytes(encoded), maximum=2**20, where="test")) == bytes(encoded)
