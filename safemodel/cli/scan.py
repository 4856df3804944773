"""`safemodel scan`: judge the models of whole trees, without unpickling, for people and for CI."""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from safemodel.arguments import now
from safemodel.cli import output
from safemodel.cli.failure import MALFORMED, NOT_TRUSTED, UNUSABLE, VERIFIED, UsageError, worst
from safemodel.cli.options import add_allow, add_json, add_trust, completing_files
from safemodel.cli.progress import progress
from safemodel.errors import ConfigurationError
from safemodel.payload import verdicts
from safemodel.payload.allowance import describe
from safemodel.payload.verdicts import Finding
from safemodel.scanning.baseline import ACCEPTABLE, Accepted, Baseline
from safemodel.scanning.judge import Judge
from safemodel.scanning.tree import Scan, scan_tree
from safemodel.scanning.values import finding_to_value
from safemodel.trust.fields import one_of

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
Model files are found by their content, whatever their names: artifacts, pickles, what joblib writes and
compresses, and pickles inside of ZIP, NumPy and PyTorch archives. Others are named and not judged: skops, ONNX,
safetensors, HDF5, Keras, GGUF. In folders, all else is passed over, and symbolic links are not followed.

verdicts:
  verified       an artifact that the trust policy accepts, every byte checked
  unchecked      an artifact with allowed globals only; without --trust its signatures are not checked
  unsigned       allowed globals only, and nobody vouches for it
  not-judged     a kind that is only named
  not-trusted    an artifact that the trust policy refuses
  malformed      it cannot be followed exactly
  dangerous      it reaches for a global that is not allowed, whoever signed it
  unreadable     it could not be read

--fail-on takes verdicts, separated by commas, or default (dangerous,malformed,not-trusted) or strict, which adds
not-judged, unchecked and unsigned. A file that could not be read always fails.

examples:
  safemodel scan models/
  safemodel scan . --trust keys --fail-on strict
  safemodel scan . --trust keys --baseline scan-baseline.toml --sarif scan.sarif
  safemodel scan . --write-baseline scan-baseline.toml
  safemodel scan churn.pkl --allow acme.transformers.Clip

exit codes:
  0 nothing fails, 1 dangerous, not trusted, or what else --fail-on names, 3 malformed, 4 unreadable, or a key or
  configuration; for several the worst, in the order 4, 3, 1

--json: docs/scan.md, and as a schema docs/scan.schema.json
  {"version": 1, "passed": true or false, "files": [FILE...], "counts": {VERDICT: number}, "scanned", "links",
   "unused": [{"path", "sha256", "why"}]}
