"""The manifest's schema: one fault each, and what an older reader says of a newer writer."""

from typing import Any
from zlib import crc32

import pytest

from safemodel.errors import FormatError, UnsupportedVersionError
from safemodel.format import wire
from safemodel.format.container import MIMETYPE, Entry, derive_layout
from safemodel.format.limits import MANIFEST_MAX
from safemodel.format.manifest import (
    ChunkDigests,
    Counts,
    Creator,
    Extension,
    GlobalReference,
    Manifest,
    Payload,
)

ENTRIES = (
    Entry("mimetype", len(MIMETYPE), crc32(MIMETYPE)),
    Entry("payload.joblib", 10, 1),
    Entry("index", 0, 0),
    Entry("digests", 64, 2),
)
LAST = (Entry("manifest.msgpack", 1, 3), Entry("signatures.msgpack", 1, 4))


def make(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "creator": Creator("test", "1"),
        "name": "acme/churn",
        "version": "1.4.0",
        "created": 1,
        "expires": 2,
        "entries": ENTRIES,
        "digest": ChunkDigests("blake3", 2**22, bytes(32)),
        "payload": Payload(
            "joblib", "1.2", "none", 10, (GlobalReference("numpy", "ndarray", ("reference",)),), Counts(1, 2, 3, 4)
        ),
    }
    return Manifest(**(fields | changes))


def broken(path: str, value: object) -> bytes:
    """Return a manifest whose field at `a.b.0.c` has another value, or is missing where the value is `...`."""
    manifest: Any = make().to_value()
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    target = manifest
    for parent in parents:
        target = target[parent]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return wire.encode(manifest)


@pytest.mark.parametrize(
    "manifest",
    [
        make(),
        make(version=None, expires=None),
        make(
            model={"class": "x", "parameters": {"depth": None}},
            training={"metrics": {"auc": 0.5}},
            environment={"python": "3.11"},
            example={"inputs": "example-inputs"},
            extensions={"acme.review": Extension(False, {"by": "a"})},
        ),
    ],
)
def test_round_trip(manifest: Manifest) -> None:
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format", ...),
        ("format", True),
        ("creator", []),
        ("creator.tool", ...),
        ("creator.version", None),
        ("name", "Acme"),
        ("name", None),
        ("version", "v1"),
        ("version", ...),
        ("created", -1),
        ("created", 1.0),
        ("created", None),
        ("expires", -1),
        ("expires", ...),
        ("entries", {}),
        ("entries.0", []),
        ("entries.0.name", b"mimetype"),
        ("entries.0.size", -1),
        ("entries.0.crc32", 2**32),
        ("digest.chunk_size", 2**15),
        ("digest.chunk_size", 2**27),
        ("digest.chunk_size", 2**22 + 1),
        ("digest.digest", bytes(31)),
        ("payload.raw_size", -1),
        ("payload.globals.0.roles", []),
        ("payload.globals.0.roles", ["reference", "call"]),
        ("payload.globals.0.roles", ["call", "call"]),
        ("payload.globals.0.roles", [1]),
        ("payload.globals.0.module", ...),
        ("payload.counts.memo", -1),
        ("payload.counts.depth", ...),
        ("model", {}),
        ("training", []),
        ("extensions", {"x": 1}),
        ("extensions", {"x": {"critical": False}}),
        ("extensions", {"x": {"critical": 0, "value": 1}}),
    ],
)
def test_faults(path: str, value: object) -> None:
    with pytest.raises(FormatError) as caught:
        Manifest.from_bytes(broken(path, value))
    assert caught.value.code == "format"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format", 7),
        ("future", 1),
        ("creator.host", "x"),
        ("entries.0.mode", 1),
        ("digest.algorithm", "md5"),
        ("digest.tree", 1),
        ("payload.codec", "cloudpickle"),
        ("payload.compression", "zstd"),
        ("payload.globals.0.roles", ["eval"]),
        ("payload.globals.0.since", 1),
        ("payload.counts.frames", 1),
        ("extensions", {"x": {"critical": True, "value": 1}}),
    ],
)
def test_a_newer_writer_is_named_as_such(path: str, value: object) -> None:
    with pytest.raises(UnsupportedVersionError):
        Manifest.from_bytes(broken(path, value))


def test_globals_are_strictly_ascending() -> None:
    twice = [{"module": "numpy", "name": "ndarray", "roles": ["call"]}] * 2
    with pytest.raises(FormatError):
        Manifest.from_bytes(broken("payload.globals", twice))


def test_a_manifest_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(FormatError):
        make(training={"notes": "x" * MANIFEST_MAX}).to_bytes()


def test_the_signed_entries_are_those_of_the_container() -> None:
    make().check_layout(derive_layout(ENTRIES + LAST))


@pytest.mark.parametrize(
    "manifest",
    [
        make(entries=ENTRIES[:-1]),
        make(entries=(*ENTRIES[:-1], Entry("digests", 32, 2))),
        make(payload=Payload("joblib", "1.2", "none", 11, (), Counts(1, 2, 3, 4))),
    ],
)
def test_a_manifest_of_another_file_is_refused(manifest: Manifest) -> None:
    with pytest.raises(FormatError):
        manifest.check_layout(derive_layout(ENTRIES + LAST))


def test_the_codec_is_that_of_the_payload_entry() -> None:
    entries = tuple(Entry("payload.other", 10, 1) if entry.name == "payload.joblib" else entry for entry in ENTRIES)
    with pytest.raises(FormatError):
        make(entries=entries).check_layout(derive_layout(entries + LAST))
