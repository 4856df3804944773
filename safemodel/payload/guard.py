"""A guard for the thread that loads: while it stands, code of a payload can do nothing to the outside.

Rules kept here:

* One audit hook (PEP 578) for the process, installed when it is first needed. It denies whatever is not listed, and
  only in a thread that loads: others pay one look at an empty dict. Python 3.11 has no event for starting a thread.
* A refusal stands even if the code that met it swallows the exception: leaving the guard raises it again.
* What happens in a loading thread without being the payload's doing is let alone: the code of signal handlers, if it
  interrupted the load and was set before it. Finalizers of other garbage do not run, since automatic collection is off
  meanwhile. Warnings, and reports of what finalizers raise, are kept back and shown when the guard is gone, because
  showing one opens a file.
* Guards nest, and end with what was there before.
"""

import gc
import signal
import sys
import threading
import warnings
from _signal import getsignal  # type: ignore[import-not-found]  # the public one makes enum members: 100 times slower
from _thread import get_ident
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, TracebackType
from typing import Any, Final, TextIO

from safemodel.errors import PayloadError

# Events that do nothing by themselves and come up in ordinary classes.
_PERMITTED: Final = frozenset(("builtins.id", "sys._getframe", "object.__getattr__", "sys.unraisablehook"))

_ShownWarning = tuple[Warning | str, type[Warning], str, int, TextIO | None, str | None]

_lock: Final = threading.RLock()  # a signal handler may load while its thread holds it
_guards: dict[int, "Guard"] = {}  # by the thread that loads
_installed = False


class Guard:
    """A context manager around the code of one load.

    Raises on leaving:
        PayloadError: something was refused.
    """

    def __init__(self) -> None:
        self._refusal: PayloadError | None = None
        self._outer: Guard | None = None
        self._lifted = False
        self._permitted = _PERMITTED
        self._warnings: list[_ShownWarning] = []
        self._unraisable: list[Any] = []
        self._entered_by: FrameType | None = None
        self._handlers: tuple[Any, ...] = ()

    def __enter__(self) -> "Guard":
        _install()
        HOLD.__enter__()
        self._entered_by = sys._getframe(1)
        self._handlers = _signal_handlers()
        self._outer = _guards.get(get_ident())
        _guards[get_ident()] = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._outer is None:
            del _guards[get_ident()]
        else:
            _guards[get_ident()] = self._outer
        self._entered_by = None
        HOLD.__exit__()
        try:
            for shown in self._warnings:
                warnings.showwarning(*shown)
            for report in self._unraisable:
                sys.unraisablehook(report)
        finally:
            if self._refusal is not None and error is not self._refusal:
                raise self._refusal from error

    def lifted(self) -> "_Lifted":
        """Return a context manager inside which the guard does not stand, for code that was checked by itself."""
        return _Lifted(self)

    @contextmanager
    def permitting(self, *events: str) -> Iterator[None]:
        """Let some events pass besides, for code that needs them and whose arguments were checked."""
        self._permitted = _PERMITTED.union(events)
        try:
            yield
        finally:
            self._permitted = _PERMITTED

    def set_lifted(self, lifted: bool) -> None:
        """Lift the guard, or put it back."""
        self._lifted = lifted

    def keep_warning(self, *shown: Any) -> None:
        """Keep a warning back."""
        self._warnings.append(shown)

    def keep_unraisable(self, report: Any) -> None:
        """Keep the report of an exception back that nobody can catch."""
        self._unraisable.append(report)

    def judge(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Refuse an event.

        Raises:
            PayloadError: unless it does nothing, or is not the payload's doing.
        """
        if event in self._permitted or self._lifted or (event == "import" and arguments[0] in sys.modules):
            return
        if self._in_signal_handler(sys._getframe(1)):
            return
        what = f"the import of {arguments[0]}" if event == "import" else f"the event {event}"
        refusal = PayloadError(
            f"the payload caused {what} while it was loaded",
            hint="no model needs this; report it to whoever signed it",
        )
        self._refusal = self._refusal or refusal
        raise refusal

    def _in_signal_handler(self, frame: FrameType | None) -> bool:
        """Tell whether a frame, or one that it returns to inside the guard, runs what was set as a signal handler."""
        codes = {_code_of(handler) for handler in self._handlers}
        while frame is not None and frame is not self._entered_by:
            if frame.f_code in codes:
                return True
            frame = frame.f_back
        return False


class _Lifted:
    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def __enter__(self) -> None:
        self._guard.set_lifted(True)

    def __exit__(self, *error: object) -> None:
        self._guard.set_lifted(False)


class _Hold:
    """A context manager: while a thread is inside, automatic collection and the showing of warnings and reports wait.

    Whoever makes as many objects as a model has goes in, and saves the collector looking at all of them.
    """

    def __init__(self) -> None:
        self._loads = 0
        self._collected = False
        self._show = warnings.showwarning
        self._report = sys.unraisablehook

    # The count is raised first and lowered last, so that a signal handler that loads in between changes nothing.

    def __enter__(self) -> None:
        with _lock:
            self._loads += 1
            if self._loads == 1:
                self._collected = gc.isenabled()
                gc.disable()
            if warnings.showwarning is not _show_later:
                self._show = warnings.showwarning
                warnings.showwarning = _show_later
            if sys.unraisablehook is not _report_later:
                self._report = sys.unraisablehook
                sys.unraisablehook = _report_later

    def __exit__(self, *error: object) -> None:
        with _lock:
            if self._loads == 1:
                if self._collected:
                    gc.enable()
                if warnings.showwarning is _show_later:
                    warnings.showwarning = self._show
                if sys.unraisablehook is _report_later:
                    sys.unraisablehook = self._report
            self._loads -= 1

    def show(self, *shown: Any) -> None:
        """Show a warning of another thread as it would be shown without us."""
        self._show(*shown)

    def report(self, report: Any) -> None:
        """Report an exception of another thread as it would be reported without us."""
        self._report(report)


HOLD: Final = _Hold()


def _show_later(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Take the place of `warnings.showwarning` while a thread loads."""
    guard = _guards.get(get_ident())
    show = guard.keep_warning if guard is not None else HOLD.show
    show(message, category, filename, lineno, file, line)


def _report_later(report: Any) -> None:
    """Stand for `sys.unraisablehook` while a thread loads."""
    guard = _guards.get(get_ident())
    if guard is not None:
        guard.keep_unraisable(report)
    else:
        HOLD.report(report)


def _install() -> None:
    global _installed
    with _lock:
        if not _installed:
            sys.addaudithook(_audit)
            _installed = True


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _guards:
        guard = _guards.get(get_ident())
        if guard is not None:
            guard.judge(event, arguments)


def _signal_handlers() -> tuple[Any, ...]:
    """What may interrupt this thread: signals are handled in the main thread alone."""
    if get_ident() != threading.main_thread().ident:
        return ()
    return tuple(filter(callable, map(getsignal, range(1, signal.NSIG))))


def _code_of(handler: Any) -> CodeType | None:
    """What runs when a function, a method, a partial or a callable object is called; None if that is not Python."""
    function = getattr(handler, "func", handler)
    code: CodeType | None = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return code
