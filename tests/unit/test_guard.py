"""The guard: nothing gets out of a loading thread, and nothing else is disturbed."""

import functools
import gc
import importlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from safemodel.errors import PayloadError
from safemodel.payload import guard as guard_module
from safemodel.payload.findings import Counts
from safemodel.payload.guard import Guard
from safemodel.payload.restricted import load_restricted
from safemodel.payload.walk import walk

CODE = compile("1", "", "exec")
HARMLESS: dict[str, Callable[[], object]] = {"warn": lambda: warnings.warn("held", stacklevel=1)}
EFFECTS: dict[str, Callable[[], object]] = {
    "open": lambda: open(os.devnull),  # noqa: SIM115
    "os.open": lambda: os.open(os.devnull, os.O_RDONLY),
    "system": lambda: os.system("true"),
    "remove": lambda: os.remove("no such file"),
    "listdir": lambda: os.listdir("."),
    "chmod": lambda: os.chmod("no such file", 0),
    "compile": lambda: compile("1", "", "eval"),
    "eval": lambda: eval("1"),
    "exec": lambda: exec(CODE),
    "import": lambda: importlib.import_module("this"),
    "subprocess": lambda: subprocess.Popen(["true"]),
    "socket": lambda: socket.socket(),
    "ctypes": lambda: importlib.import_module("ctypes").CDLL(None),
    "pickle": lambda: pickle.loads(b"cbuiltins\nlist\n."),
    "code": lambda: CODE.replace(),
    "trace": lambda: sys.settrace(None),
}
if sys.version_info >= (3, 12):  # earlier ones have no event for it
    EFFECTS["thread"] = lambda: threading.Thread(target=print).start()


@pytest.fixture
def usr1() -> Iterator[None]:
    if not hasattr(signal, "SIGUSR1"):
        pytest.skip("Windows has no such signal")
    previous = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, previous)


def swallow(*names: str) -> None:
    with Guard():
        for name in names:
            with suppress(BaseException):
                (EFFECTS | HARMLESS)[name]()


@pytest.mark.parametrize("name", EFFECTS)
def test_effects_are_refused(name: str) -> None:
    with pytest.raises(PayloadError), Guard():
        EFFECTS[name]()


@pytest.mark.parametrize("name", EFFECTS)
def test_a_refusal_stands_when_it_is_swallowed(name: str) -> None:
    with pytest.raises(PayloadError):
        swallow(name)


def test_a_refusal_stands_before_another_error() -> None:
    def fail() -> None:
        try:
            os.system("true")
        except PayloadError:
            raise ValueError from None

    with pytest.raises(PayloadError) as caught, Guard():
        fail()
    assert isinstance(caught.value.__cause__, ValueError)


def test_the_first_refusal_counts() -> None:
    with pytest.raises(PayloadError, match=r"os\.system"):
        swallow("system", "open")


def test_what_does_nothing_is_permitted() -> None:
    with Guard():
        assert id(CODE)
        assert sys._getframe() is not None
        assert test_what_does_nothing_is_permitted.__code__
        importlib.import_module("os")


def test_afterwards_everything_is_as_before() -> None:
    with Guard():
        pass
    assert os.system("true") == 0


def test_an_error_of_the_payload_passes() -> None:
    with pytest.raises(ZeroDivisionError), Guard():
        1 / 0  # noqa: B018


def lift_and_act() -> None:
    with Guard() as guard:
        with guard.lifted():
            exec(CODE)
        exec(CODE)


def test_it_can_be_lifted() -> None:
    with Guard() as guard, guard.lifted():
        exec(CODE)
    with pytest.raises(PayloadError):
        lift_and_act()


def test_it_lets_named_events_pass() -> None:
    guard = Guard()
    with guard.permitting("exec", "compile"):
        guard.judge("exec", (CODE,))
        with pytest.raises(PayloadError):
            guard.judge("open", ())
    with pytest.raises(PayloadError):
        guard.judge("exec", (CODE,))


def test_the_hook_itself() -> None:
    """A debugger does not see into a hook, so it is called by hand here."""
    guard_module._audit("os.system", ())
    guard = Guard()
    with pytest.raises(PayloadError), guard:
        guard_module._audit("os.system", ())
    with Guard():
        thread = threading.Thread(target=guard_module._audit, args=("os.system", ()))
        with guard_module._Lifted(guard_module._guards[threading.get_ident()]):
            thread.start()
        thread.join()
    for permitted in (("builtins.id", ()), ("import", ("os",))):
        guard.judge(*permitted)
    with pytest.raises(PayloadError):
        guard.judge("import", ("no_such_module",))
    guard.set_lifted(True)
    guard.judge("os.system", ())


