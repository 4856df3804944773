"""Files that change while they are read: digest-checked bytes are used, or an error; never others."""

import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import safemodel
from safemodel.errors import SafemodelError

LOADS = 1000
SIZE = 50_000


@pytest.fixture
def versions(tmp_path: Path, release: Any) -> tuple[bytes, bytes]:
    """Two artifacts of one size; every value of an array tells which one it is from."""
    contents = []
    for value in (1.0, 2.0):
        path = tmp_path / f"{value}.safemodel"
        safemodel.dump({"weights": np.full(SIZE, value)}, path, key=release.private, name="churn", version="1.0")
        contents.append(path.read_bytes())
    return contents[0], contents[1]


@contextmanager
def written_to(path: Path, versions: tuple[bytes, bytes]) -> Iterator[None]:
    """Rewrite, truncate and rename the file in another thread, as fast as that goes."""
    stop = threading.Event()

    def write() -> None:
        for turn in itertools.count():
            if stop.is_set():
                return
            data = versions[turn % 2]
            if turn % 3 == 0:
                with open(path, "r+b") as file:
                    file.write(data)
            elif turn % 3 == 1:
                with open(path, "r+b") as file:
                    file.truncate(turn * 997 % len(data))
                    file.write(data)
            else:
                other = path.with_suffix(".new")
                other.write_bytes(data)
                os.replace(other, path)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def test_loading_while_the_file_is_written(tmp_path: Path, versions: tuple[bytes, bytes], release: Any) -> None:
    path = tmp_path / "churn.safemodel"
    path.write_bytes(versions[0])
    trusted = safemodel.load_verifying_key(release.public)
    loaded = 0
    with written_to(path, versions):
        for _ in range(LOADS):
            try:
                weights = safemodel.load(path, trust=trusted)["weights"]
            except (SafemodelError, FileNotFoundError):
                continue
            loaded += 1
            assert weights[0] in (1.0, 2.0)
            assert (weights == weights[0]).all()
    path.write_bytes(versions[0])
    assert safemodel.load(path, trust=trusted)["weights"][0] == 1.0
    assert loaded < LOADS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_cannot_write_into_the_parents_model(
    tmp_path: Path, versions: tuple[bytes, bytes], release: Any
) -> None:
    path = tmp_path / "churn.safemodel"
    path.write_bytes(versions[0])
    weights = safemodel.load(path, trust=release.public)["weights"]
    child = os.fork()
    if child == 0:
        weights[:] = 7.0
        os._exit(0 if (weights == 7.0).all() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert (weights == 1.0).all()


def test_no_thread_is_left_behind(tmp_path: Path, versions: tuple[bytes, bytes], release: Any) -> None:
    path = tmp_path / "churn.safemodel"
    path.write_bytes(versions[0])
    before = threading.active_count()
    safemodel.load(path, trust=release.public)
    assert threading.active_count() == before
