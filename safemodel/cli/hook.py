"""`python -m safemodel.cli.hook`: `safemodel scan` for pre-commit, which puts all staged files behind the options.

* A file may be named like an option, `--allow=posix.system`: it is refused before it is taken for one.
* Most staged files are no models, and are passed over.
"""

import os
import sys
from collections.abc import Sequence

from safemodel.cli.failure import Failure, UsageError
from safemodel.cli.main import main


def hook(given: Sequence[str]) -> int:
    """Scan the files that are named last.

    Args:
        given: options of `safemodel scan`, then files.

    Returns:
        The exit code.
    """
    for argument in given:
        if argument.startswith("-") and os.path.lexists(argument):
            failure = Failure.of(UsageError(f"{argument}: a file is named like an option", hint="give it another name"))
            failure.show()
            return failure.exit_code
    return main(["scan", "--listed", *given])


if __name__ == "__main__":
    raise SystemExit(hook(sys.argv[1:]))
