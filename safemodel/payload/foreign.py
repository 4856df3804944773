"""Model files of other makers, told by their first bytes. They are named, and not judged.

What each can do when it is loaded is for its own tools: Keras layers may hold code (CVE-2024-3660), ONNX names external
files and custom operators, GGUF carries templates that run.
"""

from typing import Final

NUMPY: Final = "numpy"
ONNX: Final = "onnx"
SAFETENSORS: Final = "safetensors"
HDF5: Final = "hdf5"
GGUF: Final = "gguf"

NUMPY_MARK: Final = b"\x93NUMPY"
TORCH_LEGACY_MARK: Final = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9 j\xa8P\x19."  # 0x1950a86a20f9469cfc6c, pickled

_HDF5_MARK: Final = b"\x89HDF\r\n\x1a\n"
_HDF5_FIRST: Final = 512  # with a block of the user's before it, the mark is at 512, 1024, 2048, ... (HDF5, II.A)
_SAFETENSORS_HEADER_MAX: Final = 100_000_000  # as the reference reader has it
_ONNX_VERSION_MAX: Final = 64  # of the intermediate representation; 13 in 2026
_ONNX_GRAPH: Final = 7
_ONNX_OPSETS: Final = 8
_ONNX_FIELDS: Final = {2: 2, 3: 2, 4: 2, 5: 0, 6: 2, _ONNX_GRAPH: 2, _ONNX_OPSETS: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_VARINT_MAX: Final = 10  # bytes


def recognize_foreign(head: bytes, size: int) -> str | None:
    """Tell what model file of another maker this is.

    Args:
        head: the first bytes.
        size: of the whole, in bytes.

    Returns:
        Its kind, or None.
    """
    if head.startswith(NUMPY_MARK):
        return NUMPY
    if head.startswith(b"GGUF"):
        return GGUF
    if _is_hdf5(head):
        return HDF5
    if _is_safetensors(head, size):
        return SAFETENSORS
    return ONNX if _is_onnx(head, size) else None


def _is_hdf5(head: bytes) -> bool:
    offset = 0
    while offset < len(head):
        if head.startswith(_HDF5_MARK, offset):
            return True
        offset = 2 * offset or _HDF5_FIRST
    return False


def _is_safetensors(head: bytes, size: int) -> bool:
    """Eight bytes of length, then as much JSON (safetensors, section "Format")."""
    length = int.from_bytes(head[:8], "little")
    return 2 <= length <= min(size - 8, _SAFETENSORS_HEADER_MAX) and head[8:10] in (b'{"', b"{}")


def _is_onnx(head: bytes, size: int) -> bool:
    """Protocol Buffers have no mark: take the fields of a ModelProto, each once or often, up to graph or opsets."""
    if not head.startswith(b"\x08") or len(head) < 2 or not 1 <= head[1] <= _ONNX_VERSION_MAX:
        return False
    position = 2
    while position < len(head):
        tag, position = _varint(head, position)
        field, wire = tag >> 3, tag & 7
        if _ONNX_FIELDS.get(field) != wire:
            return False
        value, position = _varint(head, position)
        if wire == 2:
            position += value
            if position > size:
                return False
            if field in (_ONNX_GRAPH, _ONNX_OPSETS):
                return value > 0
    return False


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for count, byte in enumerate(data[position : position + _VARINT_MAX]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, position + count + 1
    return 0, len(data)
