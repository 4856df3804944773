"""Signing an artifact that exists: checked first, on the copy that gets the signature, and never half-done."""

import io
import itertools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import safemodel
from safemodel import countersigning, system
from safemodel.errors import (
    ConfigurationError,
    DigestMismatchError,
    FormatError,
    LimitExceededError,
    NameMismatchError,
    NoTrustedSignatureError,
    SafemodelError,
    SignatureMismatchError,
    SigningError,
)
from safemodel.format.unverified import read_unverified


def signers(path: Path, *keys: Any) -> int:
    with safemodel.verify(path, trust=[key.public for key in keys]) as artifact:
        return len(artifact.signers)


def test_a_second_signature(forge: Callable[..., Path], release: Any, stranger: Any) -> None:
    path = forge()
    digest = safemodel.inspect(path).digest
    assert safemodel.sign(path, key=stranger.private, trust=release.public) == digest
    assert signers(path, release, stranger) == 2
    assert safemodel.inspect(path).digest == digest


def test_by_the_expected_digest(forge: Callable[..., Path], release: Any, stranger: Any) -> None:
    path = forge()
    safemodel.sign(path, key=stranger.private, digest=safemodel.inspect(path).digest.upper())
    assert signers(path, stranger) == 1
    with pytest.raises(DigestMismatchError):
        safemodel.sign(path, key=release.private, digest="0" * 64)
    with pytest.raises(ConfigurationError):
        safemodel.sign(path, key=release.private, digest=safemodel.inspect(path).digest, name="acme/churn")


@pytest.mark.parametrize("digest", ["", "00", "zz" * 32, "é"])
def test_what_is_no_digest(digest: str, forge: Callable[..., Path], stranger: Any) -> None:
    with pytest.raises(ConfigurationError):
        safemodel.sign(forge(), key=stranger.private, digest=digest)


def test_nobody_signs_without_knowing_what(forge: Callable[..., Path], stranger: Any) -> None:
    with pytest.raises(ConfigurationError):
        safemodel.sign(forge(), key=stranger.private)


