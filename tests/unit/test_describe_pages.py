"""Pages of artifacts: what they say, that it is bounded, and that nothing in it is taken for markup or a command."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from describing import CLAIMS, HOSTILE, MODEL, TRAINING, layout, manifest, tree
from hypothesis import given
from hypothesis import strategies as st

from safemodel.describe.pages import bounds
from safemodel.describe.pages.bounds import BRIEF, FULL, Bounds
from safemodel.describe.pages.described import Described, Voucher
from safemodel.describe.pages.diagram import diagram_of
from safemodel.describe.pages.difference import ABSENT, Difference, difference_page, differences
from safemodel.describe.pages.html import html_of
from safemodel.describe.pages.markup import Markup, document, element
from safemodel.describe.pages.overview import overview
from safemodel.describe.pages.page import Bars, Curve, Diagram, Facts, Matrix, Page, Prose, Status, Step
from safemodel.describe.pages.plain import lines_of
from safemodel.describe.pages.plots import plots_of
from safemodel.describe.pages.text import shorten
from safemodel.describe.pages.untrusted import bytes_of, code_of, distinct, figure_of, numbers_of
from safemodel.format import wire
from safemodel.format.limits import MANIFEST_MAX
from safemodel.format.manifest import Creator, Manifest

WRITTEN = "2026-11-25T08:15:38Z"
VERIFIED = Voucher(("alice, ed25519 key 0a",), verified=True, grounds=(("rule", "1, for acme/*: 1 of alice"),))
UNVERIFIED = Voucher(("key 0a",))
STRUCTURE = "html head meta title style body header main footer div section h1 h2 p span strong dl dt dd b small wbr"
FIGURES = "table caption thead tbody tr th td svg desc rect path polyline figure figcaption ul ol li"
TAGS = {*STRUCTURE.split(), *FIGURES.split()}


class Parsed(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def described(voucher: Voucher = UNVERIFIED, **claims: Any) -> Described:
    return Described("churn.safemodel", manifest(**claims), "ab" * 32, layout(), voucher, ("acme.transformers.Clip",))


def page(limits: Bounds = FULL, voucher: Voucher = UNVERIFIED, **claims: Any) -> Page:
    return overview(described(voucher, **claims), limits, written=WRITTEN)


def blocks(shown: Page, kind: type[Any]) -> list[Any]:
    return [block for section in shown.sections for block in section.blocks if isinstance(block, kind)]


def harmless(content: bytes) -> bool:
    """Whether a page has only elements and attributes of ours, and no address in any."""
    found = Parsed(content).elements
    ours = all(tag in TAGS for tag, _ in found)
    return ours and not any(name.startswith("on") or name in ("href", "src", "style") for _, at in found for name in at)


def test_the_page_says_what_the_manifest_says() -> None:
    text = Parsed(html_of(page(**CLAIMS))).text
    for said in (
        "acme/churn 1.4.0",
        "clf__C",
        "0.91",
        "184000",
        "scikit-learn",
        "1.9.1",
        "tenure",
        "category",
        "9f2c1e7",
    ):
        assert said in text
    assert "Counts who left **within 90 days**." in text
    assert "acme.transformers.Clip" in text
    assert "shortened from 81234" in text


def test_who_vouches_is_said_first() -> None:
    good, unknown = page(voucher=VERIFIED, **CLAIMS), page(**CLAIMS)
    assert (good.status, unknown.status) == (Status.VERIFIED, Status.UNVERIFIED)
    assert ("signed by", "alice, ed25519 key 0a") in good.grounds
    assert ("rule", "1, for acme/*: 1 of alice") in good.grounds
    assert unknown.grounds == (("signature", "not checked, by key 0a"),)
    assert page(voucher=Voucher(())).grounds == (("signature", "none"),)
    assert "Unverified" in Parsed(html_of(unknown)).text.partition("Metrics")[0]
    assert "Unverified" not in Parsed(html_of(good)).text


def test_lines_are_marked() -> None:
    for line in lines_of(page(BRIEF, **CLAIMS)):
        assert line.startswith("  ") or "UNVERIFIED" in line
    assert not any("UNVERIFIED" in line for line in lines_of(page(BRIEF, VERIFIED, **CLAIMS)))


def test_an_artifact_that_says_nothing_has_a_page() -> None:
    shown = page()
    assert [section.title for section in shown.sections] == ["Needs", "Artifact", "Code it reaches for", "Sizes"]
    assert harmless(html_of(shown))


def test_the_plots() -> None:
    shown = page(**CLAIMS)
    bars = {bar.label: bar.share for bar in blocks(shown, Bars)[0].bars}
    assert bars == {"roc_auc": 0.91, "rows_per_second": None}
    curves = {curve.title: curve for curve in blocks(shown, Curve)}
    assert curves["loss"].points[0] == (0.0, 1.0)
    assert curves["loss"].points[-1] == (1.0, 0.0)
    assert curves["roc"].points[1] == (0.1, 0.8)
    [matrix] = blocks(shown, Matrix)
    assert matrix.labels == ("leaves", "stays")
    assert matrix.cells == (("812", "40"), ("55", "1490"))


def test_every_plot_has_a_text_in_its_place() -> None:
    found = Parsed(html_of(page(**CLAIMS))).elements
    drawings = [attributes for tag, attributes in found if tag == "svg"]
    assert len(drawings) >= 3
    assert all(each["role"] == "img" and len(each["aria-label"] or "") > 10 for each in drawings)
    counted = [tag for tag, _ in found]
    assert counted.count("desc") == len(drawings)
    assert counted.count("title") == len(drawings) + 1


def test_tables_say_what_their_headings_are_for() -> None:
    found = Parsed(html_of(page(**CLAIMS))).elements
    assert {attributes.get("scope") for tag, attributes in found if tag == "th"} == {"row", "col"}


@pytest.mark.parametrize(
    "metrics",
    [
        {"curve": [1]},
        {"curve": [1.7e308, -1.7e308]},
        {"curve": [1, "2"]},
        {"roc": {"fpr": [1, 2, 3], "tpr": [1, 2]}},
        {"confusion_matrix": [[1, 2]]},
        {"confusion_matrix": [[1, 2], [3, True]]},
        {"confusion_matrix": [[1] * 31] * 31},
        {"confusion_matrix": {"matrix": 7}},
    ],
)
def test_what_cannot_be_drawn_is_none(metrics: dict[str, Any]) -> None:
    assert not any(isinstance(block, Curve | Matrix) for block in plots_of(metrics, None, FULL))


def test_what_is_not_drawn_is_written_out() -> None:
    metrics = {"confusion_matrix": [[1, 2]], "grade": "good", "curve": [1], "labels": ["a"], "score": 1}
    *_, facts = plots_of(metrics, None, FULL)
    assert isinstance(facts, Facts)
    assert {label for label, _ in facts.rows} == {"confusion_matrix", "grade", "curve", "labels"}


def test_labels_of_the_matrix() -> None:
    counts = [[1, 0], [0, 1]]
    given: list[tuple[dict[str, Any], object, tuple[str, ...]]] = [
        ({"confusion_matrix": {"matrix": counts, "labels": ["a", "b"]}, "labels": ["c", "d"]}, ["e", "f"], ("a", "b")),
        ({"confusion_matrix": counts, "labels": ["c", "d"]}, ["e", "f"], ("c", "d")),
        ({"confusion_matrix": counts, "labels": ["c"]}, ["e", "f"], ("e", "f")),
        ({"confusion_matrix": counts}, 7, ("0", "1")),
    ]
    for metrics, classes, labels in given:
        matrix = next(block for block in plots_of(metrics, classes, FULL) if isinstance(block, Matrix))
        assert matrix.labels == labels


def test_a_matrix_of_nothing_is_not_shaded() -> None:
    [matrix] = plots_of({"confusion_matrix": [[0, 0], [0, -1]]}, None, FULL)
    assert isinstance(matrix, Matrix)
    assert {share for row in matrix.shares for share in row} == {0.0}


def test_the_diagram_has_bounds() -> None:
    def count(step: Step) -> int:
        return 1 + sum(map(count, step.steps))

    def depth(step: Step) -> int:
        return 1 + max(map(depth, step.steps), default=0)

    root = diagram_of({"class": "a.Pipeline", "steps": tree(12)}, "churn", FULL)
    assert count(root) == FULL.steps + 1
    assert depth(root) == bounds.STEP_DEPTH_MAX + 1
    text = Parsed(html_of(page(model={"steps": tree(12)}))).text
    assert "left out" in text
    assert diagram_of({"steps": [7]}, "churn", FULL).steps[0].kind == "7"


def test_the_diagram_tells_what_works_beside_one_another() -> None:
    [diagram] = blocks(page(**CLAIMS), Diagram)
    prepare, _ = diagram.root.steps
    assert prepare.beside
    assert not diagram.root.beside
    assert prepare.steps[0].note == "age, tenure"


def test_hostile_claims_stay_text() -> None:
    content = html_of(page(**HOSTILE))
    assert harmless(content)
    assert len(content) < 1_000_000
    text = content.decode()
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "\\u202e" in text
    assert "\\x1b[31m" in text


def test_hostile_claims_stay_in_their_lines() -> None:
    lines = list(lines_of(page(BRIEF, **HOSTILE)))
    assert len(lines) < 100
    assert max(map(len, lines)) < 5000
    assert all(line.isprintable() for line in lines)
    assert all(line.startswith("  ") or line.endswith(("written what follows", ":")) for line in lines)


def test_what_is_left_out_is_counted() -> None:
    parameters = {f"p{number:04}": number for number in range(1000)}
    counts = [(len(facts.rows), facts.left_out) for facts in blocks(page(model={"parameters": parameters}), Facts)]
    assert (FULL.rows, 1000 - FULL.rows) in counts
    assert f"{1000 - FULL.rows:,} more left out" in Parsed(html_of(page(model={"parameters": parameters}))).text
    assert any("994 more" in line for line in lines_of(page(BRIEF, model={"parameters": parameters})))
    curves: dict[str, Any] = {f"c{number}": [1, 2] for number in range(20)}
    assert any("8 more curves" in block.text for block in plots_of(curves, None, FULL) if isinstance(block, Prose))


def test_the_fullest_manifest_makes_a_page_of_bounded_size() -> None:
    count = MANIFEST_MAX // 40
    widest: dict[str, Any] = {
        "model": {"parameters": {f"\x00{number}": "\x00" * 20 for number in range(count)}},
        "training": {"metadata": {"notes": "&" * 1000}, "notes": '"' * MANIFEST_MAX},
    }
    assert len(html_of(page(**widest))) < 8_000_000
    assert len(html_of(page(training={"notes": "\x00" * MANIFEST_MAX}))) < 1_000_000


KEYS = "class parameters steps search classes sizes metrics data notes columns name part confusion_matrix labels matrix"
MORE = "fpr tpr distributions python platform metadata sha256 attachment shortened bytes"
_known = st.sampled_from([*KEYS.split(), *MORE.split()])
_plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_known | st.text(), inner, max_size=3),
    max_leaves=6,
)
_claims = st.dictionaries(_known | st.text(), _plain, max_size=4)


@given(_claims)
def test_any_claims_have_a_page(said: dict[str, Any]) -> None:
    claims: dict[str, Any] = dict.fromkeys(("model", "training", "environment", "example"), said)
    assert harmless(html_of(page(**claims)))
    assert all(line.isprintable() for line in lines_of(page(BRIEF, **claims)))
    changed = described(**claims | {"training": {}})
    assert harmless(html_of(difference_page(described(**claims), changed, FULL, written=WRITTEN)))


@given(st.text())
def test_text_comes_back_out_of_markup(text: str) -> None:
    parsed = Parsed(str(element("p", text, title=text)).encode())
    [(tag, attributes)] = parsed.elements
    assert tag == "p"
    assert attributes["title"] == parsed.text
    assert parsed.text.isprintable() or "\n" in text
    if text.isprintable():
        assert parsed.text == text


def test_markup_that_is_made_by_hand_is_empty() -> None:
    assert str(Markup()) == ""
    assert str(element("p", Markup(), "<b>")) == "<p>&lt;b&gt;</p>"


def test_the_policy_of_a_page() -> None:
    [policy] = [
        attributes["content"] or ""
        for tag, attributes in Parsed(document("x", "p{}").encode()).elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_identical_artifacts_say_so() -> None:
    same = described(**CLAIMS)
    assert differences(same, replace(same, file="copy.safemodel")) == ()
    assert difference_page(same, same, FULL, written=WRITTEN).subtitle == "The two are identical."
    countersigned = replace(same, voucher=Voucher(("key 0a", "key 0b")))
    assert "same artifact" in difference_page(same, countersigned, FULL, written=WRITTEN).subtitle


def test_differences() -> None:
    before = described(**CLAIMS)
    model = MODEL | {"class": "sklearn.svm.SVC", "parameters": {"clf__C": 1.5, "memory": None, "n": True}}
    training = TRAINING | {"metrics": {"roc_auc": 0.92}, "notes": "other"}
    environment = {"python": "3.11.9", "distributions": {"scikit-learn": "1.9.2"}}
    after = described(VERIFIED, **CLAIMS | {"model": model, "training": training, "environment": environment})
    found = {(each.section, each.name): each for each in differences(before, after)}
    assert found["metrics", "roc_auc"].change == pytest.approx(0.01)
    assert found["parameters", "n"].before is ABSENT
    assert found["parameters", "clf__penalty"].after is ABSENT
    assert ("parameters", "memory") not in found
    assert found["model", "class"].after == "sklearn.svm.SVC"
    assert found["environment", "scikit-learn"].after == "1.9.2"
    assert {"signatures", "notes"} <= {section for section, _ in found}
    assert difference_page(before, after, FULL, written=WRITTEN).status is Status.UNVERIFIED
    assert difference_page(after, after, FULL, written=WRITTEN).status is Status.VERIFIED


def test_steps_and_columns_are_compared() -> None:
    before = described(**CLAIMS)
    columns = {"columns": [{"name": "age", "dtype": "float64"}, {"name": "visits", "dtype": "int64"}]}
    after = described(**CLAIMS | {"model": MODEL | {"steps": MODEL["steps"][1:]}, "training": {"data": columns}})
    found = {(each.section, each.name): (each.before, each.after) for each in differences(before, after)}
    assert found["data", "age"] == ("int64", "float64")
    assert found["data", "visits"] == (ABSENT, "int64")
    assert found["model", "step prepare.num"] == ("sklearn.preprocessing._data.StandardScaler", ABSENT)


@pytest.mark.parametrize(("before", "after"), [(1, 1.0), (1, True), ("1", 1), (None, "None"), ([], {})])
def test_values_of_other_types_differ(before: object, after: object) -> None:
    one, other = (described(model={"parameters": {"p": value}}) for value in (before, after))
    [found] = differences(one, other)
    _, shown_before, shown_after, _ = found.texts()
    assert shown_before != shown_after


def test_a_difference_as_a_value() -> None:
    assert Difference("metrics", "auc", 0.5, ABSENT).to_value() == {
        "section": "metrics",
        "name": "auc",
        "change": None,
        "before": 0.5,
    }
    assert Difference("metrics", "auc", 1, 3).texts() == ("auc", "1", "3", "+2")


def test_titles_of_a_comparison() -> None:
    def title(**claims: Any) -> str:
        return difference_page(described(), described(**claims), FULL, written=WRITTEN).title

    assert title() == "acme/churn 1.4.0"
    assert title(version="1.5.0") == "acme/churn 1.4.0 and 1.5.0"
    assert title(version=None) == "acme/churn 1.4.0 and no version"
    assert title(name="acme/fraud") == "acme/churn 1.4.0 and acme/fraud 1.4.0"


def test_names_that_come_twice_are_kept_apart() -> None:
    twice = {"columns": [{"name": "age", "dtype": "int64"}, {"name": "age", "dtype": "str"}]}
    assert "2" in [value for block in blocks(page(training={"data": twice}), Facts) for _, value in block.rows]
    found = differences(described(), described(training={"data": twice}))
    assert [(each.name, each.after) for each in found] == [("age", "int64"), ("age (2)", "str")]


def test_what_was_moved_to_an_entry_is_named() -> None:
    moved = {"attachment": "names", "bytes": 70_000, "sha256": "ab" * 32}
    said = {"parameters": moved, "feature_names": moved, "steps": moved, "sizes": moved}
    shown = [
        row for facts in blocks(page(model=said, training={"data": {"columns": moved}}), Facts) for row in facts.rows
    ]
    moves = {label for label, value in shown if value.startswith("in the entry names (70000 bytes, ")}
    assert moves == {"parameters", "feature_names", "steps", "sizes", "columns"}


def test_a_long_creator_is_shortened() -> None:
    long = replace(manifest(), creator=Creator("x" * 900_000, "1"))
    assert len(html_of(overview(replace(described(), manifest=long), FULL, written=WRITTEN))) < 50_000


def test_a_name_that_looks_numbered_hides_nothing() -> None:
    pairs = [("a", 1), ("a (3)", 2), ("a", 3)]
    assert list(distinct(pairs).values()) == [1, 2, 3]


def test_values_in_words() -> None:
    assert [bytes_of(size) for size in (0, 1023, 1024, 5 * 2**30)] == ["0 bytes", "1,023 bytes", "1.0 KiB", "5.0 GiB"]
    assert [figure_of(value) for value in (0.91, 1 / 3, 7)] == ["0.91", "0.333333", "7"]
    assert code_of(b"\xff") == "ff"
    assert code_of({"attachment": "words", "bytes": 7, "sha256": "ab"}) == "in the entry words (7 bytes, sha256 ab)"
    assert shorten("abcdef", 3) == "abc... (6 characters)"
    assert numbers_of([1, True]) == []


def surrogates() -> Iterator[bytes]:
    """Manifests with a lone surrogate, as a key and as a value; `wire.encode` makes none."""
    data = manifest(training={"notes": "abc"}).to_bytes()
    yield data.replace(b"\xa3abc", b"\xa3\xed\xa0\x80")
    yield data.replace(b"\xa5notes\xa3abc", b"\xa3\xed\xa0\x80\xa3abc")


def test_lone_surrogates_do_not_come_as_far_as_a_page() -> None:
    from safemodel.errors import FormatError

    for data in surrogates():
        with pytest.raises(FormatError):
            Manifest.from_bytes(data)
    with pytest.raises(FormatError):
        wire.encode("\ud800")
    assert harmless(html_of(page(training={"notes": "\ud800"})))


def test_what_makes_a_page_imports_no_numpy() -> None:
    modules = "safemodel.cli.inspect, safemodel.cli.diff, safemodel.describe.pages.html"
    code = f"import sys, {modules}; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
