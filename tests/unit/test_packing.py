"""Packing files that exist: what joblib and pickle wrote loads from the artifact, and nothing is unpickled before."""

import csv
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import safemodel
from safemodel.errors import (
    ConfigurationError,
    FormatError,
    GlobalNotAllowedError,
    PayloadError,
    SafemodelError,
)
from safemodel.format.limits import ALIGNMENT, MIB
from safemodel.format.manifest import COMPRESSIONS

METHODS = [method for method in COMPRESSIONS if method != "none"]
ATTACKS = Path(__file__).parent.parent / "attacks" / "files"
CLIP = b"\x80\x04}\x8c\x05steps](K\x01cacme.transformers\nClip\n)\x81}\x8c\x03lowK\x00sbes."
FEATURES, LABELS = make_classification(100, random_state=0)
TEXTS = ["red apple", "green apple", "red cherry", "green pear"] * 5


def forest() -> Any:
    return RandomForestClassifier(4, random_state=0).fit(FEATURES, LABELS)


def reader_of_texts() -> Any:
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, [0, 1, 0, 1] * 5)


@pytest.fixture
def pack(tmp_path: Path, release: Any) -> Callable[..., Path]:
    """Pack bytes, and return the artifact's path."""

    def make(data: bytes, **options: Any) -> Path:
        source, target = tmp_path / "source.bin", tmp_path / "churn.safemodel"
        source.write_bytes(data)
        safemodel.pack(source, target, key=release.private, **options)
        return target

    return make


def dumped(value: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer, **options)
    return buffer.getvalue()


def entry_of(path: Path) -> bytes:
    layout = safemodel.inspect(path).layout
    return path.read_bytes()[ALIGNMENT : ALIGNMENT + layout.entries[1].size]


@pytest.mark.parametrize("compress", [0, *((method, 3) for method in METHODS)])
def test_a_joblib_file_loads_as_it_is(compress: Any, pack: Callable[..., Path], release: Any) -> None:
    model = forest()
    data, plain = dumped(model, compress=compress), dumped(model)
    path = pack(data)
    payload = safemodel.inspect(path).manifest.payload
    assert entry_of(path) == data
    assert (payload.compression, payload.raw_size) == (compress[0] if compress else "none", len(plain))
    assert payload.counts.arrays > 4
    loaded = safemodel.load(path, trust=release.public)
    assert np.array_equal(loaded.predict_proba(FEATURES), model.predict_proba(FEATURES))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("make", [forest, reader_of_texts])
def test_a_plain_pickle_loads(protocol: int, make: Callable[[], Any], pack: Callable[..., Path], release: Any) -> None:
    model = make()
    rows: Any = FEATURES if make is forest else TEXTS
    loaded = safemodel.load(pack(pickle.dumps(model, protocol)), trust=release.public)
    assert np.array_equal(loaded.predict_proba(rows), model.predict_proba(rows))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_array_in_every_protocol_loads(protocol: int, pack: Callable[..., Path], release: Any) -> None:
    """Nothing else of it is made as protocols 0 and 1 make objects."""
    loaded = safemodel.load(pack(dumped(np.arange(3.0), protocol=protocol)), trust=release.public)
    assert np.array_equal(loaded, np.arange(3.0))


def test_what_is_said_of_the_model_is_signed(pack: Callable[..., Path], release: Any) -> None:
    path = pack(
        dumped({"a": 1}),
        name="acme/churn",
        version="1.4",
        expires=2**33,
        metrics={"roc_auc": 0.9},
        metadata={"notes": ["x"]},
        digest="sha256",
    )
    with safemodel.verify(path, trust=release.public) as artifact:
        manifest = artifact.manifest
    assert (manifest.name, manifest.version, manifest.expires) == ("acme/churn", "1.4", 2**33)
    assert manifest.training == {"metrics": {"roc_auc": 0.9}, "metadata": {"notes": ["x"]}}
    assert manifest.digest.algorithm == "sha256"


def test_file_objects(release: Any) -> None:
    source, target = io.BytesIO(dumped([1, 2])), io.BytesIO()
    source.seek(5)
    with pytest.raises(ConfigurationError):
        safemodel.pack(source, target, key=release.private)
    assert target.getvalue() == b""
    digest = safemodel.pack(source, target, key=release.private, name="acme/churn")
    assert safemodel.inspect(target).digest == digest
    assert safemodel.load(target, trust=release.public, name="acme/churn") == [1, 2]


