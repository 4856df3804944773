"""The container: its bytes, and everything that is none."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import pytest

from safemodel.errors import FormatError, LimitExceededError
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
from safemodel.format.limits import (
    DIGESTS_MAX,
    DIRECTORY_MAX,
    INDEX_MAX,
    MANIFEST_MAX,
    SIGNATURES_MAX,
    TOTAL_MAX,
    ZIP64_FROM,
)
from safemodel.format.source import END_SIZE, Source, open_source

PAYLOAD = "payload.joblib"
CONTENTS = {
    MIMETYPE_ENTRY: MIMETYPE,
    PAYLOAD: b"payload",
    INDEX: b"",
    "notes.txt": b"notes",
    DIGESTS: b"d" * 32,
    MANIFEST: b"m",
    SIGNATURES: b"s",
}


def entries_of(contents: dict[str, bytes]) -> list[Entry]:
    return [Entry(name, len(content), zlib.crc32(content)) for name, content in contents.items()]


def pack(contents: dict[str, bytes] = CONTENTS) -> bytes:
    layout = derive_layout(entries_of(contents))
    return b"".join(map(bytes.__add__, layout.headers, contents.values())) + layout.trailer


def read(data: bytes) -> Layout:
    with open_source(io.BytesIO(data)) as source:
        return read_layout(source)


def entries_with(payload_size: int = 7, **sizes: int) -> list[Entry]:
    """The entries of `CONTENTS` without the attachment, with other sizes; `_` stands for the dot of a name."""
    sizes = {name.replace("_", "."): size for name, size in sizes.items()} | {PAYLOAD: payload_size}
    contents = {name: content for name, content in CONTENTS.items() if name != "notes.txt"}
    return [replace(entry, size=sizes.get(entry.name, entry.size)) for entry in entries_of(contents)]


def entries_named(*names: str, payload: str = PAYLOAD) -> list[Entry]:
    """The entries of an artifact with attachments of these names."""
    first = entries_of({MIMETYPE_ENTRY: MIMETYPE})
    return first + [Entry(name, 1, 0) for name in (payload, INDEX, *names, DIGESTS, MANIFEST, SIGNATURES)]


class Hollow(Source):
    """A file of any size that holds nothing but structure; counts what is read of it."""

    def __init__(self, size: int, stretches: Sequence[tuple[int, bytes]]) -> None:
        super().__init__(size, None, "hollow")
        self._stretches = stretches
        self.bytes_read = 0

    @classmethod
    def of(cls, layout: Layout) -> "Hollow":
        stretches = [*zip(layout.header_offsets, layout.headers, strict=True), (layout.data_offsets[0], MIMETYPE)]
        return cls(layout.size, [*stretches, (layout.directory_offset, layout.trailer)])

    def close(self) -> None:
        pass

    def _read_some(self, view: memoryview, offset: int) -> int:
        self.bytes_read += len(view)
        view[:] = bytes(len(view))
        for start, data in self._stretches:
            first, last = max(start, offset), min(start + len(data), offset + len(view))
            if first < last:
                view[first - offset : last - offset] = data[first - start : last - start]
        return len(view)


class TestBytes:
    """Every structural byte of two artifacts, written down by hand from the tables in docs/spec.md."""

    def test_small(self) -> None:
        layout = derive_layout(entries_with(payload_size=7))
        assert layout.headers[0].hex() == (
            "504b0304 0a00 0000 0000 0000 2100 c85f1d31 1d000000 1d000000 0800 0000".replace(" ", "")
            + b"mimetype".hex()
        )
        assert layout.headers[1] == (
            bytes.fromhex("504b0304 0a00 0000 0000 0000 2100")
            + struct.pack("<3L", zlib.crc32(b"payload"), 7, 7)
            + bytes.fromhex("0e00 910f")
            + b"payload.joblib"
            + bytes.fromhex("35d9 8d0f 0010")
            + bytes(3979)
        )
        assert layout.headers[2].hex() == (
            "504b0304 0a00 0000 0000 0000 2100 00000000 00000000 00000000 0500 0000".replace(" ", "") + b"index".hex()
        )
        assert layout.header_offsets == (0, 67, 4103, 4138, 4207, 4254)
        assert layout.data_offsets == (38, 4096, 4138, 4175, 4253, 4302)
        assert layout.directory_offset == 4303
        assert layout.trailer.startswith(
            bytes.fromhex("504b0102 2d03 0a00 0000 0000 0000 2100 c85f1d31 1d000000 1d000000 0800 0000 0000 0000 0000")
            + bytes.fromhex("0000a481 00000000")
            + b"mimetype"
            + bytes.fromhex("504b0102 2d03 0a00 0000 0000 0000 2100")
            + struct.pack("<3L", zlib.crc32(b"payload"), 7, 7)
            + bytes.fromhex("0e00 0000 0000 0000 0000 0000a481 43000000")
            + b"payload.joblib"
        )
        assert layout.trailer[-22:] == bytes.fromhex("504b0506 0000 0000 0600 0600 58010000 cf100000 0000")
        assert layout.size == 4303 + 0x158 + 22

    def test_zip64(self) -> None:
        layout = derive_layout(entries_with(payload_size=2**32))
        crc32 = struct.pack("<L", zlib.crc32(b"payload"))
        assert layout.headers[1] == (
            bytes.fromhex("504b0304 2d00 0000 0000 0000 2100")
            + crc32
            + bytes.fromhex("ffffffff ffffffff 0e00 910f")
            + b"payload.joblib"
            + bytes.fromhex("0100 1000 0000000001000000 0000000001000000 35d9 790f 0010")
            + bytes(3959)
        )
        assert layout.data_offsets[1] == 4096
        assert layout.headers[2][4:6] == b"\x0a\x00"
        assert (
            bytes.fromhex("504b0102 2d03 2d00 0000 0000 0000 2100")
            + crc32
            + bytes.fromhex("ffffffff ffffffff 0e00 1400 0000 0000 0000 0000a481 43000000")
            + b"payload.joblib"
            + bytes.fromhex("0100 1000 0000000001000000 0000000001000000")
            + bytes.fromhex("504b0102 2d03 2d00 0000 0000 0000 2100 00000000 00000000 00000000")
            + bytes.fromhex("0500 0c00 0000 0000 0000 0000a481 ffffffff")
            + b"index"
            + bytes.fromhex("0100 0800 0010000001000000")
        ) in layout.trailer
        assert layout.trailer[-98:] == (
            bytes.fromhex("504b0606 2c00000000000000 2d03 2d00 00000000 00000000 0600000000000000 0600000000000000")
            + bytes.fromhex("9c01000000000000 c810000001000000")
            + bytes.fromhex("504b0607 00000000 6412000001000000 01000000")
            + bytes.fromhex("504b0506 0000 0000 ffff ffff ffffffff ffffffff 0000")
        )

    def test_an_entry_that_is_large_and_far_in_has_three_numbers(self) -> None:
        entries = entries_named("large")
        entries[1] = replace(entries[1], size=2**33)
        entries[3] = replace(entries[3], size=2**34)
        layout = derive_layout(entries)
        field = struct.pack("<2H3Q", 1, 24, 2**34, 2**34, layout.header_offsets[3])
        assert b"\xff" * 4 + b"large" + field in layout.trailer

    @pytest.mark.parametrize("size", [0, 1, 4095, 4096, 2**32 - 2, 2**32, 2**40])
    @pytest.mark.parametrize("name", ["payload.a", PAYLOAD, "payload." + "a" * 56])
    def test_the_payload_starts_where_a_page_does(self, name: str, size: int) -> None:
        entries = entries_named(payload=name)
        entries[1] = replace(entries[1], size=size)
        assert derive_layout(entries).data_offsets[1] == 4096

    def test_a_directory_at_the_last_offset_of_32_bits_needs_zip64(self) -> None:
        rest = derive_layout(entries_with(payload_size=0)).directory_offset
        below, at = (derive_layout(entries_with(payload_size=ZIP64_FROM - rest - less)) for less in (1, 0))
        assert (below.directory_offset, at.directory_offset) == (ZIP64_FROM - 1, ZIP64_FROM)
        assert b"PK\x06\x06" not in below.trailer
        assert at.trailer[-98:-94] == b"PK\x06\x06"


class TestReading:
    def test_returns_the_layout_that_was_written(self) -> None:
        assert read(pack()) == derive_layout(entries_of(CONTENTS))

    @pytest.mark.parametrize("size", [0, 1, 2**32 - 2, 2**32, 2**32 - 4500, 2**40, 2**52])
    def test_any_size_of_the_payload(self, size: int) -> None:
        layout = derive_layout(entries_with(payload_size=size))
        source = Hollow.of(layout)
        assert read_layout(source) == layout
        assert source.bytes_read < END_SIZE + 8192  # whatever the sizes claim

    def test_most_entries(self) -> None:
        layout = derive_layout(entries_named(*(f"a{number:063}" for number in range(58))))
        assert len(layout.entries) == 64
        assert read_layout(Hollow.of(layout)) == layout

    def test_finds_entries_by_name(self) -> None:
        layout = read(pack())
        assert layout.entry("notes.txt") == Entry("notes.txt", 5, zlib.crc32(b"notes"))
        assert layout.offset_of(PAYLOAD) == 4096
        with pytest.raises(FormatError):
            layout.entry("absent")
        with pytest.raises(FormatError):
            layout.offset_of("absent")

    @pytest.mark.parametrize(
        "data", [b"", b"PK", bytes(21), bytes(22), bytes(1000), b"\x80\x04K\x01.", b"PK\x05\x06" + bytes(18)]
    )
    def test_refuses_what_is_no_zip(self, data: bytes) -> None:
        with pytest.raises(FormatError):
            read(data)

    def test_says_that_the_file_became_shorter(self) -> None:
        file = io.BytesIO(pack())
        source = open_source(file)
        file.truncate(100)
        with pytest.raises(FormatError):
            read_layout(source)


def accepted(variants: Iterable[Callable[[], Layout]]) -> list[int]:
    """The numbers of the variants that a reader takes; only a FormatError may come out of the others."""
    taken = []
    for number, variant in enumerate(variants):
        try:
            variant()
        except FormatError:
            continue
        taken.append(number)
    return taken


def changed(data: bytes, position: int, mask: int) -> bytes:
    return data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


def structure_of(layout: Layout) -> list[tuple[int, bytes]]:
    headers = zip(layout.header_offsets, layout.headers, strict=True)
    return [*headers, (layout.data_offsets[0], MIMETYPE), (layout.directory_offset, layout.trailer)]


class TestEveryPosition:
    """One change anywhere in an artifact; contents apart from that of `mimetype` are for the digests to protect."""

    @pytest.mark.parametrize(
        "masks", [[1 << bit for bit in range(8)], pytest.param(range(1, 256), marks=pytest.mark.slow)]
    )
    def test_no_other_byte_is_accepted(self, masks: Sequence[int]) -> None:
        data = pack()
        layout = read(data)
        places = [start + at for start, stretch in structure_of(layout) for at in range(len(stretch))]
        assert len(places) == len(data) - sum(map(len, CONTENTS.values())) + len(MIMETYPE)
        assert accepted(partial(read, changed(data, place, mask)) for place in places for mask in masks) == []

    def test_no_other_bit_is_accepted_with_zip64(self) -> None:
        layout = derive_layout(entries_with(payload_size=2**33))
        stretches = structure_of(layout)
        stretches[1] = (stretches[1][0], stretches[1][1][:100])  # of the zero padding a part will do
        variants = (
            [*stretches, (start, changed(stretch, at, 1 << bit))]
            for start, stretch in stretches
            for at in range(len(stretch))
            for bit in range(8)
        )
        assert accepted(partial(read_layout, Hollow(layout.size, variant)) for variant in variants) == []

    def test_no_truncation_is_accepted(self) -> None:
        data = pack()
        assert accepted(partial(read, data[:size]) for size in range(len(data))) == []
        assert accepted(partial(read, data[start:]) for start in range(1, len(data))) == []

    @pytest.mark.parametrize("byte", [b"\0", b"P", b"\xff"])
    def test_no_inserted_byte_is_accepted(self, byte: bytes) -> None:
        data = pack()
        assert accepted(partial(read, data[:place] + byte + data[place:]) for place in range(len(data) + 1)) == []

    def test_no_deleted_byte_is_accepted(self) -> None:
        data = pack()
        assert accepted(partial(read, data[:place] + data[place + 1 :]) for place in range(len(data))) == []


def records_of(data: bytes) -> list[int]:
    """Where the records of the central directory start."""
    layout = read(data)
    sizes = [46 + len(entry.name) for entry in layout.entries]
    return [layout.directory_offset + sum(sizes[:number]) for number in range(len(sizes))]


def inserted(data: bytes, place: int, more: bytes) -> bytes:
    """Insert bytes and correct every offset, so that any ZIP tool still finds every entry."""
    fields = [start + 42 for start in records_of(data)] + [len(data) - 6]
    patched = bytearray(data)
    for field in fields:
        (offset,) = struct.unpack_from("<L", data, field)
        struct.pack_into("<L", patched, field, offset + len(more) * (offset >= place))
    return bytes(patched[:place] + more + patched[place:])


def zipfile_names(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.namelist()


def end_record(count: int, directory_size: int, offset: int, comment: bytes = b"") -> bytes:
    return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, directory_size, offset, len(comment)) + comment


class TestTricks:
    """Files that ZIP tools read, or read differently from each other."""

    def refused(self, data: bytes) -> None:
        """Assert that Python's zipfile takes a file which the reader refuses."""
        assert DIGESTS in zipfile_names(data)
        with pytest.raises(FormatError):
            read(data)

    @pytest.mark.parametrize("more", [b"\0", b"#!/bin/sh\n", b"PK\3\4" + bytes(26)])
    def test_bytes_that_no_entry_has(self, more: bytes) -> None:
        layout = read(pack())
        for place in {0, *layout.header_offsets, layout.directory_offset}:
            self.refused(inserted(pack(), place, more))

    def test_bytes_between_header_and_content(self) -> None:
        layout = read(pack())
        position = layout.entries.index(layout.entry("notes.txt"))
        header = layout.header_offsets[position]
        longer = bytearray(inserted(pack(), layout.data_offsets[position], b"\x35\xd9\x02\0\0\0"))
        struct.pack_into("<H", longer, header + 28, 6)
        self.refused(bytes(longer))

    def test_a_prefix(self) -> None:
        self.refused(b"MZ" + pack())  # zipfile corrects the offsets by itself

    def test_a_comment(self) -> None:
        data = pack()
        self.refused(data[:-2] + b"\x05\0notes")

    def test_two_end_records(self) -> None:
        data = pack()
        with pytest.raises(FormatError):
            read(data + data[-22:])
        with pytest.raises(FormatError):  # the second one as the first one's comment
            read(data[:-2] + struct.pack("<H", 22) + data[-22:])

    def test_two_directories(self) -> None:
        data = pack()
        directory = data[read(data).directory_offset :]
        with pytest.raises(FormatError):
            read(data + directory)
        with pytest.raises(FormatError):
            read(data[:-22] + directory)

    def test_zip64_records_that_are_not_needed(self) -> None:
        data = pack()
        offset, count = read(data).directory_offset, len(CONTENTS)
        size = len(data) - 22 - offset
        zip64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
        locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(data) - 22, 1)
        self.refused(data[:-22] + zip64 + locator + data[-22:])
        self.refused(data[:-22] + zip64 + locator + end_record(count, size, 0xFFFFFFFF))

    @pytest.mark.parametrize("count", [0, 1, len(CONTENTS) - 1, len(CONTENTS) + 1, 0xFFFF])
    def test_another_count(self, count: int) -> None:
        data = pack()
        offset = read(data).directory_offset
        with pytest.raises(FormatError):
            read(data[:-22] + end_record(count, len(data) - 22 - offset, offset))

    def test_two_records_for_the_same_bytes(self) -> None:
        data = pack()
        records = records_of(data)
        overlapping = bytearray(data)
        overlapping[records[3] + 42 : records[3] + 46] = data[records[2] + 42 : records[2] + 46]
        self.refused(bytes(overlapping))

    def test_a_record_twice(self) -> None:
        data = pack()
        start, stop = records_of(data)[3:5]
        offset = read(data).directory_offset
        size = len(data) - 22 - offset + stop - start
        with pytest.raises(FormatError):
            read(data[:stop] + data[start:stop] + data[stop:-22] + end_record(len(CONTENTS) + 1, size, offset))

    def test_what_another_writer_makes_of_the_same_contents(self) -> None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in CONTENTS.items():
                archive.writestr(zipfile.ZipInfo(name), content)
        self.refused(file.getvalue())

    @pytest.mark.parametrize("size", [8, 0, 2**31, 2**32 - 1])
    def test_sizes_that_differ_from_what_is_there(self, size: int) -> None:
        data = bytearray(pack())
        record, header = records_of(pack())[1], read(pack()).header_offsets[1]
        struct.pack_into("<2L", data, record + 20, size, size)
        struct.pack_into("<2L", data, header + 18, size, size)
        with pytest.raises(FormatError):
            read(bytes(data))


