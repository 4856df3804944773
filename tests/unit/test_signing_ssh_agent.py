"""Whatever answers in the agent's place: one clear error, in bounded time and memory."""

import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import safemodel
from safemodel.errors import KeyMaterialError, SigningError
from safemodel.signing import EcdsaP256Signer, Ed25519Signer, ssh_agent
from safemodel.signing.sshwire import encode_string

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets")

KEY = Ed25519Signer.generate()
P256 = EcdsaP256Signer.generate()
ED25519_BLOB = encode_string(b"ssh-ed25519") + encode_string(KEY.verifying_key.raw)
P256_BLOB = encode_string(b"ecdsa-sha2-nistp256") + encode_string(b"nistp256") + encode_string(P256.verifying_key.raw)

Pieces = Iterable[bytes]
Play = Callable[[Callable[[bytes], Pieces]], None]


def message(kind: int, body: bytes = b"") -> bytes:
    return encode_string(bytes([kind]) + body)


def identities(*blobs: bytes) -> bytes:
    return message(12, len(blobs).to_bytes(4, "big") + b"".join(map(identity, blobs)))


def identity(blob: bytes) -> bytes:
    return encode_string(blob) + encode_string(b"comment")


def signature(algorithm: bytes, content: bytes) -> bytes:
    return message(14, encode_string(encode_string(algorithm) + encode_string(content)))


