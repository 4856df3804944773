"""SARIF: valid by the published schema, stable, and within what GitHub takes."""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import jsonschema
import pytest

from safemodel.payload.findings import GlobalUse
from safemodel.payload.verdicts import (
    DANGEROUS,
    MALFORMED,
    NOT_TRUSTED,
    UNREADABLE,
    UNSIGNED,
    VERDICTS,
    VERIFIED,
    Finding,
)
from safemodel.scanning import sarif
from safemodel.scanning.baseline import Accepted
from safemodel.scanning.places import uri_of
from safemodel.scanning.sarif import MESSAGE_MAX, RESULTS_MAX, RULES, to_sarif

SCHEMA = Path(__file__).parent.parent / "vectors" / "sarif" / "sarif-schema-2.1.0.json"
VALIDATOR = jsonschema.Draft7Validator(
    json.loads(SCHEMA.read_text(encoding="utf-8")), format_checker=jsonschema.FormatChecker()
)
USE = GlobalUse("os", "system", ("call",), ("steps[0]", ""))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run_of(findings: Iterable[tuple[Finding, Accepted | None]], exit_code: int = 1) -> dict[str, Any]:
    """The only run, of a log that the schema accepts."""
    log = json.loads(json.dumps(to_sarif(findings, exit_code)))
    VALIDATOR.validate(log)
    (run,) = log["runs"]
    assert isinstance(run, dict)
    return run


def evil(path: str = "models/evil.pkl", **fields: Any) -> Finding:
    given = {"kind": "pickle", "globals": (USE,), "refused": (USE,), "reason": "it"} | fields
    return Finding(path, verdict=DANGEROUS, **given)


def test_every_verdict_that_can_fail_has_a_rule() -> None:
    assert {rule.verdict for rule in RULES} == set(VERDICTS) - {VERIFIED}
    for verdict in set(VERDICTS) - {VERIFIED}:
        (result,) = run_of([(Finding("a", "pickle", verdict, reason="why"), None)])["results"]
        assert RULES[result["ruleIndex"]].verdict == verdict
        assert RULES[result["ruleIndex"]].id == result["ruleId"]


def test_rules_help_and_stay_within_limits() -> None:
    rules = run_of([])["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["help"]["markdown"]
        assert max(len(rule[part]["text"]) for part in ("shortDescription", "fullDescription", "help")) <= 1024
        assert len(rule["properties"]["tags"]) <= 10
        assert 0 < float(rule["properties"]["security-severity"]) <= 10


def test_one_result_for_each_global_of_a_file() -> None:
    other = GlobalUse("builtins", "eval", ("reference",), ())
    results = run_of([(evil(refused=(USE, other)), None)])["results"]
    assert len(results) == 2
    assert "os.system (call) at steps[0], the model itself" in results[0]["message"]["text"]
    location = results[0]["locations"][0]
    assert location["physicalLocation"]["artifactLocation"] == {"uri": "models/evil.pkl", "uriBaseId": "%SRCROOT%"}
    assert [place["fullyQualifiedName"] for place in location["logicalLocations"]] == ["steps[0]", "the model itself"]


def test_members_are_logical_locations() -> None:
    finding = evil(members=(evil("a/data.pkl"), Finding("b", "pickle", UNSIGNED)))
    (result,) = run_of([(finding, None)])["results"]
    assert result["locations"][0]["logicalLocations"] == [{"fullyQualifiedName": "a/data.pkl", "kind": "member"}]


def test_fingerprints_are_of_rule_path_and_global(tmp_path: Path) -> None:
    def prints(finding: Finding) -> dict[str, str]:
        (result,) = run_of([(finding, None)])["results"]
        found: dict[str, str] = result["partialFingerprints"]
        return found

    assert prints(evil()) == prints(evil(sha256="ab" * 32, reason="else", kind="joblib"))
    assert prints(evil()) == prints(evil(str(tmp_path / "models" / "evil.pkl")))
    assert len({json.dumps(prints(each)) for each in (evil(), evil("other"), evil(refused=()))}) == 3


def test_what_is_accepted_is_suppressed_with_its_reason() -> None:
    entry = Accepted("models/evil.pkl", "ab" * 32, DANGEROUS, ("os.system",), "reviewed", None)
    new, known = run_of([(evil(), entry), (evil("z"), None)])["results"]
    assert new["suppressions"] == []
    assert known["suppressions"] == [{"kind": "external", "status": "accepted", "justification": "reviewed"}]


def test_the_worst_come_first_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RESULTS_MAX == 25_000
    monkeypatch.setattr(sarif, "RESULTS_MAX", 4)
    kinds = (UNSIGNED, UNREADABLE, MALFORMED, NOT_TRUSTED, DANGEROUS, DANGEROUS)
    run = run_of([(Finding(f"{number}", "pickle", verdict), None) for number, verdict in enumerate(kinds)])
    assert [result["ruleId"] for result in run["results"]] == ["SM001", "SM001", "SM002", "SM003"]
    (notice,) = run["invocations"][0]["toolExecutionNotifications"]
    assert notice["message"]["text"].startswith("2 results")
    assert run_of([])["invocations"][0]["toolExecutionNotifications"] == []


def test_a_hostile_file_with_very_many_globals() -> None:
    uses = tuple(GlobalUse("m", f"n{number}", ("call",), ()) for number in range(RESULTS_MAX + 5))
    log = to_sarif([(evil(refused=uses), None)], 1)
    assert len(log["runs"][0]["results"]) == RESULTS_MAX


def test_long_and_hostile_texts() -> None:
    use = GlobalUse("m\x1b[31m\ud800", "n" * 5000, ("call",), ("\u202e",))
    (result,) = run_of([(evil("\x1b\n\udcff.pkl", refused=(use,)), None)])["results"]
    text = result["message"]["text"]
    assert len(text) <= MESSAGE_MAX
    assert text.isprintable()


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
@pytest.mark.parametrize(
    "name", [b"sp ace", b"100%", b"\xff\xfe", b"a#b?c", "ä".encode(), b"c:d", b"line\nbreak", b"a/b"]
)
def test_uris_hold_every_name(name: bytes, tmp_path: Path) -> None:
    uri = uri_of(os.fsdecode(name))
    assert uri.isascii()
    assert not set(uri) & set(" #?\n")
    assert os.path.normpath(unquote_to_bytes(uri)) == name
    (result,) = run_of([(evil(os.fsdecode(name)), None)])["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_files_elsewhere_have_whole_uris() -> None:
    assert uri_of("/etc/some file") == "file:///etc/some%20file"
    (result,) = run_of([(evil("/etc/x"), None)])["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "file:///etc/x"}
