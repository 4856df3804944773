"""Pages in a real browser: nothing runs, nothing is asked of the network, and everybody can read them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.chromium import Browser
from describing import CLAIMS, HOSTILE, MODEL

from safemodel.cli.main import main

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
KINDS = ("verified", "unverified", "hostile", "bare", "diff")


@pytest.fixture
def pages(forge: Callable[..., Path], release: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Make pages with the command; return the path of one."""

    def make(kind: str) -> Path:
        trusted = ["--trust", str(release.public), "--name", "acme/churn", "--allow", "acme.transformers.Clip"]
        claims = {"hostile": HOSTILE, "bare": {}}.get(kind, CLAIMS)
        artifact = str(forge(**claims))
        arguments = ["inspect", artifact, *(trusted if kind == "verified" else [])]
        if kind == "diff":
            changed = CLAIMS | {"model": MODEL | {"parameters": {"clf__C": 1.5}}}
            arguments = ["diff", artifact, str(forge(file="other.safemodel", **changed)), *trusted]
        page = tmp_path / f"{kind}.html"
        assert main([*arguments, "--html", str(page)]) == 0
        return page

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_quiet_and_fits(browser: Browser, pages: Callable[[str], Path], kind: str) -> None:
    page = pages(kind)
    for width in (390, 1280):
        for dark in (False, True):
            browser.open(page, width=width, dark=dark)
            assert browser.complaints() == []
            assert browser.requests() == [page.as_uri()]
            assert browser.ask("document.documentElement.scrollWidth <= window.innerWidth")
            assert browser.ask("document.title").startswith("acme/churn 1.4.0")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dark", [False, True])
def test_texts_have_contrast(browser: Browser, pages: Callable[[str], Path], kind: str, dark: bool) -> None:
    browser.open(pages(kind), dark=dark)
    found = browser.ask(CONTRAST)
    assert found["poor"] == []
    assert found["looked"] > 10


def test_dark_is_dark(browser: Browser, pages: Callable[[str], Path]) -> None:
    page = pages("verified")
    shades = []
    for dark in (False, True):
        browser.open(page, dark=dark)
        shades.append(browser.ask("getComputedStyle(document.body).backgroundColor"))
    assert shades[0] != shades[1]


def test_plots_have_texts_in_their_place(browser: Browser, pages: Callable[[str], Path]) -> None:
    browser.open(pages("verified"))
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    images = [node["name"]["value"] for node in tree if node.get("role", {}).get("value") == "image"]
    assert len(images) == browser.ask("document.querySelectorAll('svg').length")
    assert "roc_auc: 0.91. A bar, 91% of its length, on a scale of 0 to 1." in images
    assert "loss. A line: to the right position, 1 to 3; upwards value, 0.25 to 1.0." in images
    headings = [node["name"]["value"] for node in tree if node.get("role", {}).get("value") == "heading"]
    assert headings[:2] == ["acme/churn 1.4.0", "Metrics"]


def test_hostile_claims_make_no_element(browser: Browser, pages: Callable[[str], Path]) -> None:
    browser.open(pages("hostile"))
    assert browser.ask("document.querySelectorAll('script, img, a, iframe, form, link, object, [style]').length") == 0
    assert browser.ask("document.querySelectorAll('style').length") == 1
    assert browser.ask(
        "[...document.querySelectorAll('*')].every(e => e.getAttributeNames().every(n => n.slice(0, 2) != 'on'))"
    )
    assert "<script>document.title = 'injected'</script>" in browser.ask("document.body.innerText")


def test_a_page_can_be_printed(browser: Browser, pages: Callable[[str], Path]) -> None:
    browser.open(pages("verified"))
    assert len(browser.call("Page.printToPDF")["data"]) > 1000


def test_a_page_is_printed_dark_on_light(browser: Browser, pages: Callable[[str], Path]) -> None:
    browser.open(pages("verified"), dark=True)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.call("Emulation.setEmulatedMedia", media="print", features=dark)
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.ask(CONTRAST)["poor"] == []


LOUD = {
    "error": "<script>undefined.name</script>",
    "console": "<script>console.error('x')</script>",
    "policy": "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\"><p style='color: red'>x",
}


@pytest.mark.parametrize("kind", LOUD)
def test_a_page_that_is_not_quiet_is_noticed(browser: Browser, tmp_path: Path, kind: str) -> None:
    page = tmp_path / "loud.html"
    page.write_text(LOUD[kind])
    browser.open(page)
    assert browser.complaints()


def test_a_page_that_asks_the_network_is_noticed(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "asking.html"
    page.write_text("<img src='https://127.0.0.1:1/x.png'>")
    browser.open(page)
    assert "https://127.0.0.1:1/x.png" in browser.requests()


def test_a_page_that_does_not_fit_is_noticed(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "wide.html"
    page.write_text(
        "<meta name=viewport content='width=device-width'><div style='width: 500px; color: #999'>pale</div>"
    )
    browser.open(page, width=390)
    assert not browser.ask("document.documentElement.scrollWidth <= 390")
    assert browser.ask(CONTRAST)["poor"] == ["2.85: pale"]
