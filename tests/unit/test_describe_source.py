"""The commit is that of the checkout around the working directory, and asking for it runs nothing that it names."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import safemodel
from safemodel.describe import source
from safemodel.describe.source import describe_source

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """Run git in a checkout of one commit, which is the working directory."""
    command = shutil.which("git")
    if command is None:
        pytest.skip("the git command is not installed")
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> str:
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        done = subprocess.run([command, *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    run("init", "--quiet")
    (folder / "train.py").write_text("print()\n")
    run("add", "train.py")
    run("commit", "--quiet", "--message", "first")
    return run


def test_a_clean_checkout(git: Git) -> None:
    Path("output.safemodel").touch()  # untracked files are no change
    assert describe_source() == {"commit": git("rev-parse", "HEAD"), "dirty": False}


def test_a_changed_or_staged_file_is_dirty(git: Git) -> None:
    Path("train.py").write_text("changed\n")
    assert describe_source()["dirty"]
    git("add", "train.py")
    assert describe_source()["dirty"]
    git("commit", "--quiet", "--message", "second")
    assert not describe_source()["dirty"]


def test_a_folder_below(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("deep/er").mkdir(parents=True)
    monkeypatch.chdir("deep/er")
    assert describe_source()["commit"] == git("rev-parse", "HEAD")


def test_a_detached_head_and_a_worktree(git: Git, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    git("worktree", "add", "--quiet", "--detach", str(tmp_path / "other"))
    monkeypatch.chdir(tmp_path / "other")
    assert describe_source() == {"commit": git("rev-parse", "HEAD"), "dirty": False}


def test_no_commit_yet(git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "--quiet", str(tmp_path / "empty"))
    monkeypatch.chdir(tmp_path / "empty")
    assert describe_source() == {}


def test_no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(source, "_git", lambda *_: pytest.fail("git was asked"))
    assert describe_source() == {}


def test_another_checkout_in_the_environment_is_not_meant(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """As inside a hook, where git sets these."""
    monkeypatch.setenv("GIT_DIR", os.devnull)
    monkeypatch.setenv("GIT_INDEX_FILE", os.devnull)
    monkeypatch.setenv("GIT_TRACE", str(Path.cwd() / "trace"))
    assert not describe_source()["dirty"]
    assert not Path("trace").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="commands of the shell")
def test_nothing_that_the_checkout_names_runs(git: Git, tmp_path: Path) -> None:
    canary, command = tmp_path / "canary", tmp_path / "command"
    command.write_text(f"#!/bin/sh\necho $0 $@ >> '{canary}'\ncat\n")
    command.chmod(0o755)
    for name in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
        shutil.copy(command, Path(".git/hooks") / name)
    Path(".gitattributes").write_text("* filter=evil\n")
    git("config", "extensions.worktreeConfig", "true")
    Path(".git/included").write_text(f'[filter "more"]\n\tprocess = {command}\n\trequired = true\n')
    for setting in (
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "filter.evil.clean",
        "gpg.program",
    ):
        git("config", setting, str(command))
    git("config", "--worktree", "filter.evil.process", str(command))
    git("config", "include.path", "included")
    git("config", "status.submoduleSummary", "true")
    Path("train.py").write_text("Changed\n")
    os.utime("train.py", (1, 1))
    before = (Path(".git/index").read_bytes(), canary.exists())
    assert describe_source()["dirty"]
    assert (Path(".git/index").read_bytes(), canary.exists()) == before
    assert not canary.exists()
    subprocess.run(["git", "status"], check=False, capture_output=True)
    assert canary.exists(), "these settings would have run"


@pytest.mark.skipif(sys.platform == "win32", reason="commands of the shell")
def test_a_filter_that_cannot_be_turned_off_leaves_the_answer_out(git: Git) -> None:
    git("config", "filter.a=b.clean", "false")
    assert describe_source() == {}


@pytest.mark.skipif(sys.platform == "win32", reason="commands of the shell")
@pytest.mark.parametrize("script", ["exit 1", "exit 128", "echo '# branch.oid (initial)'", "sleep 60", "echo; echo"])
def test_a_git_that_fails(script: str, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(source, "_SECONDS_MAX", 0.2)
    assert describe_source() == {}


def test_no_git(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert describe_source() == {}
    monkeypatch.setattr(shutil, "which", lambda name: f".{os.sep}{name}")  # of the working directory, as on Windows
    assert describe_source() == {}


def test_dump_signs_the_commit_and_pack_does_not(git: Git, release: Any) -> None:
    git("remote", "add", "origin", "https://user:secret@example.org/repository")
    safemodel.dump([1], "churn.safemodel", key=release.private, notes="# Churn")
    found = safemodel.inspect("churn.safemodel").manifest.training
    assert found == {"source": {"commit": git("rev-parse", "HEAD"), "dirty": False}, "notes": "# Churn"}
    safemodel.extract("churn.safemodel", "out", trust=release.public)
    safemodel.pack("out/payload.joblib", "churn.safemodel", key=release.private)
    assert safemodel.inspect("churn.safemodel").manifest.training == {}


def test_no_thread_is_left_whatever_becomes_of_the_dump(git: Git, release: Any) -> None:
    safemodel.dump([1], "churn.safemodel", key=release.private)
    with pytest.raises(safemodel.PayloadError):
        safemodel.dump([lambda: 1], "churn.safemodel", key=release.private)
    assert all(thread.name != "safemodel-git" for thread in threading.enumerate())
