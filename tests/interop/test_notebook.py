"""What a real Jupyter kernel shows its users: the advice for a class of a cell, and the passphrase prompt."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

jupyter_client = pytest.importorskip("jupyter_client", reason="a notebook needs jupyter_client and ipykernel")
pytest.importorskip("ipykernel", reason="a notebook needs jupyter_client and ipykernel")

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the client's own libraries
SECONDS = 120

CELL = """
class Clip:
    def __init__(self, limit):
        self.limit = limit

    def fit(self, rows):
        self.fitted_ = len(rows)
        return self
"""
DUMP = """
import safemodel

model = [("clip", Clip(3).fit([1, 2]))]
try:
    safemodel.dump(model, "churn.safemodel", key="release.key", passphrase="secret")
except safemodel.PayloadError as error:
    print(error.hint)
"""
ADVICE = """
import acme_steps

model[0][1].__class__ = acme_steps.Clip
safemodel.dump(model, "churn.safemodel", key="release.key", passphrase="secret", allow=["acme_steps.Clip"])
"""
LOAD = """
import sys, safemodel
sys.path.insert(0, "")
((_, clip),) = safemodel.load("churn.safemodel", trust="release.key.pub", allow=["acme_steps.Clip"])
assert (clip.limit, clip.fitted_) == (3, 2)
"""
ASK = """
import safemodel

print(safemodel.load_signer("release.key").key_id.hex())
"""


class Notebook:
    """One kernel and a front end that answers its questions."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.questions: list[tuple[str, bool]] = []
        self.output = ""

    def run(self, cell: str, answer: str | None = None) -> str:
        """Run a cell, and return what it printed; it must not fail."""
        self.output = ""
        reply = self.client.execute_interactive(
            cell,
            allow_stdin=answer is not None,
            timeout=SECONDS,
            output_hook=self.show,
            stdin_hook=lambda message: self.ask(message, answer),
        )
        assert reply["content"]["status"] == "ok", reply["content"]
        return self.output

    def show(self, message: Any) -> None:
        if message["msg_type"] == "stream":
            self.output += message["content"]["text"]

    def ask(self, message: Any, answer: str | None) -> None:
        self.questions.append((message["content"]["prompt"], message["content"]["password"]))
        self.client.input(answer)


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    manager = jupyter_client.KernelManager()
    manager.kernel_spec.argv[0] = sys.executable
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=SECONDS)
        yield Notebook(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def test_the_advice_for_a_class_of_a_cell_works_without_a_new_fit(notebook: Notebook, tmp_path: Path) -> None:
    notebook.run("import safemodel; safemodel.generate_keyfile('release.key', passphrase='secret')")
    notebook.run(CELL)
    assert "model[0][1].__class__" in notebook.run(DUMP)
    assert not (tmp_path / "churn.safemodel").exists()
    (tmp_path / "acme_steps.py").write_text(CELL)
    notebook.run(ADVICE)
    subprocess.run([sys.executable, "-c", LOAD], check=True, cwd=tmp_path)


def test_a_passphrase_is_asked_for_in_the_notebook(notebook: Notebook) -> None:
    made = notebook.run(
        "import safemodel; print(safemodel.generate_keyfile('release.key', passphrase='secret').key_id.hex())"
    )
    assert notebook.run(ASK, answer="secret") == made
    ((prompt, hidden),) = notebook.questions
    assert "release.key" in prompt
    assert hidden
