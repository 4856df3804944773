"""Keys by `ssh-keygen`, and signatures by a real `ssh-agent`."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import safemodel
from safemodel.errors import ConfigurationError, KeyMaterialError, SafemodelError, SigningError

PASSPHRASE = "correct horse"

KINDS = {"ed25519": ["-t", "ed25519"], "ecdsa-p256-sha256": ["-t", "ecdsa", "-b", "256"]}

Check = Callable[[safemodel.Signer], None]
pairs = pytest.mark.parametrize("algorithm", list(KINDS))


def run(*command: str | Path, **variables: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"the {command[0]} command is not installed")
    return subprocess.run(command, env=os.environ | variables, check=True, capture_output=True, text=True).stdout


def keygen(path: Path, *options: str, passphrase: str = "") -> Path:
    run("ssh-keygen", "-q", *options, "-N", passphrase, "-C", "someone@somewhere", "-f", path)
    return path


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh agent at SSH_AUTH_SOCK, which is short enough for a socket's name."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "agent"
        if shutil.which("ssh-agent") is None:
            pytest.skip("the ssh-agent command is not installed")
        process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()  # written when the socket is there
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        yield socket
        process.kill()
        process.communicate()


def add(path: Path, *options: str) -> Path:
    run("ssh-add", "-q", *options, path)
    return path


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE], ids=["plain", "encrypted"])
@pairs
def test_keys_by_ssh_keygen_sign(algorithm: str, passphrase: str, tmp_path: Path, check_signing: Check) -> None:
    path = keygen(tmp_path / "key", *KINDS[algorithm], passphrase=passphrase)
    signer = safemodel.load_signer(path, passphrase=PASSPHRASE)
    assert signer.algorithm == algorithm
    assert safemodel.load_verifying_key(tmp_path / "key.pub") == signer.verifying_key
    check_signing(signer)


@pytest.mark.parametrize("cipher", ["aes256-ctr", "aes256-gcm@openssh.com"])
def test_wrong_passphrases_are_refused_and_not_shown(cipher: str, tmp_path: Path) -> None:
    path = keygen(tmp_path / "key", "-t", "ed25519", "-Z", cipher, passphrase=PASSPHRASE)
    safemodel.load_signer(path, passphrase=PASSPHRASE)
    with pytest.raises(KeyMaterialError) as caught:
        safemodel.load_signer(path, passphrase="battery staple")
    assert "battery" not in str(caught.value)
    with pytest.raises(KeyMaterialError):
        safemodel.load_signer(path)


def test_a_cipher_that_is_not_supported_is_refused_and_read_after_the_conversion_we_name(tmp_path: Path) -> None:
    path = keygen(tmp_path / "key", "-t", "ed25519", "-Z", "chacha20-poly1305@openssh.com", passphrase=PASSPHRASE)
    with pytest.raises(KeyMaterialError):
        safemodel.load_signer(path, passphrase=PASSPHRASE)
    run("ssh-keygen", "-q", "-p", "-Z", "aes256-ctr", "-P", PASSPHRASE, "-N", PASSPHRASE, "-f", path)
    safemodel.load_signer(path, passphrase=PASSPHRASE)


def test_the_public_key_has_one_id_in_both_forms(tmp_path: Path) -> None:
    path = keygen(tmp_path / "key", *KINDS["ecdsa-p256-sha256"])
    (tmp_path / "pem.pub").write_text(run("ssh-keygen", "-e", "-m", "PKCS8", "-f", path))
    assert safemodel.load_verifying_key(tmp_path / "pem.pub") == safemodel.load_verifying_key(tmp_path / "key.pub")


@pytest.mark.parametrize("kind", [["-t", "rsa", "-b", "2048"], ["-t", "ecdsa", "-b", "384"]], ids=["rsa", "p384"])
def test_keys_of_other_kinds(kind: list[str], tmp_path: Path) -> None:
    path = keygen(tmp_path / "key", *kind, passphrase=PASSPHRASE)
    with pytest.raises(KeyMaterialError):
        safemodel.load_signer(path, passphrase=never_asked)
    with pytest.raises(KeyMaterialError):
        safemodel.load_verifying_key(tmp_path / "key.pub")


def never_asked() -> str:
    raise AssertionError("asked for the passphrase of a key that cannot be used")


def test_a_certificate_is_no_verifying_key(tmp_path: Path) -> None:
    authority, path = keygen(tmp_path / "ca", "-t", "ed25519"), keygen(tmp_path / "key", "-t", "ed25519")
    run("ssh-keygen", "-q", "-s", authority, "-I", "someone", f"{path}.pub")
    with pytest.raises(KeyMaterialError):
        safemodel.load_verifying_key(tmp_path / "key-cert.pub")


@pairs
def test_the_agent_signs(algorithm: str, tmp_path: Path, agent: Path, check_signing: Check) -> None:
    path = add(keygen(tmp_path / "key", *KINDS[algorithm]))
    path.unlink()
    signer = safemodel.load_signer("ssh-agent:")
    assert signer.verifying_key == safemodel.load_verifying_key(tmp_path / "key.pub")
    assert repr(signer) == f"<SshAgentSigner {signer.key_id.hex()}>"
    check_signing(signer)


def test_the_agent_signs_for_the_command_that_takes_the_key_from_the_environment(
    tmp_path: Path, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(keygen(tmp_path / "key", "-t", "ed25519"))
    monkeypatch.setenv("SAFEMODEL_KEY", "ssh-agent:")
    safemodel.dump([1.5], tmp_path / "churn.safemodel", name="acme/churn")
    with safemodel.verify(tmp_path / "churn.safemodel", trust=tmp_path / "key.pub"):
        pass


def test_one_of_several_keys_is_chosen(tmp_path: Path, agent: Path) -> None:
    kinds = {"a": KINDS["ed25519"], "b": KINDS["ed25519"], "c": KINDS["ecdsa-p256-sha256"], "d": ["-t", "rsa"]}
    for name, kind in kinds.items():
        add(keygen(tmp_path / name, *kind))
    for name in "abc":
        expected = safemodel.load_verifying_key(tmp_path / f"{name}.pub")
        shown = run("ssh-keygen", "-l", "-f", tmp_path / f"{name}.pub").split()[1]
        assert safemodel.load_signer(f"ssh-agent:{tmp_path / name}.pub").verifying_key == expected
        assert safemodel.load_signer(f"ssh-agent:{shown}").verifying_key == expected
    rsa = run("ssh-keygen", "-l", "-f", tmp_path / "d.pub").split()[1]
    for choice in ("", f"{tmp_path / 'd.pub'}", rsa, "SHA256:"):
        with pytest.raises(KeyMaterialError):
            safemodel.load_signer(f"ssh-agent:{choice}")


def test_the_only_usable_key_needs_no_choice(tmp_path: Path, agent: Path) -> None:
    add(keygen(tmp_path / "rsa", "-t", "rsa"))
    with pytest.raises(KeyMaterialError):
        safemodel.load_signer("ssh-agent:")
    add(keygen(tmp_path / "key", "-t", "ed25519"))
    assert safemodel.load_signer("ssh-agent:").verifying_key == safemodel.load_verifying_key(tmp_path / "key.pub")


def sign(signer: safemodel.Signer) -> type[SafemodelError] | None:
    try:
        signer.sign(b"message")
    except SafemodelError as error:
        return type(error)
    return None


def test_an_agent_that_refuses(tmp_path: Path, agent: Path) -> None:
    add(keygen(tmp_path / "key", "-t", "ed25519"), "-c")  # wants a confirmation, which nobody can give here
    signer = safemodel.load_signer("ssh-agent:")
    assert sign(signer) is SigningError
    run("ssh-add", "-q", "-D")
    assert sign(signer) is SigningError


def test_an_agent_that_is_gone(tmp_path: Path, agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(keygen(tmp_path / "key", "-t", "ed25519"))
    signer = safemodel.load_signer("ssh-agent:")
    agent.unlink()
    assert sign(signer) is SigningError
    monkeypatch.delenv("SSH_AUTH_SOCK")
    with pytest.raises(ConfigurationError):
        safemodel.load_signer("ssh-agent:")
