"""`safemodel requirements`: print what a verified artifact was made with, as a requirements file."""

import argparse
from typing import TYPE_CHECKING, Final

import safemodel
from safemodel.cli import output
from safemodel.cli.failure import about
from safemodel.cli.options import add_allow, add_json, add_name, add_trust, completing_files
from safemodel.cli.progress import progress
from safemodel.trust.environment import stated_python

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
Listed are the distributions that the model's own code comes from, in the versions that it was made with. An
artifact that is not verified has no say in what is installed, so nothing is printed of it.

examples:
  safemodel requirements churn.safemodel --trust release.key.pub > requirements.txt
  pip install -r requirements.txt

--json:
  {"file", "name", "version", "digest", "python": text or null, "requirements": ["scikit-learn==1.6.1", ...]}
"""


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "requirements",
        help="verify, and print which libraries to install",
        description="Verify an artifact, and print what it was made with as a requirements file for pip.",
        epilog=_EPILOG,
    )
    completing_files(parser.add_argument("file", metavar="FILE", help="the artifact"))
    add_trust(parser)
    add_name(parser)
    add_allow(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify, and print."""
    file = arguments.file
    with (
        about(file),
        progress(f"verifying {file}") as report,
        safemodel.verify(
            file, trust=arguments.trust, name=arguments.name, allow=arguments.allow, progress=report
        ) as artifact,
    ):
        manifest, digest, requirements = artifact.manifest, artifact.digest, artifact.requirements()
    python = stated_python(manifest.environment)
    if arguments.json:
        claims = {"name": manifest.name, "version": manifest.version, "digest": digest}
        output.document({"file": file, **claims, "python": python or None, "requirements": requirements})
        return 0
    model = manifest.name if manifest.version is None else f"{manifest.name} {manifest.version}"
    made = f", made with Python {python}" if python else ""
    output.result(f"# {model}{made}", f"# digest {digest}", *requirements)
    if not requirements:
        output.note(f"{file}: verified, and does not say which libraries it was made with")
    return 0