def test_a_handler_is_found_by_its_code(usr1: None) -> None:
    def handle(number: int, frame: object) -> None:
        guard.judge("open", ())
        handled.append(number)

    handled: list[int] = []
    signal.signal(signal.SIGUSR1, handle)
    with Guard() as guard:
        signal.raise_signal(signal.SIGUSR1)
    assert handled == [signal.SIGUSR1]


def test_a_handler_that_was_set_inside_is_no_excuse(usr1: None) -> None:
    def handle(number: int, frame: object) -> None:
        os.system("true")

    def set_and_raise() -> None:
        with Guard():
            signal.signal(signal.SIGUSR1, handle)
            signal.raise_signal(signal.SIGUSR1)

    with pytest.raises(PayloadError):
        set_and_raise()


def test_other_threads_have_no_handlers(usr1: None) -> None:
    refused: list[PayloadError] = []

    def handle(*arguments: object) -> None:
        os.system("true")

    def run() -> None:
        try:
            with Guard():
                handle()
        except PayloadError as error:
            refused.append(error)

    signal.signal(signal.SIGUSR1, handle)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(refused) == 1


def test_a_guard_stands_in_what_a_handler_loads(usr1: None) -> None:
    """A service that loads its model again when it gets a signal."""
    refused: list[PayloadError] = []

    def handle(number: int, frame: object) -> None:
        try:
            with Guard():
                os.system("true")
        except PayloadError as error:
            refused.append(error)

    signal.signal(signal.SIGUSR1, handle)
    signal.raise_signal(signal.SIGUSR1)
    with Guard():
        signal.raise_signal(signal.SIGUSR1)
    assert len(refused) == 2


@pytest.mark.parametrize("name", ["isenabled", "disable", "enable"])
def test_a_handler_may_load_while_the_guard_is_put_up_or_taken_down(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = getattr(gc, name)
    entered: list[str] = []

    def interrupted() -> object:
        if not entered:
            entered.append(name)
            with Guard():
                pass
        return real()

    show = warnings.showwarning
    monkeypatch.setattr(gc, name, interrupted)
    with Guard():
        pass
    monkeypatch.undo()
    assert entered
    assert gc.isenabled()
    assert warnings.showwarning is show


def test_guards_nest() -> None:
    def inside() -> None:
        with Guard():
            pass
        os.system("true")

    with pytest.raises(PayloadError), Guard():
        inside()


def test_an_inner_refusal_leaves_the_outer_guard_standing() -> None:
    with Guard(), pytest.raises(PayloadError), Guard():
        os.system("true")


def test_other_threads_are_left_alone(tmp_path: Path) -> None:
    inside, written = threading.Event(), threading.Event()

    def write() -> None:
        inside.wait()
        (tmp_path / "file").write_text("written")
        written.set()

    thread = threading.Thread(target=write)
    thread.start()
    with Guard():
        inside.set()
        assert written.wait(10)
    thread.join()
    assert (tmp_path / "file").read_text() == "written"


def test_two_threads_may_load() -> None:
    refused: list[object] = []
    barrier = threading.Barrier(2)

    def run() -> None:
        try:
            with Guard():
                barrier.wait(10)
                os.system("true")
        except PayloadError as error:
            refused.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 2
    assert gc.isenabled()


def test_other_hooks_are_left_alone() -> None:
    script = """
import sys, os
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event))
from safemodel.errors import PayloadError
from safemodel.payload.guard import Guard
try:
    with Guard():
        os.system("true")
except PayloadError:
    seen.append("refused")
sys.addaudithook(lambda event, arguments: seen.append("later " + event))
os.system("true")
assert seen.index("os.system") < seen.index("refused")
assert "later os.system" in seen
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_collection_is_held_off_and_comes_back() -> None:
    assert gc.isenabled()
    with Guard():
        assert not gc.isenabled()
        with Guard():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collection_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with Guard():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_walk_that_ends_meanwhile_leaves_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else finalizers of other garbage would run in the thread that loads, and be refused."""
    begun, guarded = threading.Event(), threading.Event()

    def wait(*arguments: Any) -> None:
        begun.set()
        assert guarded.wait(10)

    monkeypatch.setattr("safemodel.payload.walk._run", wait)
    walking = threading.Thread(target=walk, args=(b"N.",))
    walking.start()
    assert begun.wait(10)
    with Guard():
        guarded.set()
        walking.join()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_finalizers_of_other_garbage_wait(tmp_path: Path) -> None:
    class Writes:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            (tmp_path / "file").write_text("finalized")

    Writes()
    with Guard():
        kept: list[list[object]] = [[] for _ in range(10_000)]
    del kept
    gc.collect()
    assert (tmp_path / "file").read_text() == "finalized"


class Raises:
    def __del__(self) -> None:
        raise ValueError("finalized")


def test_finalizers_of_what_the_payload_made_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python only reports what a finalizer raises, but the refusal stands."""
    monkeypatch.setattr(sys, "unraisablehook", lambda report: None)

    class Writes:
        def __del__(self) -> None:
            (tmp_path / "file").write_text("finalized")

    with pytest.raises(PayloadError), Guard():
        Writes()
    assert not (tmp_path / "file").exists()


def test_what_a_finalizer_raises_is_reported_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reporting it opens the source, which is not the payload's doing."""
    reported: list[object] = []

    def report(unraisable: Any) -> None:
        reported.append(type(unraisable.exc_value))
        open(os.devnull).close()

    monkeypatch.setattr(sys, "unraisablehook", report)
    with Guard():
        with Guard():
            Raises()
            assert reported == []
        assert reported == []
        Raises()
    assert reported == [ValueError, ValueError]
    assert sys.unraisablehook is report


def test_what_finalizers_of_other_threads_raise_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: reported.append(type(unraisable.exc_value)))
    with Guard():
        thread = threading.Thread(target=Raises)
        thread.start()
        thread.join()
        assert reported == [ValueError]


