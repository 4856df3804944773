"""The page of one artifact: who signed it, what it is, how good it is, what it needs."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from safemodel.describe.pages.bounds import Bounds
from safemodel.describe.pages.described import Described, Voucher
from safemodel.describe.pages.diagram import diagram_of
from safemodel.describe.pages.facts import columns_of, data_of, facts_of, parts_of
from safemodel.describe.pages.page import Bar, Bars, Block, Diagram, Facts, Page, Prose, Section, Status
from safemodel.describe.pages.plots import plots_of
from safemodel.describe.pages.text import shorten
from safemodel.describe.pages.untrusted import bytes_of, code_of, map_of, number_of, text_of

_PACKAGES_MAX: Final = 4  # named in the summary of the globals
_RUNTIME: Final = ("python", "implementation", "platform")


def overview(described: Described, bounds: Bounds, *, written: str) -> Page:
    """Return the page of an artifact.

    Args:
        described: the artifact.
        bounds: how much is shown.
        written: when, in ISO 8601.
    """
    manifest = described.manifest
    return Page(
        file=described.file,
        title=named(described),
        subtitle=bounds.text_of(text_of(manifest.model.get("class", "A model of unknown class"))),
        status=status_of(described.voucher),
        verdict=_verdict(described.voucher),
        grounds=grounds_of(described.voucher),
        sections=tuple(section for section in _sections(described, bounds) if section.blocks),
        written=written,
    )


def named(described: Described) -> str:
    """Return the name of the model with its version."""
    manifest = described.manifest
    return manifest.name if manifest.version is None else f"{manifest.name} {manifest.version}"


def status_of(voucher: Voucher) -> Status:
    """Return the status of what a voucher stands for."""
    return Status.VERIFIED if voucher.verified else Status.UNVERIFIED


def grounds_of(voucher: Voucher) -> tuple[tuple[str, str], ...]:
    """Return who signed, or is said to have, and why that counts."""
    if voucher.verified:
        return (*(("signed by", signer) for signer in voucher.signers), *voucher.grounds)
    return tuple(("signature", f"not checked, by {signer}") for signer in voucher.signers) or (("signature", "none"),)


def _verdict(voucher: Voucher) -> str:
    if voucher.verified:
        return "Signatures, policy and every byte of the file were checked when this page was made."
    return "Anybody can have written what follows. Nobody has checked a signature."


def _sections(described: Described, bounds: Bounds) -> Iterator[Section]:
    facts = facts_of(described)
    manifest = described.manifest
    metrics = map_of(manifest.training.get("metrics"))
    yield Section("Metrics", tuple(plots_of(metrics, manifest.model.get("classes"), bounds)), wide=True)
    yield Section("Needs", _needs(described, facts["environment"], bounds))
    yield Section("Example", bounds.facts(_texts(facts["example"])))
    yield Section("Model", tuple(_model(described, facts["model"], bounds)), wide=True)
    parameters = [(name, code_of(value)) for name, value in facts["parameters"].items()]
    yield Section("Parameters", bounds.facts(parameters), wide=True)
    yield Section("Input", _input(described, bounds), wide=True)
    yield Section("Notes", _notes(facts["notes"], bounds), wide=True)
    yield Section("Metadata", bounds.facts(_texts(facts["metadata"])), wide=True)
    said = [(name, text) for name, text in _texts(facts["artifact"]) if name not in ("name", "version")]
    yield Section("Artifact", bounds.facts(said))
    yield Section("Code it reaches for", _globals(described, facts["globals"], bounds))
    yield Section("Sizes", tuple(_sizes(described, bounds)))


def _model(described: Described, facts: Mapping[str, Any], bounds: Bounds) -> Iterator[Block]:
    model = described.manifest.model
    root = diagram_of(model, described.manifest.name.rpartition("/")[2], bounds)
    said = [(name, text_of(value)) for name, value in facts.items() if not name.startswith("step ") and name != "class"]
    if root.steps:
        yield Diagram(root)
    yield from bounds.facts(said)


def _input(described: Described, bounds: Bounds) -> tuple[Block, ...]:
    columns = list(columns_of(described))
    said = [(name, text_of(value)) for name, value in data_of(described)]
    rows = [(name, "" if kind is None else text_of(kind)) for name, kind in columns]
    typed = any(kind for _, kind in rows)
    headings, rows_shown = (("Column", "Type"), rows) if typed else (("Column",), [row[:1] for row in rows])
    summary = [("columns", f"{len(columns):,}")] if columns else []
    return (*bounds.facts([*summary, *said]), *bounds.table(headings, rows_shown, brief=False))


def _notes(facts: Mapping[str, Any], bounds: Bounds) -> tuple[Block, ...]:
    return tuple(Prose(shorten(text_of(value), bounds.prose)) for value in facts.values())


def _needs(described: Described, facts: Mapping[str, Any], bounds: Bounds) -> tuple[Block, ...]:
    others = [row for row in _texts(facts) if row[0] not in _RUNTIME and not row[0].startswith("platform.")]
    said = [*_runtime(described.manifest.environment), *others]
    shown, left_out = bounds.first(described.unlisted)
    allow = [("to be allowed", name) for name in shown]
    more = [("to be allowed", f"{left_out:,} more")] if left_out else []
    return (*bounds.facts([*allow, *more]), *bounds.facts(said))


def _runtime(environment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield Python and the platform, each in one row."""
    said = [text_of(environment[name]) for name in _RUNTIME[:2] if name in environment]
    if said:
        yield "python", ", ".join(said)
    platform = environment.get("platform")
    if platform:
        parts = sorted(map_of(platform).items(), reverse=True)  # the system before the machine
        yield "platform", " ".join(text_of(part) for _, part in parts) or text_of(platform)


def _globals(described: Described, facts: Mapping[str, Any], bounds: Bounds) -> tuple[Block, ...]:
    packages = Counter(name.partition(".")[0] for name in facts)
    common = [f"{count} of {name}" for name, count in packages.most_common(_PACKAGES_MAX)]
    more = ["..."] if len(packages) > _PACKAGES_MAX else []
    verdict = f"{len(described.unlisted)} that the catalogue does not list" if described.unlisted else "none"
    summary = [("names", f"{len(facts):,}: {', '.join(common + more)}"), ("beyond the catalogue", verdict)]
    return (*bounds.facts(summary if facts else []), *bounds.table(("Name", "Used as"), facts.items(), brief=False))


def _sizes(described: Described, bounds: Bounds) -> Iterator[Block]:
    entries = [(entry.name, bytes_of(entry.size)) for entry in described.layout.entries]
    yield Facts((("file", bytes_of(described.layout.size)),))
    yield from bounds.facts(entries, brief=False)
    sizes = [(part, number_of(size)) for part, size in parts_of(described)]
    parts = [(part, size) for part, size in sizes if size is not None and size >= 0]
    if parts:
        largest = max(size for _, size in parts) or 1
        shown, left_out = bounds.first(parts)
        bars = tuple(Bar(bounds.text_of(part), bytes_of(size), float(size) / float(largest)) for part, size in shown)
        yield Bars("Part", "as a share of the largest part", bars, left_out, brief=False)


def _texts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, text_of(value)) for name, value in facts.items()]
