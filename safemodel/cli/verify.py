"""`safemodel verify`: check artifacts without unpickling anything."""

import argparse
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import safemodel
from safemodel.arguments import Verifier
from safemodel.cli import output
from safemodel.cli.failure import VERIFIED, Failure, worst
from safemodel.cli.options import add_allow, add_json, add_name, add_trust, completing_files
from safemodel.cli.progress import progress
from safemodel.trust.explanation import Explanation, SignedBy
from safemodel.trust.policy import ENVIRONMENT_CHOICES, TrustPolicy

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
Checked are structure, signatures, name, policy, expiry, every byte, and which code the model may reach for.
Nothing is unpickled, and NumPy, joblib and scikit-learn need not be installed: which versions of them are here is
compared with what was signed only with --environment. safemodel.load makes the same checks again before it
unpickles. With a folder, its trust.toml decides, and a refusal comes with its grounds.

examples:
  safemodel verify churn.safemodel --trust release.key.pub
  safemodel verify churn.safemodel --trust keys
  safemodel verify models/*.safemodel --trust alice.pub --trust bob.pub --json
  safemodel verify candidate.safemodel --trust release.key.pub --name acme/churn
  safemodel verify churn.safemodel --trust keys --environment error

exit codes:
  0 all verified, 1 not trusted, 3 malformed, 4 file or key; for several files the worst, in the order 4, 3, 1

--json:
  {"verified": true or false, "files": [FILE...]} where each FILE is one of
  {"file", "verified": true, "name", "version", "digest", "created", "expires", "signers", "warnings", "differences",
   "policy", "rule"}
  {"file", "verified": false, "error": {"code", "message", "hint"}, "explanation"}
  and "signers" is [{"key_id", "algorithm", "signer"}], "differences" with --environment is
  [{"name", "signed", "installed", "drift", "accepted"}], "policy" is {"path", "version", "digest"} or null for bare
  keys, and "explanation" is {"policy", "name", "version", "rule", "signatures", "differences", "refusals"}, or null
  where the file was refused before it came to that
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "verify",
        help="check artifacts, without unpickling anything",
        description="Check artifacts, without unpickling anything.",
        epilog=_EPILOG,
    )
    completing_files(parser.add_argument("files", metavar="FILE", nargs="+", help="artifact to check"))
    add_trust(parser)
    add_name(parser)
    add_allow(parser)
    parser.add_argument(
        "--environment",
        choices=ENVIRONMENT_CHOICES,
        help="compare the versions that are installed here with those that were signed: warn of others, refuse them "
        "(error), or do not compare (ignore, as without this option)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify each file, and return the worst exit code."""
    policy = Verifier.of(arguments.trust, allow=arguments.allow).policy  # refused here is what is wrong for every file
    outcomes = []
    for file in arguments.files:
        outcome = _verify(file, policy, arguments.name, arguments.environment)
        outcome.show(quiet=arguments.json)
        outcomes.append(outcome)
    exit_code = worst(outcome.exit_code for outcome in outcomes)
    if arguments.json:
        files = [outcome.to_value() for outcome in outcomes]
        output.document({"verified": exit_code == VERIFIED, "files": files})
    return exit_code


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one file: an artifact, or a failure."""

    file: str
    artifact: safemodel.VerifiedArtifact | None = None
    failure: Failure | None = None
    explanation: Explanation | None = None

    @property
    def exit_code(self) -> int:
        return VERIFIED if self.failure is None else self.failure.exit_code

    def show(self, *, quiet: bool) -> None:
        """Print a failure always, and a success unless there will be a document."""
        if self.failure is not None:
            self.failure.show()
            if self.explanation is not None and self.explanation.policy.is_reviewed:
                for line in output.table(self.explanation.rows()):
                    output.note(line)
            return
        if self.artifact is None:
            return
        note_differences(self.file, self.artifact)
        if not quiet:
            output.result(f"{self.file}: verified", *output.table(_rows(self.artifact)))

    def to_value(self) -> dict[str, Any]:
        if self.artifact is None:
            error = None if self.failure is None else self.failure.to_value()
            explanation = None if self.explanation is None else self.explanation.to_value()
            return {"file": self.file, "verified": False, "error": error, "explanation": explanation}
        return {"file": self.file, "verified": True} | _value(self.artifact)


def _verify(file: str, policy: TrustPolicy, name: str | None, environment: str | None) -> _Outcome:
    try:
        with (
            warnings.catch_warnings(action="ignore", category=safemodel.EnvironmentWarning),  # shown with the outcome
            progress(f"verifying {file}") as report,
            safemodel.verify(file, trust=policy, name=name, environment=environment, progress=report) as artifact,
        ):
            return _Outcome(file, artifact=artifact)
    except Exception as error:
        found = getattr(error, "explanation", None)
        explanation = found if isinstance(found, Explanation) else None
        return _Outcome(file, failure=Failure.of(error, about=file), explanation=explanation)


def note_differences(file: str, artifact: safemodel.VerifiedArtifact) -> None:
    """Warn of other versions than were signed."""
    for difference in artifact.explanation.differences:
        if not difference.accepted:
            output.note(f"safemodel: warning: {file}: {difference}")


def _rows(artifact: safemodel.VerifiedArtifact) -> list[tuple[str, str]]:
    manifest = artifact.manifest
    return [
        ("model", manifest.name if manifest.version is None else f"{manifest.name} {manifest.version}"),
        *(("signed by", _signed_by(signed, artifact.policy)) for signed in artifact.signers),
        ("digest", artifact.digest),
        ("created", output.moment(manifest.created)),
        ("expires", "never" if manifest.expires is None else output.moment(manifest.expires)),
        *([("rule", str(artifact.rule)), ("policy", str(artifact.policy))] if artifact.policy.is_reviewed else ()),
    ]


def _signed_by(signed: SignedBy, policy: TrustPolicy) -> str:
    key = f"{signed.algorithm} key {signed.key_id}"
    return f"{signed.signer}, {key}" if policy.is_reviewed else key


def _value(artifact: safemodel.VerifiedArtifact) -> dict[str, Any]:
    manifest = artifact.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "digest": artifact.digest,
        "created": output.moment(manifest.created),
        "expires": None if manifest.expires is None else output.moment(manifest.expires),
        "differences": [difference.to_value() for difference in artifact.explanation.differences],
    } | grounds_value(artifact)


def grounds_value(artifact: safemodel.VerifiedArtifact) -> dict[str, Any]:
    """Return who vouches for an artifact, and by which rule, as `--json` shows it."""
    return {
        "signers": [
            {
                "key_id": signed.key_id,
                "algorithm": signed.algorithm,
                "signer": signed.signer if artifact.policy.is_reviewed else None,
            }
            for signed in artifact.signers
        ],
        "warnings": list(artifact.warnings),
        "policy": artifact.policy.to_value(),
        "rule": artifact.rule.number if artifact.policy.is_reviewed else None,
    }
