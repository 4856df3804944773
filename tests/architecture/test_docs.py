"""The documents say what the code does: limits, registries and cited sections agree, and every link leads somewhere."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from safemodel import signing
from safemodel.format import digests, limits, manifest

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "docs" / "spec.md"
DECISIONS = ROOT / "docs" / "adr"

UNITS = {"KIB", "MIB"}  # of limits.py, no limits themselves
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CITATION = re.compile(r'spec(?:\.md)?, (?:section )?"([^"]+)"')

# A private key's first line, as PEM and OpenSSH write it. The pattern does not match itself.
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*(?:PRIVATE|HMAC) KEY-----")
# Folders that only one machine has.
MACHINE_PATH = re.compile(rb"(?:^|[\s\"'`(=:])/(?:home|root|work|farm|Users|tmp/[a-z0-9]+)/", re.MULTILINE)


def files() -> list[Path]:
    """Every file of the repository; in an unpacked source distribution, every file there is."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.split(b"\0")
        found = [ROOT / name.decode() for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        found = [path for path in ROOT.rglob("*") if not any(part.startswith(".") for part in path.parts)]
    return [path for path in found if path.is_file()]


def documents() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


def relative(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def section(title: str) -> str:
    """The text of one section of the spec, with its subsections."""
    text = SPEC.read_text(encoding="utf-8")
    start = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert start, f"the spec has no section {title!r}"
    end = re.compile(rf"^#{{1,{len(start[1])}}} ", re.MULTILINE).search(text, start.end())
    return text[start.end() : end.start() if end else len(text)]


def registry(title: str) -> list[str]:
    """The first column of the table under a line such as `Codecs:`."""
    table = section("Registries").split(f"\n{title}:\n\n")[1].split("\n\n")[0]
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = HEADING.findall(FENCE.sub("", path.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def links(path: Path) -> Iterator[str]:
    """The targets of all links of a document that lead into the repository."""
    for target in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if "://" not in target and not target.startswith("mailto:"):
            yield target


def test_limits_of_the_spec_are_those_of_the_code() -> None:
    row = re.compile(r"^\| `([A-Z0-9_]+)` \| (\d+) \|", re.MULTILINE)
    stated = {name: int(value) for name, value in row.findall(section("Limits"))}
    coded = {name: value for name, value in vars(limits).items() if name.isupper() and name not in UNITS}
    assert stated == coded


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("Signature algorithms", signing.ALGORITHMS),
        ("Digests", digests.ALGORITHMS),
        ("Codecs", manifest.CODECS),
        ("Compressions", manifest.COMPRESSIONS),
        ("Roles of globals", manifest.ROLES),
    ],
)
def test_registries_of_the_spec_are_those_of_the_code(title: str, names: tuple[str, ...]) -> None:
    assert registry(title) == list(names)


def test_sections_that_code_cites_exist() -> None:
    headings = set(HEADING.findall(SPEC.read_text(encoding="utf-8")))
    cited = {
        (path.name, title)
        for path in files()
        if path.suffix == ".py" and path != Path(__file__)
        for title in CITATION.findall(path.read_text(encoding="utf-8"))
    }
    assert cited, "the pattern finds no citation any more"
    assert {(name, title) for name, title in cited if title not in headings} == set()


@pytest.mark.parametrize("name", relative(documents()))
def test_relative_links_resolve(name: str) -> None:
    document = ROOT / name
    dead = []
    for target in links(document):
        path, _, anchor = target.partition("#")
        goal = (document.parent / path).resolve() if path else document
        if not goal.exists() or (anchor and anchor not in anchors(goal)):
            dead.append(target)
    assert dead == []


def test_decisions_are_numbered_and_listed() -> None:
    records = sorted(DECISIONS.glob("[0-9]*.md"))
    found = {path.name: path.read_text(encoding="utf-8").partition("\n")[0] for path in records}
    row = re.compile(r"^\| \[(\d{4})\]\((\S+)\) \| (.+) \|$", re.MULTILINE)
    listed = row.findall((DECISIONS / "README.md").read_text(encoding="utf-8"))
    assert {name: f"# {number}: {title}" for number, name, title in listed} == found
    assert [name[:5] for name in found] == [f"{number:04}-" for number in range(1, len(found) + 1)]


def test_no_private_key_outside_the_tests() -> None:
    outside = [path for path in files() if ROOT / "tests" not in path.parents]
    assert relative([path for path in outside if PRIVATE_KEY.search(path.read_bytes())]) == []


def test_trust_store_holds_public_keys_only() -> None:
    stored = [path for path in files() if path.parent == ROOT / "keys"]
    assert {path.suffix for path in stored} <= {".md", ".pub", ".toml"}
    keys = [path for path in stored if path.suffix == ".pub"]
    assert relative([path for path in keys if b"-----BEGIN PUBLIC KEY-----" not in path.read_bytes()]) == []


def test_no_path_of_one_machine() -> None:
    texts = [path for path in files() if path.suffix in {".md", ".py", ".toml", ".sh", ".hex", ".txt", ""}]
    assert relative([path for path in texts if MACHINE_PATH.search(path.read_bytes())]) == []
