"""Attacks on the artifact as a whole: a forger with a trusted key, files that lie, folders that others write to.

Whatever is tried ends in an error of ours or of the system, before anything is unpickled, and leaves every file as it
was. What could crash the interpreter or fill the memory runs in a forked child.
"""

import ctypes
import io
import os
import resource
import struct
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import safemodel
from safemodel.errors import (
    ConfigurationError,
    DigestMismatchError,
    FormatError,
    GlobalNotAllowedError,
    KeyMaterialError,
    NameMismatchError,
    NoTrustedSignatureError,
    SafemodelError,
    SignatureMismatchError,
    SigningError,
    UnsupportedVersionError,
)
from safemodel.format.container import Entry, derive_layout
from safemodel.format.envelope import DetachedSignatures, SignatureRecord, SignatureSet, artifact_digest, signed_bytes
from safemodel.format.limits import MANIFEST_MAX, MIB, SIGNATURES_MAX
from safemodel.format.manifest import Counts, GlobalReference, Manifest, Payload

Forge = Callable[..., Path]
Contents = dict[str, bytes]

RECORD = struct.Struct("<4Q")  # of the index

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def contents_of(path: Path) -> Contents:
    layout, data = safemodel.inspect(path).layout, path.read_bytes()
    places = zip(layout.entries, layout.data_offsets, strict=True)
    return {entry.name: data[offset : offset + entry.size] for entry, offset in places}


def container_of(contents: Contents) -> bytes:
    """A canonical container around any contents: every structural byte and CRC-32 is right."""
    layout = derive_layout([Entry(name, len(data), zlib.crc32(data)) for name, data in contents.items()])
    return b"".join(map(bytes.__add__, layout.headers, contents.values())) + layout.trailer


def signed_by(key: Path, digest: bytes) -> bytes:
    signer = safemodel.load_signer(key)
    return SignatureSet.of([SignatureRecord(signer.key_id, signer.sign(signed_bytes(digest)))]).to_bytes()


def resign(path: Path, key: Path, lie: Callable[[Manifest], Manifest]) -> None:
    """Put another manifest into an artifact, and sign it for real."""
    contents = contents_of(path)
    manifest = lie(Manifest.from_bytes(contents["manifest.msgpack"])).to_bytes()
    changes = {"manifest.msgpack": manifest, "signatures.msgpack": signed_by(key, artifact_digest(manifest))}
    path.write_bytes(container_of(contents | changes))


def outcome(action: Callable[[], object]) -> str:
    """The code of the error that an action ends in, `os` for an OSError, `none` for no error."""
    try:
        action()
    except SafemodelError as error:
        return error.code
    except OSError:
        return "os"
    return "none"


def in_child(action: Callable[[], str], *, memory: int = 0) -> str:
    """Run an action in a forked child, where a crash shows, and return its result.

    Args:
        action: what to run.
        memory: bytes of address space that the child may take beyond those that it has; 0 sets no limit.
    """
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            limit_memory(memory)
            os.write(sender, action().encode())
        except BaseException as error:
            os.write(sender, f"escaped: {type(error).__name__}: {error}".encode()[:1000])
        os._exit(0)
    os.close(sender)
    with open(receiver, encoding="utf-8") as file:
        result = file.read()
    assert os.waitpid(child, 0)[1] == 0
    return result


def outcome_in_child(action: Callable[[], object], *, memory: int = 0) -> str:
    """`outcome` in a child as of `in_child`."""
    return in_child(lambda: outcome(action), memory=memory)


