"""The hook, installed by pre-commit from this checkout, in a scratch repository."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from conftest import KeyPair
    from recipes.conftest import Repository

    MakeRepository = Callable[[str], Repository]


@dataclass(frozen=True)
class Attack:
    """A pickle that makes a folder when it is unpickled."""

    canary: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where pre-commit keeps the environments that it makes; virtualenv looks for no news."""
    folder = tmp_path_factory.mktemp("pre-commit")
    return {"PRE_COMMIT_HOME": str(folder), "VIRTUALENV_NO_PERIODIC_UPDATE": "1"}


@pytest.fixture
def scratch(
    make_repository: "MakeRepository", published: "Repository", cache: dict[str, str], surroundings: dict[str, str]
) -> "Repository":
    """A repository that has the hook installed."""
    made = make_repository("acme/service")
    repository = type(made)(made.folder, {**surroundings, **cache})
    configure(repository, published)
    run = subprocess.run(
        [sys.executable, "-m", "pre_commit", "install"], cwd=made.folder, env=repository.environment, check=False
    )
    assert run.returncode == 0
    return repository


def configure(repository: "Repository", published: "Repository", *arguments: str) -> None:
    hook = {"id": "safemodel-scan"} | ({"args": list(arguments)} if arguments else {})
    source = {"repo": str(published.folder), "rev": published.git("rev-parse", "HEAD"), "hooks": [hook]}
    (repository / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [source]}))


def commit(repository: "Repository") -> str | None:
    """Commit all that there is; return what was shown if the hook refuses it, else None."""
    repository.git("add", "--all", "--force")
    command = ["git", "commit", "--message", "change"]
    done = subprocess.run(
        command, cwd=repository.folder, env=repository.environment, check=False, capture_output=True, text=True
    )
    refused = done.returncode != 0
    assert (repository.git("status", "--porcelain") != "") == refused, done.stderr
    return done.stdout + done.stderr if refused else None


def test_models_are_told_by_their_content(scratch: "Repository", release: "KeyPair", tmp_path: Path) -> None:
    scratch.model(release)
    (scratch / "README").write_text("no model\n")
    for number in range(1_000):  # more names than pre-commit puts in one command line
        (scratch / f"{'long' * 40}{number}.txt").touch()
    assert commit(scratch) is None
    attack = Attack(tmp_path / "canary")
    (scratch / "notes.txt").write_bytes(pickle.dumps(attack))
    shown = commit(scratch)
    assert shown is not None
    assert "notes.txt" in shown
    assert not attack.canary.exists()


def test_a_policy_beside_the_repository(
    scratch: "Repository",
    published: "Repository",
    make_repository: "MakeRepository",
    release: "KeyPair",
    stranger: "KeyPair",
) -> None:
    central = make_repository("acme/model-policy")
    central.trust(release)
    configure(scratch, published, "--trust", "../model-policy/keys")
    scratch.model(release)
    assert commit(scratch) is None
    scratch.model(stranger)
    assert commit(scratch) is not None
    scratch.model(release)
    central.revoke(release)
    assert commit(scratch) is not None


def test_what_is_no_model_passes_however_strict_the_hook(
    scratch: "Repository", published: "Repository", release: "KeyPair"
) -> None:
    configure(scratch, published, "--fail-on", "strict")
    (scratch / "README").write_text("no model\n")
    assert commit(scratch) is None
    scratch.model(release)  # whose signature nothing checks
    assert commit(scratch) is not None


def test_a_file_that_is_named_like_an_option_is_refused(scratch: "Repository", tmp_path: Path) -> None:
    attack = Attack(tmp_path / "made")
    (scratch / "notes.txt").write_bytes(pickle.dumps(attack))
    (scratch / "--allow=posix.mkdir").touch()
    shown = commit(scratch)
    assert shown is not None
    assert "--allow=posix.mkdir" in shown
    assert not attack.canary.exists()


def test_no_module_of_the_tree_is_imported(scratch: "Repository", hostile: Callable[[Path], Path]) -> None:
    assert commit(scratch) is None
    canary = hostile(scratch.folder)
    scratch.git("add", "--all", "--force")
    exposed = {**scratch.environment, "PYTHONPATH": str(scratch.folder)}
    # Isolated, since pre-commit itself would import what is there.
    run = [sys.executable, "-I", "-m", "pre_commit", "run", "--verbose"]
    done = subprocess.run(run, cwd=scratch.folder, env=exposed, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "safemodel: " in done.stdout
    assert not canary.exists()
