"""AWS KMS, played by a local server: nothing leaves the machine."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

import safemodel
from safemodel.errors import ConfigurationError, KeyMaterialError, SigningError
from safemodel.signing.aws_kms import AwsKmsSigner

pytest.importorskip("moto", reason="moto is not installed")
boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")

REGION = "eu-central-1"
SECRET = "correcthorsebatterystaple"

Check = Callable[[safemodel.Signer], None]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of the server."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"NO_COLOR": "1"}) as process:
        assert process.stderr is not None
        found = None
        while not found:
            line = process.stderr.readline()
            assert line, "the server ended"
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
        yield found[0]
        process.kill()


@pytest.fixture
def kms(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client for making keys; what signs finds the server through AWS's own settings."""
    settings = {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    boto3.setup_default_session()
    return boto3.client("kms")


def make(kms: Any, spec: str = "ECC_NIST_P256", usage: str = "SIGN_VERIFY") -> Any:
    return kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]


def test_kms_signs(kms: Any, check_signing: Check) -> None:
    signer = safemodel.load_signer(f"awskms:{make(kms)['KeyId']}")
    assert signer.algorithm == "ecdsa-p256-sha256"
    assert repr(signer) == f"<AwsKmsSigner {signer.key_id.hex()}>"
    check_signing(signer)


def test_every_way_to_name_the_key(kms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(kms)
    kms.create_alias(AliasName="alias/release", TargetKeyId=made["KeyId"])
    expected = safemodel.load_signer(f"awskms:{made['KeyId']}").key_id
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    alias = made["Arn"].replace(f"key/{made['KeyId']}", "alias/release")
    for key in (made["Arn"], alias, f"///{made['Arn']}", f"{made['KeyId']}?region={REGION}"):
        assert safemodel.load_signer(f"awskms:{key}").key_id == expected
    with pytest.raises(SigningError):  # in which region?
        safemodel.load_signer(f"awskms:{made['KeyId']}")


def test_an_alias_that_is_moved_after_loading(kms: Any) -> None:
    kms.create_alias(AliasName="alias/moving", TargetKeyId=make(kms)["KeyId"])
    signer = safemodel.load_signer("awskms:alias/moving")
    kms.update_alias(AliasName="alias/moving", TargetKeyId=make(kms)["KeyId"])
    signer.verifying_key.verify(signer.sign(b"message"), b"message")


@pytest.mark.parametrize(
    ("spec", "usage"),
    [("RSA_2048", "SIGN_VERIFY"), ("ECC_NIST_P384", "SIGN_VERIFY"), ("ECC_SECG_P256K1", "SIGN_VERIFY")],
)
def test_keys_of_other_kinds(spec: str, usage: str, kms: Any) -> None:
    with pytest.raises(KeyMaterialError):
        safemodel.load_signer(f"awskms:{make(kms, spec, usage)['KeyId']}")


@pytest.mark.parametrize("key", ["alias/missing", "00000000-0000-0000-0000-000000000000", "junk key"])
def test_keys_that_are_not_there(key: str, kms: Any) -> None:
    with pytest.raises(SigningError) as caught:
        safemodel.load_signer(f"awskms:{key}")
    assert SECRET not in str(caught.value)


def test_a_key_that_is_gone_when_it_should_sign(kms: Any, server: str) -> None:
    signer = safemodel.load_signer(f"awskms:{make(kms)['KeyId']}")
    with urlopen(Request(f"{server}/moto-api/reset", method="POST")):  # forgets all keys
        pass
    with pytest.raises(SigningError) as caught:
        signer.sign(b"message")
    assert SECRET not in str(caught.value)


class Broken:
    """Answers as no KMS does."""

    def __init__(self, public: dict[str, Any], signature: dict[str, Any]) -> None:
        self.get_public_key = lambda **_: public
        self.sign = lambda **_: signature


def test_answers_that_say_nothing(kms: Any) -> None:
    public = kms.get_public_key(KeyId=make(kms)["KeyId"])
    for answer in ({}, {"PublicKey": b"junk"}, {"PublicKey": public["PublicKey"]}):
        with pytest.raises(KeyMaterialError):
            AwsKmsSigner(Broken(answer, {}), "alias/release")
    for answer in ({}, {"Signature": b"junk"}, {"Signature": bytes.fromhex("3006020100020100")}):
        with pytest.raises(SigningError):
            AwsKmsSigner(Broken(public, answer), "alias/release").sign(b"message")


def test_nobody_answers(kms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(SigningError):
        safemodel.load_signer("awskms:alias/release")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "junk")
    with pytest.raises(SigningError):
        safemodel.load_signer("awskms:alias/release")


def test_no_credentials(kms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    boto3.setup_default_session()
    with pytest.raises(SigningError):
        safemodel.load_signer("awskms:alias/release")


@pytest.mark.parametrize("rest", ["", "//127.0.0.1/alias/release", "/alias/release", "a?region", "a?endpoint=b"])
def test_uris_that_are_not_understood(rest: str) -> None:
    with pytest.raises(ConfigurationError):
        safemodel.load_signer(f"awskms:{rest}")
