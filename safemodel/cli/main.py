"""The command `safemodel`: finds the verb, runs it, and answers for whatever it raises."""

import atexit
import gc
import sys
from collections.abc import Sequence

from safemodel.cli import output
from safemodel.cli.failure import INTERRUPTED, UNUSABLE, Failure, UsageError
from safemodel.cli.parser import VERBS, build_parser
from safemodel.decisions import warnings_shown_by

_COLLECTED_AFTER = 50_000  # new objects; a command is mostly imports, which leave no garbage


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments without the program's name; None stands for those of the process.

    Returns:
        The exit code (see `safemodel.cli.failure`).
    """
    if argv is None:
        gc.set_threshold(_COLLECTED_AFTER)
        atexit.register(gc.freeze)  # the interpreter's last collection, of all its modules, takes a tenth of the time
    given = list(sys.argv[1:] if argv is None else argv)
    output.accept_all_characters()
    try:
        with warnings_shown_by(_show_warning):
            return _run_reporting(given)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the results has left, so nobody waits for a message
        return UNUSABLE
    except OSError as error:  # stdout takes no more
        Failure.of(error, "stdout").show()
        return UNUSABLE


def _run_reporting(given: list[str]) -> int:
    try:
        return _run(given)
    except BrokenPipeError:
        raise
    except Exception as error:
        failure = Failure.of(error)
        failure.show()
        if "--json" in given:
            output.document({"error": failure.to_value()})
        return failure.exit_code


def _run(given: list[str]) -> int:
    if not given:
        raise UsageError(f"no verb was given, expected one of {', '.join(VERBS)}", hint="see safemodel --help")
    parser = build_parser([given[0]] if given[0] in VERBS else VERBS)
    try:
        arguments = parser.parse_args(given)
    except SystemExit:  # --help and --version have printed what was asked for
        return 0
    exit_code: int = arguments.run(arguments)
    return exit_code


def _show_warning(text: str) -> None:
    """Show a warning of the library as the command shows everything: escaped, on stderr."""
    output.note(f"safemodel: warning: {text}")
