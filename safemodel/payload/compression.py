"""Compressing a payload while it is written, with joblib's own compressors, which `joblib.load` tells by their marks.

`compress=` means what it means for `joblib.dump`, with two exceptions: nothing is chosen by the name of a file, and lz4
is not there. How a payload is expanded again is in `streams`.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol, Self

from safemodel.errors import ConfigurationError

Write = Callable[[bytes | memoryview], None]


class _Compressor(Protocol):
    """What `zlib`, `bz2` and `lzma` give."""

    def compress(self, data: bytes | memoryview, /) -> bytes: ...

    def flush(self) -> bytes: ...


_GZIP_BITS: Final = 16 + zlib.MAX_WBITS

_METHODS: Final[dict[str, Callable[[int], _Compressor]]] = {
    "zlib": zlib.compressobj,
    "gzip": lambda level: zlib.compressobj(level, zlib.DEFLATED, _GZIP_BITS),
    "bz2": bz2.BZ2Compressor,
    "xz": lambda level: lzma.LZMACompressor(lzma.FORMAT_XZ, preset=level),
    "lzma": lambda level: lzma.LZMACompressor(lzma.FORMAT_ALONE, preset=level),
}
_DEFAULT_LEVELS: Final = {"zlib": 3, "gzip": 3, "bz2": 9, "xz": 6, "lzma": 6}  # joblib's, where it is given none


@dataclass(frozen=True, slots=True)
class Compression:
    """How to compress a payload.

    Attributes:
        method: in the registry of compressions (docs/spec.md, section "Registries"), and not `none`.
        level: 1 to 9.
    """

    method: str
    level: int

    @classmethod
    def of(cls, compress: object) -> Self | None:
        """Read what the user gives.

        Args:
            compress: a level of 0 to 9 for zlib; a method; both in a tuple; None, False or level 0 for no compression,
                True for zlib at its usual level.

        Returns:
            The compression, or None for none.

        Raises:
            ConfigurationError: anything else.
        """
        if compress is None:
            return None
        method, level = _method_and_level(compress)
        if method not in _METHODS or level not in range(10):
            raise ConfigurationError(
                f"compress is {compress!r}, expected a level of 0 to 9, one of {', '.join(_METHODS)}, or such a pair",
                hint="for example compress=3 or compress=('xz', 6)",
            )
        return cls(method, level) if level else None

    @contextmanager
    def applied(self, write: Write) -> Iterator[Write]:
        """Yield what takes the uncompressed bytes; the compressed ones are complete when the body has ended."""
        compressor = _METHODS[self.method](self.level)

        def compress(data: bytes | memoryview) -> None:
            if piece := compressor.compress(data):
                write(piece)

        yield compress
        write(compressor.flush())


def _method_and_level(compress: object) -> tuple[str, int]:
    """Return both parts; a level that is no integer becomes -1."""
    given = compress if isinstance(compress, tuple) and len(compress) == 2 else (compress, None)
    method: str = given[0] if isinstance(given[0], str) else "zlib"
    level: object = given[1] if isinstance(given[0], str) else compress
    if level is None or level is True:
        return method, _DEFAULT_LEVELS.get(method, -1)
    return method, level if isinstance(level, int) else -1
