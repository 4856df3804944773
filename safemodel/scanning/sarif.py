"""Findings as SARIF 2.1.0, within what GitHub takes.

GitHub reads at most 25,000 results of a run, shows the first 5,000 of them by severity, and takes at most 20 tags of a
rule and 1,000 locations of a result ("SARIF results exceed one or more limits", docs.github.com): so the worst come
first, each result is one global of one file, and a notification says how many were left out. Fingerprints are made of
what is found and where, never of lines or bytes: a finding stays the same one when its file changes.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from safemodel.payload.allowance import describe, spell
from safemodel.payload.findings import GlobalUse
from safemodel.payload.verdicts import (
    DANGEROUS,
    MALFORMED,
    NOT_JUDGED,
    NOT_TRUSTED,
    UNCHECKED,
    UNREADABLE,
    UNSIGNED,
    Finding,
)
from safemodel.scanning.baseline import Accepted
from safemodel.scanning.places import is_relative, uri_of
from safemodel.version import VERSION

RESULTS_MAX: Final = 25_000
MESSAGE_MAX: Final = 1_000  # characters; GitHub takes 1,024 of a rule's texts

_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_ROOT: Final = "%SRCROOT%"
_DOCUMENT: Final = "docs/scan.md"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a verdict, as SARIF and GitHub describe it.

    Attributes:
        id: stable.
        name: for programs.
        verdict: what it stands for.
        level: of SARIF: error, warning or note.
        severity: of GitHub's `security-severity`, 0.0 to 10.0.
        title: one sentence.
        help: what it means and what to do.
    """

    id: str
    name: str
    verdict: str
    level: str
    severity: str
    title: str
    help: str


# From worst to best.
RULES: Final = (
    Rule(
        "SM001",
        "DangerousGlobal",
        DANGEROUS,
        "error",
        "9.8",
        "The model reaches for code that is not allowed.",
        "Loading the file with pickle, joblib or PyTorch would import and may call this global, whoever signed it. Do "
        "not load it. If you know the code and trust it, allow the exact name with --allow or in the rule of a trust "
        "policy; if this very file was reviewed, accept it in a baseline.",
    ),
    Rule(
        "SM002",
        "NotTrusted",
        NOT_TRUSTED,
        "error",
        "8.0",
        "The trust policy does not accept the artifact's signatures, name or version.",
        "Nobody whom the policy trusts for this model vouches for these bytes: the signature is missing, by another "
        "key, revoked or expired, or the file was changed or renamed. Get it from its signer, or change the policy.",
    ),
    Rule(
        "SM003",
        "Malformed",
        MALFORMED,
        "error",
        "7.0",
        "The file cannot be followed exactly.",
        "It is damaged, or made so that scanners and loaders see different things. safemodel refuses to load it; other "
        "loaders may run what stands before the damage. Replace it by a file that its writer has just written.",
    ),
    Rule(
        "SM004",
        "Unreadable",
        UNREADABLE,
        "warning",
        "5.0",
        "The file could not be read.",
        "Nothing is known of it. Check who may read it, whether it is complete, and how much memory there is.",
    ),
    Rule(
        "SM005",
        "NotJudged",
        NOT_JUDGED,
        "warning",
        "4.0",
        "The file is a model of a kind that is not judged.",
        "safemodel names this format and does not look into it. Use the tools of its makers.",
    ),
    Rule(
        "SM006",
        "Unsigned",
        UNSIGNED,
        "warning",
        "3.0",
        "Nobody vouches for the model.",
        "It reaches for allowed globals only, and whoever can write to the folder can replace it. Sign it with "
        "safemodel pack.",
    ),
    Rule(
        "SM007",
        "SignatureNotChecked",
        UNCHECKED,
        "note",
        "2.0",
        "The artifact's signature was not checked.",
        "No trust was given to the scan. Name a trust folder or a key: safemodel scan --trust.",
    ),
)
_NUMBERS: Final = {rule.verdict: number for number, rule in enumerate(RULES)}


