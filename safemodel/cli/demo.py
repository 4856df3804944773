"""`safemodel demo`: the whole way with a real model, and real attacks on its file.

The attacks are done, not told: files are changed, replaced and overwritten while they are read. What must not happen
is watched for: a call into the room that unpickles.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Self

import safemodel
from safemodel.cli import output
from safemodel.cli.failure import NOT_TRUSTED, VERIFIED
from safemodel.cli.options import add_json, completing_files
from safemodel.errors import ConfigurationError, SafemodelError

if TYPE_CHECKING:
    from safemodel.cli.parser import Verbs

_EPILOG: Final = """\
examples:
  safemodel demo
  safemodel demo --keep DIR     keep keys and artifacts, to try the other verbs on them

--json:
  {"behaved": true or false, "steps": [{"tried", "outcome", "behaved"}]}
"""

_MODEL: Final = "demo/digits"
_FILE: Final = "digits.safemodel"
_AS_IT_MUST: Final = "everything went as it must, and nothing was unpickled before a refusal"
_NOT_AS_IT_MUST: Final = "NOT everything went as it must: do not rely on this installation"
_UNPICKLES: Final = "safemodel.payload.loading"  # the module through which every payload is read

Progress = Callable[[int, int], None]


def add_parser(verbs: "Verbs") -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "demo",
        help="see what it does, and what it refuses",
        description="Train a small model, sign, verify and load it; then attack its file, and see each attack refused.",
        epilog=_EPILOG,
    )
    completing_files(parser.add_argument("--keep", metavar="DIR", help="work in this folder, and keep it"))
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Play the demonstration; 0 only if every step went as it must."""
    _require_sklearn()
    steps = []
    with _stage(arguments.keep) as stage:
        for step in _steps(stage):
            steps.append(step)
            if not arguments.json:
                output.result(step.line())
    behaved = all(step.behaved for step in steps)
    if arguments.json:
        output.document({"behaved": behaved, "steps": [asdict(step) for step in steps]})
    else:
        output.result(_AS_IT_MUST if behaved else _NOT_AS_IT_MUST)
    return VERIFIED if behaved else NOT_TRUSTED


@dataclass(frozen=True, slots=True)
class _Step:
    """One thing that was tried, what came of it, and whether that is what must come of it."""

    tried: str
    outcome: str
    behaved: bool

    def line(self) -> str:
        return f"{'ok  ' if self.behaved else 'FAIL'}  {self.tried:<46}  {self.outcome}"


@dataclass(frozen=True, slots=True)
class _Trained:
    """A forest, images that it has not seen, and how often it is right about them."""

    model: Any
    images: Any
    accuracy: float

    @classmethod
    def of(cls, seed: int) -> Self:
        from sklearn.datasets import load_digits
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.model_selection import train_test_split

        images, digits = load_digits(return_X_y=True)
        seen, unseen, labels, expected = train_test_split(images, digits, random_state=0)
        model = RandomForestClassifier(n_estimators=40, random_state=seed).fit(seen, labels)
        return cls(model, unseen, float(model.score(unseen, expected)))


@dataclass(frozen=True, slots=True)
class _Stage:
    """The folder that everything happens in: keys, the good artifact, and a folder for each attack."""

    folder: Path

    @property
    def artifact(self) -> Path:
        return self.folder / _FILE

    @property
    def trust(self) -> Path:
        return self.folder / "release.key.pub"

    def keygen(self, file: str) -> str:
        """Make a key, and return its algorithm and the beginning of its id."""
        key = safemodel.generate_keyfile(self.folder / file, passphrase=False)
        return f"{key.algorithm} {key.key_id.hex()[:16]}"

    def dump(self, trained: _Trained, path: Path, *, name: str = _MODEL, key: str = "release.key") -> None:
        """Write an artifact."""
        metrics = {"accuracy": trained.accuracy}
        safemodel.dump(trained.model, path, key=self.folder / key, name=name, metrics=metrics)

    def load(self, path: Path, progress: Progress | None = None) -> Any:
        """Load an artifact as its user does."""
        return safemodel.load(path, trust=self.trust, name=_MODEL, progress=progress)

    def victim(self, attack: str) -> Path:
        """Return the path of a copy of the good artifact, under its own name in a folder of its own."""
        (self.folder / attack).mkdir()
        return Path(shutil.copy(self.artifact, self.folder / attack))


