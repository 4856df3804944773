"""A real PKCS#11 token: SoftHSM2, with keys that openssl made."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import safemodel
from safemodel.errors import ConfigurationError, KeyMaterialError, SigningError
from safemodel.signing import EcdsaP256VerifyingKey
from safemodel.signing.pkcs11 import Pkcs11Signer

pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")

PIN = "correct horse"
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
GENPKEY = {
    "ed25519": ["-algorithm", "ed25519"],
    "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "rsa": ["-algorithm", "RSA"],
}

Check = Callable[[safemodel.Signer], None]
Load = Callable[..., safemodel.Signer]


@pytest.fixture(scope="module")
def module() -> str:
    found = next(filter(lambda path: Path(path).exists(), MODULES), None)
    if found is None or shutil.which("softhsm2-util") is None or shutil.which("openssl") is None:
        pytest.skip("SoftHSM2 or openssl is not installed")
    return found


@pytest.fixture(scope="module")
def tokens(module: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the token `release`, whose keys are named as their kinds, and the token `other` without keys."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        for label in ("release", "other"):
            _softhsm("--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", PIN)
        for number, (kind, options) in enumerate(GENPKEY.items(), 1):
            key = folder / kind
            subprocess.run(["openssl", "genpkey", *options, "-out", key], check=True, capture_output=True)
            _softhsm("--import", key, "--token", "release", "--pin", PIN, "--label", kind, "--id", f"0{number}")
        yield folder
    pkcs11.unload(module)


def _softhsm(*arguments: str | Path) -> None:
    subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True)


@pytest.fixture
def load(tokens: Path, module: str) -> Load:
    """Load a signer by the attributes of its URI."""

    def load(path: str, query: str = "", passphrase: str | bytes | None = PIN) -> safemodel.Signer:
        return safemodel.load_signer(f"pkcs11:{path}?module-path={module}{query}", passphrase=passphrase)

    return load


@pytest.mark.parametrize(("kind", "algorithm"), [("p256", "ecdsa-p256-sha256"), ("ed25519", "ed25519")])
def test_the_token_signs(kind: str, algorithm: str, tokens: Path, load: Load, check_signing: Check) -> None:
    signer = load(f"token=release;object={kind}")
    assert signer.algorithm == algorithm
    assert signer.key_id == safemodel.load_signer(tokens / kind).key_id
    assert repr(signer) == f"<Pkcs11Signer {signer.key_id.hex()}>"
    check_signing(signer)


def test_every_way_to_name_the_key(load: Load, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load("token=release;object=ed25519").key_id
    token = pkcs11.lib(module).get_token(token_label="release")
    for path in ("id=%01", "object=ed25519;type=private", "id=%01;object=ed25519"):
        assert load(f"token=rele%61se;{path}").key_id == expected
        assert load(f"slot-id={token.slot.slot_id};{path}").key_id == expected
        assert load(f"serial={token.serial.decode()};{path}").key_id == expected
    monkeypatch.setenv("PKCS11_MODULE_PATH", module)
    assert safemodel.load_signer("pkcs11:token=release;id=%01", passphrase=PIN).key_id == expected


def test_every_source_of_the_pin(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load("token=release;id=%01").key_id
    monkeypatch.setenv("RELEASE_PIN", PIN)
    (tmp_path / "a pin").write_text(f"{PIN}\n")
    quoted = str(tmp_path / "a%20pin")
    for query in ("&pin-source=env:RELEASE_PIN", f"&pin-source=file:{quoted}"):
        assert load("token=release;id=%01", query, passphrase="wrong").key_id == expected
    monkeypatch.setenv("SAFEMODEL_PASSPHRASE", PIN)
    assert load("token=release;id=%01", passphrase=None).key_id == expected


@pytest.mark.parametrize("pin", ["battery staple", "1\u00b2", "x" * 300])
def test_wrong_pins_are_refused_and_not_shown(pin: str, load: Load) -> None:
    with pytest.raises(KeyMaterialError) as caught:
        load("token=other", passphrase=pin)
    assert isinstance(caught.value.__cause__, pkcs11.PKCS11Error)  # not for want of a key
    assert pin not in str(caught.value)


def test_a_pin_is_text(load: Load) -> None:
    with pytest.raises(KeyMaterialError) as caught:
        load("token=other", passphrase=b"\xff\xfe")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "path",
    [
        "token=missing",
        "token=release",  # which of its keys?
        "object=p256",  # of which token?
        "token=release;object=missing",
        "token=release;object=p256;id=%09",
        "token=other",
        "slot-id=7;object=p256",
        "token=release;object=p384",
        "token=release;object=rsa",
    ],
)
def test_keys_that_are_not_there_or_do_not_sign(path: str, load: Load) -> None:
    with pytest.raises(KeyMaterialError) as caught:
        load(path)
    assert caught.value.hint
    assert PIN not in str(caught.value)


@pytest.mark.parametrize(
    "query",
    ["&pin-source=env:UNSET_VARIABLE", "&pin-source=file:/missing/pin"],
)
def test_pins_that_are_not_there(query: str, load: Load) -> None:
    with pytest.raises((KeyMaterialError, FileNotFoundError)):
        load("token=release;object=p256", query)


def test_a_source_of_the_pin_that_is_not_understood(load: Load) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load("token=release;object=p256", "&pin-source=battery")
    assert "battery" not in str(caught.value)


@pytest.mark.parametrize("path", ["/missing/module.so", __file__])
def test_modules_that_cannot_be_loaded(path: str) -> None:
    with pytest.raises(ConfigurationError):
        safemodel.load_signer(f"pkcs11:token=release?module-path={path}", passphrase=PIN)


def test_a_token_that_fails_while_signing(load: Load) -> None:
    signer = load("token=release;object=p256")
    signer._private_key.session.close()  # type: ignore[attr-defined]
    with pytest.raises(SigningError):
        signer.sign(b"message")


@pytest.mark.parametrize("answer", [b"", bytes(64), b"\xff" * 64, bytes(96)], ids=["none", "zeroes", "ones", "long"])
def test_a_token_that_answers_with_other_bytes(answer: bytes, tokens: Path) -> None:
    class Broken:
        def sign(self, data: bytes, mechanism: object) -> bytes:
            return answer

    verifying_key = safemodel.load_signer(tokens / "p256").verifying_key
    assert isinstance(verifying_key, EcdsaP256VerifyingKey)
    with pytest.raises(SigningError):
        Pkcs11Signer(Broken(), verifying_key).sign(b"message")


def test_a_private_key_without_its_public_key(tokens: Path, module: str, load: Load) -> None:
    subprocess.run(["openssl", "genpkey", *GENPKEY["p256"], "-out", tokens / "lonely"], check=True, capture_output=True)
    _softhsm(*("--import", tokens / "lonely", "--token", "release", "--pin", PIN, "--label", "lonely", "--id", "0a"))
    load("token=release;object=lonely")
    program = (
        "import sys, pkcs11; token = pkcs11.lib(sys.argv[1]).get_token(token_label='release')\n"
        "with token.open(rw=True, user_pin=sys.argv[2]) as session:\n"
        "    session.get_key(pkcs11.ObjectClass.PUBLIC_KEY, label='lonely').destroy()"
    )
    subprocess.run([sys.executable, "-c", program, module, PIN], check=True)
    with pytest.raises(KeyMaterialError):
        load("token=release;object=lonely")
