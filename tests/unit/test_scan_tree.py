"""Scanning trees: in order, by one process or several, and nothing about one file stops the rest."""

import os
import pickle
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import safemodel
from safemodel.errors import ConfigurationError
from safemodel.format.manifest import Counts, Payload
from safemodel.payload import judging
from safemodel.payload.findings import RAW, Region
from safemodel.payload.index import encode_index
from safemodel.payload.verdicts import (
    DANGEROUS,
    MALFORMED,
    NOT_TRUSTED,
    UNCHECKED,
    UNREADABLE,
    UNSIGNED,
    VERIFIED,
    Finding,
)
from safemodel.scanning import pool
from safemodel.scanning.judge import Judge
from safemodel.scanning.tree import Scan, scan_tree
from safemodel.scanning.values import finding_from_value, finding_to_value

COMMAND = b"cos\nsystem\n(S'true'\ntR."
ENDING = (
    "import sys, json, os; setup = json.loads(sys.stdin.buffer.readline()); sys.path[:] = setup['path']; "
    "from safemodel.scanning.process import main; from safemodel.scanning.judge import Judge; real = Judge.member; "
    "Judge.member = lambda self, path, *, named: os._exit(9) if 'crash' in path else real(self, path, named=named); "
    "main(setup)"
)


@pytest.fixture
def tree(tmp_path: Path, churn: Path) -> Path:
    """Some of everything."""
    folder = tmp_path / "tree"
    for number in range(40):
        place = folder / f"{number % 7}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"good{number}.pkl").write_bytes(pickle.dumps([number]))
        (place / f"evil{number}").write_bytes(COMMAND)
        (place / f"text{number}.txt").write_text("text")
    (folder / "cut.pkl").write_bytes(b"\x80\x04]")
    shutil.copy(churn, folder / "churn.safemodel")
    return folder