def _require_sklearn() -> None:
    try:
        import sklearn  # noqa: F401 - only to see that it is there
    except ImportError:
        raise ConfigurationError(
            "the demo needs scikit-learn, which is not installed",
            hint="install the extra 'sklearn' from the checkout: pip install '.[sklearn]'",
        ) from None


@contextmanager
def _stage(keep: str | None) -> Iterator[_Stage]:
    if keep is not None:
        os.makedirs(keep, exist_ok=True)
        yield _Stage(Path(keep))
        return
    with tempfile.TemporaryDirectory(prefix="safemodel-demo-") as folder:
        yield _Stage(Path(folder))


def _steps(stage: _Stage) -> Iterator[_Step]:
    trained = _Trained.of(seed=0)
    yield _Step("train a random forest on scikit-learn's digits", f"accuracy {trained.accuracy:.2f}", True)
    yield _Step("make a key: release.key and release.key.pub", stage.keygen("release.key"), True)
    stage.dump(trained, stage.artifact)
    yield _Step(f"dump and sign the model: {_FILE}", f"{stage.artifact.stat().st_size:,} bytes", True)
    with safemodel.verify(stage.artifact, trust=stage.trust, name=_MODEL) as artifact:
        yield _Step("verify it, without unpickling", f"signed as {artifact.manifest.name}", True)
    yield _loaded(stage, trained)
    yield _refused("load a copy with one bit of the model flipped", stage, _tampered(stage))
    yield _refused("load a copy signed by a stranger", stage, _forged(stage, trained))
    other = stage.folder / "other.safemodel"
    stage.dump(_Trained.of(seed=1), other, name="demo/other")
    replaced = stage.victim("replaced")
    shutil.copyfile(other, replaced)
    yield _refused("load another model put in its place", stage, replaced)
    swapped = stage.victim("swapped")
    swap = _Swap(swapped, other.read_bytes())
    yield _refused("load a file overwritten while it is read", stage, swapped, swap)


def _loaded(stage: _Stage, trained: _Trained) -> _Step:
    with _Watch() as watch:
        model = stage.load(stage.artifact)
    same = bool((model.predict(trained.images) == trained.model.predict(trained.images)).all())
    outcome = f"{len(trained.images)} predictions, {'' if same else 'NOT '}equal to those before"
    return _Step("load it and predict", outcome, same and watch.unpickled)  # a watch that sees nothing proves nothing


def _tampered(stage: _Stage) -> Path:
    path = stage.victim("tampered")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # inside the payload, which is nearly all of the file
    path.write_bytes(data)
    return path


def _forged(stage: _Stage, trained: _Trained) -> Path:
    path = stage.victim("forged")
    stage.keygen("stranger.key")
    stage.dump(trained, path, key="stranger.key")
    return path


def _refused(tried: str, stage: _Stage, path: Path, progress: Progress | None = None) -> _Step:
    with _Watch() as watch:
        try:
            stage.load(path, progress)
        except SafemodelError as error:
            refusal = type(error).__name__
        else:
            return _Step(tried, "LOADED", False)
    outcome = f"{'UNPICKLED, then ' if watch.unpickled else ''}refused: {refusal}"
    return _Step(tried, outcome, not watch.unpickled)


class _Swap:
    """Overwrites the file, once, from the callback that the loader makes after the first piece it has read."""

    def __init__(self, path: Path, data: bytes) -> None:
        self._path = path
        self._data = data

    def __call__(self, done: int, total: int) -> None:
        if self._data:
            with self._path.open("r+b") as file:
                file.write(self._data)
            self._data = b""


class _Watch:
    """Sees whether this thread calls what unpickles, whatever the loader says of itself."""

    def __init__(self) -> None:
        self.unpickled = False

    def __enter__(self) -> Self:
        self._before = sys.getprofile()
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)

    def _see(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_globals.get("__name__") == _UNPICKLES:
            self.unpickled = True
