"""Which text is a URI, which backend it names, and what is said where a backend cannot be had."""

import os
import sys
from pathlib import Path

import pytest

import safemodel
from safemodel.arguments import signers_of
from safemodel.errors import ConfigurationError, KeyMaterialError, SigningError
from safemodel.signing import backends, ssh_agent
from safemodel.signing.backends import BACKENDS, scheme_of
from safemodel.signing.signer import BackendSigner


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "a key?"
    safemodel.generate_keyfile(path, passphrase=False)
    return path


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        ("file:release.key", "file"),
        ("FILE:release.key", "file"),
        ("ssh-agent:", "ssh-agent"),
        ("pkcs11:token=a?module-path=/b:c", "pkcs11"),
        ("s3+x.1:", "s3+x.1"),
        ("release.key", None),
        ("C:\\keys\\release.key", None),
        ("C:release.key", None),
        ("/keys/file:release.key", None),
        ("./file:release.key", None),
        ("7z:release.key", None),
        (":release.key", None),
        ("my key:release.key", None),
        ("", None),
    ],
)
def test_what_a_uri_is(text: str, scheme: str | None) -> None:
    assert scheme_of(text) == scheme


@pytest.mark.parametrize("text", ["gcpkms:release", "http://127.0.0.1/release.key", "release.key:review.key", "ab:"])
def test_an_unknown_scheme_is_an_error_that_lists_the_known_ones(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        safemodel.load_signer(text)
    assert all(f"{name}:" in str(caught.value) for name in BACKENDS)


@pytest.mark.skipif(sys.platform == "win32", reason="no colons in names")
def test_a_path_stays_a_path(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(key.parent)
    key.rename("ssh-agent:")
    expected = safemodel.load_verifying_key(f"{key}.pub").key_id
    for path in ("./ssh-agent:", Path("ssh-agent:"), os.path.abspath("ssh-agent:")):
        assert safemodel.load_signer(path).key_id == expected


def test_a_file_by_uri(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = safemodel.load_verifying_key(f"{key}.pub").key_id
    assert safemodel.load_signer(key.as_uri()).key_id == expected
    assert safemodel.load_signer(key.as_uri().replace("file://", "file://localhost")).key_id == expected
    monkeypatch.chdir(key.parent)
    assert safemodel.load_signer("file:a%20key%3F").key_id == expected


@pytest.mark.parametrize("rest", ["", "//", "//elsewhere/release.key", "release.key?x", "release.key#x"])
def test_file_uris_that_name_no_file_here(rest: str) -> None:
    with pytest.raises(ConfigurationError):
        safemodel.load_signer(f"file:{rest}")


def test_a_missing_file_by_uri(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        safemodel.load_signer((tmp_path / "missing").as_uri())


def test_a_uri_is_no_verifying_key(key: Path) -> None:
    with pytest.raises(FileNotFoundError):
        safemodel.load_verifying_key("ssh-agent:")


def test_a_uri_in_the_environment_is_taken_whole(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = safemodel.load_verifying_key(f"{key}.pub").key_id
    monkeypatch.setenv("SAFEMODEL_KEY", key.as_uri())
    assert [signer.key_id for signer in signers_of(None, None)] == [expected]
    monkeypatch.setenv("SAFEMODEL_KEY", os.pathsep.join([str(key), str(key)]))
    assert [signer.key_id for signer in signers_of(None, None)] == [expected] * 2
    monkeypatch.setenv("SAFEMODEL_KEY", f"ssh-agent:{os.pathsep}x")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(ConfigurationError):
        signers_of(None, None)
    monkeypatch.setenv("SAFEMODEL_KEY", "")
    with pytest.raises(ConfigurationError):
        signers_of(None, None)


@pytest.mark.parametrize(
    ("package", "extra", "uri"),
    [
        ("pkcs11", "pkcs11", "pkcs11:token=a?module-path=/b"),
        ("boto3", "aws", "awskms:alias/release"),
    ],
)
def test_a_missing_package_is_an_error_that_names_the_extra(
    package: str, extra: str, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError) as caught:
        safemodel.load_signer(uri)
    assert repr(extra) in caught.value.hint


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "token=a",
        "token=a?module-path=softhsm.so",
        "token=a?module-path=",
        "token=a;token=b?module-path=/b",
        "token=a;manufacturer=b?module-path=/b",
        "token=a;;object=b?module-path=/b",
        "token?module-path=/b",
        "token=%ff?module-path=/b",
        "slot-id=first?module-path=/b",
        "object=a;type=public?module-path=/b",
        "token=a?module-path=/b&module-name=c",
        "token=a?token=b",
    ],
)
def test_pkcs11_uris_that_are_not_understood(rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PKCS11_MODULE_PATH", raising=False)
    with pytest.raises(ConfigurationError):
        safemodel.load_signer(f"pkcs11:{rest}", passphrase="secret")


@pytest.mark.parametrize("uri", ["pkcs11:token=a?module-path=/b&pin-value=battery", "pkcs11:pin-value=battery;token=a"])
def test_a_pin_in_a_uri_is_refused_and_not_shown(uri: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        safemodel.load_signer(uri)
    assert "battery" not in str(caught.value)
    assert "pin-source" in caught.value.hint


def test_values_of_attributes_are_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        backends.parse_attributes("pin=battery", ";", ("token",))
    assert "battery" not in str(caught.value)


class Liar(BackendSigner):
    """Signs with another key than it says."""

    def sign(self, message: bytes) -> bytes:
        return bytes(64)


def test_a_backend_that_returns_another_signature_makes_no_artifact(key: Path, tmp_path: Path) -> None:
    liar = Liar(safemodel.load_verifying_key(f"{key}.pub"))
    assert isinstance(liar, safemodel.Signer)
    with pytest.raises(SigningError):
        safemodel.dump([1.5], tmp_path / "churn.safemodel", key=liar)
    assert not (tmp_path / "churn.safemodel").exists()


def test_an_agent_is_not_chosen_by_a_private_key(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_agent, "_usable_identities", list)
    with pytest.raises(KeyMaterialError):
        safemodel.load_signer(f"ssh-agent:{key}")


def test_loading_what_verifies_loads_no_backend() -> None:
    import subprocess

    code = (
        "import sys, safemodel, safemodel.cli.verify; names = ('backends', 'openssh', 'sshwire', *sys.argv[1:])\n"
        "print([name for name in names if f'safemodel.signing.{name}' in sys.modules])"
    )
    command = [sys.executable, "-c", code, *BACKENDS.values()]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"
