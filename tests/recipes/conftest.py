"""Repositories on disk, with this checkout as a published one among them, and an environment without a network."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from recipes.runner import Action
from recipes.wheels import make_wheels

import safemodel
from safemodel.cli.main import main

if TYPE_CHECKING:
    from conftest import KeyPair

ROOT = Path(__file__).parents[2]
MODEL = "acme/churn"
NOT_STORED = {".git", ".venv", "__pycache__"}

_numbers = count()


@dataclass(frozen=True)
class Repository:
    """A Git repository with a work tree."""

    folder: Path
    environment: Mapping[str, str]

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=dict(self.environment),
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def commit(self) -> str:
        """Commit all that there is, and return the commit's id."""
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message", "change")
        return self.git("rev-parse", "HEAD")

    def trust(self, key: "KeyPair") -> None:
        """Make a trust folder, in which the key is that of `release`."""
        run_here("trust", "init", self / "keys", "--signer", "release", "--key", key.public, "--models", "acme/*")

    def revoke(self, key: "KeyPair") -> None:
        """Revoke the key in the trust folder."""
        run_here("trust", "revoke", self / "keys", "--key", key.public, "--reason", "laptop stolen")

    def model(self, key: "KeyPair", name: str = "churn.safemodel") -> Path:
        """Put a model there that the key has signed; another one each time, also within one second."""
        metadata = {"number": next(_numbers)}
        safemodel.dump([1, 2], self / name, key=key.private, name=MODEL, version="1.4.0", metadata=metadata)
        return self / name


def run_here(*arguments: str | os.PathLike[str]) -> None:
    """Run the command in this process, with success."""
    assert main([os.fspath(each) for each in arguments]) == 0


@pytest.fixture(scope="session")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a machine that has Git and Python, no settings and no network."""
    if sys.platform == "win32" or not (shutil.which("git") and shutil.which("bash")):
        pytest.skip("needs git and bash")
    home = tmp_path_factory.mktemp("home")
    wheels = tmp_path_factory.mktemp("wheels")
    make_wheels(ROOT, wheels)
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(home),
        "TMPDIR": str(tmp_path_factory.mktemp("temporary")),
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
    } | {
        f"GIT_{role}_{field}": "somebody@example.com" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")
    }


@pytest.fixture
def make_repository(tmp_path: Path, surroundings: dict[str, str]) -> Callable[[str], Repository]:
    """Make an empty repository of that name, on the branch `main`."""

    def make(name: str) -> Repository:
        return new_repository(tmp_path / "server" / name, surroundings)

    return make


def new_repository(folder: Path, surroundings: Mapping[str, str]) -> Repository:
    folder.mkdir(parents=True)
    repository = Repository(folder, surroundings)
    repository.git("init", "--quiet", "--initial-branch=main")
    return repository


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, surroundings: dict[str, str]) -> Repository:
    """This checkout as others get it: what Git would store, in one commit."""
    repository = new_repository(tmp_path_factory.mktemp("published") / "safemodel", surroundings)
    for path in stored_files():
        copy = repository / path.relative_to(ROOT).as_posix()
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    repository.commit()
    return repository


def stored_files() -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    except subprocess.CalledProcessError:  # an unpacked source distribution
        return [path for path in ROOT.rglob("*") if path.is_file() and not NOT_STORED & set(path.parts)]
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


@pytest.fixture(scope="session")
def action(tmp_path_factory: pytest.TempPathFactory, published: Repository, surroundings: dict[str, str]) -> Action:
    """The Action, after its step that installs."""
    made = Action(published.folder, tmp_path_factory.mktemp("runner"), surroundings)
    workspace = tmp_path_factory.mktemp("workspace")
    done = made.step("Install safemodel", workspace, {})
    assert done.exit_code == 0, done.shown
    return made


HOSTILE = """
from pathlib import Path
Path({canary!r}).touch()
"""
SHADOWED = ("safemodel", "json", "argparse", "msgpack", "cryptography", "packaging", "hatchling", "sitecustomize")


@pytest.fixture
def hostile(tmp_path: Path) -> Callable[[Path], Path]:
    """Fill a folder with what Python or its installers may take for theirs; return the canary that it would make."""

    def fill(folder: Path) -> Path:
        canary = tmp_path / "canary"
        code = HOSTILE.format(canary=str(canary))
        for module in SHADOWED:
            (folder / f"{module}.py").write_text(code)
        for name in ("setup.py", "conftest.py", "usercustomize.py", "pip.py", "venv.py", "ensurepip.py"):
            (folder / name).write_text(code)
        (folder / "hostile.pth").write_text(f"import pathlib; pathlib.Path({str(canary)!r}).touch()\n")
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "setup"\nbackend-path = ["."]\n'
        )
        metadata = folder / "hostile-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[safemodel]\nhostile = json\n")
        (folder / "pip.conf").write_text("[global]\nindex-url = https://example.com/simple\n")
        return canary

    return fill
