"""What the makers of hooks, Actions, workflows, jobs and pods publish about them, held against the recipes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCHEMAS = ["check_jsonschema", "--builtin-schema"]
CHECKS = {
    "action.yml": [*SCHEMAS, "vendor.github-actions"],
    "examples/github.yml": [*SCHEMAS, "vendor.github-workflows"],
    "examples/gitlab.yml": [*SCHEMAS, "vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
    "examples/kubernetes.yml": ["kubernetes_validate", "--strict"],
    "examples/pre-commit-config.yaml": ["pre_commit", "validate-config"],
    ".pre-commit-hooks.yaml": ["pre_commit", "validate-manifest"],
}
# One fault in each, which shows that the check looks.
FAULTS = {
    "action.yml": ("composite", "compound"),
    "examples/github.yml": ("runs-on", "runs-at"),
    "examples/gitlab.yml": ("when: always", "when: ever"),
    "examples/kubernetes.yml": ("runAsNonRoot", "runAsNobody"),
    "examples/pre-commit-config.yaml": ("rev:", "revision:"),
    ".pre-commit-hooks.yaml": ("entry:", "entrance:"),
}


def is_valid(check: list[str], path: Path) -> bool:
    module, *arguments = check
    command = [sys.executable, "-m", module, *arguments, str(path)]
    return subprocess.run(command, capture_output=True, cwd=path.parent, check=False).returncode == 0


@pytest.mark.parametrize("name", CHECKS)
def test_is_valid_by_its_schema(name: str, tmp_path: Path) -> None:
    assert is_valid(CHECKS[name], ROOT / name)
    right, wrong = FAULTS[name]
    text = (ROOT / name).read_text(encoding="utf-8")
    assert right in text
    (tmp_path / Path(name).name).write_text(text.replace(right, wrong), encoding="utf-8")
    assert not is_valid(CHECKS[name], tmp_path / Path(name).name)


@pytest.mark.parametrize("name", ["action.yml", "examples/github.yml"])
def test_zizmor_finds_nothing(name: str, tmp_path: Path) -> None:
    """Script injection, actions that are not pinned, permissions and credentials that are too many."""
    assert audited(ROOT / name) == 0
    text = (ROOT / name).read_text(encoding="utf-8")
    faulty = tmp_path / Path(name).name
    faulty.write_text(
        text.replace("persist-credentials: false", "").replace('"$GITHUB_ACTION_PATH/', "${{ inputs.paths }}")
    )
    assert audited(faulty) != 0


def audited(path: Path) -> int:
    command = [str(Path(sys.executable).with_name("zizmor")), "--offline", "--no-config", str(path)]
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return subprocess.run(command, env=kept, capture_output=True, check=False).returncode


def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("needs shellcheck")
    steps = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["runs"]["steps"]
    for number, step in enumerate(step for step in steps if "run" in step):
        (tmp_path / f"{number}.sh").write_text(step["run"], encoding="utf-8")
    scripts = [*(ROOT / "ci").glob("*.sh"), *tmp_path.glob("*.sh")]
    command = ["shellcheck", "--shell=bash", *map(str, scripts)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == ""
