"""Findings as plain maps and lists, for `--json` (docs/scan.schema.json) and between processes."""

from collections.abc import Iterable
from typing import Any

from safemodel.payload.findings import GlobalUse
from safemodel.payload.verdicts import Finding, Verification


def finding_to_value(finding: Finding) -> dict[str, Any]:
    """Return a finding as the JSON document has it."""
    return {
        "file": finding.path,
        "kind": finding.kind,
        "verdict": finding.verdict,
        "globals": _uses_to_value(finding.globals, finding.refused),
        "reason": finding.reason,
        "hint": finding.hint,
        "code": finding.code,
        "members": [
            {
                "member": member.path,
                "kind": member.kind,
                "verdict": member.verdict,
                "globals": _uses_to_value(member.globals, member.refused),
                "reason": member.reason,
                "hint": member.hint,
                "code": member.code,
            }
            for member in finding.members
        ],
        "verification": _verification_to_value(finding.verification),
        "sha256": finding.sha256 or None,
    }


def finding_from_value(value: dict[str, Any]) -> Finding:
    """Return the finding that `finding_to_value` had."""
    uses, refused = _uses_from_value(value["globals"])
    verification = value["verification"]
    return Finding(
        value["file"],
        value["kind"],
        value["verdict"],
        uses,
        refused,
        value["reason"],
        value["hint"],
        value["code"],
        tuple(
            Finding(
                member["member"],
                member["kind"],
                member["verdict"],
                *_uses_from_value(member["globals"]),
                reason=member["reason"],
                hint=member["hint"],
                code=member["code"],
            )
            for member in value["members"]
        ),
        verification
        and Verification(
            verification["name"],
            verification["version"],
            verification["digest"],
            tuple(verification["signers"]),
            verification["rule"],
            tuple(verification["warnings"]),
        ),
        value["sha256"] or "",
    )


def _uses_to_value(uses: Iterable[GlobalUse], refused: Iterable[GlobalUse]) -> list[dict[str, Any]]:
    roles = {(use.module, use.name): use.roles for use in refused}
    return [
        {
            "module": use.module,
            "name": use.name,
            "roles": use.roles,
            "paths": use.paths,
            "refused": roles.get((use.module, use.name), ()),
        }
        for use in uses
    ]


def _uses_from_value(values: list[dict[str, Any]]) -> tuple[tuple[GlobalUse, ...], tuple[GlobalUse, ...]]:
    uses = tuple(
        GlobalUse(value["module"], value["name"], tuple(value["roles"]), tuple(value["paths"])) for value in values
    )
    refused = tuple(
        GlobalUse(use.module, use.name, tuple(value["refused"]), use.paths)
        for use, value in zip(uses, values, strict=True)
        if value["refused"]
    )
    return uses, refused


def _verification_to_value(verification: Verification | None) -> dict[str, Any] | None:
    if verification is None:
        return None
    return {
        "name": verification.name,
        "version": verification.version,
        "digest": verification.digest,
        "signers": verification.signers,
        "rule": verification.rule,
        "warnings": verification.warnings,
    }
