"""Every attack of `files/` against the walk: refused, or reported with the very global that a catalogue refuses."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from safemodel.errors import FormatError, LimitExceededError, PayloadError
from safemodel.payload.streams import open_stream
from safemodel.payload.walk import walk

FILES = Path(__file__).parent / "files"
with (FILES / "MANIFEST.tsv").open(encoding="utf-8", newline="") as _manifest:
    ATTACKS = list(csv.DictReader(_manifest, delimiter="\t", quoting=csv.QUOTE_NONE))

# As pickle's fix_imports maps them in protocols 0 to 2: what the loader would import.
MAPPED = {"commands.getoutput": "subprocess.getoutput", "__builtin__.eval": "builtins.eval"}


def expecting(outcome: str) -> list[str]:
    return [attack["file"] for attack in ATTACKS if attack["expect"] == outcome]


def globals_named(file: str) -> set[str]:
    stream, _ = open_stream((FILES / file).read_bytes())
    return {f"{use.module}.{use.name}" for use in walk(stream).globals}


def test_the_manifest_names_every_file() -> None:
    listed = {attack["file"] for attack in ATTACKS}
    assert listed == {path.name for path in FILES.iterdir()} - {"MANIFEST.tsv", "README.md"}
    assert {attack["expect"] for attack in ATTACKS} == {"refuse", "quota", "content", "inert"}


@pytest.mark.parametrize("file", expecting("refuse"))
def test_is_refused_or_reported(file: str) -> None:
    attack = next(attack for attack in ATTACKS if attack["file"] == file)
    try:
        named = globals_named(file)
    except (PayloadError, FormatError):
        return
    assert attack["globals"], "an attack without a global has to be refused"
    assert MAPPED.get(attack["globals"], attack["globals"]) in named


@pytest.mark.parametrize("file", expecting("quota"))
def test_stops_at_a_limit(file: str) -> None:
    with pytest.raises(LimitExceededError):
        globals_named(file)


@pytest.mark.parametrize("file", expecting("content"))
def test_is_reported_for_its_content(file: str) -> None:
    assert "sklearn.tree._tree.Tree" in globals_named(file)


@pytest.mark.parametrize("file", expecting("inert"))
def test_does_no_harm(file: str) -> None:
    try:
        globals_named(file)
    except (PayloadError, FormatError):
        return


_WALK_ALL = """
import sys
from pathlib import Path
from safemodel.errors import SafemodelError
from safemodel.payload.streams import open_stream
from safemodel.payload.walk import walk

if sys.platform == "linux":
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (300 * 2**20, 300 * 2**20))
imported = set(sys.modules)
forbidden = {"import", "pickle.find_class", "exec", "compile", "os.system", "subprocess.Popen", "socket.connect"}
sys.addaudithook(lambda event, details: event in forbidden and sys.exit(f"the walk caused {event} of {details}"))
for path in sorted(Path(sys.argv[1]).iterdir()):
    data = path.read_bytes()
    try:
        walk(open_stream(data)[0])
    except SafemodelError:
        pass
assert set(sys.modules) == imported, set(sys.modules) - imported
assert not {"numpy", "joblib", "sklearn"} & imported
"""


def test_nothing_is_imported_and_memory_is_bounded() -> None:
    """All files in one process: no import, no unpickling, and no more memory than a third of the bomb and the rest."""
    subprocess.run([sys.executable, "-c", _WALK_ALL, str(FILES)], check=True, timeout=120)
