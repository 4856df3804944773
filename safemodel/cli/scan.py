"""`safemodel scan`: judge which code models reach for, without keys and without unpickling."""

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import safemodel
from safemodel.cli import output
from safemodel.cli.failure import MALFORMED, NOT_TRUSTED, UNUSABLE, VERIFIED, Failure, worst
from safemodel.cli.options import add_allow, add_json, completing_files
from safemodel.payload import verdicts
from safemodel.payload.allowance import catalogue_with, describe

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
Joblib and pickle files and artifacts are recognized by their content, compressed and misnamed ones too. In
folders, other files are passed over and symbolic links are not followed. Allowed means that a model reaches
for no code that the catalogue does not list. It does not say who made it: for that, take safemodel verify.

examples:
  safemodel scan churn.joblib
  safemodel scan models/ --json
  safemodel scan churn.pkl --allow acme.transformers.Clip

exit codes:
  0 all allowed, 1 something not allowed, 3 malformed, 4 unreadable; for several the worst, in the order 4, 3, 1

--json:
  {"allowed": true or false, "files": [FILE...]} where each FILE is one of
  {"file", "kind", "verdict", "globals": [{"module", "name", "roles", "paths", "refused"}], "reason", "hint"}
  {"file", "error": {"code", "message", "hint"}}
  and "refused" are the roles that are not allowed
"""

_EXIT_CODES: Final = {
    verdicts.ALLOWED: VERIFIED,
    verdicts.NOT_ALLOWED: NOT_TRUSTED,
    verdicts.MALFORMED: MALFORMED,
    verdicts.UNREADABLE: UNUSABLE,
}


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "scan",
        help="judge which code models reach for, without unpickling",
        description="Judge which code joblib files, pickles and artifacts reach for, without keys or unpickling.",
        epilog=_EPILOG,
    )
    completing_files(parser.add_argument("paths", metavar="PATH", nargs="+", help="file, or folder to search"))
    add_allow(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Scan each path, and return the worst exit code."""
    catalogue_with(arguments.allow)  # refuses what can never be allowed, before any file is read
    outcomes = []
    for path in arguments.paths:
        for outcome in _scan(path, arguments.allow):
            outcome.show(quiet=arguments.json)
            outcomes.append(outcome)
    exit_code = worst([VERIFIED, *(outcome.exit_code for outcome in outcomes)])
    if arguments.json:
        files = [outcome.to_value() for outcome in outcomes]
        output.document({"allowed": exit_code == VERIFIED, "files": files})
    else:
        output.note(_summary(outcomes))
    return exit_code


@dataclass(frozen=True, slots=True)
class _Judged:
    """A file with a verdict."""

    finding: safemodel.Finding

    @property
    def exit_code(self) -> int:
        return _EXIT_CODES[self.finding.verdict]

    @property
    def verdict(self) -> str:
        return self.finding.verdict

    def show(self, *, quiet: bool) -> None:
        if not quiet:
            output.result(*_lines(self.finding))

    def to_value(self) -> dict[str, Any]:
        finding = self.finding
        refused = {(use.module, use.name): use.roles for use in finding.refused}
        return {
            "file": finding.path,
            "kind": finding.kind,
            "verdict": finding.verdict,
            "globals": [
                {
                    "module": use.module,
                    "name": use.name,
                    "roles": use.roles,
                    "paths": use.paths,
                    "refused": refused.get((use.module, use.name), ()),
                }
                for use in finding.globals
            ],
            "reason": finding.reason,
            "hint": finding.hint,
        }


@dataclass(frozen=True, slots=True)
class _Failed:
    """A path that could not be scanned."""

    path: str
    failure: Failure
    verdict: str = verdicts.UNREADABLE

    @property
    def exit_code(self) -> int:
        return self.failure.exit_code

    def show(self, *, quiet: bool) -> None:
        self.failure.show()

    def to_value(self) -> dict[str, Any]:
        return {"file": self.path, "error": self.failure.to_value()}


def _scan(path: str, allow: list[str] | None) -> Iterator[_Judged | _Failed]:
    try:
        yield from map(_Judged, safemodel.scan(path, allow=allow))
    except Exception as error:
        yield _Failed(path, Failure.of(error, about=path))


def _lines(finding: safemodel.Finding) -> Iterator[str]:
    yield f"{finding.path}: {finding.verdict.replace('-', ' ')} ({finding.kind})"
    for reason in [describe(use) for use in finding.refused] or [finding.reason]:
        if reason:
            yield f"  {reason}"
    if finding.hint:
        yield f"  hint: {finding.hint}"


def _summary(outcomes: list[_Judged | _Failed]) -> str:
    counts = Counter(outcome.verdict.replace("-", " ") for outcome in outcomes)
    parts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    return f"safemodel: {parts}" if parts else "safemodel: no joblib or pickle file and no artifact was found"
