"""Where the passphrase of a private key comes from; never from argv, which every process on the machine can read.

In this order: the caller's value or callback, SAFEMODEL_PASSPHRASE, a question to whoever sits at the terminal or
notebook. An empty variable counts as none: it is what a CI system leaves when a secret is missing.
"""

import os
import sys
from collections.abc import Callable

from safemodel.errors import KeyMaterialError

Passphrase = str | bytes | Callable[[], str | bytes]

VARIABLE = "SAFEMODEL_PASSPHRASE"

_SOURCES = (
    f"pass passphrase= (--passphrase-env VAR), set {VARIABLE}, or work on a terminal or in a notebook to be asked"
)


def find_passphrase(passphrase: Passphrase | None, *, purpose: str) -> bytes:
    """Find the passphrase of a key that exists.

    Args:
        passphrase: text, its UTF-8 bytes, or a function that returns either; None looks further.
        purpose: what it is for, shown when asking: `'release.key'`.

    Returns:
        Its bytes.

    Raises:
        KeyMaterialError: there is none.
    """
    return _given(passphrase) or _asked(f"passphrase for {purpose}: ")


def choose_passphrase(passphrase: Passphrase | None, *, purpose: str, variable: bool = True) -> bytes:
    """Find the passphrase of a file that is being written; one that is typed is asked for twice.

    Args:
        passphrase: as for `find_passphrase`.
        purpose: as for `find_passphrase`.
        variable: whether SAFEMODEL_PASSPHRASE counts; it does not where it is that of the file being replaced.

    Returns:
        Its bytes.

    Raises:
        KeyMaterialError: there is none, or the two differ.
    """
    given = _given(passphrase) if variable or passphrase is not None else None
    if given:
        return given
    typed = _asked(f"new passphrase for {purpose}: ")
    if _asked(f"the same passphrase for {purpose} again: ") != typed:
        raise KeyMaterialError("the two passphrases differ, so nothing was written", hint="start again")
    return typed


def _given(passphrase: Passphrase | None) -> bytes | None:
    """What the caller or the environment says, or None."""
    if passphrase is not None:
        return _as_bytes(passphrase() if callable(passphrase) else passphrase)
    value = os.environ.get(VARIABLE)
    return os.fsencode(value) if value else None


def _as_bytes(value: object) -> bytes:
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if not isinstance(value, bytes):
        raise TypeError(f"a passphrase is str or bytes, not {type(value).__name__}")
    if not value:
        raise KeyMaterialError("the passphrase is empty", hint=_SOURCES)
    return value


def _asked(prompt: str) -> bytes:
    if not (_in_notebook() or _on_terminal()):
        raise _nobody_to_ask()
    import getpass

    try:
        return _as_bytes(getpass.getpass(prompt))
    except (EOFError, NotImplementedError) as error:  # end of input; a notebook that runs unattended
        raise _nobody_to_ask() from error


def _nobody_to_ask() -> KeyMaterialError:
    return KeyMaterialError("the private key needs a passphrase and none was given", hint=_SOURCES)


def _on_terminal() -> bool:
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def _in_notebook() -> bool:
    """Whether an IPython kernel runs; it answers getpass through its front end, without a terminal."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_shell is not None and hasattr(get_shell(), "kernel")
