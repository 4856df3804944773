"""Pickling a model into the stream that `joblib.load` reads, at the speed of C's pickler."""

from collections.abc import Callable
from typing import Final

from safemodel.errors import PayloadError

CODEC_VERSION: Final = "1.2"  # the joblib from which on this stream can be read


def pickle_into(value: object, write: Callable[[bytes | memoryview], object]) -> None:
    """Pickle a value; it is not changed.

    Args:
        value: the model.
        write: takes the stream's next bytes, at most 1 MiB. A memoryview is of the model's own memory: it may be kept,
            and stays as it is while the model does.

    Raises:
        PayloadError: joblib is not installed, or the value cannot be stored; names the attribute path of what is in the
            way, and keeps the cause.
        MemoryError: as it says.
        Exception: whatever `write` raises.
    """
    try:
        from safemodel.payload.joblibstream import Outlet
        from safemodel.payload.modelpickler import write_model
        from safemodel.payload.unpicklable import explain
    except ImportError as error:
        raise PayloadError(
            "joblib is not installed", hint="install the extra 'sklearn' of safemodel-format to dump and load models"
        ) from error
    outlet = Outlet(write)
    try:
        write_model(value, outlet)
    except Exception as error:
        if outlet.writing or isinstance(error, MemoryError | PayloadError):
            raise
        raise explain(value, error) from error
