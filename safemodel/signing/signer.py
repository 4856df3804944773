"""What a signer and a verifying key are, whatever backend is behind them.

Rules kept here:

* The algorithm is the key's, in the hands of whoever signs or verifies. It is never read from an artifact.
* A key id is a hint for exact look-up (docs/spec.md, section "Key ids"). It proves nothing.
* Verifying returns nothing or raises: there is no truth value that a caller could forget to look at.
"""

import hashlib
from abc import ABC, abstractmethod
from typing import NoReturn, Protocol, runtime_checkable

from safemodel.errors import ConfigurationError, KeyMaterialError, SignatureMismatchError, SigningError

MAKE_A_KEY = "make a key with 'safemodel keygen PATH'"

_KEY_ID_CONTEXT = b"safemodel/v1/keyid\0"


@runtime_checkable
class VerifyingKey(Protocol):
    """The side of a key that checks signatures."""

    @property
    def algorithm(self) -> str:
        """Name in the registry of docs/spec.md, such as `ed25519`."""
        ...

    @property
    def key_id(self) -> bytes:
        """32 bytes, as `compute_key_id` makes them."""
        ...

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a signature over the whole message.

        Raises:
            SignatureMismatchError: it is not this key's signature of this message, in the one accepted encoding.
        """
        ...


@runtime_checkable
class Signer(Protocol):
    """The side of a key that signs: a key file here, or your own class in front of an HSM, an agent or a cloud KMS."""

    @property
    def algorithm(self) -> str:
        """Name in the registry of docs/spec.md, such as `ed25519`."""
        ...

    @property
    def key_id(self) -> bytes:
        """The key id of `verifying_key`."""
        ...

    @property
    def verifying_key(self) -> VerifyingKey:
        """The key that verifies what this one signs."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the signature of the whole message.

        Raises:
            SigningError: the backend failed.
        """
        ...


class SecretHolder(ABC):
    """Base of what holds a secret: shows its key id only, and is neither copied nor pickled."""

    __slots__ = ()

    @property
    @abstractmethod
    def key_id(self) -> bytes:
        """32 bytes, as `compute_key_id` makes them."""
        ...

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key_id.hex()}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} holds a secret and cannot be pickled or copied; pass its key file")


class BackendSigner(ABC):
    """Base of what signs elsewhere: the key's public side is here, its secret is not.

    Args:
        verifying_key: the public side.
    """

    __slots__ = ("_verifying_key",)

    def __init__(self, verifying_key: VerifyingKey) -> None:
        self._verifying_key = verifying_key

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key_id.hex()}>"

    @property
    def algorithm(self) -> str:
        """Name in the registry."""
        return self._verifying_key.algorithm

    @property
    def key_id(self) -> bytes:
        """The key id of `verifying_key`."""
        return self._verifying_key.key_id

    @property
    def verifying_key(self) -> VerifyingKey:
        """The key that verifies what this one signs."""
        return self._verifying_key

    @abstractmethod
    def sign(self, message: bytes) -> bytes:
        """Return the signature of the whole message, or raise SigningError."""
        ...


def compute_key_id(algorithm: str, raw: bytes) -> bytes:
    """Derive a key id.

    Args:
        algorithm: name in the registry.
        raw: the public key's one canonical form: 32 bytes of Ed25519, the 65-byte uncompressed point of P-256, the
            32-byte HKDF output that stands for an HMAC key.

    Returns:
        32 bytes, SHA-256 over context, algorithm and key.
    """
    return hashlib.sha256(_KEY_ID_CONTEXT + algorithm.encode("ascii") + b"\0" + raw).digest()


def sign_checked(signer: Signer, message: bytes) -> bytes:
    """Sign, and check the signature: a faulty backend must not make a file that everyone refuses.

    Raises:
        SigningError: the signer failed, or returned what its own key does not verify.
    """
    signature = signer.sign(message)
    try:
        signer.verifying_key.verify(signature, message)
    except SignatureMismatchError as error:
        raise SigningError("the signer returned a signature that its own key does not verify") from error
    return signature


def signature_mismatch(key: VerifyingKey, found: str = "does not match the signed bytes") -> SignatureMismatchError:
    """Return the error for a signature that a key does not accept."""
    return SignatureMismatchError(
        f"the {key.algorithm} signature by key {key.key_id.hex()} {found}",
        hint="the artifact or its signature was changed after signing; get it again from whoever signed it",
    )


def unsupported_key(algorithm: str, hint: str = MAKE_A_KEY) -> KeyMaterialError:
    """Return the error for a key of an algorithm that is not in the registry."""
    return KeyMaterialError(f"expected an Ed25519, P-256 or HMAC key, found one of type {algorithm}", hint=hint)


def missing_extra(purpose: str, package: str, extra: str) -> ConfigurationError:
    """Return the error for a package that is not installed.

    Args:
        purpose: such as `a key in AWS KMS`.
        package: the package's name.
        extra: the extra of this project that brings it.
    """
    return ConfigurationError(
        f"{purpose} needs {package}, which is not installed", hint=f"install the extra {extra!r} of safemodel-format"
    )
