"""The command as a user types it: a process of its own, with nothing of this one's environment that would help it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import safemodel
from safemodel.cli.main import main

ROOT = Path(safemodel.__file__).parent.parent
SECRET = "correct horse"
UNWANTED = {"SAFEMODEL_KEY", "SAFEMODEL_TRUST", "SAFEMODEL_PASSPHRASE", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}


def _installed() -> list[str]:
    command = shutil.which("safemodel", path=str(Path(sys.executable).parent))
    return [command] if command else [sys.executable, "-m", "safemodel"]


@dataclass
class CommandLine:
    """Runs the command in a folder, and knows what every failure must look like."""

    folder: Path
    environment: dict[str, str]
    command: list[str] = field(default_factory=_installed)

    def surroundings(self, **variables: str) -> dict[str, str]:
        """Return the environment of the process."""
        kept = {name: value for name, value in os.environ.items() if name not in UNWANTED}
        return (
            kept
            | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
            | self.environment
            | variables
        )

    def run(self, *arguments: str | os.PathLike[str], **variables: str) -> subprocess.CompletedProcess[str]:
        """Run it, without a terminal and with nothing on stdin."""
        return subprocess.run(
            [*self.command, *(os.fspath(each) for each in arguments)],
            cwd=self.folder,
            env=self.surroundings(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=60,
            check=False,
        )

    def good(self, *arguments: str | os.PathLike[str], **variables: str) -> str:
        """Run what must succeed, and return stdout."""
        done = self.run(*arguments, **variables)
        assert done.returncode == 0, done.stderr
        assert "error" not in done.stderr
        return done.stdout

    def document(self, *arguments: str | os.PathLike[str], exit_code: int = 0, **variables: str) -> Any:
        """Run with `--json`, and return the one document on stdout."""
        done = self.run(*arguments, "--json", **variables)
        assert done.returncode == exit_code, done.stderr
        return json.loads(done.stdout)

    def refused(self, exit_code: int, *arguments: str | os.PathLike[str], **variables: str) -> Any:
        """Run what must fail, twice: a line and a hint for people, then for programs; return the latter."""
        done = self.run(*arguments, **variables)
        assert done.returncode == exit_code, done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        line, *hint = done.stderr.splitlines()
        assert line.startswith("safemodel: error: ")
        assert [each[:6] for each in hint] in ([], ["hint: "])
        document = self._document_here(exit_code, *arguments, **variables)
        error = document["error"] if "error" in document else document["files"][0]["error"]
        assert set(error) == {"code", "message", "hint"}
        return error

    def document_here(self, *arguments: str | os.PathLike[str], exit_code: int = 0, **variables: str) -> Any:
        """As `document`, but in this process."""
        return self._document_here(exit_code, *arguments, **variables)

    def refused_here(self, exit_code: int, *arguments: str | os.PathLike[str], **variables: str) -> Any:
        """As `refused`, but in this process and for programs only."""
        return self._document_here(exit_code, *arguments, **variables)["error"]

    def refused_with_grounds(self, *arguments: str | os.PathLike[str]) -> str:
        """Verify one file that a policy refuses, and return the code of the refusal."""
        code: str = self._document_here(1, *arguments)["files"][0]["error"]["code"]
        return code

    def _document_here(self, exit_code: int, *arguments: str | os.PathLike[str], **variables: str) -> Any:
        """As `document`, but in this process, which saves starting another."""
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as shown, redirect_stderr(StringIO()):
            patch.chdir(self.folder)
            patch.setattr(sys, "stdin", StringIO())
            for name, value in variables.items():
                patch.setenv(name, value)
            assert main([*(os.fspath(each) for each in arguments), "--json"]) == exit_code
        return json.loads(shown.getvalue())


@dataclass(frozen=True)
class Shelf:
    """A folder with keys of every kind and an artifact, and what attackers and accidents make of it."""

    folder: Path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    @property
    def artifact(self) -> Path:
        return self.folder / "churn.safemodel"

    @property
    def trust(self) -> Path:
        return self.folder / "release.key.pub"


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """A test run in the background of a shell is started with SIGINT ignored, which its processes would inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def cli(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command, in an empty folder; its processes share compiled modules, so that all but the first start fast."""
    return CommandLine(tmp_path, {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.getbasetemp() / "compiled")})


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Made once and never written to by a test; a test that signs takes a copy."""
    made = Shelf(tmp_path_factory.mktemp("shelf"))
    _make_keys(made)
    _make_artifacts(made)
    _make_junk(made)
    return made


def _make_keys(shelf: Shelf) -> None:
    for name in ("release", "review", "stranger"):
        safemodel.generate_keyfile(shelf / f"{name}.key", passphrase=False)
    safemodel.generate_keyfile(shelf / "locked.key", passphrase=SECRET)
    safemodel.generate_keyfile(shelf / "shared.key", algorithm="hmac-sha256", passphrase=False)
    secret = (shelf / "shared.key").read_text().splitlines()
    (shelf / "short.key").write_text("\n".join([secret[0], "c2hvcnQ=", secret[-1], ""]))
    (shelf / "loop.key").symlink_to("loop.key")  # what even root cannot read


def _make_artifacts(shelf: Shelf) -> None:
    dump(shelf, shelf.artifact)
    for name, key in {"forged": "stranger", "locked": "locked", "shared": "shared"}.items():
        (shelf / name).mkdir()
        dump(shelf, shelf / name / "churn.safemodel", key=f"{key}.key")
    dump(shelf, shelf / "fraud.safemodel", name="acme/fraud")
    shutil.copy(shelf.artifact, shelf / "renamed.safemodel")
    tampered = bytearray(shelf.artifact.read_bytes())
    tampered[4096 + 100] ^= 1  # the payload's data starts at 4096
    (shelf / "tampered").mkdir()
    (shelf / "tampered" / "churn.safemodel").write_bytes(tampered)
    (shelf / "cut.safemodel").write_bytes(shelf.artifact.read_bytes()[:-1])


def _make_junk(shelf: Shelf) -> None:
    (shelf / "empty.safemodel").touch()
    (shelf / "junk.safemodel").write_bytes(bytes(range(256)) * 16)
    (shelf / "folder.safemodel").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(shelf / "pipe.safemodel")


def dump(shelf: Shelf, path: Path, *, key: str = "release.key", name: str = "acme/churn") -> str:
    """Write an artifact, and return its digest."""
    return safemodel.dump(
        {"weights": np.arange(100.0)},
        path,
        key=shelf / key,
        name=name,
        version="1.4.0",
        metrics={"roc_auc": 0.91},
        passphrase=SECRET,
    )