"""

_DEFAULT: Final = (verdicts.DANGEROUS, verdicts.MALFORMED, verdicts.NOT_TRUSTED)
_EXIT_CODES: Final = {verdicts.MALFORMED: MALFORMED, verdicts.UNREADABLE: UNUSABLE}


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "scan",
        help="judge the models of whole trees, without unpickling",
        description="Find model files, and judge which code they reach for and who signed them, without unpickling.",
        epilog=_EPILOG,
    )
    completing_files(parser.add_argument("paths", metavar="PATH", nargs="+", help="file, or folder to search"))
    add_trust(parser)
    add_allow(parser)
    parser.add_argument("--fail-on", metavar="VERDICTS", default="default", help="what makes the exit code (see below)")
    completing_files(parser.add_argument("--baseline", metavar="FILE", help="findings that are known and accepted"))
    completing_files(
        parser.add_argument("--write-baseline", metavar="FILE", help="write what fails, with reasons to be filled in")
    )
    parser.add_argument("--listed", action="store_true", help="a program lists the PATHs: pass over what is no model")
    completing_files(parser.add_argument("--sarif", metavar="FILE", help="write SARIF 2.1.0; - stands for stdout"))
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Scan, and return the worst exit code of what fails."""
    failing = _failing(arguments.fail_on)
    if arguments.json and arguments.sarif == output.STDOUT:
        raise UsageError("--json and --sarif - both want stdout", hint="name a file: --sarif scan.sarif")
    baseline = Baseline() if arguments.baseline is None else Baseline.read(arguments.baseline)
    hashing = arguments.baseline is not None or arguments.write_baseline is not None
    judge = Judge.of(allow=arguments.allow, trust=arguments.trust, hashing=hashing)
    with progress(f"scanning {arguments.paths[0]}") as report:
        scan = scan_tree(arguments.paths, judge, progress=report)
    if arguments.listed:
        scan = scan.of_models()
    outcome = _Outcome(scan, baseline, failing, now())
    _write_files(arguments, outcome)
    if arguments.json:
        output.document(outcome.to_value())
    elif arguments.sarif != output.STDOUT:
        output.result(*outcome.lines())
    if not arguments.json:
        for line in outcome.notes():
            output.note(line)
    return outcome.exit_code


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A scan, held against a baseline and what is to fail."""

    scan: Scan
    baseline: Baseline
    failing: frozenset[str]
    moment: int

    def accepting(self, finding: Finding) -> Accepted | None:
        return self.baseline.accepting(finding, self.moment) if finding.verdict in self.failing else None

    def failures(self) -> Iterator[tuple[Finding, Accepted | None]]:
        """Yield what fails, or would without the baseline."""
        for finding in self.scan.findings:
            if finding.verdict in self.failing:
                yield finding, self.accepting(finding)

    @property
    def exit_code(self) -> int:
        codes = (_EXIT_CODES.get(finding.verdict, NOT_TRUSTED) for finding, known in self.failures() if known is None)
        return worst([VERIFIED, *codes])

    def unused(self) -> list[tuple[Accepted, str]]:
        return list(self.baseline.unused(self.scan.findings, self.moment))

    def lines(self) -> Iterator[str]:
        for finding in self.scan.findings:
            yield from _lines(finding, self.accepting(finding))

    def notes(self) -> Iterator[str]:
        for entry, why in self.unused():
            yield f"safemodel: note: the baseline's entry for {entry.path} is not used: {why}"
        if self.scan.links:
            yield f"safemodel: {self.scan.links} symbolic links were not followed"
        counts = self._counts()
        found = ", ".join(f"{count} {verdict.replace('-', ' ')}" for verdict, count in counts.items())
        yield f"safemodel: {found}" if found else "safemodel: no model file was found"

    def to_value(self) -> dict[str, Any]:
        return {
            "version": 1,
            "passed": self.exit_code == VERIFIED,
            "files": [self._file(finding) for finding in self.scan.findings],
            "counts": self._counts(),
            "scanned": self.scan.files,
            "links": self.scan.links,
            "unused": [{"path": entry.path, "sha256": entry.sha256, "why": why} for entry, why in self.unused()],
        }

    def _file(self, finding: Finding) -> dict[str, Any]:
        accepted = self.accepting(finding)
        return finding_to_value(finding) | {
            "fails": finding.verdict in self.failing and accepted is None,
            "accepted": None if accepted is None else accepted.reason,
        }

    def _counts(self) -> dict[str, int]:
        return dict(sorted(Counter(finding.verdict for finding in self.scan.findings).items()))


def _failing(given: str) -> frozenset[str]:
    words = {"default": _DEFAULT, "strict": ACCEPTABLE}.get(given, tuple(given.split(",")))
    try:
        named = frozenset(one_of(word, (*ACCEPTABLE, verdicts.UNREADABLE)) for word in words)
    except ConfigurationError as error:
        raise UsageError(f"argument --fail-on: {error.args[0]}", hint=error.hint) from error
    return named | {verdicts.UNREADABLE}


def _write_files(arguments: argparse.Namespace, outcome: _Outcome) -> None:
    if arguments.write_baseline is not None:
        _write_baseline(arguments.write_baseline, arguments.baseline, outcome)
    if arguments.sarif is None:
        return
    from safemodel.scanning.sarif import to_sarif

    text = json.dumps(to_sarif(outcome.failures(), outcome.exit_code), indent=1) + "\n"
    if arguments.sarif == output.STDOUT:
        output.script(text)
    else:
        _write(arguments.sarif, text)


def _write_baseline(path: str, known: str | None, outcome: _Outcome) -> None:
    from safemodel import system

    findings = [finding for finding, _ in outcome.failures() if finding.verdict in ACCEPTABLE]
    text = outcome.baseline.extended(findings, outcome.moment).to_toml()
    if path == known:
        _write(path, text)
    else:
        system.create_exclusive(path, text.encode(), mode=0o666)
    output.note(f"safemodel: wrote {len(findings)} findings to {path}; fill in the reasons")


def _write(path: str, text: str) -> None:
    from safemodel import system

    with system.atomic_file(path) as file:
        file.write(text.encode())


def _lines(finding: Finding, accepted: Accepted | None) -> Iterator[str]:
    yield f"{finding.path}: {finding.verdict.replace('-', ' ')} ({finding.kind})"
    if accepted is not None:
        yield f"  accepted: {accepted.reason}"
        return
    if finding.verification is not None:
        yield f"  {_vouched(finding)}"
    for reason in _reasons(finding):
        yield f"  {reason}"
    if finding.hint:
        yield f"  hint: {finding.hint}"


def _reasons(finding: Finding) -> Iterable[str]:
    named = [describe(use) for use in finding.refused]
    return named or ([finding.reason] if finding.reason else [])


def _vouched(finding: Finding) -> str:
    found = finding.verification
    if found is None:
        return ""
    model = found.name if found.version is None else f"{found.name} {found.version}"
    rule = "" if found.rule is None else f", rule {found.rule}"
    return f"{model}, signed by {', '.join(found.signers)}{rule}"
