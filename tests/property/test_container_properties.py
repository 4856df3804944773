"""One meaning: whatever the reader accepts is, byte for byte, what the writer makes of the same contents."""

import io
import zipfile
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from safemodel.errors import FormatError
from safemodel.format.container import (
    DIGESTS,
    INDEX,
    MANIFEST,
    MIMETYPE,
    MIMETYPE_ENTRY,
    SIGNATURES,
    Entry,
    Layout,
    derive_layout,
    read_layout,
)
from safemodel.format.source import open_source

PAYLOAD = "payload.joblib"
TAIL = (DIGESTS, MANIFEST, SIGNATURES)

names = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,62}[a-z0-9]", fullmatch=True)
bodies = st.binary(max_size=80)
attachments = st.dictionaries(st.one_of(names, st.sampled_from(["notes.txt", "example.inputs"])), bodies, max_size=4)
large_sizes = st.one_of(st.integers(0, 2**20), st.integers(2**32 - 2**13, 2**32 + 2**13), st.integers(0, 2**50))


def pack(contents: dict[str, bytes]) -> bytes:
    layout = derive_layout([Entry(name, len(body), zlib.crc32(body)) for name, body in contents.items()])
    return b"".join(map(bytes.__add__, layout.headers, contents.values())) + layout.trailer


def read(data: bytes) -> Layout:
    with open_source(io.BytesIO(data)) as source:
        return read_layout(source)


@st.composite
def contents(draw: st.DrawFn) -> dict[str, bytes]:
    first = {MIMETYPE_ENTRY: MIMETYPE, PAYLOAD: draw(bodies), INDEX: draw(bodies)}
    extra = {name: body for name, body in sorted(draw(attachments).items()) if is_allowed(name)}
    return first | extra | {name: draw(bodies) for name in TAIL}


def is_allowed(name: str) -> bool:
    try:
        derive_layout(entries_with({name: 0}))
    except FormatError:
        return False
    return True


def entries_with(attached: dict[str, int], payload: int = 0) -> list[Entry]:
    sizes = {PAYLOAD: payload, INDEX: 0} | attached | dict.fromkeys(TAIL, 0)
    return [
        Entry(MIMETYPE_ENTRY, len(MIMETYPE), zlib.crc32(MIMETYPE)),
        *(Entry(name, sizes[name], 0) for name in sizes),
    ]


@given(contents())
def test_what_is_written_is_read(made: dict[str, bytes]) -> None:
    data = pack(made)
    layout = read(data)
    for entry, offset in zip(layout.entries, layout.data_offsets, strict=True):
        assert data[offset : offset + entry.size] == made[entry.name]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == made


@given(st.dictionaries(st.sampled_from(["aa", "bb", "cc"]), large_sizes), large_sizes)
@example({"aa": 0, "bb": 0}, 2**32 - 1 - 4096 - 30 - 5)  # an offset of exactly 2**32 - 1
def test_layouts_of_any_size_are_gapless(attached: dict[str, int], payload: int) -> None:
    entries = entries_with(dict(sorted(attached.items())), payload)
    if 2**32 - 1 in (entry.size for entry in entries):
        with pytest.raises(FormatError):
            derive_layout(entries)
        return
    layout = derive_layout(entries)
    position = 0
    for number, entry in enumerate(entries):
        assert layout.header_offsets[number] == position
        position += len(layout.headers[number])
        assert layout.data_offsets[number] == position
        position += entry.size
    assert layout.directory_offset == position
    assert layout.size == position + len(layout.trailer)
    assert layout.data_offsets[1] == 4096


edits = st.lists(
    st.one_of(
        st.tuples(st.just("replace"), st.integers(0), st.binary(min_size=1, max_size=8)),
        st.tuples(st.just("insert"), st.integers(0), st.binary(min_size=1, max_size=60)),
        st.tuples(st.just("delete"), st.integers(0), st.integers(1, 60)),
        st.tuples(st.just("copy"), st.integers(0), st.tuples(st.integers(0), st.integers(1, 200))),
    ),
    min_size=1,
    max_size=3,
)


def edited(data: bytes, kind: str, place: int, what: object) -> bytes:
    place %= len(data) + 1
    if kind == "copy":
        assert isinstance(what, tuple)
        start = what[0] % len(data)
        return data[:place] + data[start : start + what[1]] + data[place:]
    if kind == "delete":
        assert isinstance(what, int)
        return data[:place] + data[place + what :]
    assert isinstance(what, bytes)
    return data[:place] + what + data[place + (len(what) if kind == "replace" else 0) :]


@given(contents(), edits)
def test_whatever_is_accepted_is_canonical(made: dict[str, bytes], changes: list[tuple[str, int, object]]) -> None:
    data = pack(made)
    for kind, place, what in changes:
        data = edited(data, kind, place, what) or b"\0"
    try:
        layout = read(data)
    except FormatError:
        return
    kept = {
        entry.name: data[offset : offset + entry.size]
        for entry, offset in zip(layout.entries, layout.data_offsets, strict=True)
    }
    rebuilt = b"".join(map(bytes.__add__, layout.headers, kept.values())) + layout.trailer
    assert rebuilt == data
    assert derive_layout(layout.entries) == layout


@given(st.binary(max_size=200), st.binary(max_size=100))
def test_noise_around_an_end_record(before: bytes, within: bytes) -> None:
    with pytest.raises(FormatError):
        read(before + b"PK\5\6" + within[:18].ljust(18, b"\0"))


@given(st.lists(st.tuples(st.text(max_size=70), st.integers(-(2**70), 2**70), st.integers(-1, 2**33)), max_size=70))
def test_any_list_of_entries_is_a_layout_or_a_format_error(fields: list[tuple[str, int, int]]) -> None:
    with pytest.raises(FormatError):  # a random list is never an artifact's
        derive_layout([Entry(*each) for each in fields])
