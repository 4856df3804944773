"""Wheels made again from what is installed, so that recipes install safemodel without a network."""

import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import parse_tag, sys_tags
from packaging.utils import canonicalize_name

_NOT_IN_A_WHEEL = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


def make_wheels(project: Path, folder: Path) -> None:
    """Write a wheel of everything that is needed to build and install a project.

    Raises:
        PackageNotFoundError: some of it is not installed here.
    """
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = settings["project"]["dependencies"] + settings["build-system"]["requires"]
    for each in _closure(wanted, {}).values():
        _make_wheel(each, folder)


def _closure(requirements: list[str], found: dict[str, Distribution]) -> dict[str, Distribution]:
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found[name] = distribution(name)
            _closure(found[name].requires or [], found)
    return found


def _make_wheel(installed: Distribution, folder: Path) -> None:
    supported = frozenset(sys_tags())
    described = Parser().parsestr(installed.read_text("WHEEL") or "")
    tags = described.get_all("Tag", [])
    tag = next(tag for tag in tags if parse_tag(tag) & supported)
    name = canonicalize_name(installed.name).replace("-", "_")
    files = list(_files(installed))
    (record,) = {f"{file.split('/')[0]}/RECORD" for file, _ in files if file.endswith(".dist-info/WHEEL")}
    with zipfile.ZipFile(folder / f"{name}-{installed.version}-{tag}.whl", "w") as wheel:
        for file, path in files:
            wheel.write(path, file)
        wheel.writestr(record, "".join(f"{file},,\n" for file in [*(file for file, _ in files), record]))


def _files(installed: Distribution) -> Iterator[tuple[str, Path]]:
    for file in installed.files or ():
        of_the_installation = file.name in _NOT_IN_A_WHEEL and file.parent.name.endswith(".dist-info")
        if ".." not in file.parts and "__pycache__" not in file.parts and not of_the_installation:
            yield file.as_posix(), Path(str(file.locate()))
