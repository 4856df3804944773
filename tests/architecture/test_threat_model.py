"""The threat model keeps its word: every test that it names exists, and no attack of the corpus is left out."""

import ast
import csv
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
ATTACKS = ROOT / "tests" / "attacks"
ATTACKS_MIN = 40

ROW = re.compile(r"^\| (\d+) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")
CODES = re.compile(r"\b([gjo])(\d\d)(?:-\1(\d\d))?\b")  # "o07", or "o07-o09"


def rows() -> list[tuple[int, list[str]]]:
    """Each attack's number and the other cells of its row."""
    return [(int(number), [cell.strip() for cell in cells.split("|")]) for number, cells in ROW.findall(TEXT)]


@cache
def named_in(path: str) -> frozenset[str]:
    """The tests of a file, those of a class with its name before them."""
    return frozenset(names(ast.parse((ROOT / path).read_text(encoding="utf-8")).body))


def names(body: Iterable[ast.stmt], prefix: str = "") -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from names(node.body, f"{prefix}{node.name}::")
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield prefix + node.name


def codes_in(text: str) -> set[str]:
    """The codes of payloads, ranges written out."""
    return {
        f"{kind}{number:02}"
        for kind, first, last in CODES.findall(text)
        for number in range(int(first), int(last or first) + 1)
    }


def test_attacks_are_numbered_and_many() -> None:
    assert [number for number, _ in rows()] == list(range(1, len(rows()) + 1))
    assert len(rows()) >= ATTACKS_MIN


@pytest.mark.parametrize(("number", "cells"), rows())
def test_an_attack_says_what_stops_it_and_names_tests_that_exist(number: int, cells: list[str]) -> None:
    *described, shown = cells
    assert len(list(filter(None, described))) >= 2
    found = TEST.findall(shown)
    assert found
    assert TEST.sub("", shown).strip(" ,") == ""
    assert [name for path, name in found if name not in named_in(path)] == []


def test_every_test_that_is_named_exists() -> None:
    assert [f"{path}::{name}" for path, name in TEST.findall(TEXT) if name not in named_in(path)] == []


def test_every_file_of_attacks_is_named() -> None:
    paths = {path.relative_to(ROOT).as_posix() for path in ATTACKS.glob("test_*.py")}
    assert {path for path in paths if f"`{path}" not in TEXT} == set()


def test_every_payload_of_the_corpus_is_in_an_attack() -> None:
    with (ATTACKS / "files" / "MANIFEST.tsv").open(encoding="utf-8", newline="") as manifest:
        files = [row["file"] for row in csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE)]
    assert codes_in(" ".join(file[:7] for file in files).replace("gen_", "")) == {
        code for _, cells in rows() if len(cells) == 4 for code in codes_in(cells[1])
    }
