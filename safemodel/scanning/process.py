"""The other end of `safemodel.scanning.pool`: one process that judges what it is told, until its input ends."""

import json
import os
import signal
import sys
from typing import Any

from safemodel.payload.judging import reuse_memory
from safemodel.scanning.judge import Judge
from safemodel.scanning.values import finding_to_value


def main(setup: dict[str, Any]) -> None:
    """Judge each list of files that comes in, and answer with one line for each file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the process that asked ends this one
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that nothing else can get into the answers
    reuse_memory()
    judge = Judge.of(**setup["recipe"])
    if judge.identity != setup["identity"]:
        sys.exit("the trust has changed")
    answers.write(b"ready\n")
    answers.flush()
    for line in sys.stdin.buffer:
        for path, named in json.loads(line):
            finding = judge.member(path, named=named)
            answers.write(json.dumps(finding and finding_to_value(finding)).encode() + b"\n")
            answers.flush()  # now: if the next file ends this process, this one's answer is there
