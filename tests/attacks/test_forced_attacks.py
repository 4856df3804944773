"""Attacks that somebody signed: every file of `files/`, in an artifact whose manifest lists all it names in every role.

`safemodel.load` itself reads them, in a child that may die of it: with everything signed; with as much signed as the
plain catalogue allows; and with all that a user can allow. They come as they are, and in each of joblib's compressors.
That no file is allowed by `scan` and that none is packed is shown beside those (`test_scanning`, `test_packing`).
"""

import bz2
import gzip
import lzma
import os
import pickle
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from attacks.children import REFUSALS, Load, outcomes_of
from attacks.inert import Pair, forged_index
from sklearn.utils import Bunch

import safemodel
from safemodel.errors import ConfigurationError
from safemodel.format.manifest import ROLES, Counts, GlobalReference, Payload
from safemodel.payload.catalogue import Catalogue, load_catalogue
from safemodel.payload.index import encode_index

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a crash is caught in a forked child")

FILES = Path(__file__).parent / "files"
EXPECTED = {line.split("\t")[0]: line.split("\t")[3] for line in (FILES / "MANIFEST.tsv").read_text().splitlines()[1:]}
MANY = 2**40
BOMBS = {"gen_j20_zip_bomb_xz.joblib.xz"}  # who signs its size gets its size: compressed zeros are a legitimate model
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda data: data,
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}


def expanded(data: bytes) -> tuple[bytes, str]:
    """Expand what some unpickler would, however many streams it consists of."""
    for name, expand in (("gzip", gzip.decompress), ("zlib", zlib.decompress), ("bz2", bz2.decompress)):
        with suppress(OSError, EOFError, ValueError, zlib.error):
            return expand(data), name
    with suppress(lzma.LZMAError):
        return lzma.decompress(data), "xz" if data.startswith(b"\xfd7zXZ") else "lzma"
    return data, "none"


def described(stream: bytes, compression: str, catalogue: Catalogue | None) -> tuple[Payload, bytes]:
    """Say of a stream what makes a loader take it: all that it names, or as much of that as a catalogue allows."""
    regions, pairs = forged_index(stream)
    roles = dict.fromkeys(filter(_is_text, pairs), frozenset(ROLES)) if catalogue is None else catalogue.permissions
    names = tuple(GlobalReference(*pair, tuple(sorted(roles[pair]))) for pair in sorted(pairs & roles.keys()))
    counts = Counts(MANY, len(regions), MANY, MANY)
    return Payload("joblib", "1.2", compression, len(stream), names, counts), encode_index(regions)


def _is_text(pair: Pair) -> bool:
    try:
        return bool("".join(pair).encode())
    except UnicodeEncodeError:
        return False


def addable(pairs: set[Pair]) -> list[str]:
    names = []
    for pair in sorted(pairs):
        with suppress(ConfigurationError):
            load_catalogue().with_additions([".".join(pair)])
            names.append(".".join(pair))
    return names


@pytest.fixture
def force(forge: Callable[..., Path], release: Any) -> Callable[..., list[Load]]:
    """Sign a payload by force, in three ways, and return how each is loaded."""

    def sign(payload: bytes, stream: bytes, compression: str) -> list[Load]:
        allow = addable(forged_index(stream)[1])
        plain, more = load_catalogue(), load_catalogue().with_additions(allow)
        loads: list[Load] = []
        for catalogue, extra in ((None, None), (plain, None), (more, allow)):
            description, index = described(stream, compression, catalogue)
            path = forge(payload, file=f"{next(numbers)}.safemodel", description=description, index=index)
            loads.append(partial(safemodel.load, path, trust=release.public, name="acme/churn", allow=extra))
        return loads

    numbers = count()
    return sign


@pytest.mark.parametrize(
    "compression",
    [name if name in ("none", "zlib") else pytest.param(name, marks=pytest.mark.slow) for name in COMPRESSORS],
)
def test_every_file(compression: str, force: Callable[..., list[Load]]) -> None:
    """As it is, or compressed once more in another way."""
    loads: dict[tuple[str, int], Load] = {}
    for file in EXPECTED.keys() - BOMBS:
        data = (FILES / file).read_bytes()
        stream, found = expanded(data)
        again = COMPRESSORS[compression](stream)
        made = force(data, stream, found) if compression == "none" else force(again, stream, compression)
        loads |= {(file, number): load for number, load in enumerate(made)}
    said = dict(zip(loads, outcomes_of(list(loads.values())), strict=True))
    taken = {file for (file, _), each in said.items() if each == "loaded"}
    assert {EXPECTED[file] for file in taken} <= {"inert"}
    assert {each for each in said.values() if each not in REFUSALS} <= {"loaded"}


@pytest.mark.parametrize("file", sorted(BOMBS))
def test_a_bomb_expands_to_what_was_signed_at_most(file: str, forge: Callable[..., Path], release: Any) -> None:
    description, _ = described(b"N.", expanded((FILES / file).read_bytes())[1], None)
    path = forge((FILES / file).read_bytes(), description=description)
    assert outcomes_of([partial(safemodel.load, path, trust=release.public)]) == ["limit-exceeded"]


def test_what_is_harmless_loads(force: Callable[..., list[Load]]) -> None:
    """Else the refusals above would show nothing."""
    stream = pickle.dumps(Bunch(a=1), 4)
    for compression, compress in COMPRESSORS.items():
        said = outcomes_of(force(compress(stream), stream, compression))
        assert said == ["global-not-allowed", "loaded", "loaded"]  # the catalogue does not list it in every role
