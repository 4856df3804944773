"""The Dockerfile, built by buildah on an image made of the Python that runs here, and run as the pod would run it."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from conftest import KeyPair
    from recipes.conftest import Repository

ROOT = Path(__file__).parents[2]
BASE = "docker.io/library/python:3.13-slim"
NOT_TRUSTED = 1
LOOK = """
import os
from importlib.util import find_spec

installed = [name for name in ("sklearn", "numpy", "joblib", "pip") if find_spec(name)]
print(os.getuid(), installed, any(os.access(folder, os.W_OK) for folder in ("/", "/opt", "/models", "/trust")))
"""


@dataclass(frozen=True)
class Builder:
    """buildah, with a storage of its own, no network and no privileges."""

    folder: Path

    def __call__(self, *arguments: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
        storage = [f"--root={self.folder / 'root'}", f"--runroot={self.folder / 'run'}", "--storage-driver=vfs"]
        command = ["buildah", *storage, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def good(self, *arguments: str | os.PathLike[str]) -> str:
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def inspect(self, image: str) -> Any:
        return json.loads(self.good("inspect", "--type", "image", image))["OCIv1"]["config"]


def libraries(files: Iterator[Path]) -> set[Path]:
    """The shared libraries that programs and libraries need."""
    listed = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False).stdout
    words = {word for line in listed.splitlines() for word in line.split() if word.startswith("/")}
    return {Path(word) for word in words if not word.endswith(":")}


def copy_python(folder: Path) -> None:
    """Make a root folder with a shell and the running Python, without what is installed for it."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    python = Path(sys.executable).resolve()
    copied = folder / "usr/local/lib" / stdlib.name
    shutil.copytree(stdlib, copied, ignore=shutil.ignore_patterns("site-packages", "test", "__pycache__", "config-*"))
    for name in ("bin", "tmp", "etc", "usr/local/bin"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(python, folder / "usr/local/bin" / stdlib.name)
    for name in ("python", "python3"):
        (folder / "usr/local/bin" / name).symlink_to(stdlib.name)
    shutil.copy("/bin/sh", folder / "bin" / "sh")
    installed = [Path(str(file.locate())) for name in ("blake3", "cffi", "cryptography") for file in files_of(name)]
    compiled = [path for path in [*(stdlib / "lib-dynload").iterdir(), *installed] if path.suffix == ".so"]
    for library in libraries(iter([python, Path("/bin/sh"), *compiled])):
        copy = folder / library.relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, copy)


def files_of(name: str) -> list[Any]:
    return list(distribution(name).files or ())


def as_config_map(keys: Path) -> Path:
    """Lay files out as Kubernetes mounts a ConfigMap: links to links, which it can change all at once."""
    mounted = keys.with_name("mounted")
    shutil.copytree(keys, mounted / "..2026_11_25")
    (mounted / "..data").symlink_to("..2026_11_25")
    for path in keys.iterdir():
        (mounted / path.name).symlink_to(f"..data/{path.name}")
    return mounted


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory, surroundings: dict[str, str]) -> Iterator[Builder]:
    """The builder, with an image of the base's name."""
    if sys.platform != "linux" or not shutil.which("buildah"):
        pytest.skip("needs buildah")
    if not (Path(sysconfig.get_path("stdlib")) / "ensurepip" / "_bundled").is_dir():
        pytest.skip("needs a Python with its own pip")
    folder = tmp_path_factory.mktemp("images")
    context = folder / "context"
    copy_python(context / "root")
    (context / "Dockerfile").write_text('FROM scratch\nCOPY root /\nENV PATH=/usr/local/bin:/bin\nCMD ["python3"]\n')
    made = Builder(folder)
    made.good("build", "--isolation", "chroot", "--tag", BASE, context)
    yield made
    made.good("rmi", "--all", "--force")


@pytest.fixture(scope="session")
def image(builder: Builder, published: "Repository", surroundings: dict[str, str]) -> str:
    """The image that the Dockerfile makes, with wheels in the place of an index."""
    settings = builder.folder / "pip.conf"
    settings.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    mounts = ["--volume", f"{surroundings['PIP_FIND_LINKS']}:/wheels:ro", "--volume", f"{settings}:/etc/pip.conf:ro"]
    builder.good("build", "--isolation", "chroot", "--pull-never", *mounts, "--tag", "safemodel", published.folder)
    return "localhost/safemodel"


@pytest.fixture
def pod() -> Any:
    """What the Kubernetes recipe says of its pod."""
    (deployment,) = yaml.safe_load_all((ROOT / "examples" / "kubernetes.yml").read_text(encoding="utf-8"))
    return deployment["spec"]["template"]["spec"]


def test_the_image_verifies_as_the_init_container_does(
    builder: Builder, image: str, pod: Any, make_repository: Any, release: "KeyPair", stranger: "KeyPair"
) -> None:
    config, user = builder.inspect(image), pod["securityContext"]
    assert config["User"] == f"{user['runAsUser']}:{user['runAsGroup']}"
    policy, models = make_repository("acme/model-policy"), make_repository("acme/models")
    policy.trust(release)
    (container,) = pod["initContainers"]
    folders = {"models": models.folder, "policy": as_config_map(policy / "keys")}
    mounts = []
    for mount in container["volumeMounts"]:
        assert mount["readOnly"]
        mounts += ["--volume", f"{folders[mount['name']]}:{mount['mountPath']}:ro"]

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        made = builder.good("from", image)
        return builder("run", "--isolation", "chroot", "--user", config["User"], *mounts, made, "--", *command)

    models.model(release)
    assert run(*config["Entrypoint"], *container["args"]).returncode == 0
    models.model(stranger)
    assert run(*config["Entrypoint"], *container["args"]).returncode == NOT_TRUSTED
    assert config["Entrypoint"][1:] == ["-I", "-m", "safemodel"]
    assert run(config["Entrypoint"][0], "-I", "-c", LOOK).stdout == f"{user['runAsUser']} [] False\n"


def test_what_is_confined(pod: Any) -> None:
    for container in [*pod["initContainers"], *pod["containers"]]:
        confined = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["securityContext"] == confined
    assert pod["securityContext"]["runAsNonRoot"]
