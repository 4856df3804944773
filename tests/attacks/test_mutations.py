"""Every way to change a small archive by one byte or one bit: none is accepted, and nothing is unpickled.

The two named exceptions of the format, both in the signatures entry, have tests of their own at the end.
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import safemodel
from safemodel.errors import NoTrustedSignatureError, SafemodelError
from safemodel.format.container import SIGNATURES, Entry, derive_layout
from safemodel.format.envelope import SignatureRecord, SignatureSet
from safemodel.format.unverified import UnverifiedArtifact
from safemodel.format.writer import replace_signatures

Mutations = Callable[[bytes], Iterator[bytes]]


def single_bits(data: bytes) -> Iterator[bytes]:
    for position in range(len(data)):
        for bit in range(8):
            yield data[:position] + bytes([data[position] ^ (1 << bit)]) + data[position + 1 :]


def other_values(data: bytes) -> Iterator[bytes]:
    for position in range(len(data)):
        for value in set(range(256)) - {data[position]}:
            yield data[:position] + bytes([value]) + data[position + 1 :]


def truncations(data: bytes) -> Iterator[bytes]:
    return (data[:size] for size in range(len(data)))


def deletions(data: bytes) -> Iterator[bytes]:
    return (data[:position] + data[position + 1 :] for position in range(len(data)))


def insertions(data: bytes) -> Iterator[bytes]:
    for position in range(len(data) + 1):
        for value in (0, data[position % len(data)], 0x50):
            yield data[:position] + bytes([value]) + data[position:]


def appended(data: bytes) -> Iterator[bytes]:
    return (data + bytes([value]) * count for value in range(256) for count in (1, 22))


def doubled(data: bytes) -> Iterator[bytes]:
    yield data + data


@pytest.fixture
def small(forge: Callable[..., Path]) -> bytes:
    return forge(b"payload", attachments={"notes.txt": b"hello"}).read_bytes()


def assert_refused(mutations: Iterator[bytes], original: bytes, key: Any, canary: list[str]) -> int:
    trusted = safemodel.load_verifying_key(key.public)
    count = 0
    for changed in mutations:
        if changed == original:  # inserting a zero before a zero and the like
            continue
        count += 1
        with pytest.raises(SafemodelError):
            safemodel.load(io.BytesIO(changed), trust=trusted, name="acme/churn")
    assert canary == []
    return count


@pytest.mark.parametrize("mutations", [single_bits, truncations, deletions, insertions, appended, doubled])
def test_no_changed_archive_is_accepted(mutations: Mutations, small: bytes, release: Any, canary: list[str]) -> None:
    assert assert_refused(mutations(small), small, release, canary) > 0


@pytest.mark.slow
def test_no_other_value_of_any_byte_is_accepted(small: bytes, release: Any, canary: list[str]) -> None:
    assert assert_refused(other_values(small), small, release, canary) == 255 * len(small)


def with_records(path: Path, change: Callable[[tuple[SignatureRecord, ...]], list[SignatureRecord]]) -> None:
    unverified: UnverifiedArtifact = safemodel.inspect(path)
    with open(path, "r+b") as file:
        replace_signatures(file, unverified.layout, SignatureSet.of(change(unverified.signatures.records)))


def test_a_record_by_an_unknown_key_may_come_and_go(forge: Callable[..., Path], release: Any) -> None:
    path = forge()
    before = path.read_bytes()
    with_records(path, lambda records: [*records, SignatureRecord(b"\7" * 32, b"anything")])
    assert path.read_bytes() != before
    safemodel.verify(path, trust=release.public).close()
    with_records(path, lambda records: [record for record in records if record.key_id != b"\7" * 32])
    assert path.read_bytes() == before


def test_a_signature_more_than_needed_may_be_stripped(forge: Callable[..., Path], release: Any, stranger: Any) -> None:
    path = forge(keys=[release.private, stranger.private])
    with_records(path, lambda records: [r for r in records if r.key_id == key_id(release)])
    safemodel.verify(path, trust=[release.public, stranger.public]).close()
    with_records(path, lambda records: [])
    with pytest.raises(NoTrustedSignatureError):
        safemodel.verify(path, trust=[release.public, stranger.public])


def key_id(key: Any) -> bytes:
    return safemodel.load_verifying_key(key.public).key_id


def test_the_crc_of_the_signatures_is_recomputed(forge: Callable[..., Path], release: Any) -> None:
    path = forge()
    layout = safemodel.inspect(path).layout
    *others, last = layout.entries
    lying = derive_layout((*others, Entry(SIGNATURES, last.size, last.crc32 ^ 1)))
    data = bytearray(path.read_bytes())
    data[layout.header_offsets[-1] : layout.offset_of(SIGNATURES)] = lying.headers[-1]
    data[layout.directory_offset :] = lying.trailer
    path.write_bytes(data)
    with pytest.raises(safemodel.FormatError):
        safemodel.verify(path, trust=release.public)
