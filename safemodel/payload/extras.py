"""What must be installed to write and read payloads, and is not needed to verify artifacts."""

from collections.abc import Iterator
from contextlib import contextmanager

from safemodel.errors import PayloadError


@contextmanager
def needing_numpy() -> Iterator[None]:
    """Import NumPy, and modules that need it, in the body.

    Raises:
        PayloadError: it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise PayloadError(
            f"models cannot be read or written here: {error}", hint="install the extra 'sklearn' of safemodel-format"
        ) from error
