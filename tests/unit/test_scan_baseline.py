"""The baseline: exactly what was accepted, for exactly these bytes, for a reason, and not for longer."""

from pathlib import Path

import pytest

from safemodel.errors import ConfigurationError
from safemodel.payload.findings import GlobalUse
from safemodel.payload.verdicts import DANGEROUS, MALFORMED, Finding
from safemodel.scanning.baseline import Accepted, Baseline

DIGEST = "ab" * 32
USE = GlobalUse("acme", "Clip", ("newobj",), ("",))
ENTRY = Accepted("own.pkl", DIGEST, DANGEROUS, ("acme.Clip",), "reviewed", None)
GOOD = f'version = 1\n[[accepted]]\npath = "own.pkl"\nsha256 = "{DIGEST}"\nverdict = "dangerous"\nreason = "reviewed"\n'


def finding(**changes: object) -> Finding:
    fields = {"path": "own.pkl", "kind": "pickle", "verdict": DANGEROUS, "refused": (USE,), "sha256": DIGEST} | changes
    return Finding(**fields)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_was_accepted_is() -> None:
    assert Baseline((ENTRY,)).accepting(finding(), 0) is ENTRY
    assert Baseline((ENTRY,)).accepting(finding(path="./own.pkl"), 0) is ENTRY
    assert Baseline((ENTRY,)).accepting(finding(refused=()), 0) is ENTRY


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "other.pkl"},
        {"sha256": "cd" * 32},
        {"sha256": ""},
        {"verdict": MALFORMED},
        {"refused": (USE, GlobalUse("os", "system", ("call",), ("",)))},
    ],
)
def test_anything_else_is_not(changes: dict[str, object]) -> None:
    baseline = Baseline((ENTRY,))
    assert baseline.accepting(finding(**changes), 0) is None
    assert [entry for entry, _ in baseline.unused([finding(**changes)], 0)] == [ENTRY]


def test_it_ends() -> None:
    entry = Accepted("own.pkl", DIGEST, DANGEROUS, ("acme.Clip",), "reviewed", 100)
    baseline = Baseline((entry,))
    assert baseline.accepting(finding(), 99) is entry
    assert list(baseline.unused([finding()], 99)) == []
    assert baseline.accepting(finding(), 100) is None
    assert [found for found, _ in baseline.unused([finding()], 100)] == [entry]


def test_what_is_written_reads_back() -> None:
    entries = (ENTRY, Accepted("a%20b/%FF.pkl", DIGEST, MALFORMED, (), 'said "yes"\nto \\ it, Jürgen', 1_800_000_000))
    assert Baseline.from_toml(Baseline(entries).to_toml().encode()) == Baseline(entries)
    assert Baseline.from_toml(b"version = 1\n") == Baseline()


def test_reasons_stay_when_it_is_written_again() -> None:
    written = Baseline((ENTRY,)).extended([finding(), finding(path="new.pkl")], 0)
    assert [entry.reason for entry in written.entries] == ["reviewed", ""]
    with pytest.raises(ConfigurationError):
        Baseline.from_toml(written.to_toml().encode())


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("version = 2\n", "docs/scan.md"),
        ("", "docs/scan.md"),
        ("version = 1\nacepted = []\n", "'accepted'"),
        ("version = 1\naccepted = 1\n", "docs/scan.md"),
        ("version = 1\n[[accepted]]\n", "docs/scan.md"),
        (GOOD.replace("reason =", "reasn ="), "'reason'"),
        (GOOD.replace('"reviewed"', '""'), ""),
        (GOOD.replace('"reviewed"', '"  "'), ""),
        (GOOD.replace(DIGEST, DIGEST.upper()), "docs/scan.md"),
        (GOOD.replace(DIGEST, "ab"), "docs/scan.md"),
        (GOOD.replace('"dangerous"', '"dangeros"'), "'dangerous'"),
        (GOOD.replace('verdict = "dangerous"\n', ""), "docs/scan.md"),
        (GOOD + 'expires = "soon"\n', "docs/scan.md"),
        (GOOD + "globals = [1]\n", "docs/scan.md"),
        ("version = \xff", "docs/scan.md"),
        ("[" * 10_000, "docs/scan.md"),
    ],
)
def test_anything_doubtful_is_refused(text: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "known.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"known\.toml") as caught:
        Baseline.read("known.toml")
    assert hint in caught.value.hint


def test_one_that_is_too_large(tmp_path: Path) -> None:
    with open(tmp_path / "known.toml", "wb") as file:
        file.truncate(2**30)
    with pytest.raises(ConfigurationError):
        Baseline.read("known.toml")
