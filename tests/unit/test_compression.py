"""`compress=`: what joblib reads, what the manifest says of it, and that nothing expands beyond what was signed."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import safemodel
from safemodel.errors import (
    ConfigurationError,
    DigestMismatchError,
    LimitExceededError,
    PayloadError,
    UnsupportedVersionError,
)
from safemodel.format.limits import ALIGNMENT
from safemodel.format.manifest import COMPRESSIONS, Payload
from safemodel.payload.compression import Compression
from safemodel.payload.pickling import pickle_into
from safemodel.payload.walk import walk

METHODS = [method for method in COMPRESSIONS if method != "none"]
FEATURES, LABELS = make_classification(200, random_state=0)
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}


@pytest.fixture(scope="module")
def model() -> Any:
    return make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)).fit(FEATURES, LABELS)


def pickled(value: object) -> bytes:
    stream = bytearray()
    pickle_into(value, stream.extend)
    return bytes(stream)


def entry_of(path: Path) -> bytes:
    """The payload's entry, as it lies in the artifact."""
    layout = safemodel.inspect(path).layout
    return path.read_bytes()[ALIGNMENT : ALIGNMENT + layout.entries[1].size]


@pytest.mark.parametrize(
    ("compress", "expected"),
    [
        (None, None),
        (False, None),
        (0, None),
        (("xz", 0), None),
        (True, ("zlib", 3)),
        (1, ("zlib", 1)),
        (9, ("zlib", 9)),
        ("zlib", ("zlib", 3)),
        ("bz2", ("bz2", 9)),
        (("gzip", 5), ("gzip", 5)),
        (("lzma", None), ("lzma", 6)),
    ],
)
def test_the_argument_means_what_it_means_for_joblib(compress: object, expected: tuple[str, int] | None) -> None:
    assert Compression.of(compress) == (None if expected is None else Compression(*expected))


@pytest.mark.parametrize(
    "compress", [10, -1, 2.0, "lz4", "none", "", ("xz",), ("xz", 10), ("xz", "6"), (6, "xz"), ["xz", 6], b"xz"]
)
def test_other_arguments_are_refused_before_anything_is_written(compress: object, tmp_path: Path, release: Any) -> None:
    with pytest.raises(ConfigurationError):
        safemodel.dump({}, tmp_path / "churn.safemodel", key=release.private, compress=compress)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", [1, 9])
def test_joblib_reads_the_entry_and_load_gives_the_same(
    method: str, level: int, model: Any, tmp_path: Path, release: Any
) -> None:
    path = tmp_path / "churn.safemodel"
    safemodel.dump(model, path, key=release.private, compress=(method, level))
    payload = safemodel.inspect(path).manifest.payload
    plain = pickled(model)
    assert (payload.compression, payload.raw_size) == (method, len(plain))
    assert len(entry_of(path)) < len(plain)
    by_joblib = joblib.load(io.BytesIO(entry_of(path)))
    loaded = safemodel.load(path, trust=release.public)
    for each in (by_joblib, loaded):
        assert np.array_equal(each.predict_proba(FEATURES), model.predict_proba(FEATURES))


@pytest.mark.parametrize("method", METHODS)
def test_the_bytes_are_joblib_s_own(method: str) -> None:
    written = bytearray()
    compression = Compression.of((method, 4))
    assert compression is not None
    with compression.applied(written.extend) as write:
        for _ in range(3):
            write(b"model" * 1000)
    stored = io.BytesIO()
    with vars(joblib.compressor)["_COMPRESSORS"][method].compressor_file(stored, 4) as file:
        for _ in range(3):
            file.write(b"model" * 1000)
    # gzip's own class notes the time, joblib's does not: equal bytes, so the same model gives the same artifact
    assert bytes(written) == stored.getvalue()


def test_index_and_counts_are_those_of_the_stream(model: Any, tmp_path: Path, release: Any) -> None:
    plain, compressed = tmp_path / "plain.safemodel", tmp_path / "compressed.safemodel"
    safemodel.dump(model, plain, key=release.private)
    safemodel.dump(model, compressed, key=release.private, compress="xz")
    one, other = (safemodel.inspect(path) for path in (plain, compressed))
    assert replace(one.manifest.payload, compression="xz") == other.manifest.payload
    assert one.layout.entry("index").crc32 == other.layout.entry("index").crc32
    assert (one.manifest.payload.compression, one.manifest.payload.raw_size) == ("none", one.layout.entries[1].size)