def limit_memory(more: int) -> None:
    """Let this process take so many bytes of address space beyond those that it has; 0 sets no limit."""
    statistics = Path("/proc/self/statm")
    if more and statistics.exists():
        limit = more + int(statistics.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


# Parts of one artifact in another.


@pytest.mark.parametrize("entry", ["payload.joblib", "index", "notes.txt", "digests", "manifest.msgpack"])
def test_an_entry_of_another_artifact_by_the_same_signer(
    entry: str, forge: Forge, release: Any, canary: list[str]
) -> None:
    other = contents_of(forge(b"PAYLOAD", file="other.safemodel", index=b"INDEX", attachments={"notes.txt": b"HELLO"}))
    path = forge(b"payload", index=b"index", attachments={"notes.txt": b"hello"})
    path.write_bytes(container_of(contents_of(path) | {entry: other[entry]}))
    with pytest.raises((FormatError, SignatureMismatchError)):
        safemodel.load(path, trust=release.public)
    assert canary == []


def test_the_signatures_of_another_artifact(forge: Forge, release: Any) -> None:
    other = contents_of(forge(b"another payload"))
    path = forge()
    path.write_bytes(container_of(contents_of(path) | {"signatures.msgpack": other["signatures.msgpack"]}))
    with pytest.raises(SignatureMismatchError):
        safemodel.verify(path, trust=release.public)


def test_a_signature_under_the_key_id_of_another(forge: Forge, release: Any, stranger: Any) -> None:
    path = forge(keys=[])
    digest = bytes.fromhex(safemodel.inspect(path).digest)
    forged = safemodel.load_signer(stranger.private).sign(signed_bytes(digest))
    record = SignatureRecord(safemodel.load_verifying_key(release.public).key_id, forged)
    path.write_bytes(container_of(contents_of(path) | {"signatures.msgpack": SignatureSet((record,)).to_bytes()}))
    with pytest.raises(SignatureMismatchError):
        safemodel.verify(path, trust=[release.public, stranger.public])


MESSAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "the manifest": lambda manifest: manifest,
    "its digest": artifact_digest,
    "another type": lambda manifest: signed_bytes(artifact_digest(manifest)).replace(b"manifest.v1", b"manifest.v2"),
    "no type": lambda manifest: b"DSSEv1 0  32 " + artifact_digest(manifest),
    "the manifest as the body": lambda manifest: (
        b"DSSEv1 44 application/vnd.safemodel.manifest.v1+sha256 %d %b" % (len(manifest), manifest)
    ),
}


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-p256-sha256", "hmac-sha256"])
@pytest.mark.parametrize("message", MESSAGES)
def test_a_signature_that_was_made_for_something_else(
    message: str, algorithm: str, forge: Forge, make_key: Callable[..., Any]
) -> None:
    key, path = make_key(algorithm), forge(keys=[])
    contents = contents_of(path)
    signer = safemodel.load_signer(key.private)
    record = SignatureRecord(signer.key_id, signer.sign(MESSAGES[message](contents["manifest.msgpack"])))
    path.write_bytes(container_of(contents | {"signatures.msgpack": SignatureSet((record,)).to_bytes()}))
    with pytest.raises(SignatureMismatchError):
        safemodel.verify(path, trust=key.public)


def test_detached_signatures_that_are_relabelled(forge: Forge, release: Any) -> None:
    other = contents_of(forge(b"another payload"))["signatures.msgpack"]
    path = forge(keys=[])
    digest = bytes.fromhex(safemodel.inspect(path).digest)
    relabelled = DetachedSignatures(digest, SignatureSet.from_bytes(other))
    Path(f"{path}.sig").write_bytes(relabelled.to_bytes())
    with pytest.raises(NoTrustedSignatureError):
        safemodel.verify(path, trust=release.public)


# A manifest that lies, signed by a key that is trusted.


def with_entries(change: Callable[[list[Entry]], list[Entry]]) -> Callable[[Manifest], Manifest]:
    return lambda manifest: replace(manifest, entries=tuple(change(list(manifest.entries))))


def with_payload(**claims: Any) -> Callable[[Manifest], Manifest]:
    return lambda manifest: replace(manifest, payload=replace(manifest.payload, **claims))


def with_digest(**claims: Any) -> Callable[[Manifest], Manifest]:
    return lambda manifest: replace(manifest, digest=replace(manifest.digest, **claims))


