"""`safemodel sign`: add a signature to an artifact."""

import argparse
from typing import TYPE_CHECKING, Final

import safemodel
from safemodel.arguments import signers_of
from safemodel.cli import output
from safemodel.cli.failure import about
from safemodel.cli.options import (
    add_json,
    add_key,
    add_name,
    add_passphrase,
    add_trust,
    completing_files,
    passphrase_of,
)
from safemodel.cli.progress import progress
from safemodel.trust.loader import DETACHED_SUFFIX

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
What you sign is checked first, all of it, on the very copy that gets the signature. Say which artifact
you mean: one that keys you trust have signed (--trust), or the one with this digest (--digest), which
you have from a source other than the file.

examples:
  safemodel sign churn.safemodel --key review.key --trust release.key.pub
  safemodel sign churn.safemodel --key review.key --digest 5ab0... --detached
  safemodel sign churn.safemodel --key ssh-agent: --trust release.key.pub

--json:
  {"file", "digest", "signers": [{"key_id", "algorithm"}], "written"}
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "sign", help="add a signature", description="Add a signature to an artifact.", epilog=_EPILOG
    )
    completing_files(parser.add_argument("file", metavar="FILE", help="the artifact, replaced as a whole"))
    add_key(parser)
    which = parser.add_mutually_exclusive_group()
    add_trust(which)
    which.add_argument("--digest", metavar="HEX", help="digest of the artifact that you mean, 64 hexadecimal digits")
    add_name(parser)
    parser.add_argument("--detached", action="store_true", help="leave FILE alone and write FILE.sig")
    add_passphrase(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Sign, and say what was written."""
    signers = signers_of(arguments.key, passphrase_of(arguments))
    with about(arguments.file), progress(f"checking {arguments.file}") as report:
        digest = safemodel.sign(
            arguments.file,
            key=signers,
            trust=arguments.trust,
            digest=arguments.digest,
            name=arguments.name,
            detached=arguments.detached,
            progress=report,
        )
    written = f"{arguments.file}{DETACHED_SUFFIX}" if arguments.detached else arguments.file
    by = [{"key_id": signer.key_id.hex(), "algorithm": signer.algorithm} for signer in signers]
    if arguments.json:
        output.document({"file": arguments.file, "digest": digest, "signers": by, "written": written})
        return 0
    output.result(
        f"{arguments.file}: signed, written to {written}",
        *output.table(
            [*(("signed by", f"{each['algorithm']} key {each['key_id']}") for each in by), ("digest", digest)]
        ),
    )
    return 0
