"""Fail on any skipped test, and on a branch of the security-critical rooms that no test takes."""

import sys
from xml.etree import ElementTree

FULLY_COVERED = ("format/", "trust/", "payload/")


def skipped(results: str) -> list[str]:
    """Name the tests that were skipped."""
    cases = ElementTree.parse(results).iter("testcase")  # noqa: S314
    return [
        f"skipped: {case.get('classname')}.{case.get('name')}" for case in cases if case.find("skipped") is not None
    ]


def uncovered(coverage: str) -> list[str]:
    """Name the lines of the security-critical rooms with a branch that was not taken."""
    lines = []
    for module in ElementTree.parse(coverage).iter("class"):  # noqa: S314
        name = module.get("filename", "")
        if name.removeprefix("safemodel/").startswith(FULLY_COVERED):
            lines += [f"not covered: {name}:{line.get('number')}" for line in module.iter("line") if not taken(line)]
    return lines


def taken(line: ElementTree.Element) -> bool:
    """Tell whether a line and all its branches were taken."""
    return line.get("hits") != "0" and line.get("condition-coverage", "100%").startswith("100%")


if __name__ == "__main__":
    problems = skipped(sys.argv[1]) + uncovered(sys.argv[2])
    print("\n".join(problems) or "no test skipped, every branch of the security-critical rooms covered")
    sys.exit(bool(problems))