class TestBounds:
    def test_a_large_directory_is_not_read(self) -> None:
        source = Hollow(2**40, [(2**40 - 22, end_record(6, 0, 0))])
        with pytest.raises(LimitExceededError):
            read_layout(source)
        assert source.bytes_read == END_SIZE

    @pytest.mark.parametrize("offset", [5000, 2**32 - 2, 2**32 - 1])
    def test_a_directory_outside_of_the_file(self, offset: int) -> None:
        with pytest.raises(FormatError):
            read(bytes(1000) + end_record(6, 0, offset))

    @pytest.mark.parametrize("offset", [2**40, 2**63, 2**64 - 1])
    def test_a_zip64_directory_outside_of_the_file(self, offset: int) -> None:
        zip64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 6, 6, 0, offset)
        locator = struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
        with pytest.raises(FormatError):
            read(zip64 + locator + end_record(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF))

    def test_a_directory_of_many_records(self) -> None:
        record = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[0] * 16)
        with pytest.raises(LimitExceededError):
            read(record * (DIRECTORY_MAX // len(record)) + end_record(6, 0, 0))

    @pytest.mark.parametrize("size", [26, 46 + 21])
    def test_a_record_that_is_cut(self, size: int) -> None:
        with pytest.raises(FormatError):
            read((b"PK\1\2" + bytes(42))[: size - 22] + end_record(1, 0, 0))

    def test_a_record_whose_zip64_field_is_missing(self) -> None:
        record = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[0] * 8, 0xFFFFFFFF, 0xFFFF, *[0] * 6)
        with pytest.raises(FormatError):
            read(record + end_record(1, 0, 0))

    def test_a_file_larger_than_any_artifact(self) -> None:
        source = Hollow(TOTAL_MAX + 1, [])
        with pytest.raises(LimitExceededError):
            read_layout(source)
        assert source.bytes_read == 0


class TestSizes:
    def test_the_size_that_unzip_misreads(self) -> None:
        with pytest.raises(FormatError):
            derive_layout(entries_with(payload_size=2**32 - 1))
        derive_layout(entries_with(payload_size=2**32 - 2))
        derive_layout(entries_with(payload_size=2**32))

    @pytest.mark.parametrize(
        ("name", "cap"),
        [
            ("index", INDEX_MAX),
            ("digests", DIGESTS_MAX),
            ("manifest_msgpack", MANIFEST_MAX),
            ("signatures_msgpack", SIGNATURES_MAX),
        ],
    )
    def test_caps(self, name: str, cap: int) -> None:
        derive_layout(entries_with(**{name: cap}))
        with pytest.raises(LimitExceededError):
            derive_layout(entries_with(**{name: cap + 1}))

    def test_the_whole_file(self) -> None:
        rest = derive_layout(entries_with(payload_size=2**52)).size - 2**52
        assert derive_layout(entries_with(payload_size=TOTAL_MAX - rest)).size == TOTAL_MAX
        for size in (TOTAL_MAX - rest + 1, TOTAL_MAX, TOTAL_MAX + 1, 2**64, 2**80):
            with pytest.raises(LimitExceededError):
                derive_layout(entries_with(payload_size=size))

    def test_sizes_that_add_up_past_the_cap(self) -> None:
        entries = entries_named("aa", "bb", "cc")
        for position in (3, 4, 5):
            entries[position] = replace(entries[position], size=2**52)
        with pytest.raises(LimitExceededError):
            derive_layout(entries)

    @pytest.mark.parametrize("wrong", [Entry(PAYLOAD, -1, 0), Entry(PAYLOAD, 1, -1), Entry(PAYLOAD, 1, 2**32)])
    def test_numbers_that_no_field_holds(self, wrong: Entry) -> None:
        entries = entries_with()
        entries[1] = wrong
        with pytest.raises(FormatError):
            derive_layout(entries)

    @pytest.mark.parametrize("wrong", [Entry(MIMETYPE_ENTRY, 28, zlib.crc32(MIMETYPE)), Entry(MIMETYPE_ENTRY, 29, 0)])
    def test_only_one_mimetype(self, wrong: Entry) -> None:
        entries = entries_with()
        entries[0] = wrong
        with pytest.raises(FormatError):
            derive_layout(entries)


ALLOWED_NAMES = ["aa", "0a", "notes.txt", "a.b-c_d", "a..b", "payload", "index.html", "console", "com10", "con-fig"]
ALLOWED_NAMES += ["a.con", "xnul.txt", "mimetype.txt", "a" * 64]
DEVICE_NAMES = ["con", "prn", "aux", "nul", "com0", "com1", "com9", "lpt0", "lpt1", "lpt9", "con.txt", "nul.tar.gz"]
MALFORMED_NAMES = ["", "a", "a" * 65, "Aa", "NOTES.TXT", "a/b", "/ab", "../ab", "a\\b", "a:b", "a b", "ab\n", "\nab"]
MALFORMED_NAMES += ["ab\0", "a\0b", ".ab", "ab.", "-ab", "ab-", "_ab", "ab_", "..", "--", "a~1", "a*b"]
MALFORMED_NAMES += ["\u00e9" * 2, "\u017f" * 3, "a\u0301a", "\u0661a"]  # letters and digits beyond ASCII


class TestNames:
    @pytest.mark.parametrize("name", ALLOWED_NAMES)
    def test_allowed(self, name: str) -> None:
        assert derive_layout(entries_named(name)).entries[3].name == name

    @pytest.mark.parametrize("name", [*MALFORMED_NAMES, *DEVICE_NAMES])
    def test_refused(self, name: str) -> None:
        with pytest.raises(FormatError):
            derive_layout(entries_named(name))

    @pytest.mark.parametrize(
        "name", [MIMETYPE_ENTRY, INDEX, DIGESTS, MANIFEST, SIGNATURES, PAYLOAD, "payload.onnx", "payload.a.b"]
    )
    def test_reserved(self, name: str) -> None:
        with pytest.raises(FormatError):
            derive_layout(entries_named(name))

    @pytest.mark.parametrize(
        "name", ["payload", "payload.", "payload.-", "payload.JOBLIB", "model.joblib", "payload_joblib"]
    )
    def test_names_that_no_payload_has(self, name: str) -> None:
        with pytest.raises(FormatError):
            derive_layout(entries_named(payload=name))

    @pytest.mark.parametrize("name", ["A", "é", "\xff", "con"])
    def test_a_bad_name_in_a_file(self, name: str) -> None:
        data = pack(CONTENTS).replace(b"notes.txt", name.encode("latin-1").ljust(9, b"x" if name == "A" else b"."))
        with pytest.raises(FormatError):
            read(data)


class TestOrder:
    def test_any_two_entries_the_other_way_round(self) -> None:
        entries = entries_of(CONTENTS)
        for position in range(len(entries) - 1):
            swapped = entries.copy()
            swapped[position : position + 2] = reversed(swapped[position : position + 2])
            with pytest.raises(FormatError):
                derive_layout(swapped)

    @pytest.mark.parametrize("name", [name for name in CONTENTS if name != "notes.txt"])
    def test_a_missing_entry(self, name: str) -> None:
        with pytest.raises(FormatError):
            derive_layout([entry for entry in entries_of(CONTENTS) if entry.name != name])

    @pytest.mark.parametrize("number", range(6))
    def test_too_few_entries(self, number: int) -> None:
        with pytest.raises(FormatError):
            derive_layout(entries_with()[:number])

    @pytest.mark.parametrize("names", [["bb", "aa"], ["aa", "aa"], ["a1", "a10", "a1a", "a2", "a0"], ["a_", "a-"]])
    def test_attachments_that_do_not_ascend(self, names: list[str]) -> None:
        with pytest.raises(FormatError):
            derive_layout(entries_named(*names))

    def test_attachments_ascend_by_their_bytes(self) -> None:
        names = ["a-b", "a.b", "a0b", "a_b", "aab"]
        assert names == sorted(names, key=str.encode)
        derive_layout(entries_named(*names))

    def test_too_many_entries(self) -> None:
        with pytest.raises(LimitExceededError):
            derive_layout(entries_named(*(f"a{number:02}" for number in range(59))))