def test_arrays_of_every_size_and_order(tmp_path: Path, release: Any) -> None:
    value = [np.zeros((0, 3)), np.arange(3_000_000.0), np.asfortranarray(np.ones((700, 900), "f4")), np.array([None])]
    path = tmp_path / "churn.safemodel"
    safemodel.dump(value, path, key=release.private, compress=1)
    loaded = safemodel.load(path, trust=release.public)
    for array, expected in zip(loaded, value, strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.flags.writeable
        assert array.flags.f_contiguous == expected.flags.f_contiguous


def test_progress_counts_the_stream(tmp_path: Path, release: Any) -> None:
    seen: list[tuple[int, int]] = []
    value = np.zeros(500_000)
    path = tmp_path / "churn.safemodel"
    safemodel.dump(
        value, path, key=release.private, compress=1, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == sorted(seen)
    assert seen[-1] == (len(pickled(value)), 0)


# What a signer could claim: the payload is described by hand, and signed for real.

Forge = Callable[..., Path]
VALUE = {"weights": list(range(2000))}
STREAM = pickled(VALUE)


def described(compression: str, raw_size: int = len(STREAM)) -> Payload:
    return Payload("joblib", "1.2", compression, raw_size, (), walk(STREAM).counts)


def load(path: Path, release: Any) -> Any:
    return safemodel.load(path, trust=release.public)


@pytest.mark.parametrize("method", METHODS)
def test_what_others_compressed_loads(method: str, forge: Forge, release: Any) -> None:
    assert load(forge(COMPRESSORS[method](STREAM), description=described(method)), release) == VALUE


@pytest.mark.parametrize("claimed", COMPRESSIONS)
@pytest.mark.parametrize("real", COMPRESSIONS)
def test_another_compression_than_claimed_is_refused(claimed: str, real: str, forge: Forge, release: Any) -> None:
    payload = STREAM if real == "none" else COMPRESSORS[real](STREAM)
    size = len(payload) if claimed == "none" else len(STREAM)
    path = forge(payload, description=described(claimed, size))
    if claimed == real:
        assert load(path, release) == VALUE
    else:
        with pytest.raises((PayloadError, LimitExceededError)):  # bzip2's "BZ" begins a large bytes object
            load(path, release)


@pytest.mark.parametrize("method", METHODS)
def test_the_signed_size_is_exact(method: str, forge: Forge, release: Any) -> None:
    payload = COMPRESSORS[method](STREAM)
    with pytest.raises(LimitExceededError):
        load(forge(payload, description=described(method, len(STREAM) - 1)), release)
    with pytest.raises(PayloadError):
        load(forge(payload, description=described(method, len(STREAM) + 1)), release)


@pytest.mark.parametrize("method", METHODS)
def test_a_bomb_takes_no_more_than_was_signed(
    method: str, forge: Forge, release: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    real = safemodel.system.private_memory

    def counted(size: int) -> memoryview:
        taken.append(size)
        return real(size)

    path = forge(COMPRESSORS[method](bytes(30_000_000)), description=described(method, 1000))
    monkeypatch.setattr("safemodel.payload.streams.private_memory", counted)
    with pytest.raises(LimitExceededError):
        load(path, release)
    assert taken == [1000]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("more", [b"\0", b"second"])
def test_one_stream_and_nothing_after_it(method: str, more: bytes, forge: Forge, release: Any) -> None:
    compress = COMPRESSORS[method]
    for after in (more, compress(more), compress(STREAM)):
        with pytest.raises(PayloadError):
            load(forge(compress(STREAM) + after, description=described(method)), release)
    with pytest.raises(PayloadError):
        load(forge(compress(STREAM[:100]) + compress(STREAM[100:]), description=described(method)), release)


def test_the_decoder_s_memory_is_limited(forge: Forge, release: Any) -> None:
    greedy = bytearray(lzma.compress(STREAM, lzma.FORMAT_ALONE))
    greedy[1:5] = (2**30).to_bytes(4, "little")  # the size of the dictionary
    with pytest.raises(PayloadError):
        load(forge(bytes(greedy), description=described("lzma")), release)


def test_nothing_is_expanded_before_the_digests_held(
    churn_compressed: Path, release: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expanded: list[object] = []
    monkeypatch.setattr("safemodel.payload.streams.open_stream", lambda *_, **__: expanded.append(1))
    data = bytearray(churn_compressed.read_bytes())
    data[ALIGNMENT + 20] ^= 1
    churn_compressed.write_bytes(data)
    with pytest.raises(DigestMismatchError):
        load(churn_compressed, release)
    assert expanded == []


@pytest.fixture
def churn_compressed(tmp_path: Path, release: Any) -> Path:
    path = tmp_path / "churn.safemodel"
    safemodel.dump(VALUE, path, key=release.private, compress=3)
    return path


def test_lz4_is_not_registered(forge: Forge, release: Any) -> None:
    with pytest.raises(UnsupportedVersionError):
        load(forge(b"\x04\x22\x4d\x18", description=described("lz4")), release)


def test_what_is_signed_is_what_was_walked(tmp_path: Path, release: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk sees the bytes that lie in the artifact, expanded; not those that went into the compressor."""

    class Faulty:
        def compress(self, data: bytes | memoryview) -> bytes:
            return b""

        def flush(self) -> bytes:
            return zlib.compress(b"N.")

    monkeypatch.setattr("safemodel.payload.compression._METHODS", {"zlib": lambda level: Faulty()})
    with pytest.raises(PayloadError):
        safemodel.dump(VALUE, tmp_path / "churn.safemodel", key=release.private, compress=3)
    assert list(tmp_path.iterdir()) == []
