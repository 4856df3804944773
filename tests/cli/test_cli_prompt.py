"""Passphrases typed at a real terminal: asked for, not shown, and never taken from argv."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import safemodel

if TYPE_CHECKING:
    from cli.conftest import CommandLine, Shelf

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")

TYPED = "battery staple"


def _type(cli: "CommandLine", *arguments: str | os.PathLike[str], answers: list[str]) -> tuple[int, str]:
    """Run the command on a terminal of its own, answer each of its questions, and return exit code and screen."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(cli.folder)
        command = [*cli.command, *(os.fspath(each) for each in arguments)]
        os.execve(command[0], command, cli.surroundings())
    screen = b""
    waiting = list(answers)
    while piece := _read(terminal):
        screen += piece
        if waiting and screen.endswith(b": "):  # getpass has turned the echo off before it asks
            os.write(terminal, waiting.pop(0).encode() + b"\n")
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status), screen.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1024)
    except OSError:  # Linux: the other end is closed
        return b""


def test_a_new_passphrase_is_asked_for_twice(cli: "CommandLine", tmp_path: Path) -> None:
    exit_code, screen = _type(cli, "keygen", "release.key", answers=[TYPED, TYPED])
    assert exit_code == 0
    assert TYPED not in screen
    safemodel.load_signer(tmp_path / "release.key", passphrase=TYPED)


def test_two_that_differ_make_no_key(cli: "CommandLine", tmp_path: Path) -> None:
    exit_code, screen = _type(cli, "keygen", "release.key", answers=[TYPED, "mistyped"])
    assert exit_code == 4
    assert "safemodel: error: " in screen
    assert "Traceback" not in screen
    assert not list(tmp_path.iterdir())


def test_another_passphrase_is_asked_for_after_the_old_one(cli: "CommandLine", tmp_path: Path) -> None:
    safemodel.generate_keyfile(tmp_path / "release.key", passphrase="correct horse")
    change = ["keygen", "release.key", "--change-passphrase"]
    exit_code, screen = _type(cli, *change, answers=["correct horse", TYPED, TYPED])
    assert exit_code == 0
    assert TYPED not in screen
    safemodel.load_signer(tmp_path / "release.key", passphrase=TYPED)


def test_an_empty_one_makes_no_key(cli: "CommandLine", tmp_path: Path) -> None:
    exit_code, screen = _type(cli, "keygen", "release.key", answers=[""])
    assert exit_code == 4
    assert "Traceback" not in screen
    assert not list(tmp_path.iterdir())


def test_the_key_that_signs_is_named(cli: "CommandLine", shelf: "Shelf", tmp_path: Path) -> None:
    safemodel.generate_keyfile(tmp_path / "typed.key", passphrase=TYPED)
    (tmp_path / "churn.safemodel").write_bytes(shelf.artifact.read_bytes())
    command: list[str | Path] = ["sign", "churn.safemodel", "--key", "typed.key", "--trust", shelf.trust]
    exit_code, screen = _type(cli, *command, answers=["wrong"])
    assert exit_code == 4
    exit_code, screen = _type(cli, *command, answers=[TYPED])
    assert exit_code == 0
    assert "typed.key" in screen.partition(": ")[0]
    assert TYPED not in screen


def test_ctrl_c_at_the_question(cli: "CommandLine", tmp_path: Path) -> None:
    exit_code, screen = _type(cli, "keygen", "release.key", answers=["\x03"])
    assert exit_code == 130
    assert "Traceback" not in screen
    assert "error" not in screen
    assert not list(tmp_path.iterdir())


def test_ctrl_d_at_the_question(cli: "CommandLine") -> None:
    exit_code, screen = _type(cli, "keygen", "release.key", answers=["\x04"])
    assert exit_code == 4
    assert "Traceback" not in screen


def test_no_bar_for_what_is_quick(cli: "CommandLine", shelf: "Shelf") -> None:
    cli.command = [sys.executable, "-m", "safemodel"]
    exit_code, screen = _type(cli, "verify", shelf.artifact, "--trust", shelf.trust, answers=[])
    assert exit_code == 0
    assert "#" not in screen
