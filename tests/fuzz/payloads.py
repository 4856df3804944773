"""Fuzz targets of the payload room: walk, lexer, rehearsal and loader, each with the index that an attacker would sign.

The seeds are small real payloads of every protocol and compressor, streams of a grammar, and the attack files;
mutations know opcodes.
"""

import io
import pickle
import pickletools
import random
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import joblib
import numpy as np
from attacks.inert import Truth, follow
from fuzz.generate import generated
from fuzz.mutate import mutated
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from safemodel.errors import SafemodelError
from safemodel.format.manifest import ROLES, Counts, GlobalReference, Payload
from safemodel.payload.catalogue import load_catalogue
from safemodel.payload.findings import Region
from safemodel.payload.index import decode_index, encode_index
from safemodel.payload.lexer import lex
from safemodel.payload.loading import load_payload, rehearse_payload
from safemodel.payload.streams import open_stream
from safemodel.payload.walk import walk

ATTACKS: Final = Path(__file__).parent.parent / "attacks" / "files"
EXPANDED_MAX: Final = 2**20
SEED_MAX: Final = 8192


def fuzz_walk(data: bytes) -> None:
    with suppress(SafemodelError):
        found = walk(open_stream(data, limit=EXPANDED_MAX)[0])
        assert decode_index(encode_index(found.regions), 2**20) == found.regions


def fuzz_lexer(data: bytes) -> None:
    with suppress(SafemodelError):
        stream, _ = open_stream(data, limit=EXPANDED_MAX)
        regions = decode_index(encode_index(_index(bytes(stream), follow(bytes(stream)))), len(stream))
        lex(stream, 0, len(stream), regions)


def fuzz_rehearsal(data: bytes) -> None:
    with suppress(SafemodelError):
        stream, payload, index = signed_by_force(data)
        rehearse_payload(payload, stream, index)


def fuzz_loader(data: bytes) -> None:
    with suppress(SafemodelError):
        _, payload, index = signed_by_force(data)
        load_payload(payload, memoryview(bytearray(data)), index, allowed=load_catalogue().permissions)


def signed_by_force(data: bytes) -> tuple[memoryview, Payload, bytes]:
    """Return the stream, and what a signer says of it who lists every global in every role."""
    stream, compression = open_stream(data, limit=EXPANDED_MAX)
    truth = follow(bytes(stream))
    index = _index(bytes(stream), truth)
    names = tuple(GlobalReference(*pair, ROLES) for pair in sorted(truth.uses.keys() | truth.spelled))
    counts = Counts(2**32, len(index), 2**32, 2**32)
    return stream, Payload("joblib", "1", compression, len(stream), names, counts), encode_index(index)


def _index(stream: bytes, truth: Truth) -> list[Region]:
    """The index of a stream; for every eighth one with a fault in it."""
    index, chance = truth.regions, random.Random(zlib.crc32(stream))
    if index and chance.random() < 1 / 8:
        place = chance.randrange(len(index))
        numbers = [index[place].cut, index[place].start, index[place].size, index[place].kind]
        numbers[chance.randrange(4)] += chance.choice((-16, -2, -1, 1, 2, 16))
        index[place : place + 1] = [Region(*(abs(number) for number in numbers))] * chance.choice((0, 1, 1, 1, 2))
    return index


# Seeds.


@cache
def seeds() -> tuple[bytes, ...]:
    made = (generated(random.Random(number)) for number in range(100))
    return (*6 * benign(), *made, *attacks())  # most mutations of an attack are refused at its first opcodes


@cache
def attacks() -> tuple[bytes, ...]:
    paths = (path for path in sorted(ATTACKS.iterdir()) if path.suffix not in (".tsv", ".md"))
    return tuple(data for data in (path.read_bytes() for path in paths) if len(data) <= SEED_MAX)


@cache
def benign() -> tuple[bytes, ...]:
    """Small payloads as joblib and pickle write them."""
    X, y = np.arange(40.0).reshape(20, 2), np.array([0, 1] * 10)
    record = np.zeros(3, [("a", "i4"), ("b", "U2"), ("c", "f8", (2,))])
    values: list[object] = [
        LogisticRegression().fit(X, y),
        DecisionTreeClassifier(max_depth=2).fit(X, y),
        OneHotEncoder().fit(np.array([["a"], ["b"]], object)),
        [record, record, {f"term {number}": number * 97 for number in range(200)}],
        [np.arange(3, dtype=">i4"), np.arange(6).reshape(2, 3).T, np.array("2026-01-01", "M8[D]")],
        {"set": {1, 2}, "frozen": frozenset("ab"), "big": 2**70, "text": "ü" * 300, "bytes": bytes(300)},
    ]
    plain = [joblib_dump(value) for value in values]
    pickles = [pickle.dumps(value, protocol) for protocol in range(6) for value in values[:1] + values[4:]]
    packed = [joblib_dump(values[3], (method, 3)) for method in ("zlib", "gzip", "bz2", "xz", "lzma")]
    return (*plain, *pickles, *packed)


def joblib_dump(value: object, compress: int | tuple[str, int] = 0, protocol: int | None = None) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer, compress=compress, protocol=protocol)
    return buffer.getvalue()


# Mutations that know opcodes.

OPCODES: Final = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
STRINGS: Final = (b"\x8c\x05numpy\x8c\x05dtype\x93", b"\x8c\x02os\x8c\x06system\x93", b"}", b")", b"]", b"N", b"K\x01")


def mutated_payload(data: bytes, chance: random.Random) -> bytes:
    """Return a payload with one to four changes: of opcodes in most cases, else of bytes."""
    if chance.random() < 0.3:
        return mutated(data, chance)
    pieces = list(_pieces(data))
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place = chance.randint(min(1, len(pieces)), len(pieces))  # PROTO stays
        kind = chance.randrange(6)
        if kind == 0:
            del pieces[place : place + chance.choice((1, 1, 2, 8))]
        elif kind == 1:
            pieces.insert(place, chance.choice(OPCODES))
        elif kind == 2:
            pieces.insert(place, chance.choice(STRINGS))
        elif kind == 3 and place < len(pieces):
            pieces[place] = mutated(pieces[place], chance)
        elif kind == 4:
            source = chance.randrange(len(pieces) + 1)
            pieces[place:place] = pieces[source : source + chance.choice((1, 2, 8, 32))]
        else:
            other = list(_pieces(chance.choice(seeds())))
            source = chance.randrange(len(other) + 1)
            pieces[place:place] = other[source : source + chance.choice((1, 4, 16))]
    return b"".join(pieces)


def _pieces(data: bytes) -> Iterator[bytes]:
    """Cut a payload at its opcodes, as far as they can be told, and at its arrays."""
    last = 0
    for region in follow(data).regions:
        yield from _opcodes(data[last : region.cut])
        last = region.start + region.size
        yield data[region.cut : last]
    yield from _opcodes(data[last:])


def _opcodes(data: bytes) -> Iterator[bytes]:
    last = 0
    with suppress(Exception):
        for _, _, position in pickletools.genops(data):
            if position:
                yield data[last:position]
                last = position
    yield data[last:]
