"""`safemodel completion`: scripts that the shells themselves accept."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.conftest import CommandLine


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_script_for_every_shell(cli: "CommandLine", shell: str) -> None:
    pytest.importorskip("shtab", reason="needs the extra 'completion'")
    script = cli.good("completion", shell)
    assert "keygen" in script
    document = cli.document("completion", shell)
    assert document == {"shell": shell, "script": script.removesuffix("\n")}


def test_bash_completes_verbs_and_options(cli: "CommandLine") -> None:
    pytest.importorskip("shtab", reason="needs the extra 'completion'")
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    (cli.folder / "churn.safemodel").touch()
    ask = (
        'complete_line() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=();'
        ' _shtab_safemodel; echo "${COMPREPLY[@]}"; }\n'
        "complete_line safemodel ver\ncomplete_line safemodel verify --tr\ncomplete_line safemodel verify chu\n"
    )
    done = subprocess.run(
        [bash], input=cli.good("completion", "bash") + ask, cwd=cli.folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["verify", "--trust", "churn.safemodel"]


def test_without_shtab_one_line_names_the_extra(cli: "CommandLine", tmp_path: Path) -> None:
    (tmp_path / "shtab.py").write_text("raise ImportError")
    cli.environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), cli.surroundings()["PYTHONPATH"]])
    error = cli.document("completion", "bash", exit_code=4)["error"]
    assert error["code"] == "configuration"
    assert "[completion]" in error["hint"]


def test_an_unknown_shell(cli: "CommandLine") -> None:
    assert cli.refused(2, "completion", "powershell")["code"] == "usage"
