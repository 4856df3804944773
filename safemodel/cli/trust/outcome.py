"""What the verbs of `safemodel trust` that edit say when they are done."""

import argparse
import os
from collections.abc import Iterable, Mapping

from safemodel.cli import output
from safemodel.trust.policy import TrustPolicy


def report(
    arguments: argparse.Namespace,
    policy: TrustPolicy,
    did: str,
    *,
    changed: bool = True,
    keys: Mapping[str, bytes] | None = None,
    deleted: Iterable[str] = (),
    allow: Iterable[str] = (),
) -> int:
    """Say what was done, and return the exit code.

    Args:
        arguments: of the command line.
        policy: as it is now.
        did: what was done, for people.
        changed: whether the policy was written.
        keys: files that were put into the folder, by name.
        deleted: paths of files that were deleted.
        allow: names that a rule allows now.
    """
    written = [policy.path, *(os.path.join(policy.folder, name) for name in keys or ())] if changed else []
    done = {"written": written, "deleted": [*deleted], "allow": [*allow]}
    if arguments.json:
        output.document({"policy": policy.to_value(), **done})
    else:
        rows = [(label, value) for label, values in done.items() for value in values]
        output.result(f"{did}; the policy has version {policy.version}", *output.table(rows))
    return 0
