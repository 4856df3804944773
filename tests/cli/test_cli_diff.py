"""`safemodel diff`: what two artifacts say differently."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from describing import CLAIMS, MODEL, TRAINING

if TYPE_CHECKING:
    from cli.conftest import CommandLine, Shelf
    from conftest import KeyPair


@pytest.fixture
def two(forge: Callable[..., Path]) -> tuple[Path, Path]:
    """Two versions of a model."""
    model = MODEL | {"parameters": {"clf__C": 1.5}}
    changed = CLAIMS | {"model": model, "training": TRAINING | {"metrics": {"roc_auc": 0.92}}}
    return forge(**CLAIMS), forge(file="churn-1.5.0.safemodel", version="1.5.0", **changed)


def test_what_is_shown(cli: "CommandLine", two: tuple[Path, Path]) -> None:
    lines = [line.split() for line in cli.good("diff", *two).splitlines()]
    assert ["roc_auc", "0.91", "0.92", "+0.01"] in lines
    assert ["clf__C", "0.5", "1.5", "+1.0"] in lines
    assert ["version", "1.4.0", "1.5.0", "changed"] in lines
    assert all(line.startswith("  ") or "UNVERIFIED" in line for line in cli.good("diff", *two).splitlines())


def test_the_document(cli: "CommandLine", two: tuple[Path, Path]) -> None:
    document = cli.document("diff", *two)
    assert set(document) == {"before", "after", "identical", "differences"}
    assert document["before"] == cli.document("inspect", two[0])
    assert document["identical"] is False
    found = {(each["section"], each["name"]): each for each in document["differences"]}
    assert found["parameters", "clf__C"] == {
        "section": "parameters",
        "name": "clf__C",
        "before": 0.5,
        "after": 1.5,
        "change": 1.0,
    }
    assert "after" not in found["parameters", "clf__penalty"]


def test_identical_artifacts(cli: "CommandLine", two: tuple[Path, Path]) -> None:
    assert "The two are identical." in cli.good("diff", two[0], two[0])
    document = cli.document("diff", two[0], two[0])
    assert (document["identical"], document["differences"]) == (True, [])


def test_both_are_verified(cli: "CommandLine", two: tuple[Path, Path], release: "KeyPair") -> None:
    trusted = ["--trust", str(release.public), "--allow", "acme.transformers.Clip"]
    assert "UNVERIFIED" not in cli.good("diff", *two, *trusted)
    document = cli.document("diff", *two, *trusted)
    assert "verified" in document["before"]
    assert "verified" in document["after"]


@pytest.mark.parametrize("forged_first", [True, False])
def test_one_that_is_not_trusted(cli: "CommandLine", shelf: "Shelf", forged_first: bool) -> None:
    forged = shelf / "forged" / "churn.safemodel"
    files = (forged, shelf.artifact) if forged_first else (shelf.artifact, forged)
    error = cli.refused(1, "diff", *files, "--trust", shelf.trust, "--html", "page.html")
    assert error["message"].startswith(f"{forged}: ")
    assert not (cli.folder / "page.html").exists()


@pytest.mark.parametrize(("file", "exit_code"), [("junk.safemodel", 3), ("missing.safemodel", 4)])
def test_what_cannot_be_read(cli: "CommandLine", shelf: "Shelf", file: str, exit_code: int) -> None:
    assert cli.refused(exit_code, "diff", shelf.artifact, shelf / file)["message"].startswith(f"{shelf / file}: ")


def test_a_page(cli: "CommandLine", two: tuple[Path, Path]) -> None:
    assert cli.good("diff", *two, "--html", "changes.html") == "changes.html: written\n"
    assert "1.4.0 and 1.5.0" in (cli.folder / "changes.html").read_text(encoding="utf-8")