def scanned(folder: Path, *, processes: int = 1, **options: Any) -> Scan:
    judge = Judge.of(**options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safemodel.scanning.tree.process_count", lambda files: processes)
        return scan_tree([str(folder)], judge)


def verdicts(scan: Scan, folder: Path) -> dict[str, str]:
    return {os.path.relpath(finding.path, folder): finding.verdict for finding in scan.findings}


def test_processes_find_the_same_in_the_same_order(tree: Path, release: Any) -> None:
    one = scanned(tree, trust=[release.public], hashing=True)
    assert scanned(tree, processes=3, trust=[release.public], hashing=True) == one
    assert [finding.path for finding in one.findings] == sorted(finding.path for finding in one.findings)
    assert {finding.verdict for finding in one.findings} == {UNSIGNED, DANGEROUS, MALFORMED, VERIFIED}
    assert one.files == 122


def test_few_small_files_start_no_process(tree: Path) -> None:
    assert pool.process_count([pool.File("a", 10, False)] * 10) == 1
    assert pool.process_count([pool.File("a", 2**40, True)]) == 1
    many = [pool.File("a", 10, False)] * 500
    assert pool.process_count(many) == safemodel.system.thread_count()


def test_a_process_that_ends_takes_one_file_with_it(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("3/crash1", "crash2", "crash3"):
        (tree / name).write_bytes(COMMAND)
    before = verdicts(scanned(tree), tree)
    monkeypatch.setattr(pool, "_START", ENDING)
    found = verdicts(scanned(tree, processes=2), tree)
    assert found == before | {"3/crash1": UNREADABLE, "crash2": UNREADABLE, "crash3": UNREADABLE}


def test_processes_that_do_not_start(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_START", "raise SystemExit(1)")
    with pytest.raises(ConfigurationError):
        scanned(tree, processes=2)


def test_processes_judge_by_the_same_policy_or_not_at_all(tree: Path, release: Any, tmp_path: Path) -> None:
    key = tmp_path / "key.pub"
    shutil.copy(release.public, key)
    safemodel.generate_keyfile(tmp_path / "other.key", passphrase=False)
    judge = Judge.of(trust=[key])
    shutil.copy(tmp_path / "other.key.pub", key)
    files = [pool.File(str(tree / "churn.safemodel"), 1, False)]
    with pytest.raises(ConfigurationError):
        list(pool.judged_by_processes(files, 1, judge))


def test_nothing_is_left_behind_by_who_stops_early(tree: Path) -> None:
    judge = Judge.of()
    files = [pool.File(str(path), 1, False) for path in tree.rglob("*") if path.is_file()]
    results = pool.judged_by_processes(files, 2, judge)
    next(results)
    results.close()  # type: ignore[attr-defined]
    if sys.platform == "linux":
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        commands = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
        assert not [command for command in commands if b"safemodel.scanning.process" in command]


@pytest.mark.parametrize("error", [RecursionError, MemoryError, RuntimeError, PermissionError])
def test_whatever_goes_wrong_with_one_file(error: type[Exception], tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = judging.judge_source

    def judge_source(source: Any, path: str, *arguments: Any, **options: Any) -> Finding | None:
        if path.endswith("evil5"):
            raise error
        return real(source, path, *arguments, **options)

    monkeypatch.setattr("safemodel.scanning.judge.judge_source", judge_source)
    found = verdicts(scanned(tree), tree)
    assert [name for name, verdict in found.items() if verdict == UNREADABLE] == ["5/evil5"]
    assert len(found) == 82


def test_what_is_no_file(tree: Path, tmp_path: Path) -> None:
    before = verdicts(scanned(tree), tree)
    (tree / "link.pkl").symlink_to(tree / "1" / "evil1")
    (tree / "loop").symlink_to(tree)
    (tree / "nowhere").symlink_to("none")
    os.mkfifo(tree / "pipe.pkl")
    with socket.socket(socket.AF_UNIX) as listening, pytest.MonkeyPatch.context() as patch:
        patch.chdir(tree)
        listening.bind("socket.pkl")
        scan = scanned(tree)
    assert verdicts(scan, tree) == before
    assert scan.links == 3
    assert verdicts(scanned(tree / "pipe.pkl"), tree) == {"pipe.pkl": UNREADABLE}
    assert verdicts(scanned(tree / "link.pkl"), tree) == {"link.pkl": DANGEROUS}


def test_a_file_is_judged_once_however_often_it_is_named(tree: Path) -> None:
    judge = Judge.of()
    text = tree / "1" / "text1.txt"
    scan = scan_tree([str(tree), str(tree), str(text), str(text), str(tree / "none")], judge)
    assert len(scan.findings) == 84  # the text and what is not there too, since they were named
    assert scan.files == 122


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
@pytest.mark.parametrize("processes", [1, 2])
def test_names_of_any_bytes(processes: int, tmp_path: Path) -> None:
    names = [b"line\nbreak.pkl", b"\x1b[31mred.pkl", b"\xff\xfe.pkl", b"sp ace%20.pkl", "häßlich.pkl".encode()]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(COMMAND)
    found = scanned(tmp_path, processes=processes).findings
    assert {os.fsencode(Path(finding.path).name) for finding in found} == set(names)
    assert {finding.verdict for finding in found} == {DANGEROUS}


def test_folders_and_files_that_cannot_be_looked_at(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = verdicts(scanned(tree), tree)
    real = os.scandir

    class Vanished:
        path = str(tree / "vanished")

        def stat(self, *, follow_symlinks: bool) -> os.stat_result:
            raise FileNotFoundError(2, "No such file or directory", self.path)

    @contextmanager
    def scandir(path: str) -> Iterator[Any]:
        if path.endswith("3"):
            raise PermissionError(13, "Permission denied", path)
        with real(path) as entries:
            yield [*entries, *([Vanished()] if path == str(tree) else [])]

    monkeypatch.setattr(os, "scandir", scandir)
    kept = {name: verdict for name, verdict in before.items() if not name.startswith("3/")}
    assert verdicts(scanned(tree), tree) == kept | {"3": UNREADABLE, "vanished": UNREADABLE}


def test_progress_reaches_the_end(tree: Path) -> None:
    calls: list[tuple[int, int]] = []
    found = safemodel.scan(tree, progress=lambda done, total: calls.append((done, total)))
    assert len(found) == 82
    assert calls[-1][0] == calls[-1][1] == sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())


def test_a_deep_tree(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(200):
        os.mkdir("deep-enough-folder", dir_fd=here)
        inner = os.open("deep-enough-folder", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    (tmp_path / "evil").write_bytes(COMMAND)
    found = verdicts(scanned(tmp_path), tmp_path)
    assert found.pop("evil") == DANGEROUS
    assert set(found.values()) <= {UNREADABLE}  # past what the system takes for a path
    shutil.rmtree(tmp_path / "deep-enough-folder", ignore_errors=True)


# Artifacts.


def judged(path: Path, **options: Any) -> Finding:
    (finding,) = safemodel.scan(path, **options)
    return finding


def test_an_artifact_by_whom_it_is_signed(churn: Path, release: Any, stranger: Any) -> None:
    assert judged(churn).verdict == UNCHECKED
    finding = judged(churn, trust=release.public)
    assert finding.verdict == VERIFIED
    assert finding.verification is not None
    assert (finding.verification.name, finding.verification.version) == ("acme/churn", "1.4.0")
    assert len(finding.verification.signers) == 1
    finding = judged(churn, trust=stranger.public)
    assert (finding.verdict, finding.code) == (NOT_TRUSTED, "no-trusted-signature")


def test_the_environment_may_name_the_trust(churn: Path, release: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFEMODEL_TRUST", str(release.public))
    assert judged(churn).verdict == VERIFIED


def test_a_policy_names_signer_and_rule(churn: Path, release: Any, tmp_path: Path) -> None:
    shutil.copy(release.public, tmp_path / "release.pub")
    (tmp_path / "trust.toml").write_text(
        'version = 1\n[signers.alice]\nkeys = ["release.pub"]\n[[rules]]\nmodels = ["acme/*"]\nsigners = ["alice"]\n'
    )
    finding = judged(churn, trust=tmp_path, allow=["acme.transformers.Clip"])
    assert finding.verification is not None
    assert (finding.verification.signers, finding.verification.rule) == (("alice",), 1)


def test_another_name_or_another_byte(churn: Path, release: Any, tmp_path: Path) -> None:
    shutil.copy(churn, tmp_path / "fraud.safemodel")
    assert judged(tmp_path / "fraud.safemodel", trust=release.public).code == "name-mismatch"
    data = bytearray(churn.read_bytes())
    data[4096 + 20] ^= 1
    (tmp_path / "churn.safemodel").write_bytes(data)
    finding = judged(tmp_path / "churn.safemodel", trust=release.public)
    assert (finding.verdict, finding.code) in {(NOT_TRUSTED, "digest-mismatch"), (MALFORMED, "digest-mismatch")}
    (tmp_path / "churn.safemodel").write_bytes(data[:-1])
    assert judged(tmp_path / "churn.safemodel", trust=release.public).verdict == MALFORMED


def test_a_detached_signature_counts(churn: Path, release: Any, stranger: Any, tmp_path: Path) -> None:
    path = tmp_path / "churn.safemodel"
    shutil.copy(churn, path)
    safemodel.sign(path, key=stranger.private, trust=release.public, detached=True)
    assert judged(path, trust=stranger.public).verdict == VERIFIED


@pytest.mark.parametrize("trusted", [True, False])
def test_signed_and_dangerous_is_dangerous(
    trusted: bool, forge: Callable[..., Path], release: Any, stranger: Any
) -> None:
    finding = judged(forge(COMMAND), trust=(release if trusted else stranger).public)
    assert finding.verdict == DANGEROUS
    assert [use.name for use in finding.refused] == ["system"]


def test_a_signer_who_hides_what_is_allowed(forge: Callable[..., Path], release: Any) -> None:
    hidden = pickle.dumps(__import__("collections").OrderedDict(), 4)  # allowed, and not in the signed list
    assert judged(forge(hidden), trust=release.public).verdict == MALFORMED


def test_large_arrays_are_verified_and_walked_around(tmp_path: Path, release: Any) -> None:
    path = tmp_path / "large.safemodel"
    safemodel.dump([np.arange(2_000_000), "between", np.arange(2_000_000)], path, key=release.private)
    assert judged(path, trust=release.public).verdict == VERIFIED
    data = bytearray(path.read_bytes())
    data[10_000_000] ^= 1
    path.write_bytes(data)
    assert judged(path, trust=release.public).verdict == NOT_TRUSTED


def test_a_signer_whose_index_names_other_arrays(forge: Callable[..., Path], release: Any) -> None:
    stream = pickle.dumps(b"A" * 200, 4)
    described = Payload("joblib", "1.2", "none", len(stream), (), Counts(10, 1, 1, 1))
    finding = judged(
        forge(stream, description=described, index=encode_index([Region(20, 20, 100, RAW)])), trust=release.public
    )
    assert finding.verdict == MALFORMED
    assert finding.code == judged(forge(stream, index=b"no index"), trust=release.public).code


def test_memory_that_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "_memory", judging._memory)
    judging.reuse_memory()
    monkeypatch.setattr(judging, "_REUSED_MAX", 1_000)
    for size in (10, 500, 20, 5_000):
        (tmp_path / "model.joblib").write_bytes(pickle.dumps(b"A" * size))
        assert judged(tmp_path / "model.joblib").verdict == UNSIGNED


def test_findings_survive_the_way_between_processes(tree: Path, release: Any) -> None:
    for finding in scanned(tree, trust=[release.public], hashing=True).findings:
        assert finding_from_value(finding_to_value(finding)) == finding