LIES: Mapping[str, tuple[Callable[[Manifest], Manifest], type[SafemodelError]]] = {
    "a smaller payload": (with_entries(lambda e: [e[0], replace(e[1], size=e[1].size - 1), *e[2:]]), FormatError),
    "another CRC-32": (with_entries(lambda e: [e[0], replace(e[1], crc32=e[1].crc32 ^ 1), *e[2:]]), FormatError),
    "another name": (with_entries(lambda e: [*e[:3], replace(e[3], name="other.txt"), *e[4:]]), FormatError),
    "another order": (with_entries(lambda e: [*e[:2], e[3], e[2], *e[4:]]), FormatError),
    "an entry less": (with_entries(lambda e: [*e[:3], *e[4:]]), FormatError),
    "an entry more": (with_entries(lambda e: [*e[:4], replace(e[3], name="zzz.txt"), *e[4:]]), FormatError),
    "an entry twice": (with_entries(lambda e: [*e[:3], e[3], *e[3:]]), FormatError),
    "no entry": (with_entries(lambda e: []), FormatError),
    "smaller chunks": (with_digest(chunk_size=2**16), FormatError),
    "chunks of an odd size": (with_digest(chunk_size=2**16 + 1), FormatError),
    "another digest": (with_digest(digest=bytes(32)), DigestMismatchError),
    "another algorithm": (with_digest(algorithm="sha256"), DigestMismatchError),
    "an unknown algorithm": (with_digest(algorithm="crc32"), UnsupportedVersionError),
    "a size that fills the memory": (with_payload(raw_size=2**53 - 1), FormatError),
    "an unknown codec": (with_payload(codec="cloudpickle"), UnsupportedVersionError),
    "an unknown compression": (with_payload(compression="zip"), UnsupportedVersionError),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_signed_lie_about_the_file(lie: str, forge: Forge, release: Any, canary: list[str]) -> None:
    path = forge(bytes(200_000), attachments={"notes.txt": b"hello"})
    change, expected = LIES[lie]
    resign(path, release.private, change)
    for verb in (safemodel.verify, safemodel.load):
        with pytest.raises(expected):
            verb(path, trust=release.public)
    with pytest.raises(expected):
        safemodel.extract(path, path.parent / "out", trust=release.public)
    assert os.listdir(path.parent) == [path.name]
    assert canary == []


@pytest.fixture
def model(tmp_path: Path, release: Any) -> tuple[bytes, bytes, Payload]:
    """Payload, index and description of a model with two plain arrays around an array of objects."""
    path = tmp_path / "model.safemodel"
    value = {"a": np.arange(40.0), "o": np.array([{"x": 1}, None, "t"], dtype=object), "b": np.arange(6)}
    safemodel.dump(value, path, key=release.private)
    contents = contents_of(path)
    description = safemodel.inspect(path).manifest.payload
    assert description.counts.arrays == 3
    return contents["payload.joblib"], contents["index"], description


def lying_indexes(index: bytes, payload_size: int) -> Iterator[bytes]:
    regions = [list(region) for region in RECORD.iter_unpack(index)]
    for number, region in enumerate(regions):
        for place, true in enumerate(region):
            for value in {0, 1, 2, true - 1, true + 1, payload_size - 1, payload_size, 2**63 - 1, 2**64 - 1} - {true}:
                if value >= 0:
                    lie = [*region[:place], value, *region[place + 1 :]]
                    yield packed([*regions[:number], lie, *regions[number + 1 :]])
    yield packed(regions[::-1])
    yield packed([regions[0], *regions[:2]])
    yield packed([regions[0], [regions[0][0], *regions[1][1:]], regions[2]])
    yield index[:-1]
    yield index + b"\0"


def packed(regions: list[list[int]]) -> bytes:
    return b"".join(RECORD.pack(*region) for region in regions)


def test_a_signed_index_that_lies(model: tuple[bytes, bytes, Payload], forge: Forge, release: Any) -> None:
    payload, index, description = model

    def outcomes() -> str:
        lies = lying_indexes(index, len(payload))
        paths = (forge(payload, index=lie, description=description) for lie in lies)
        return " ".join(sorted({outcome(partial(safemodel.load, path, trust=release.public)) for path in paths}))

    assert in_child(outcomes) == "limit-exceeded payload"


@pytest.mark.parametrize("arrays", [0, 2, 4, 2**53 - 1])
def test_a_signed_number_of_arrays_that_lies(
    arrays: int, model: tuple[bytes, bytes, Payload], forge: Forge, release: Any
) -> None:
    payload, index, description = model
    lie = replace(description, counts=replace(description.counts, arrays=arrays))
    path = forge(payload, index=index, description=lie)
    assert outcome_in_child(lambda: safemodel.load(path, trust=release.public)) == "limit-exceeded"


def test_a_signed_list_of_globals_that_lacks_something(
    model: tuple[bytes, bytes, Payload], forge: Forge, release: Any
) -> None:
    payload, index, description = model
    listed = description.globals
    for number, reference in enumerate(listed):
        fewer = [listed[:number] + listed[number + 1 :]]
        fewer += [
            (
                *listed[:number],
                replace(reference, roles=tuple(sorted({*reference.roles} - {role}))),
                *listed[number + 1 :],
            )
            for role in reference.roles
            if len(reference.roles) > 1 and reference.module != "joblib.numpy_pickle"  # never imported, never called
        ]
        for globals_ in fewer:
            path = forge(payload, index=index, description=replace(description, globals=globals_))
            with pytest.raises(GlobalNotAllowedError):
                safemodel.load(path, trust=release.public)


def test_a_signed_global_that_the_payload_does_not_use_is_not_imported(forge: Forge, release: Any) -> None:
    payload = b"\x80\x04N."
    unused = (GlobalReference("catboost.core", "CatBoost", ("newobj",)),)
    path = forge(payload, description=Payload("joblib", "1.2", "none", len(payload), unused, Counts(3, 0, 0, 0)))
    assert safemodel.load(path, trust=release.public) is None
    assert not {"catboost", "catboost.core"} & sys.modules.keys()


@pytest.mark.parametrize("pair", [("os", "system"), ("antigravity", "fly"), ("acme.transformers", "Clip")])
def test_a_signed_global_that_the_verifier_does_not_allow(
    pair: tuple[str, str], forge: Forge, release: Any, canary: list[str]
) -> None:
    payload, unused = b"\x80\x04N.", (GlobalReference(*pair, ("call",)),)
    path = forge(payload, description=Payload("joblib", "1.2", "none", len(payload), unused, Counts(3, 0, 0, 0)))
    for verb in (safemodel.load, safemodel.verify):
        with pytest.raises(GlobalNotAllowedError, match=pair[1]):
            verb(path, trust=release.public)
    assert canary == []
    assert not {"antigravity", "acme"} & sys.modules.keys()


# What nobody has signed yet, made to fill the memory.

HEADS = {"lists": b"\xdd\x00\x00\xff\xff", "maps": b"\xdf\x00\x00\xff\xff", "texts": b"\xdb\x00\x00\xff\xff"}


@pytest.mark.parametrize("head", HEADS)
def test_heads_that_announce_more_than_there_is(head: str, forge: Forge, release: Any) -> None:
    path = forge()
    contents, bomb = contents_of(path), HEADS[head] * (SIGNATURES_MAX // 5)
    Path(f"{path}.sig").write_bytes(bomb)
    assert outcome_in_child(lambda: safemodel.verify(path, trust=release.public), memory=256 * MIB) == "format"
    path.write_bytes(container_of(contents | {"signatures.msgpack": bomb}))
    assert outcome_in_child(lambda: safemodel.inspect(path), memory=256 * MIB) == "format"
    path.write_bytes(container_of(contents | {"manifest.msgpack": HEADS[head] * (MANIFEST_MAX // 5)}))
    assert outcome_in_child(lambda: safemodel.inspect(path).manifest, memory=256 * MIB) == "format"


@pytest.mark.parametrize("size", [MIB, 2**40])
def test_a_file_of_holes(size: int, tmp_path: Path, release: Any) -> None:
    path = tmp_path / "churn.safemodel"
    path.touch()
    os.truncate(path, size)
    refusal = outcome_in_child(lambda: safemodel.verify(path, trust=release.public), memory=64 * MIB)
    assert refusal in {"format", "limit-exceeded"}


# Files that do not keep still, and objects that are no files.


def test_a_file_that_is_cut_while_it_is_hashed(forge: Forge, release: Any, canary: list[str]) -> None:
    payload = os.urandom(3 * MIB)
    for verb in (safemodel.load, safemodel.verify):
        path = forge(payload)
        with pytest.raises(FormatError):
            verb(path, trust=release.public, progress=lambda *_, path=path: os.truncate(path, 5000))
    assert canary == []


class Liar(io.BytesIO):
    """A file object that says what it likes of its size and its bytes."""

    def __init__(self, data: bytes, size: int | None = None, lie: Callable[[bytes], object] = bytes) -> None:
        super().__init__(data)
        self._size = size
        self._lie = lie

    def seek(self, position: int, whence: int = 0, /) -> int:
        place = super().seek(position, whence)
        return self._size if whence == os.SEEK_END and self._size is not None else place

    def read(self, size: int | None = -1, /) -> Any:
        data = super().read(size)
        return self._lie(data) if data else data


@pytest.mark.parametrize("size", [0, 1, 21, 22, 98, MIB, 2**40, 2**53 - 1, 2**53, 2**64])
def test_a_file_object_that_lies_about_its_size(size: int, forge: Forge, release: Any) -> None:
    data = forge().read_bytes()
    trust = safemodel.load_verifying_key(release.public)

    refusal = outcome_in_child(
        lambda: safemodel.load(Liar(data, size), trust=trust, name="acme/churn"), memory=64 * MIB
    )
    assert refusal in {"format", "limit-exceeded"}


@pytest.mark.parametrize(
    "lie",
    [
        lambda data: b"",
        lambda data: data + b"x",
        lambda data: bytes(len(data)),
        lambda data: os.urandom(len(data)),
        lambda data: bytearray(data),
        lambda data: data.decode("latin-1"),
        lambda data: len(data),
        lambda data: None,
    ],
)
def test_a_file_object_that_lies_about_its_bytes(
    lie: Callable[[bytes], object], forge: Forge, release: Any, canary: list[str]
) -> None:
    file = Liar(forge().read_bytes(), lie=lie)
    for verb in (safemodel.load, safemodel.verify):
        with pytest.raises((SafemodelError, OSError)):
            verb(file, trust=release.public, name="acme/churn")
    assert canary == []


class Turncoat(io.BytesIO):
    """Honest for a number of reads, then another file of the same size."""

    def __init__(self, honest: bytes, other: bytes, turn: int) -> None:
        super().__init__(honest)
        self._other = other
        self.reads_left = turn

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        data = super().read(size)
        self.reads_left -= 1
        return data if self.reads_left >= 0 else self._other[start : start + len(data)]


def test_a_file_object_that_becomes_another_artifact_by_the_same_signer(forge: Forge, release: Any) -> None:
    files, value_of = [], {}
    for value in (1, 2):
        path = forge(b"\x80\x04K%c." % value, description=Payload("joblib", "1.2", "none", 5, (), Counts(4, 0, 0, 0)))
        files.append(path.read_bytes())
        value_of[safemodel.inspect(path).digest] = value
    trust = safemodel.load_verifying_key(release.public)
    loaded: dict[int, bool] = {}
    for turn in range(40):
        file = Turncoat(files[0], files[1], turn)
        with suppress(SafemodelError), safemodel.verify(file, trust=trust, name="acme/churn") as artifact:
            loaded[turn] = artifact.load() == value_of[artifact.digest]
    assert file.reads_left > 0  # honest to the end
    assert 1 < len(loaded) < 40
    assert all(loaded.values())


def test_a_file_object_whose_model_nobody_names(forge: Forge, release: Any, canary: list[str]) -> None:
    with forge().open("rb") as file, pytest.raises(ConfigurationError):
        safemodel.load(file, trust=release.public)
    assert canary == []


# Names, folders and links.


@pytest.mark.parametrize("stem", ["new\nline", "-o", "a b", "%s%n", "\x1b[2J", "ü" * 100, "\udcff", "..."])
def test_unusual_names_of_files(stem: str, release: Any, stranger: Any, tmp_path: Path) -> None:
    path = tmp_path / f"{stem}.safemodel"
    safemodel.dump({"a": 1}, path, key=release.private, name="acme/churn")
    safemodel.sign(path, key=stranger.private, trust=release.public, name="acme/churn", detached=True)
    assert safemodel.load(path, trust=stranger.public, name="acme/churn") == {"a": 1}
    safemodel.extract(path, tmp_path / f"{stem}.out", trust=release.public, name="acme/churn")
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, f"{path.name}.sig", f"{stem}.out"])
    with pytest.raises(NameMismatchError):
        safemodel.load(path, trust=release.public)


def test_a_folder_that_is_named_like_an_artifact(tmp_path: Path, release: Any) -> None:
    folder = tmp_path / "churn.safemodel"
    folder.mkdir()
    for attempt in (
        lambda: safemodel.load(folder, trust=release.public),
        lambda: safemodel.inspect(folder),
        lambda: safemodel.dump({}, folder, key=release.private),
        lambda: safemodel.sign(folder, key=release.private, digest="0" * 64),
        lambda: safemodel.sign(folder, key=release.private, digest="0" * 64, detached=True),
        lambda: safemodel.extract(folder, tmp_path / "out", trust=release.public),
    ):
        with pytest.raises(IsADirectoryError):
            attempt()
    assert os.listdir(tmp_path) == [folder.name]
    assert os.listdir(folder) == []


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    "plant",
    [Path.mkdir, make_pipe, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to(path.name)],
)
def test_what_is_no_file_in_the_place_of_detached_signatures(
    plant: Callable[[Path], None], forge: Forge, release: Any, stranger: Any, canary: list[str]
) -> None:
    path = forge()
    plant(Path(f"{path}.sig"))
    for attempt in (
        lambda: safemodel.load(path, trust=release.public),
        lambda: safemodel.sign(path, key=stranger.private, trust=release.public, detached=True),
    ):
        with pytest.raises(OSError, match=r"directory|regular|symbolic"):
            attempt()
    assert canary == []
    assert sorted(os.listdir(path.parent)) == [path.name, f"{path.name}.sig"]


@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
def test_a_link_in_the_place_of_the_lock(
    plant: Callable[[Path, Path], None], forge: Forge, release: Any, stranger: Any
) -> None:
    path = forge()
    victim = path.with_name("victim")
    victim.write_bytes(b"mine")
    plant(path.with_name(f".{path.name}.lock"), victim)
    assert outcome(lambda: safemodel.sign(path, key=stranger.private, trust=release.public)) in {"os", "none"}
    assert victim.read_bytes() == b"mine"


def test_signing_through_a_link_keeps_the_link(forge: Forge, release: Any, stranger: Any) -> None:
    path = forge(file="real.safemodel")
    link = path.with_name("churn.safemodel")
    link.symlink_to(path.name)
    safemodel.sign(link, key=stranger.private, trust=release.public)
    assert link.is_symlink()
    assert len(safemodel.inspect(path).signatures.records) == 2


PLANTS: Mapping[str, Callable[[Path], None]] = {
    "a link to a folder": lambda path: path.symlink_to(path.parent / "elsewhere"),
    "a dangling link": lambda path: path.symlink_to(path.parent / "nowhere"),
    "a file": Path.touch,
    "a full folder": lambda path: (path / "mine").mkdir(parents=True),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_what_appears_where_a_folder_is_extracted_to(plant: str, forge: Forge, release: Any) -> None:
    path = forge()
    folder, elsewhere = path.with_name("out"), path.with_name("elsewhere")
    elsewhere.mkdir()

    def race(done: int, total: int) -> None:
        if not os.path.lexists(folder):
            PLANTS[plant](folder)

    with pytest.raises(OSError, match="irectory"):
        safemodel.extract(path, folder, trust=release.public, progress=race)
    assert os.listdir(elsewhere) == []
    assert sorted(os.listdir(path.parent)) == sorted([path.name, "out", "elsewhere"])


def test_trust_from_the_environment_is_nothing_but_what_it_names(
    forge: Forge, release: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = forge()
    (tmp_path / "release.pub").write_bytes(release.public.read_bytes())
    monkeypatch.chdir(tmp_path)
    for nothing in ("", os.pathsep, os.pathsep * 3):
        monkeypatch.setenv("SAFEMODEL_TRUST", nothing)
        for attempt in (
            lambda: safemodel.verify(path),
            lambda: safemodel.sign(path, key=release.private),
        ):
            with pytest.raises(ConfigurationError):
                attempt()
    monkeypatch.setenv("SAFEMODEL_TRUST", ".")
    with pytest.raises(ConfigurationError):
        safemodel.verify(path)
    monkeypatch.setenv("SAFEMODEL_TRUST", f"{os.pathsep}release.pub{os.pathsep}")
    safemodel.verify(path).close()


def test_a_key_behind_a_link(forge: Forge, release: Any, stranger: Any, tmp_path: Path) -> None:
    link = tmp_path / "trusted.pub"
    link.symlink_to(release.public)
    safemodel.verify(forge(), trust=link).close()
    link.unlink()
    link.symlink_to(stranger.private)
    with pytest.raises(KeyMaterialError):
        safemodel.verify(forge(), trust=link)
    link.unlink()
    link.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="regular"):
        safemodel.verify(forge(), trust=link)


# Writing that fails.


def writers(path: Path, release: Any, stranger: Any) -> Iterator[Callable[[], object]]:
    yield lambda: safemodel.dump({"a": np.zeros(1000)}, path, key=release.private, name="acme/churn")
    yield lambda: safemodel.sign(path, key=stranger.private, trust=release.public)
    yield lambda: safemodel.sign(path, key=stranger.private, trust=release.public, detached=True)
    yield lambda: safemodel.extract(path, path.with_name("out"), trust=release.public)
    yield lambda: safemodel.generate_keyfile(path.with_name("new.key"), passphrase=False)


def small_files_only() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))


def no_privileges() -> None:
    """Let permissions count for root as well (capset(2), Linux)."""
    library = ctypes.CDLL(None)
    if hasattr(library, "capset"):
        header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert library.capset(header, nothing) == 0


@pytest.mark.parametrize("limit", [small_files_only, no_privileges])
@pytest.mark.parametrize("number", range(5))
def test_a_writer_that_fails_leaves_everything_as_it_was(
    number: int, limit: Callable[[], None], forge: Forge, release: Any, stranger: Any
) -> None:
    path = forge()
    before = path.read_bytes()
    writer = list(writers(path, release, stranger))[number]

    def attempt() -> str:
        limit()
        return outcome(writer)

    path.parent.chmod(0o555 if limit is no_privileges else 0o755)
    try:
        assert in_child(attempt) == "os"
    finally:
        path.parent.chmod(0o755)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_many_signers_at_once(forge: Forge, release: Any, make_key: Callable[..., Any]) -> None:
    path = forge()
    outcomes: list[str] = []
    keys = [make_key() for _ in range(8)]

    def sign(key: Path) -> None:
        outcomes.append(outcome(lambda: safemodel.sign(path, key=key, trust=release.public)))

    threads = [threading.Thread(target=sign, args=(key.private,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(outcomes) <= {"none", SigningError.code}
    with safemodel.verify(path, trust=[release.public, *(key.public for key in keys)]) as artifact:
        assert len(artifact.signers) == 1 + outcomes.count("none")
    assert os.listdir(path.parent) == [path.name]