def mpint(value: int) -> bytes:
    return encode_string(value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    """Listen at SSH_AUTH_SOCK, and answer each request with the pieces that a function makes of it."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.join(folder, "agent"))
        listener.listen()
        monkeypatch.setenv("SSH_AUTH_SOCK", os.path.join(folder, "agent"))
        threads = []

        def start(answer: Callable[[bytes], Pieces]) -> None:
            threads.append(threading.Thread(target=_serve, args=(listener, answer)))
            threads[-1].start()

        yield start
        listener.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def _serve(listener: socket.socket, answer: Callable[[bytes], Pieces]) -> None:
    with suppress(OSError):  # whoever asked may have hung up; and at the end, the listener is shut down
        while True:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                for piece in answer(connection.recv(1 << 16)[4:]):
                    connection.sendall(piece)


def answering(listed: bytes, signed: bytes = b"") -> Callable[[bytes], Pieces]:
    return lambda request: [listed if request[0] == 11 else signed]


def test_replies_may_come_in_any_pieces(play: Play) -> None:
    def answer(request: bytes) -> Pieces:
        good = identities(ED25519_BLOB) if request[0] == 11 else signature(b"ssh-ed25519", KEY.sign(b"message"))
        return (good[index : index + 1] for index in range(len(good)))

    play(answer)
    signer = safemodel.load_signer("ssh-agent:")
    signer.verifying_key.verify(signer.sign(b"message"), b"message")


def test_the_request_is_what_the_protocol_says(play: Play) -> None:
    seen = []

    def answer(request: bytes) -> Pieces:
        seen.append(request)
        return answering(identities(ED25519_BLOB), signature(b"ssh-ed25519", bytes(64)))(request)

    play(answer)
    assert safemodel.load_signer("ssh-agent:").sign(b"message") == bytes(64)
    assert seen == [b"\x0b", b"\x0d" + encode_string(ED25519_BLOB) + encode_string(b"message") + bytes(4)]


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\0\0",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        (256 * 1024 + 1).to_bytes(4, "big") + bytes(100),
        b"\0\0\0\x09\x0c",
        message(5),
        message(14),
        message(12),
        message(12, b"\0\0\0\1"),
        message(12, b"\xff\xff\xff\xff" + identity(ED25519_BLOB)),
        message(12, b"\0\0\0\0left over"),
        message(12, b"\0\0\0\1" + b"\xff\xff\xff\xff" + ED25519_BLOB),
        os.urandom(64),
    ],
    ids=[
        *("gone", "short-length", "empty", "huge", "above-the-cap", "cut", "refused", "another-kind", "no-count"),
        *("no-identity", "huge-count", "left-over", "huge-blob", "junk"),
    ],
)
def test_answers_that_are_no_list_of_keys(reply: bytes, play: Play) -> None:
    play(answering(reply))
    with pytest.raises(SigningError) as caught:
        safemodel.load_signer("ssh-agent:")
    assert caught.value.hint


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        encode_string(b"ssh-rsa"),
        encode_string(b"sk-ssh-ed25519@openssh.com") + encode_string(bytes(32)),
        encode_string(b"ssh-ed25519"),
        encode_string(b"ssh-ed25519") + encode_string(bytes(32)),  # of small order
        ED25519_BLOB + b"\0",
        encode_string(b"ecdsa-sha2-nistp256") + encode_string(b"nistp384") + encode_string(P256.verifying_key.raw),
        P256_BLOB[:-1] + bytes([P256_BLOB[-1] ^ 1]),
    ],
    ids=range(8),
)
def test_keys_that_must_not_be_used(blob: bytes, play: Play) -> None:
    play(answering(identities(blob)))
    with pytest.raises(KeyMaterialError):
        safemodel.load_signer("ssh-agent:")


@pytest.mark.parametrize(
    "reply",
    [
        message(5),
        message(12, bytes(4)),
        message(14),
        message(14, encode_string(b"")),
        signature(b"ssh-ed25519", bytes(63)),
        signature(b"ssh-ed25519", bytes(65)),
        signature(b"ssh-rsa", bytes(64)),
        signature(b"\xff", bytes(64)),
        message(14, encode_string(encode_string(b"ssh-ed25519") + encode_string(bytes(64)) + b"\0")),
        message(14, encode_string(encode_string(b"ssh-ed25519") + encode_string(bytes(64))) + b"\0"),
    ],
    ids=range(10),
)
def test_answers_that_are_no_ed25519_signature(reply: bytes, play: Play) -> None:
    play(answering(identities(ED25519_BLOB), reply))
    signer = safemodel.load_signer("ssh-agent:")
    with pytest.raises(SigningError):
        signer.sign(b"message")


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.mark.parametrize(
    "numbers",
    [
        b"",
        mpint(1),
        mpint(1) + mpint(1) + b"\0",
        mpint(0) + mpint(1),
        mpint(1) + mpint(0),
        mpint(-1) + mpint(1),
        mpint(ORDER) + mpint(1),
        mpint(1) + mpint(ORDER),
        mpint(1) + mpint(1 << 100_000),
    ],
    ids=range(9),
)
def test_answers_that_are_no_ecdsa_signature(numbers: bytes, play: Play) -> None:
    play(answering(identities(P256_BLOB), signature(b"ecdsa-sha2-nistp256", numbers)))
    signer = safemodel.load_signer("ssh-agent:")
    with pytest.raises(SigningError):
        signer.sign(b"message")


@pytest.mark.parametrize(
    ("blob", "wrong"),
    [
        (ED25519_BLOB, signature(b"ssh-ed25519", KEY.sign(b"something else"))),
        (P256_BLOB, signature(b"ecdsa-sha2-nistp256", mpint(1) + mpint(1))),
    ],
    ids=["ed25519", "p256"],
)
def test_a_signature_of_something_else_makes_no_artifact(blob: bytes, wrong: bytes, play: Play, tmp_path: Path) -> None:
    play(answering(identities(blob), wrong))
    with pytest.raises(SigningError):
        safemodel.dump([1.5], tmp_path / "churn.safemodel", key="ssh-agent:")
    assert not (tmp_path / "churn.safemodel").exists()


@pytest.mark.parametrize("pause", [0.02, 5.0], ids=["in-drops", "never"])
def test_an_agent_that_lets_us_wait(pause: float, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_agent, "_PATIENCE", 0.2)
    stopped = threading.Event()

    def answer(request: bytes) -> Pieces:
        yield (1000).to_bytes(4, "big")
        for _ in range(1000):
            if stopped.wait(pause):
                return
            yield b"\x0c"

    play(answer)
    with pytest.raises(SigningError):
        safemodel.load_signer("ssh-agent:")
    stopped.set()


def test_no_agent_at_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing", tmp_path / "file", tmp_path, "x" * 200):
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        with pytest.raises(SigningError):
            safemodel.load_signer("ssh-agent:")


def test_a_deadline_that_has_passed() -> None:
    with pytest.raises(TimeoutError):
        ssh_agent._remaining(time.monotonic() - 1)
