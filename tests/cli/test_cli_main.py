"""The command as a whole: usage, help, streams that fail, interrupts, and faults of our own."""

import io
import os
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import safemodel
from safemodel.cli.failure import Failure
from safemodel.cli.main import main
from safemodel.cli.parser import VERBS, Parser, build_parser

if TYPE_CHECKING:
    from cli.conftest import CommandLine, Shelf


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["verif"],
        [""],
        ["--frobnicate"],
        ["\x1b[2J"],
        ["\udcff"],
        ["verify"],
        ["verify", "a", "--frobnicate\x1b[2J\n"],
        ["sign"],
        ["inspect"],
        ["inspect", "a", "b"],
        ["completion"],
        ["demo", "a"],
    ],
)
def test_what_is_no_command(cli: "CommandLine", arguments: list[str]) -> None:
    assert cli.refused(2, *arguments)["code"] == "usage"


@pytest.mark.parametrize("verb", ["pack", "trust", "trust init", "export oms"])
def test_an_unknown_option_leads_to_the_help_of_its_verb(cli: "CommandLine", verb: str) -> None:
    needed = {"pack": "a -o b", "trust": "init a", "trust init": "a", "export oms": "a -o b"}[verb]
    hint = cli.refused_here(2, *verb.split(), "--frobnicate", *needed.split())["hint"]
    assert hint.endswith(f"safemodel {verb} --help")


def test_the_version(cli: "CommandLine") -> None:
    assert cli.good("--version") == f"safemodel {safemodel.__version__}\n"


def test_help_names_every_verb(cli: "CommandLine") -> None:
    shown = cli.good("--help")
    assert [line.split()[0] for line in shown.splitlines() if line[:5].strip() and line[:4].isspace()] == list(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_and_json(cli: "CommandLine", verb: str) -> None:
    shown = cli.good(verb, "--help")
    assert f"safemodel {verb}" in shown.partition("examples:")[2]
    assert "--json" in shown
    assert all(len(line) <= 120 for line in shown.splitlines())


def test_the_module_is_the_command(cli: "CommandLine") -> None:
    cli.command = [sys.executable, "-m", "safemodel"]
    assert cli.good("--version").startswith("safemodel ")


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_alone_means_the_same_as_among_all(verb: str) -> None:
    assert _help(verb, build_parser([verb])) == _help(verb, build_parser())


def _help(verb: str, parser: Parser) -> str:
    with redirect_stdout(io.StringIO()) as shown, pytest.raises(SystemExit):
        parser.parse_args([verb, "--help"])
    return shown.getvalue()


def _piped(cli: "CommandLine", *arguments: str | os.PathLike[str], **streams: Any) -> subprocess.CompletedProcess[str]:
    command = [*cli.command, *(os.fspath(each) for each in arguments)]
    return subprocess.run(
        command, cwd=cli.folder, env=cli.surroundings(), stderr=subprocess.PIPE, text=True, check=False, **streams
    )


@pytest.mark.parametrize("arguments", [["inspect"], ["inspect", "--json"], ["--help"]])
def test_a_reader_that_leaves_is_no_news(cli: "CommandLine", shelf: "Shelf", arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as gone:
        done = _piped(cli, *arguments, *[shelf.artifact][: arguments[0] == "inspect"], stdout=gone)
    assert done.returncode == 4
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_verdict_that_could_not_be_delivered_is_no_success(cli: "CommandLine", shelf: "Shelf") -> None:
    with open("/dev/full", "wb") as full:
        done = _piped(cli, "verify", shelf.artifact, "--trust", shelf.trust, "--json", stdout=full)
    assert done.returncode == 4
    assert done.stderr.startswith("safemodel: error: ")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_streams_that_are_closed(cli: "CommandLine", shelf: "Shelf", closed: str) -> None:
    line = f'"$@" {closed}'
    for file, exit_code in (("churn", 0), ("tampered/churn", 1)):
        arguments = ["verify", str(shelf / f"{file}.safemodel"), "--trust", str(shelf.trust)]
        done = subprocess.run(
            ["sh", "-c", line, "sh", *cli.command, *arguments],
            env=cli.surroundings(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == exit_code
        assert "Traceback" not in done.stderr


def test_an_encoding_without_the_characters(cli: "CommandLine", shelf: "Shelf") -> None:
    (cli.folder / "modèle.safemodel").write_bytes(shelf.artifact.read_bytes())
    arguments: list[str | Path] = ["verify", "modèle.safemodel", "--trust", shelf.trust, "--name", "acme/churn"]
    assert "mod\\xe8le.safemodel: verified" in cli.good(*arguments, PYTHONIOENCODING="ascii")


def test_ctrl_c_is_quiet(
    cli: "CommandLine", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(safemodel, "inspect", interrupted)
    assert main(["inspect", "churn.safemodel"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [RuntimeError("secret"), MemoryError("secret"), RecursionError("secret")])
def test_a_fault_of_our_own_shows_no_traceback_and_no_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def faulty(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(safemodel, "inspect", faulty)
    assert main(["inspect", "churn.safemodel", "--json"]) == 4
    out, err = capsys.readouterr()
    assert '"internal"' in out
    assert type(error).__name__ in err
    assert "secret" not in out + err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        *((kind("x"), 1) for kind in (safemodel.VerificationError, safemodel.ExpiredError, safemodel.PayloadError)),
        *((kind("x"), 3) for kind in (safemodel.FormatError, safemodel.UnsupportedVersionError)),
        *(
            (kind("x"), 4)
            for kind in (safemodel.KeyMaterialError, safemodel.ConfigurationError, safemodel.SigningError)
        ),
        *((kind("x"), 4) for kind in (safemodel.StoreError, safemodel.SafemodelError, OSError, PermissionError)),
    ],
)
def test_the_exit_code_of_every_error(error: Exception, exit_code: int) -> None:
    failure = Failure.of(error, about="file")
    assert failure.exit_code == exit_code
    assert failure.message.startswith("file: ")


@pytest.mark.parametrize("error", [OSError(2, "No such", "a b"), safemodel.FormatError("no such: 'a b'")])
def test_a_path_is_named_once(error: Exception) -> None:
    assert Failure.of(error, about="a b").message == "a b: no such"