def test_a_way_of_reporting_that_was_set_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def report(unraisable: Any) -> None:
        pass

    with Guard():
        monkeypatch.setattr(sys, "unraisablehook", report)
    assert sys.unraisablehook is report


def test_warnings_are_shown_afterwards(tmp_path: Path) -> None:
    shown: list[str] = []

    def show(message: Any, *others: Any) -> None:
        (tmp_path / "file").write_text("shown")
        shown.append(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show  # type: ignore[assignment]
        with Guard():
            warnings.warn("held", stacklevel=1)
            assert shown == []
        assert shown == ["held"]
        assert warnings.showwarning is show


def test_warnings_of_other_threads_are_shown_at_once() -> None:
    shown: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *others: shown.append(str(message))
        with Guard():
            thread = threading.Thread(target=lambda: warnings.warn("elsewhere", stacklevel=1))
            with guard_module._Lifted(guard_module._guards[threading.get_ident()]):
                thread.start()
                thread.join()
            assert shown == ["elsewhere"]


def test_a_way_of_showing_that_was_set_meanwhile_stays() -> None:
    def other(*arguments: Any) -> None:
        """Show nothing."""

    with warnings.catch_warnings():
        with Guard():
            warnings.showwarning = other  # type: ignore[assignment]
        assert warnings.showwarning is other


def test_our_way_of_showing_may_be_left_behind() -> None:
    """Another thread's `catch_warnings` may put it back after the load."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with Guard():
            left = warnings.showwarning
        warnings.showwarning = left
        with Guard():
            warnings.warn("held", stacklevel=1)
    assert [str(each.message) for each in shown] == ["held"]


def test_a_refusal_stands_when_showing_fails() -> None:
    def fail(*arguments: Any) -> None:
        raise ValueError

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = fail  # type: ignore[assignment]
        with pytest.raises(PayloadError):
            swallow("warn", "system")


class Handlers:
    def __init__(self, path: Path) -> None:
        self.path = path

    def method(self, number: int, frame: object) -> None:
        self.path.write_text("handled")

    __call__ = method


@pytest.mark.parametrize("kind", ["function", "method", "partial", "object"])
def test_signal_handlers_are_left_alone(tmp_path: Path, kind: str, usr1: None) -> None:
    path = tmp_path / "file"

    def function(number: int, frame: object) -> None:
        path.write_text("handled")

    handlers: dict[str, Any] = {
        "function": function,
        "method": Handlers(path).method,
        "partial": functools.partial(Handlers.method, Handlers(path)),
        "object": Handlers(path),
    }
    signal.signal(signal.SIGUSR1, handlers[kind])
    with Guard():
        signal_myself()
    assert path.read_text() == "handled"


def signal_myself() -> None:
    """Raise a signal as another process would, without an event in this thread."""
    thread = threading.Thread(target=signal.raise_signal, args=(signal.SIGUSR1,))
    with guard_module._Lifted(guard_module._guards[threading.get_ident()]):
        thread.start()
    thread.join()
    for _ in range(1000):
        pass


def test_a_load_inside_of_a_signal_handler(usr1: None) -> None:
    data = pickle.dumps([1, 2])
    loaded: list[object] = []

    def handle(number: int, frame: object) -> None:
        with open(os.devnull) as file:
            file.read()
        loaded.append(load_restricted(memoryview(bytearray(data)), (), {}, Counts(0, 0, 0, 0)))

    signal.signal(signal.SIGUSR1, handle)
    with Guard():
        signal_myself()
        with pytest.raises(PayloadError), Guard():
            os.system("true")
    assert loaded == [[1, 2]]


MODULE = """
import os
from safemodel.errors import PayloadError

class Swallows:
    def __setstate__(self, state):
        try:
            os.system("true")
        except BaseException:
            self.swallowed = True

class Writes:
    def __setstate__(self, state):
        open(state["path"], "w").close()

class Warns:
    def __setstate__(self, state):
        import warnings
        warnings.warn("of a class", stacklevel=1)

class Handles:
    def __setstate__(self, state):
        import signal
        self.previous = signal.signal(signal.SIGUSR1, lambda number, frame: open(state["path"], "w").close())
        signal.raise_signal(signal.SIGUSR1)

class Loads:
    def __setstate__(self, state):
        self.inner = load(state["payload"])
        if "path" in state:
            open(state["path"], "w").close()
"""


@pytest.fixture
def classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "guarded_classes.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("guarded_classes")
    del sys.modules["guarded_classes"]


def load(value: object) -> Any:
    return load_pickle(pickle.dumps(value))


def load_pickle(data: bytes) -> Any:
    signed = {(use.module, use.name): frozenset(use.roles) for use in walk(data).globals}
    return load_restricted(memoryview(bytearray(data)), (), signed, Counts(0, 0, 0, 0))


def with_state(cls: type, **state: object) -> Any:
    value = cls()
    vars(value).update(state or {"some": "state"})
    return value


def test_a_class_that_swallows_the_refusal(classes: Any) -> None:
    with pytest.raises(PayloadError):
        load(with_state(classes.Swallows))


def test_a_class_that_writes(classes: Any, tmp_path: Path) -> None:
    with pytest.raises(PayloadError):
        load(with_state(classes.Writes, path=str(tmp_path / "file")))
    assert not (tmp_path / "file").exists()


def test_a_class_that_warns(classes: Any) -> None:
    with pytest.warns(UserWarning, match="of a class"):
        load(with_state(classes.Warns))


def test_a_class_that_sets_a_signal_handler(classes: Any, tmp_path: Path, usr1: None) -> None:
    with pytest.raises(PayloadError):
        load(with_state(classes.Handles, path=str(tmp_path / "file")))
    assert not (tmp_path / "file").exists()


@pytest.fixture
def nesting(classes: Any) -> Any:
    classes.load = lambda data: load_pickle(data)
    return classes


def test_a_class_that_loads(nesting: Any) -> None:
    data = pickle.dumps(with_state(nesting.Warns))
    with pytest.warns(UserWarning, match="of a class"):
        outer = load(with_state(nesting.Loads, payload=data))
    assert type(outer.inner) is nesting.Warns
    assert gc.isenabled()


def test_the_guard_stands_after_a_class_has_loaded(nesting: Any, tmp_path: Path) -> None:
    with pytest.raises(PayloadError):
        load(with_state(nesting.Loads, payload=pickle.dumps([1]), path=str(tmp_path / "file")))
    assert not (tmp_path / "file").exists()


def test_a_class_that_loads_what_is_refused(nesting: Any, tmp_path: Path) -> None:
    data = pickle.dumps(with_state(nesting.Writes, path=str(tmp_path / "file")))
    with pytest.raises(PayloadError):
        load(with_state(nesting.Loads, payload=data))
    assert not (tmp_path / "file").exists()
