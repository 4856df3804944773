import getpass
import io
import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from safemodel.errors import KeyMaterialError
from safemodel.signing import Ed25519Signer, load_signer
from safemodel.signing.passphrase import Passphrase, choose_passphrase, find_passphrase

VARIABLE = "SAFEMODEL_PASSPHRASE"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a variable nor a terminal nor a notebook, whatever the tests are run from."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.delitem(sys.modules, "IPython", raising=False)


def answer(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Answer the questions in turn; returns what was asked."""
    asked: list[str] = []
    remaining = iter(answers)

    def reply(prompt: str) -> str:
        asked.append(prompt)
        return next(remaining)

    monkeypatch.setattr(getpass, "getpass", reply)
    return asked


def find(passphrase: Passphrase | None = None) -> bytes:
    return find_passphrase(passphrase, purpose="'release.key'")


def choose(passphrase: Passphrase | None = None) -> bytes:
    return choose_passphrase(passphrase, purpose="'release.key'")


both = pytest.mark.parametrize("resolve", [find, choose])
Resolve = Callable[[Passphrase | None], bytes]


@both
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("secret", b"secret"),
        (b"secret", b"secret"),
        ("sécret", "sécret".encode()),
        (lambda: "secret", b"secret"),
        (lambda: b"secret", b"secret"),
        ("\udcff", b"\xff"),
    ],
)
def test_what_the_caller_gives_comes_first(
    resolve: Resolve, given: Passphrase, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "another")
    assert resolve(given) == expected


@both
def test_the_variable_comes_second(resolve: Resolve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setenv(VARIABLE, "sécret")
    assert resolve(None) == "sécret".encode()


@both
@pytest.mark.parametrize("given", ["", b"", lambda: ""])
def test_empty_passphrase_is_refused(resolve: Resolve, given: Passphrase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "another")
    with pytest.raises(KeyMaterialError):
        resolve(given)


@both
def test_value_of_another_type_is_a_mistake_in_the_code(resolve: Resolve) -> None:
    with pytest.raises(TypeError):
        resolve(lambda: None)  # type: ignore[arg-type]


@both
def test_error_of_a_callback_passes_unchanged(resolve: Resolve) -> None:
    def vault() -> str:
        raise ConnectionError("vault is sealed")

    with pytest.raises(ConnectionError):
        resolve(vault)


@both
@pytest.mark.parametrize("value", [None, ""])
def test_without_a_terminal_nobody_is_asked(
    resolve: Resolve, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answer(monkeypatch, "typed")
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(KeyMaterialError):
        resolve(None)
    assert asked == []


@both
def test_without_any_standard_input_nobody_is_asked(resolve: Resolve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(KeyMaterialError):
        resolve(None)
    closed = Terminal()
    closed.close()
    monkeypatch.setattr(sys, "stdin", closed)
    with pytest.raises(KeyMaterialError):
        resolve(None)


def test_existing_key_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    asked = answer(monkeypatch, "typed")
    assert find() == b"typed"
    assert len(asked) == 1
    assert "'release.key'" in asked[0]


def test_new_key_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    asked = answer(monkeypatch, "typed", "typed")
    assert choose() == b"typed"
    assert len(asked) == 2


def test_two_that_differ_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    answer(monkeypatch, "typed", "tpyed")
    with pytest.raises(KeyMaterialError) as caught:
        choose()
    assert "tpyed" not in str(caught.value)


@both
def test_empty_answer_is_refused(resolve: Resolve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    answer(monkeypatch, "", "")
    with pytest.raises(KeyMaterialError):
        resolve(None)


@both
@pytest.mark.parametrize("failure", [EOFError, NotImplementedError])
def test_question_that_nobody_answers_is_refused(
    resolve: Resolve, failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered(prompt: str) -> str:
        raise failure

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", unanswered)
    with pytest.raises(KeyMaterialError):
        resolve(None)


def test_notebook_is_asked_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    answer(monkeypatch, "typed")
    assert find() == b"typed"


def test_ipython_that_is_only_imported_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    answer(monkeypatch, "typed")
    with pytest.raises(KeyMaterialError):
        find()


KEYGEN = "import sys, safemodel.signing as s; print(s.generate_keyfile(sys.argv[1]).key_id.hex())"
SIGN = "import sys, safemodel.signing as s; print(s.load_signer(sys.argv[1]).key_id.hex())"


def run_on_a_terminal(code: str, path: Path, answers: list[bytes]) -> tuple[str, bytes]:
    """Run code at a pseudo-terminal and type an answer at each question: (standard output, what the screen shows)."""
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    screen, line = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=line,
        stderr=line,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    os.close(line)
    shown = b""
    for typed in answers:
        shown += read_until(screen, b": ")
        os.write(screen, typed + b"\n")
    output, _ = process.communicate(timeout=60)
    while select.select([screen], [], [], 0)[0]:
        try:
            shown += os.read(screen, 1024)
        except OSError:  # EIO: the other end is closed and all is read
            break
    os.close(screen)
    return output.strip(), shown


def read_until(screen: int, end: bytes) -> bytes:
    shown = b""
    while not shown.endswith(end):
        ready, _, _ = select.select([screen], [], [], 60)
        assert ready, f"no question within a minute after {shown!r}"
        shown += os.read(screen, 1)
    return shown


def test_terminal_asks_twice_for_a_new_key_and_once_for_signing_and_echoes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "release.key"
    made, shown = run_on_a_terminal(KEYGEN, path, [b"typed secret", b"typed secret"])
    loaded, shown_again = run_on_a_terminal(SIGN, path, [b"typed secret"])
    assert made == loaded == load_signer(path, passphrase="typed secret").key_id.hex()
    assert b"typed secret" not in shown + shown_again


def test_key_without_passphrase_asks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "release.key"
    signer = Ed25519Signer.generate()
    path.write_bytes(signer.to_pem(None))
    assert load_signer(path).key_id == signer.key_id
