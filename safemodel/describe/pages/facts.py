"""What an artifact says, as values by section and name: what pages show, and what is compared."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Final

from safemodel.describe.pages.described import Described
from safemodel.describe.pages.text import moment
from safemodel.describe.pages.untrusted import distinct, flat, list_of, map_of, text_of

SECTIONS: Final = (
    "artifact",
    "signatures",
    "metrics",
    "model",
    "parameters",
    "data",
    "environment",
    "example",
    "notes",
    "metadata",
    "globals",
    "sizes",
)


def facts_of(described: Described) -> dict[str, dict[str, Any]]:
    """Return what an artifact says, by section and name.

    Args:
        described: the artifact; of its descriptive maps anything is expected.

    Returns:
        A map for each of `SECTIONS`, empty where there is nothing to say.
    """
    manifest = described.manifest
    model, training = manifest.model, manifest.training
    of_model = _rest(model, lists=("steps", "sizes", "feature_names"), maps=("parameters",))
    found: dict[str, dict[str, Any]] = {
        "artifact": _artifact(described),
        "signatures": dict.fromkeys(described.voucher.signers, "signed"),
        "metrics": distinct(flat(map_of(training.get("metrics")))),
        "model": distinct(chain(_structure(model), flat(of_model))),
        "parameters": dict(map_of(model.get("parameters"))),
        "data": distinct(chain(columns_of(described), data_of(described))),
        "environment": distinct(_environment(manifest.environment)),
        "example": distinct(flat(manifest.example)),
        "notes": {"notes": training["notes"]} if training.get("notes") else {},
        "metadata": distinct(_metadata(training)),
        "globals": {f"{each.module}.{each.name}": ", ".join(each.roles) for each in manifest.payload.globals},
        "sizes": distinct(_sizes(described)),
    }
    return {section: found[section] for section in SECTIONS}


def columns_of(described: Described) -> Iterator[tuple[str, Any]]:
    """Yield the name and the type of each input column, as far as they are known."""
    columns = list_of(map_of(described.manifest.training.get("data")).get("columns"))
    for column in columns:
        if isinstance(column, Mapping):
            yield text_of(column.get("name")), column.get("dtype")
        else:
            yield text_of(column), None
    if not columns:
        for name in list_of(described.manifest.model.get("feature_names")):
            yield text_of(name), None


def data_of(described: Described) -> Iterator[tuple[str, Any]]:
    """Yield what else is said of the training data."""
    yield from flat(_rest(map_of(described.manifest.training.get("data")), lists=("columns",)))


def parts_of(described: Described) -> Iterator[tuple[str, Any]]:
    """Yield the name and the size of each part of the model that is said to be large."""
    for part in list_of(described.manifest.model.get("sizes")):
        if isinstance(part, Mapping):
            yield text_of(part.get("part")), part.get("bytes")


def _artifact(described: Described) -> dict[str, Any]:
    manifest = described.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "created": moment(manifest.created),
        "expires": "never" if manifest.expires is None else moment(manifest.expires),
        "creator": f"{manifest.creator.tool} {manifest.creator.version}",
        "digest": described.digest,
    }


def _structure(model: Mapping[str, Any], prefix: str = "step ") -> Iterator[tuple[str, Any]]:
    for step in list_of(model.get("steps")):
        if isinstance(step, Mapping):
            name = f"{prefix}{text_of(step.get('name'))}"
            yield name, step.get("class")
            yield from _structure(step, f"{name}.")


def _environment(environment: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from flat(_rest(environment, maps=("distributions",)))
    yield from map_of(environment.get("distributions")).items()


def _metadata(training: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from flat(map_of(training.get("metadata")))
    others = _rest(training, maps=("metadata", "metrics", "data"))
    yield from flat({name: value for name, value in others.items() if name != "notes"})


def _sizes(described: Described) -> Iterator[tuple[str, Any]]:
    yield "file", described.layout.size
    for entry in described.layout.entries:
        yield entry.name, entry.size
    for part, size in parts_of(described):
        yield f"part {part}", size


def _rest(values: Mapping[str, Any], *, lists: Iterable[str] = (), maps: Iterable[str] = ()) -> dict[str, Any]:
    """Return what is not shown elsewhere: a list or a map of another type is shown here, as is what stands for it."""
    elsewhere = {name for name in lists if list_of(values.get(name))} | {
        name for name in maps if map_of(values.get(name))
    }
    return {name: value for name, value in values.items() if name not in elsewhere}