def to_sarif(findings: Iterable[tuple[Finding, Accepted | None]], exit_code: int) -> dict[str, Any]:
    """Return a SARIF log of one run.

    Args:
        findings: those to report, each with the entry of the baseline that accepts it, or None.
        exit_code: of the command.
    """
    ordered = sorted(findings, key=lambda pair: (pair[1] is not None, _NUMBERS[pair[0].verdict], pair[0].path))
    results = [result for finding, accepted in ordered for result in _results(finding, accepted)]
    left_out = results[RESULTS_MAX:]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "safemodel",
                        "version": VERSION,
                        "rules": [_rule(rule) for rule in RULES],
                    }
                },
                "originalUriBaseIds": {_ROOT: {"description": {"text": "The folder that the scan ran in."}}},
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "exitCode": exit_code,
                        "toolExecutionNotifications": list(_notifications(len(left_out))),
                    }
                ],
                "columnKind": "unicodeCodePoints",
                "results": results[:RESULTS_MAX],
            }
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.help},
        "help": {"text": rule.help, "markdown": f"**{rule.title}**\n\n{rule.help} See `{_DOCUMENT}`."},
        "defaultConfiguration": {"level": rule.level},
        "properties": {
            "tags": ["security", "supply-chain", "external/cwe/cwe-502"],
            "precision": "very-high",
            "security-severity": rule.severity,
        },
    }


def _results(finding: Finding, accepted: Accepted | None) -> Iterator[dict[str, Any]]:
    if not finding.refused:
        yield _result(finding, accepted, finding.reason or finding.kind, "", [])
    for use in finding.refused:
        yield _result(finding, accepted, f"reaches for {describe(use)}", spell(use), list(_logical(finding, use)))


def _result(
    finding: Finding, accepted: Accepted | None, what: str, subject: str, logical: list[dict[str, str]]
) -> dict[str, Any]:
    rule = RULES[_NUMBERS[finding.verdict]]
    uri = uri_of(finding.path)
    fingerprint = hashlib.sha256("\0".join((rule.id, uri, subject)).encode("utf-8", "backslashreplace")).hexdigest()
    location = {"uri": uri, "uriBaseId": _ROOT} if is_relative(uri) else {"uri": uri}
    result: dict[str, Any] = {
        "ruleId": rule.id,
        "ruleIndex": _NUMBERS[finding.verdict],
        "level": rule.level,
        "message": {"text": _shortened(f"{finding.kind}: {finding.verdict.replace('-', ' ')}: {what}")},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": location, "region": {"startLine": 1}},
                **({"logicalLocations": logical} if logical else {}),
            }
        ],
        # The first is the one that GitHub compares; without it, it would hash lines of a file that has none.
        "partialFingerprints": {"primaryLocationLineHash": f"{fingerprint[:16]}:1", "safemodelFinding/v1": fingerprint},
        "suppressions": [],
    }
    if accepted is not None:
        result["suppressions"] = [
            {"kind": "external", "status": "accepted", "justification": _shortened(accepted.reason)}
        ]
    return result


def _logical(finding: Finding, use: GlobalUse) -> Iterator[dict[str, str]]:
    """Where in the file: the members of an archive that hold the global, or its places in the model."""
    holding = [
        member.path
        for member in finding.members
        if any((inner.module, inner.name) == (use.module, use.name) for inner in member.refused)
    ]
    for name in holding[:100]:
        yield {"fullyQualifiedName": _visible(name), "kind": "member"}
    for place in () if holding else use.paths:
        yield {"fullyQualifiedName": _visible(place) or "the model itself", "kind": "object"}


def _notifications(left_out: int) -> Iterator[dict[str, Any]]:
    if left_out:
        text = f"{left_out} results beyond {RESULTS_MAX} were left out, the least severe ones; see --json for all"
        yield {"level": "warning", "message": {"text": text}, "descriptor": {"id": "results-left-out"}}


def _shortened(text: str) -> str:
    shown = _visible(text)
    return shown if len(shown) <= MESSAGE_MAX else f"{shown[: MESSAGE_MAX - 3]}..."


def _visible(text: str) -> str:
    """Names in a hostile file may hold anything: what is not visible is escaped, lone surrogates included."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)
