"""`safemodel scan`: verdicts and exit codes for files and folders, in people's words and in JSON."""

import gzip
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import jsonschema
import pytest
from sklearn.linear_model import LogisticRegression

from safemodel.scanning.baseline import Baseline
from safemodel.scanning.sarif import RULES

if TYPE_CHECKING:
    from cli.conftest import CommandLine, Shelf

ROOT = Path(__file__).parents[2]
COMMAND = b"cos\nsystem\n(S'true'\ntR."
CLIP = b"\x80\x04\x8c\x11acme.transformers\x8c\x04Clip\x93)\x81}\x8c\x04most\x8c\x01xsb."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Good, bad, broken, hidden, and other things."""
    made = tmp_path / "models"
    (made / "old").mkdir(parents=True)
    joblib.dump(LogisticRegression(), made / "good.joblib")
    joblib.dump(LogisticRegression(), made / "old" / "good.joblib.gz")
    (made / "readme.txt").write_text("models of last year\n")
    return made


def test_nothing_fails(cli: "CommandLine", folder: Path, shelf: "Shelf") -> None:
    done = cli.run("scan", folder, shelf.artifact)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        *sorted(
            [
                f"{folder}/good.joblib: unsigned (pickle)",  # without arrays, joblib writes a plain pickle
                f"{folder}/old/good.joblib.gz: unsigned (joblib)",
                f"{shelf.artifact}: unchecked (artifact)",
            ]
        )
    ]
    assert done.stderr == "safemodel: 1 unchecked, 2 unsigned\n"


def test_something_dangerous(cli: "CommandLine", folder: Path) -> None:
    (folder / "own.pkl").write_bytes(CLIP)
    (folder / "photo.png").write_bytes(zlib.compress(COMMAND))
    (folder / "notes").write_bytes(gzip.compress(COMMAND))
    done = cli.run("scan", folder)
    assert done.returncode == 1
    assert "photo.png: dangerous" in done.stdout
    assert "notes: dangerous" in done.stdout
    assert "acme.transformers.Clip (build, newobj) at the model itself" in done.stdout
    assert 'allow=["acme.transformers.Clip"]' in done.stdout
    assert "3 dangerous, 2 unsigned" in done.stderr
    cli.good("scan", folder / "own.pkl", "--allow", "acme.transformers.Clip")


def test_signatures(cli: "CommandLine", shelf: "Shelf") -> None:
    done = cli.run("scan", shelf.artifact, "--trust", shelf.trust)
    assert done.returncode == 0
    assert f"{shelf.artifact}: verified (artifact)\n  acme/churn 1.4.0, signed by " in done.stdout
    done = cli.run(
        "scan", shelf.artifact, shelf / "forged", shelf / "renamed.safemodel", SAFEMODEL_TRUST=str(shelf.trust)
    )
    assert done.returncode == 1
    assert done.stdout.count(": not trusted (artifact)") == 2


def test_who_signed_by_a_policy(cli: "CommandLine", shelf: "Shelf") -> None:
    cli.good("trust", "init", "keys", "--key", shelf.trust)
    (file,) = cli.document("scan", shelf.artifact, "--trust", "keys")["files"]
    assert (file["verdict"], file["verification"]["rule"]) == ("verified", 1)
    assert cli.refused(4, "scan", shelf.artifact, "--trust", "nowhere")["code"] == "io"


def test_malformed_is_worse_and_unreadable_worst(cli: "CommandLine", folder: Path) -> None:
    (folder / "evil.pkl").write_bytes(COMMAND)
    assert cli.run("scan", folder).returncode == 1
    (folder / "cut.pkl").write_bytes(pickle.dumps([1, 2], 4)[:-1])
    assert cli.run("scan", folder).returncode == 3
    done = cli.run("scan", folder, folder / "missing.pkl")
    assert done.returncode == 4
    assert "missing.pkl: unreadable (unknown)\n  no such file" in done.stdout
    assert "cut.pkl: malformed" in done.stdout


def test_what_fails_is_chosen(cli: "CommandLine", folder: Path) -> None:
    assert cli.run("scan", folder, "--fail-on", "strict").returncode == 1
    (folder / "evil.pkl").write_bytes(COMMAND)
    (folder / "cut.pkl").write_bytes(pickle.dumps([1, 2], 4)[:-1])
    assert cli.run("scan", folder, "--fail-on", "dangerous,unsigned").returncode == 1
    assert cli.run("scan", folder, "--fail-on", "not-judged").returncode == 0
    assert cli.run("scan", folder, folder / "none", "--fail-on", "not-judged").returncode == 4
    assert cli.refused(2, "scan", folder, "--fail-on", "dangeros")["hint"] == "did you mean 'dangerous'?"


def test_the_document_is_as_its_schema_says(cli: "CommandLine", folder: Path, shelf: "Shelf") -> None:
    schema = json.loads((ROOT / "docs" / "scan.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    (folder / "own.pkl").write_bytes(CLIP)
    with zipfile.ZipFile(folder / "both.zip", "w") as archive:
        archive.writestr("evil.bin", COMMAND)
    document = cli.document("scan", folder, shelf.artifact, folder / "no", "--trust", shelf.trust, exit_code=4)
    jsonschema.Draft202012Validator(schema).validate(document)
    files = {Path(file["file"]).name: file for file in document["files"]}
    assert document["passed"] is False
    assert document["counts"] == {"dangerous": 2, "unreadable": 1, "unsigned": 2, "verified": 1}
    assert files["own.pkl"]["fails"]
    assert files["own.pkl"]["globals"] == [
        {
            "module": "acme.transformers",
            "name": "Clip",
            "roles": ["build", "newobj"],
            "paths": [""],
            "refused": ["build", "newobj"],
        }
    ]
    assert [member["member"] for member in files["both.zip"]["members"]] == ["evil.bin"]
    assert files["churn.safemodel"]["verification"]["name"] == "acme/churn"


def test_the_examples_of_the_documentation() -> None:
    text = (ROOT / "docs" / "scan.md").read_text(encoding="utf-8")
    (document,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    schema = json.loads((ROOT / "docs" / "scan.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(document))
    (baseline,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(Baseline.from_toml(baseline.encode()).entries) == 1
    assert schema["$defs"]["verdict"]["enum"] == re.findall(
        r"^\| `([a-z-]+)` \|", section(text, "Verdicts"), re.MULTILINE
    )
    rules = re.findall(r"^\| `(SM\d+)` \| (\S+) \| (\S+) \| (\S+) \|", text, re.MULTILINE)
    assert rules == [(rule.id, rule.verdict, rule.level, rule.severity) for rule in RULES]


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_a_baseline_from_writing_to_expiry(cli: "CommandLine", folder: Path) -> None:
    (folder / "own.pkl").write_bytes(CLIP)
    assert cli.run("scan", "models", "--write-baseline", "known.toml").returncode == 1
    known = cli.folder / "known.toml"
    assert cli.refused(4, "scan", "models", "--baseline", known)["code"] == "configuration"  # without a reason
    known.write_text(known.read_text().replace('reason = ""', 'reason = "reviewed by alice"'))
    assert "accepted: reviewed by alice" in cli.good("scan", "models", "--baseline", known)
    assert cli.run("scan", "models", "--write-baseline", known).returncode == 4  # is there already
    cli.good("scan", "models", "--baseline", known, "--write-baseline", known)
    assert "reviewed by alice" in known.read_text()
    file = cli.document("scan", "models", "--baseline", known)["files"][2]
    assert (file["fails"], file["accepted"]) == (False, "reviewed by alice")
    (folder / "own.pkl").write_bytes(CLIP[:-1] + b"0N.")
    done = cli.run("scan", "models", "--baseline", known)
    assert done.returncode == 1
    assert "the baseline's entry for models/own.pkl is not used" in done.stderr
    (folder / "own.pkl").write_bytes(CLIP)
    known.write_text(known.read_text() + "expires = 2020-01-31\n")
    assert cli.run("scan", "models", "--baseline", known).returncode == 1


def test_sarif_to_a_file_and_to_stdout(cli: "CommandLine", folder: Path) -> None:
    (folder / "own.pkl").write_bytes(CLIP)
    done = cli.run("scan", folder, "--sarif", "-")
    assert done.returncode == 1
    log = json.loads(done.stdout)
    assert "own.pkl: dangerous" in cli.run("scan", folder, "--sarif", "log.sarif").stdout
    assert json.loads((cli.folder / "log.sarif").read_text()) == log
    assert cli.run("scan", folder, "--sarif", "-", "--json").returncode == 2


def test_nothing_found(cli: "CommandLine", tmp_path: Path) -> None:
    done = cli.run("scan", tmp_path)
    assert done.returncode == 0
    assert "no model file" in done.stderr


def test_files_that_a_program_lists(cli: "CommandLine", folder: Path) -> None:
    named = [folder / "readme.txt", folder / "good.joblib"]
    assert "readme.txt: not judged (unknown)" in cli.good("scan", *named)
    assert "readme.txt" not in cli.good("scan", "--listed", "--fail-on", "not-judged", *named)
    (folder / "readme.txt").write_bytes(COMMAND)
    assert cli.run("scan", "--listed", *named).returncode == 1


def test_names_that_are_never_allowed(cli: "CommandLine", folder: Path) -> None:
    for name in ("os.system", "Clip"):
        assert cli.refused(4, "scan", folder, "--allow", name)["code"] == "configuration"


def test_nothing_heavy_is_loaded(cli: "CommandLine", folder: Path) -> None:
    done = cli.run("scan", folder, PYTHONPROFILEIMPORTTIME="1")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "safemodel.payload.walk" in loaded
    assert {"numpy", "joblib", "sklearn", "safemodel.scanning.sarif"}.isdisjoint(loaded)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_interrupt_ends_it_and_leaves_nothing_behind(cli: "CommandLine", tmp_path: Path) -> None:
    for number in range(400):
        (tmp_path / f"{number}.pkl").write_bytes(pickle.dumps([list(range(100)) for _ in range(3000)], 2))
    command = [*cli.command, "scan", str(tmp_path)]
    with subprocess.Popen(
        command, env=cli.surroundings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        wait_for(lambda: len(members_of(process.pid)) > 1)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=30) == 130
        wait_for(lambda: members_of(process.pid) == [])


def members_of(group: int) -> list[int]:
    """The processes of a group that have not ended (proc_pid_stat(5))."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            found += [int(folder.name)] if int(its_group) == group and state != "Z" else []
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)
