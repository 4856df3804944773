"""`safemodel verify`: check artifacts without unpickling anything."""

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import safemodel
from safemodel.cli import output
from safemodel.cli.failure import VERIFIED, Failure, worst
from safemodel.cli.options import add_allow, add_json, add_name, add_trust, completing_files
from safemodel.cli.progress import progress
from safemodel.payload.allowance import catalogue_with
from safemodel.trust.keys import TrustedKeys
from safemodel.trust.loader import read_trust

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
Checked are structure, signature, name, expiry, every byte, and which code the model may reach for. Nothing is
unpickled, and NumPy, joblib and scikit-learn need not be installed. safemodel.load makes the same checks
again before it unpickles.

examples:
  safemodel verify churn.safemodel --trust release.key.pub
  safemodel verify models/*.safemodel --trust alice.pub --trust bob.pub --json
  safemodel verify candidate.safemodel --trust release.key.pub --name acme/churn

exit codes:
  0 all verified, 1 not trusted, 3 malformed, 4 file or key; for several files the worst, in the order 4, 3, 1

--json:
  {"verified": true or false, "files": [FILE...]} where each FILE is one of
  {"file", "verified": true, "name", "version", "digest", "created", "expires", "signers", "warnings"}
  {"file", "verified": false, "error": {"code", "message", "hint"}}
  and "signers" is [{"key_id", "algorithm"}]
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
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify each file, and return the worst exit code."""
    trust = read_trust(arguments.trust)
    catalogue_with(arguments.allow)  # refuses what can never be allowed, before any file is read
    outcomes = []
    for file in arguments.files:
        outcome = _verify(file, trust, arguments.name, arguments.allow)
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

    @property
    def exit_code(self) -> int:
        return VERIFIED if self.failure is None else self.failure.exit_code

    def show(self, *, quiet: bool) -> None:
        """Print a failure always, and a success unless there will be a document."""
        if self.failure is not None:
            self.failure.show()
        elif self.artifact is not None and not quiet:
            output.result(f"{self.file}: verified", *output.table(_rows(self.artifact)))

    def to_value(self) -> dict[str, Any]:
        if self.artifact is None:
            error = None if self.failure is None else self.failure.to_value()
            return {"file": self.file, "verified": False, "error": error}
        return {"file": self.file, "verified": True} | _value(self.artifact)


def _verify(file: str, trust: TrustedKeys, name: str | None, allow: list[str] | None) -> _Outcome:
    try:
        with (
            progress(f"verifying {file}") as report,
            safemodel.verify(file, trust=trust, name=name, allow=allow, progress=report) as artifact,
        ):
            return _Outcome(file, artifact=artifact)
    except Exception as error:
        return _Outcome(file, failure=Failure.of(error, about=file))


def _rows(artifact: safemodel.VerifiedArtifact) -> list[tuple[str, str]]:
    manifest = artifact.manifest
    return [
        ("model", manifest.name if manifest.version is None else f"{manifest.name} {manifest.version}"),
        *(("signed by", f"{signer.algorithm} key {signer.key_id}") for signer in artifact.signers),
        ("digest", artifact.digest),
        ("created", output.moment(manifest.created)),
        ("expires", "never" if manifest.expires is None else output.moment(manifest.expires)),
    ]


def _value(artifact: safemodel.VerifiedArtifact) -> dict[str, Any]:
    manifest = artifact.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "digest": artifact.digest,
        "created": output.moment(manifest.created),
        "expires": None if manifest.expires is None else output.moment(manifest.expires),
        "signers": [{"key_id": signer.key_id, "algorithm": signer.algorithm} for signer in artifact.signers],
        "warnings": list(artifact.warnings),
    }
