"""What GitHub's runner does with a composite action and GitLab's with a job, as far as the recipes need it."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import yaml

_EXPRESSION: Final = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_VARIABLE: Final = re.compile(r"\$(\w+)")


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    exit_code: int
    shown: str
    outputs: dict[str, str] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Action:
    """The composite action of a checkout, run step by step, with actions that it uses only noted."""

    checkout: Path
    temporary: Path
    environment: Mapping[str, str]

    @property
    def definition(self) -> dict[str, Any]:
        loaded: dict[str, Any] = yaml.safe_load((self.checkout / "action.yml").read_text(encoding="utf-8"))
        return loaded

    def step(self, name: str, workspace: Path, github: Mapping[str, str], **inputs: str) -> Outcome:
        """Run the one step of that name."""
        (step,) = (step for step in self.definition["runs"]["steps"] if step.get("name") == name)
        return self._run(step, workspace, self._context(github, inputs))

    def run(self, workspace: Path, github: Mapping[str, str], **inputs: str) -> Outcome:
        """Run all steps but the installation, which is done once for all tests."""
        context = self._context(github, inputs)
        exit_code, shown, outputs, used = 0, "", dict[str, str](), []
        for step in self.definition["runs"]["steps"]:
            condition = step.get("if", "success()")
            if step.get("name") == "Install safemodel" or (exit_code and "always()" not in condition):
                continue
            if not evaluate(condition, context):
                continue
            if "uses" in step:
                used.append(step["uses"].partition("@")[0])
                continue
            done = self._run(step, workspace, context)
            exit_code = exit_code or done.exit_code
            shown += done.shown
            context |= {f"steps.{step['id']}.outputs.{key}": value for key, value in done.outputs.items()}
            outputs |= done.outputs
        return Outcome(exit_code, shown, outputs, used)

    def _context(self, github: Mapping[str, str], inputs: Mapping[str, str]) -> dict[str, str]:
        declared = self.definition["inputs"]
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        assert set(given) <= set(declared)
        defaults = {f"inputs.{name}": str(each.get("default", "")) for name, each in declared.items()}
        return defaults | {f"inputs.{name}": value for name, value in given.items()} | dict(github)

    def _run(self, step: Mapping[str, Any], workspace: Path, context: Mapping[str, str]) -> Outcome:
        """As https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax says of `shell: bash`."""
        assert step["shell"] == "bash"
        assert not _EXPRESSION.search(step["run"])
        script, output = self.temporary / "step.sh", self.temporary / "output"
        script.write_text(step["run"], encoding="utf-8")
        output.write_text("")
        variables = {
            "GITHUB_ACTION_PATH": str(self.checkout),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_WORKSPACE": str(workspace),
            "RUNNER_TEMP": str(self.temporary),
        }
        variables |= {
            name: context.get(f"github.{name.removeprefix('GITHUB_').lower()}", "")
            for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_EVENT_NAME", "GITHUB_REF")
        }
        variables |= {name: expand(str(text), context) for name, text in step.get("env", {}).items()}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        done = _start(command, workspace, {**self.environment, **variables})
        lines = output.read_text(encoding="utf-8").splitlines()
        return Outcome(done.returncode, done.stdout, dict(line.split("=", 1) for line in lines))


def expand(text: str, context: Mapping[str, str]) -> str:
    """Put values in the place of a text's expressions."""
    return _EXPRESSION.sub(lambda found: str(evaluate(found[1], context)), text)


def evaluate(expression: str, context: Mapping[str, str]) -> str | bool:
    """Evaluate what the action writes: names, texts, `==`, `!=`, `&&` and `||`."""
    value: str | bool = ""
    for alternative in expression.split("||"):
        for part in alternative.split("&&"):
            value = _compared(part, context)
            if not value:
                break
        if value:
            break
    return value


def _compared(text: str, context: Mapping[str, str]) -> str | bool:
    for operator in ("==", "!="):
        left, found, right = text.partition(operator)
        if found:
            return (_term(left, context) == _term(right, context)) == (operator == "==")
    return _term(text, context)


def _term(text: str, context: Mapping[str, str]) -> str | bool:
    text = text.strip()
    if text in ("always()", "success()"):
        return True
    return text[1:-1] if text.startswith("'") else context.get(text, "")


@dataclass(frozen=True)
class Job:
    """The job of the GitLab template, run by one of its rules; its first part only once for all tests."""

    definition: Mapping[str, Any]
    environment: Mapping[str, str]
    tools: Path

    @classmethod
    def of(cls, template: Path, environment: Mapping[str, str], **variables: str) -> Self:
        """Take the job of a template, and run its `before_script`, which fills the folder `tools`."""
        definition = yaml.safe_load(template.read_text(encoding="utf-8"))["safemodel"]
        known = {**environment, **definition["variables"], **variables}
        script = "\n".join(["set -eo pipefail", *definition["before_script"], 'echo "$tools"'])
        done = _start(["bash", "-c", script], Path(environment["HOME"]), known)
        assert done.returncode == 0, done.stdout
        return cls(definition, environment, Path(done.stdout.splitlines()[-1]))

    def run(self, rule: int, project: Path, variables: Mapping[str, str]) -> Outcome:
        """Run it; `variables` are GitLab's own, and those that the project sets."""
        known = {"CI_PROJECT_DIR": str(project), "tools": str(self.tools), **variables}
        for name, text in {**self.definition["variables"], **self.definition["rules"][rule]["variables"]}.items():
            known.setdefault(name, _VARIABLE.sub(lambda found: known.get(found[1], ""), text))
        script = "\n".join(["set -eo pipefail", *self.definition["script"]])
        done = _start(["bash", "-c", script], project, {**self.environment, **known})
        return Outcome(done.returncode, done.stdout)


def _start(command: list[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment, "PWD": os.fspath(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )
