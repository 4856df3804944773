"""The examples, run as their texts say: a real server with real workers, and a job."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import safemodel

EXAMPLES = Path(__file__).parents[2] / "examples"
DEADLINE = 60  # seconds
WORKERS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key, and what train.py makes of it, smaller."""
    folder = tmp_path_factory.mktemp("serving")
    safemodel.generate_keyfile(folder / "release.key", passphrase=False)
    arguments = [folder / "release.key", folder / "churn.safemodel", "5000", "200"]
    subprocess.run([sys.executable, EXAMPLES / "serving" / "train.py", *map(str, arguments)], check=True)
    return folder


def start(folder: Path, filename: str = "churn.safemodel") -> subprocess.Popen[str]:
    """Start the service on a free port."""
    return subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--no-control-socket", "service:app"],
        cwd=EXAMPLES / "serving",
        env=os.environ
        | {"MODEL": str(folder / filename), "TRUST": str(folder / "release.key.pub"), "NAME": "acme/churn"},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def service(folder: Path) -> Iterator[tuple[str, int]]:
    """Address and process of a running service."""
    if find_spec("gunicorn") is None or find_spec("fastapi") is None:
        pytest.skip("gunicorn or fastapi is not installed")
    with start(folder) as process:
        try:
            yield address(process), process.pid
        finally:
            process.terminate()


def address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"Listening at: (http://127\.0\.0\.1:\d+)", line):
            return found[1]
    raise AssertionError("the service ended")


def ask(url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=DEADLINE) as answer:
        return json.load(answer)


def test_the_service_predicts_what_the_model_does(folder: Path, service: tuple[str, int]) -> None:
    rows = np.random.default_rng(0).normal(size=(3, 20))
    model = safemodel.load(folder / "churn.safemodel", trust=folder / "release.key.pub", name="acme/churn")
    assert ask(f"{service[0]}/predict", {"rows": rows.tolist()})["probabilities"] == model.predict_proba(rows).tolist()
    assert ask(f"{service[0]}/model")["version"] == "1.4.0"
    wrong: dict[str, Any]
    for wrong in ({"rows": [[1, 2]]}, {"rows": []}, {}):
        with pytest.raises(HTTPError, match="422"):
            ask(f"{service[0]}/predict", wrong)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux says what processes share")
def test_the_workers_share_the_model(folder: Path, service: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES / "serving")
    from memory import memory, workers  # type: ignore[import-not-found]

    end = time.monotonic() + DEADLINE
    while len(workers(service[1])) < WORKERS and time.monotonic() < end:
        time.sleep(0.1)
    for _ in range(3 * WORKERS):
        ask(f"{service[0]}/predict", {"rows": [[0] * 20]})
    found = [memory(each) for each in workers(service[1])]
    assert len(found) == WORKERS
    assert all(each["Private"] < each["Rss"] / 3 for each in found), found


def test_no_worker_starts_with_a_model_that_is_not_trusted(folder: Path) -> None:
    altered = bytearray((folder / "churn.safemodel").read_bytes())
    altered[5000] ^= 1
    (folder / "altered.safemodel").write_bytes(altered)
    with start(folder, "altered.safemodel") as process:
        assert process.wait(DEADLINE)
        assert process.stderr is not None
        assert "DigestMismatchError" in process.stderr.read()


def test_the_job(tmp_path: Path) -> None:
    table = pd.DataFrame({"age": [20.0, 60.0], "income": [1.0, 2.0]})
    model = LogisticRegression().fit(table, ["stays", "leaves"])
    safemodel.generate_keyfile(tmp_path / "release.key", passphrase=False)
    safemodel.dump(model, tmp_path / "churn.safemodel", key=tmp_path / "release.key", name="acme/churn")

    def score(name: str, trust: str = "release.key.pub") -> int:
        arguments = ["churn.safemodel", trust, name, "customers.csv", "scores.csv"]
        job = [sys.executable, "-I", str(EXAMPLES / "batch" / "score.py"), *arguments]
        return subprocess.run(job, cwd=tmp_path, check=False).returncode

    assert score("acme/churn") == 4  # there are no customers yet
    table.to_csv(tmp_path / "customers.csv", index=False)
    assert score("acme/fraud") == 1
    assert score("acme/churn", trust="customers.csv") == score("acme/churn", trust="nowhere") == 4
    assert not (tmp_path / "scores.csv").exists()
    assert score("acme/churn") == 0
    assert pd.read_csv(tmp_path / "scores.csv")["prediction"].tolist() == ["stays", "leaves"]
    assert sorted(os.listdir(tmp_path)) == [
        "churn.safemodel",
        "customers.csv",
        "release.key",
        "release.key.pub",
        "scores.csv",
    ]