def test_progress_knows_the_total(pack: Callable[..., Path]) -> None:
    seen: list[tuple[int, int]] = []
    data = dumped(np.zeros(500_000))
    pack(data, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(min(done, len(data)), len(data)) for done in range(MIB, len(data) + MIB, MIB)]


def test_the_refusal_names_everything_and_allow_lifts_it(pack: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(GlobalNotAllowedError) as caught:
        pack(CLIP)
    text = str(caught.value)
    for part in (
        "acme.transformers.Clip (build, newobj)",
        "['steps'][1]",
        'allow=["acme.transformers.Clip"]',
        "--allow acme.transformers.Clip",
    ):
        assert part in text
    assert not (tmp_path / "churn.safemodel").exists()
    with pytest.raises(GlobalNotAllowedError):
        pack(CLIP, allow=["acme.transformers.Clipper"])
    path = pack(CLIP, allow=["acme.transformers.Clip"])
    listed = safemodel.inspect(path).manifest.payload.globals
    assert [(each.module, each.name, each.roles) for each in listed] == [
        ("acme.transformers", "Clip", ("build", "newobj"))
    ]
    assert pack(CLIP, allow="acme.transformers.Clip") == path


@pytest.mark.parametrize("stream", [b"\x80\x04}]Ns.", b"\x80\x04\x8f(]\x90."])
def test_what_no_unpickler_can_run_is_refused(stream: bytes, pack: Callable[..., Path]) -> None:
    with pytest.raises(PayloadError, match="cannot be unpickled"):
        pack(stream)  # a list as a key


def test_a_role_that_is_not_listed_is_refused(pack: Callable[..., Path]) -> None:
    with pytest.raises(GlobalNotAllowedError) as caught:
        pack(b"\x80\x04csklearn.linear_model._logistic\nLogisticRegression\n)R.")
    assert "LogisticRegression (call)" in str(caught.value)


def test_a_refusal_of_thousands_stays_short(pack: Callable[..., Path]) -> None:
    lookups = b"".join(b"cacme.m%d\nClip\n" % number for number in range(3000))
    with pytest.raises(GlobalNotAllowedError) as caught:
        pack(b"\x80\x04(" + lookups + b"l.")
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain text",
        b"PK\x03\x04" + bytes(100),
        b"\x04\x22\x4d\x18" + bytes(100),
        pickle.dumps([1])[:-1],
        pickle.dumps([1]) + b"more",
        dumped([1], compress=3)[:-4],
        dumped([1], compress="gzip") + dumped([1], compress="gzip"),
        b"\x80\x02U\x03abc.",  # a text of Python 2, which the walk follows and no loader takes
        b"\x80\x04cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\n\x8c\x02f8\x89\x88\x87R(K\x03\x8c\x01<NNNJ\xff\xff"
        b"\xff\xffJ\xff\xff\xff\xffK\x00tbC\x03abc\x86R.",  # 3 bytes for a float of 8
    ],
)
def test_what_no_loader_takes_is_not_signed(data: bytes, pack: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises((PayloadError, FormatError)):
        pack(data)
    assert [path.name for path in tmp_path.iterdir()] == ["source.bin"]


def test_the_old_artifact_stays_when_packing_fails(pack: Callable[..., Path]) -> None:
    path = pack(dumped([1]))
    before = path.read_bytes()
    with pytest.raises(GlobalNotAllowedError):
        pack(CLIP)
    assert path.read_bytes() == before


def test_only_the_copy_counts(tmp_path: Path, release: Any) -> None:
    """A file that is rewritten once it was read is of no use to who rewrites it."""
    source, target = tmp_path / "source.pkl", tmp_path / "churn.safemodel"
    source.write_bytes(dumped([1, 2]))

    def swap(done: int, total: int) -> None:
        source.write_bytes(CLIP)

    safemodel.pack(source, target, key=release.private, progress=swap)
    assert safemodel.load(target, trust=release.public) == [1, 2]


def test_a_file_that_shrinks_is_refused(tmp_path: Path, release: Any) -> None:
    source = tmp_path / "source.pkl"
    source.write_bytes(dumped(np.zeros(1_000_000)))

    def shrink(done: int, total: int) -> None:
        source.write_bytes(b"")

    with pytest.raises(FormatError):
        safemodel.pack(source, tmp_path / "churn.safemodel", key=release.private, progress=shrink)
    assert [path.name for path in tmp_path.iterdir()] == ["source.pkl"]


def test_bad_arguments(tmp_path: Path, release: Any) -> None:
    source, target = tmp_path / "source.pkl", tmp_path / "churn.safemodel"
    source.write_bytes(dumped([1]))
    with pytest.raises(ConfigurationError):
        safemodel.pack(source, target)
    with pytest.raises(ConfigurationError):
        safemodel.pack(source, target, key=release.private, digest="md5")
    with pytest.raises(FormatError):
        safemodel.pack(source, target, key=release.private, name="No Name")
    with pytest.raises(FileNotFoundError):
        safemodel.pack(tmp_path / "none.pkl", target, key=release.private)
    with pytest.raises(IsADirectoryError):
        safemodel.pack(tmp_path, target, key=release.private)
    assert not target.exists()


@pytest.mark.parametrize("link", [False, True])
def test_the_packed_file_is_not_written_over(link: bool, tmp_path: Path, release: Any) -> None:
    source, target = tmp_path / "source.pkl", tmp_path / "churn.safemodel"
    source.write_bytes(dumped([1]))
    if link:
        target.symlink_to(source)
    with pytest.raises(ConfigurationError):
        safemodel.pack(source, target if link else str(source), key=release.private, name="churn")
    assert source.read_bytes() == dumped([1])


@pytest.mark.parametrize(
    "given",
    [{"version": 1.4}, {"name": 5}, {"metrics": [0.9]}, {"metrics": np.eye(2)}, {"metadata": "text"}, {"notes": 1}],
)
def test_values_of_another_type(given: dict[str, Any], release: Any) -> None:
    with pytest.raises(FormatError):
        safemodel.dump([1], io.BytesIO(), key=release.private, **{"name": "churn"} | given)


def test_a_file_that_gives_its_model_no_name(tmp_path: Path, release: Any) -> None:
    path = tmp_path / "My Model.safemodel"
    with pytest.raises(FormatError) as caught:
        safemodel.dump([1], path, key=release.private)
    assert "name=" in caught.value.hint
    safemodel.dump([1], path, key=release.private, name="my-model")
    assert safemodel.load(path, trust=release.public, name="my-model") == [1]


def test_arguments_in_the_wrong_order(release: Any) -> None:
    model: Any = [1]
    with pytest.raises(TypeError, match="list"):
        safemodel.dump("churn.safemodel", model, key=release.private)


def test_without_numpy_the_extra_is_named(pack: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safemodel.payload.loading", None)
    with pytest.raises(PayloadError) as caught:
        pack(dumped([1]))
    assert "sklearn" in caught.value.hint


_PACK_ALL = """
import io, sys, tempfile
from pathlib import Path
import safemodel
from safemodel.errors import SafemodelError

key = safemodel.load_signer(sys.argv[2])
safemodel.pack(io.BytesIO(b"\\x80\\x04]."), io.BytesIO(), key=key, name="a/b")  # loads what packing itself needs
imported = set(sys.modules)
forbidden = {"import", "pickle.find_class", "exec", "compile", "os.system", "subprocess.Popen", "socket.connect"}
sys.addaudithook(lambda event, details: event in forbidden and sys.exit(f"packing caused {event} of {details}"))
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        safemodel.pack(path, io.BytesIO(), key=key, name="a/b")
    except SafemodelError as error:
        print(path.name, error.code)
    else:
        print(path.name, "packed")
assert set(sys.modules) == imported, set(sys.modules) - imported
"""


def test_no_attack_is_packed_and_nothing_runs(release: Any) -> None:
    with (ATTACKS / "MANIFEST.tsv").open(encoding="utf-8", newline="") as manifest:
        expected = {row["file"]: row["expect"] for row in csv.DictReader(manifest, delimiter="\t", quoting=3)}
    done = subprocess.run(
        [sys.executable, "-c", _PACK_ALL, str(ATTACKS), str(release.private)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = dict(line.split(" ") for line in done.stdout.splitlines())
    packed = {file for file, outcome in outcomes.items() if outcome == "packed"}
    assert outcomes.keys() >= expected.keys()
    assert {expected[file] for file in packed} <= {"content", "inert"}


def test_errors_are_ours(pack: Callable[..., Path]) -> None:
    """A few hundred damaged models: whatever is wrong, the error is of our own tree."""
    data = dumped(forest())
    for position in range(0, len(data), len(data) // 150):
        damaged = data[:position] + bytes((data[position] ^ 0x11,)) + data[position + 1 :]
        try:
            pack(damaged)
        except SafemodelError:
            continue
