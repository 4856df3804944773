"""`safemodel oms`: judge an OpenSSF Model Signing bundle of an artifact."""

import argparse
from typing import TYPE_CHECKING, Final

import safemodel
from safemodel.cli import output
from safemodel.cli.options import add_allow, add_json, add_name, add_trust, completing_files
from safemodel.cli.progress import progress

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
The verdict is one of its own: an artifact with a bundle and without signatures that count is still refused by
verify and load. With a folder, the rule for the model says in 'oms' whose bundles it accepts, and its lowest
version, age, digests, globals and revocations hold here too.

examples:
  safemodel oms churn.safemodel model.sig --trust keys
  safemodel oms churn.safemodel model.sig --trust release.key.pub

exit codes:
  0 accepted, 1 not trusted, 2 usage, 3 malformed, 4 file, key or configuration

--json:
  {"file", "bundle", "accepted": true, "name", "version", "digest", "sha256", "signer": {"key_id", "algorithm",
   "signer"}, "policy": {"path", "version", "digest"} or null for bare keys, "rule"}
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "oms",
        help="judge an OpenSSF Model Signing bundle of an artifact",
        description="Judge an OpenSSF Model Signing bundle of an artifact; nothing is loaded on it.",
        epilog=_EPILOG,
    )
    completing_files(parser.add_argument("file", metavar="FILE", help="the artifact"))
    completing_files(parser.add_argument("bundle", metavar="BUNDLE", help="the bundle, such as model.sig"))
    add_trust(parser)
    add_name(parser)
    add_allow(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Judge the bundle, and say whose it is."""
    with progress(f"checking {arguments.file}") as report:
        verdict = safemodel.verify_oms(
            arguments.file,
            arguments.bundle,
            trust=arguments.trust,
            name=arguments.name,
            allow=arguments.allow,
            progress=report,
        )
    subject, found = verdict.subject, verdict.explanation
    manifest, [signed], is_reviewed = subject.manifest, subject.signers, found.policy.is_reviewed
    if arguments.json:
        output.document(
            {
                "file": arguments.file,
                "bundle": arguments.bundle,
                "accepted": True,
                "name": manifest.name,
                "version": manifest.version,
                "digest": subject.digest,
                "sha256": subject.sha256,
                "signer": {
                    "key_id": signed.key_id,
                    "algorithm": signed.algorithm,
                    "signer": signed.signer if is_reviewed else None,
                },
                "policy": found.policy.to_value(),
                "rule": found.rule.number if is_reviewed else None,
            }
        )
        return 0
    key = f"{signed.algorithm} key {signed.key_id}"
    output.result(
        f"{arguments.file}: OpenSSF Model Signing bundle accepted",
        *output.table(
            [
                ("model", manifest.name if manifest.version is None else f"{manifest.name} {manifest.version}"),
                ("bundle by", f"{signed.signer}, {key}" if is_reviewed else key),
                ("digest", subject.digest),
                ("sha256", subject.sha256),
                *([("rule", str(found.rule)), ("policy", str(found.policy))] if is_reviewed else ()),
            ]
        ),
    )
    output.note("an artifact that has nothing but a bundle does not load; safemodel verify says whether this one does")
    return 0
