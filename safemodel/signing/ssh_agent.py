"""`ssh-agent:` signs through the SSH agent at SSH_AUTH_SOCK (draft-ietf-sshm-ssh-agent).

`ssh-agent:` alone takes the only usable key, `ssh-agent:SHA256:FINGERPRINT` and `ssh-agent:KEY.pub` choose one. Usable
are Ed25519 and P-256; the agent signs the message as it is (RFC 8709), or its SHA-256 (RFC 5656).

Whatever answers at the socket is not believed: a reply has a cap and a deadline, and whoever puts its signature into an
artifact verifies it first.
"""

import hashlib
import os
import socket
import time
from binascii import b2a_base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safemodel.errors import ConfigurationError, KeyMaterialError, SigningError
from safemodel.signing import openssh
from safemodel.signing.ecdsa_p256 import encode_signature
from safemodel.signing.keyfile import load_verifying_key
from safemodel.signing.passphrase import Passphrase
from safemodel.signing.signer import BackendSigner
from safemodel.signing.sshwire import Reader, encode_string

SOCKET_VARIABLE = "SSH_AUTH_SOCK"

_REQUEST_IDENTITIES, _IDENTITIES_ANSWER = 11, 12
_SIGN_REQUEST, _SIGN_RESPONSE = 13, 14
_FAILURE = 5

_REPLY_MAX = 256 * 1024  # bytes, as OpenSSH has it
_PATIENCE = 60.0  # seconds for an answer: the agent may ask its owner to confirm
_PIECE = 64 * 1024
_ED25519_SIGNATURE = 64
_SHOWN_MAX = 8  # fingerprints in a hint

_FINGERPRINT = "SHA256:"


class SshAgentSigner(BackendSigner):
    """A key that an SSH agent holds.

    Args:
        blob: the public key, as the agent lists it.

    Raises:
        KeyMaterialError: a key that cannot be used here.
    """

    __slots__ = ("_blob",)

    def __init__(self, blob: bytes) -> None:
        super().__init__(openssh.verifying_key_from_blob(blob))
        self._blob = blob

    def sign(self, message: bytes) -> bytes:
        """Return the signature, in the encoding of artifacts.

        Raises:
            SigningError: the agent is gone, refused, or answered something else.
        """
        body = encode_string(self._blob) + encode_string(message) + bytes(4)  # no flags
        reply = _request(_SIGN_REQUEST, body, _SIGN_RESPONSE)
        with _understanding():
            signature = Reader(reply.string())
            reply.end()
            return _decode_signature(signature, Reader(self._blob).name())


def signer_from_uri(rest: str, passphrase: Passphrase | None) -> SshAgentSigner:
    """Get ready to sign with a key of the agent, which needs no passphrase.

    Raises:
        ConfigurationError: there is no agent.
        KeyMaterialError: the agent has no such key, or the choice is not clear.
        SigningError: the agent failed.
        OSError: the public key that chooses cannot be read.
    """
    return SshAgentSigner(_choose(_usable_identities(), rest))


def fingerprint(blob: bytes) -> str:
    """Return what `ssh-keygen -l` shows of a public key."""
    return _FINGERPRINT + b2a_base64(hashlib.sha256(blob).digest(), newline=False).decode("ascii").rstrip("=")


def _usable_identities() -> list[bytes]:
    """The public keys of the agent that can sign artifacts."""
    reply = _request(_REQUEST_IDENTITIES, b"", _IDENTITIES_ANSWER)
    with _understanding():
        blobs = [_identity(reply) for _ in range(reply.uint32())]
        reply.end()
    usable = tuple(encode_string(name.encode("ascii")) for name in (openssh.ED25519, openssh.P256))
    return [blob for blob in blobs if blob.startswith(usable)]


def _identity(reply: Reader) -> bytes:
    blob = reply.string()
    reply.string()  # the comment
    return blob


def _choose(blobs: list[bytes], wanted: str) -> bytes:
    chosen = list(_wanted(blobs, wanted)) if wanted else blobs
    if len(chosen) == 1:
        return chosen[0]
    there = ", ".join(f"ssh-agent:{fingerprint(blob)}" for blob in blobs[:_SHOWN_MAX])
    raise KeyMaterialError(
        f"expected one Ed25519 or P-256 key in the SSH agent that the URI fits, found {len(chosen)} of {len(blobs)}",
        hint=f"choose one of {there}" if blobs else "add the key with 'ssh-add KEY'",
    )


def _wanted(blobs: list[bytes], wanted: str) -> Iterator[bytes]:
    if wanted.startswith(_FINGERPRINT):
        return (blob for blob in blobs if fingerprint(blob) == wanted)
    key_id = load_verifying_key(Path(wanted)).key_id
    return (blob for blob in blobs if openssh.verifying_key_from_blob(blob).key_id == key_id)


def _decode_signature(signature: Reader, algorithm: str) -> bytes:
    """The one encoding that artifacts have, out of SSH's (RFC 8709 section 6, RFC 5656 section 3.1.2)."""
    if signature.name() != algorithm:
        raise ValueError("a signature of another algorithm")
    content = signature.string()
    signature.end()
    if algorithm == openssh.P256:
        numbers = Reader(content)
        r, s = numbers.mpint(), numbers.mpint()
        numbers.end()
        return encode_signature(r, s)
    if len(content) != _ED25519_SIGNATURE:
        raise ValueError("a signature of another size")
    return content


def _request(kind: int, body: bytes, expected: int) -> Reader:
    """Send one message and return the content of its answer."""
    deadline = time.monotonic() + _PATIENCE
    with _reaching(), _connected(deadline) as connection:
        connection.sendall(encode_string(bytes([kind]) + body))
        size = int.from_bytes(_receive(connection, 4, deadline), "big")
        if not 1 <= size <= _REPLY_MAX:
            raise _foreign()
        reply = _receive(connection, size, deadline)
    if reply[0] == _FAILURE:
        raise SigningError("the SSH agent refused", hint="see 'ssh-add -l'; it may be locked, or want a confirmation")
    if reply[0] != expected:
        raise _foreign()
    return Reader(reply[1:])


@contextmanager
def _connected(deadline: float) -> Iterator[socket.socket]:
    path = os.environ.get(SOCKET_VARIABLE)
    if not path or not hasattr(socket, "AF_UNIX"):
        raise ConfigurationError(
            f"there is no SSH agent: {SOCKET_VARIABLE} is not set, or this system has no Unix sockets",
            hint="start one with 'eval \"$(ssh-agent)\"' and add the key with 'ssh-add KEY'",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_remaining(deadline))
        connection.connect(path)
        yield connection


def _receive(connection: socket.socket, size: int, deadline: float) -> bytes:
    received = bytearray()
    while len(received) < size:
        connection.settimeout(_remaining(deadline))  # again, so that an answer in drops does not take for ever
        piece = connection.recv(min(size - len(received), _PIECE))
        if not piece:
            raise _foreign()
        received += piece
    return bytes(received)


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = "did not answer in time" if isinstance(error, TimeoutError) else "cannot be reached"
        raise SigningError(
            f"the SSH agent {reason}: {error.strerror or type(error).__name__}",
            hint=f"see whether 'ssh-add -l' answers; {SOCKET_VARIABLE} names its socket",
        ) from error


@contextmanager
def _understanding() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise _foreign() from error


def _foreign() -> SigningError:
    return SigningError(
        "expected an answer of the SSH agent, found other bytes",
        hint=f"see whether 'ssh-add -l' answers; {SOCKET_VARIABLE} names its socket",
    )
