"""How Python is started decides what a hostile working directory can shadow."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recipes.runner import Action


def run(command: list[str], folder: Path, **variables: str) -> int:
    done = subprocess.run([*command, "--version"], cwd=folder, env=variables, capture_output=True, check=False)
    return done.returncode


def test_isolated_it_imports_nothing_from_there(
    action: "Action", hostile: Callable[[Path], Path], tmp_path: Path
) -> None:
    canary = hostile(tmp_path)
    python = str(action.temporary / "safemodel" / "bin" / "python")
    exposed = {"PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": str(tmp_path / "json.py"), "PYTHONHOME": str(tmp_path)}
    assert run([python, "-I", "-m", "safemodel"], tmp_path, **exposed) == 0
    assert not canary.exists()
    run([python, "-m", "safemodel"], tmp_path)
    assert canary.exists()  # what isolation is for


def test_the_command_imports_nothing_from_the_working_directory(
    action: "Action", hostile: Callable[[Path], Path], tmp_path: Path
) -> None:
    canary = hostile(tmp_path)
    assert run([str(action.temporary / "safemodel" / "bin" / "safemodel")], tmp_path) == 0
    assert not canary.exists()


def test_it_runs_as_a_module_where_nothing_is_hostile(action: "Action", tmp_path: Path) -> None:
    python = str(action.temporary / "safemodel" / "bin" / "python")
    assert run([python, "-m", "safemodel"], tmp_path) == 0