def test_trust_from_the_environment(
    forge: Callable[..., Path], release: Any, stranger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFEMODEL_TRUST", str(release.public))
    monkeypatch.setenv("SAFEMODEL_KEY", str(stranger.private))
    path = forge()
    safemodel.sign(path)
    assert signers(path, release, stranger) == 2


def test_a_swapped_file_is_not_signed(forge: Callable[..., Path], release: Any, stranger: Any) -> None:
    fraud = forge(file="churn.safemodel", name="acme/fraud")
    before = fraud.read_bytes()
    with pytest.raises(NameMismatchError):
        safemodel.sign(fraud, key=stranger.private, trust=release.public)
    with pytest.raises(NoTrustedSignatureError):
        safemodel.sign(fraud, key=release.private, trust=stranger.public, name="acme/fraud")
    assert fraud.read_bytes() == before
    assert os.listdir(fraud.parent) == [fraud.name]


def test_a_damaged_file_is_not_signed(forge: Callable[..., Path], stranger: Any) -> None:
    path = forge()
    unverified = safemodel.inspect(path)
    data = bytearray(path.read_bytes())
    data[unverified.layout.offset_of("payload.joblib")] ^= 1
    path.write_bytes(data)
    for detached in (False, True):
        with pytest.raises(DigestMismatchError):
            safemodel.sign(path, key=stranger.private, digest=unverified.digest, detached=detached)
    assert path.read_bytes() == bytes(data)


def test_the_same_key_signs_once(forge: Callable[..., Path], release: Any, stranger: Any) -> None:
    path = forge()
    with pytest.raises(SigningError):
        safemodel.sign(path, key=release.private, trust=release.public)
    with pytest.raises(SigningError):
        safemodel.sign(path, key=[stranger.private] * 2, trust=release.public)


def test_a_seventeenth_signature_does_not_fit(forge: Callable[..., Path], make_key: Callable[..., Any]) -> None:
    keys = [make_key() for _ in range(17)]
    path = forge(keys=[key.private for key in keys[:16]])
    with pytest.raises(LimitExceededError):
        safemodel.sign(path, key=keys[16].private, trust=keys[0].public)


def test_a_file_object_is_signed_in_place(forge: Callable[..., Path], release: Any, stranger: Any) -> None:
    file = io.BytesIO(forge().read_bytes())
    safemodel.sign(file, key=stranger.private, trust=release.public, name="acme/churn")
    with safemodel.verify(file, trust=[release.public, stranger.public], name="acme/churn") as artifact:
        assert len(artifact.signers) == 2
    with pytest.raises(ConfigurationError):
        safemodel.sign(file, key=stranger.private, digest="0" * 64, detached=True)


def test_detached_signatures(forge: Callable[..., Path], make_key: Callable[..., Any], release: Any) -> None:
    path = forge()
    before = path.read_bytes()
    first, second = make_key(), make_key("ecdsa-p256-sha256")
    for key in (first, second):
        safemodel.sign(path, key=key.private, trust=release.public, detached=True)
    assert path.read_bytes() == before
    assert signers(path, release, first, second) == 3
    with pytest.raises(SigningError):
        safemodel.sign(path, key=first.private, trust=release.public, detached=True)


def test_stale_detached_signatures_give_way(
    forge: Callable[..., Path], release: Any, stranger: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = forge()
    safemodel.sign(path, key=stranger.private, trust=release.public, detached=True)
    forge(b"another payload")
    assert signers(path, release, stranger) == 1
    assert "another artifact" in caplog.text
    safemodel.sign(path, key=stranger.private, trust=release.public, detached=True)
    assert signers(path, release, stranger) == 2


def test_junk_beside_an_artifact_is_refused(forge: Callable[..., Path], release: Any) -> None:
    path = forge()
    Path(f"{path}.sig").write_bytes(b"junk")
    with pytest.raises(FormatError):
        safemodel.verify(path, trust=release.public)


def test_a_signer_that_lies_is_found_out(forge: Callable[..., Path], release: Any, stranger: Any) -> None:
    class Faulty:
        algorithm = "ed25519"
        verifying_key = safemodel.load_verifying_key(stranger.public)
        key_id = verifying_key.key_id

        def sign(self, message: bytes) -> bytes:
            return bytes(64)

    with pytest.raises(SigningError) as caught:
        safemodel.sign(forge(), key=Faulty(), trust=release.public)
    assert isinstance(caught.value.__cause__, SignatureMismatchError)


def test_two_signers_at_once(forge: Callable[..., Path], release: Any, stranger: Any) -> None:
    path = forge()
    with system.locked(path), pytest.raises(SigningError):
        safemodel.sign(path, key=stranger.private, trust=release.public)


def sign_until_killed(path: Path, key: Path, trust: Path) -> None:
    safemodel.sign(path, key=key, trust=trust, progress=lambda done, total: os.kill(os.getpid(), signal.SIGKILL))


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_signer_leaves_the_old_file(forge: Callable[..., Path], release: Any, stranger: Any) -> None:
    path = forge()
    before = path.read_bytes()
    process = multiprocessing.get_context("spawn").Process(
        target=sign_until_killed, args=(path, stranger.private, release.public)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert path.read_bytes() == before
    safemodel.sign(path, key=stranger.private, trust=release.public)
    assert signers(path, release, stranger) == 2


STEPS = {"open", "read", "write", "flush", "truncate", "fchmod", "fsync", "link", "replace", "close", "unlink", "flock"}


def sign_killed_at_each_step(path: Path, key: Path, trust: Path, detached: bool) -> None:
    """Fork once for each call to the system, kill the fork just before it, and compare what is left."""
    target = Path(f"{path}.sig") if detached else path
    old, outcomes = target.read_bytes() if target.exists() else None, set()
    step, killed = 0, True
    while killed:
        step += 1
        if (process := os.fork()) == 0:
            calls = itertools.count(1)

            def die(frame: Any, event: str, called: Any, due: int = step, calls: Any = calls) -> None:
                if event == "c_call" and called.__name__ in STEPS and next(calls) == due:
                    os.kill(os.getpid(), signal.SIGKILL)

            sys.setprofile(die)
            safemodel.sign(path, key=key, trust=trust, detached=detached)
            os._exit(0)
        killed = os.waitpid(process, 0)[1] != 0
        left = target.read_bytes() if target.exists() else None
        outcomes.add(left)
        if left != old:
            target.write_bytes(old) if old is not None else target.unlink()
    assert step > 10
    assert len(outcomes) == 2  # Ed25519 signs deterministically: the old file, and the new one


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.parametrize("detached", [False, True])
def test_killed_at_any_step_it_leaves_the_old_file_or_the_new_one(
    detached: bool, forge: Callable[..., Path], release: Any, stranger: Any
) -> None:
    path = forge()
    process = multiprocessing.get_context("spawn").Process(
        target=sign_killed_at_each_step, args=(path, stranger.private, release.public, detached)
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    safemodel.sign(path, key=stranger.private, trust=release.public, detached=detached)
    assert signers(path, release, stranger) == 2


def test_a_file_that_is_swapped_when_its_manifest_was_read_is_not_signed(
    forge: Callable[..., Path], release: Any, stranger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = forge(b"another payload", keys=[stranger.private]).read_bytes()
    path = forge()

    def read_then_swap(source: Any) -> Any:
        unverified = read_unverified(source)
        with open(path, "r+b") as file:
            file.write(evil)
            file.truncate()
        return unverified

    monkeypatch.setattr(countersigning, "read_unverified", read_then_swap)
    with pytest.raises(SafemodelError):
        safemodel.sign(path, key=stranger.private, trust=release.public, detached=True)
    assert not Path(f"{path}.sig").exists()
