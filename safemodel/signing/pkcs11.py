"""`pkcs11:` signs with a key of a PKCS#11 token, such as an HSM or a smart card, that never leaves it (RFC 7512).

`pkcs11:token=release;object=model?module-path=/usr/lib/softhsm/libsofthsm2.so`

Rules kept here:

* The URI chooses the token by `token`, `serial` or `slot-id` and the key by `object` (its label) or `id`; what it
  leaves open must be clear all the same. Attributes that are not understood are refused, so that none is passed over.
* The module is native code that runs in this process. It is named by absolute path, in `module-path` or
  PKCS11_MODULE_PATH, and never searched for.
* The PIN comes from `pin-source` (`env:NAME` or `file:PATH`), else from where passphrases come from. `pin-value` is
  refused: a URI stands in argv, which every process on the machine can read.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote_to_bytes

from safemodel import system
from safemodel.errors import ConfigurationError, KeyMaterialError, SigningError
from safemodel.signing.backends import parse_attributes
from safemodel.signing.ecdsa_p256 import EcdsaP256VerifyingKey, encode_signature
from safemodel.signing.ed25519 import Ed25519VerifyingKey
from safemodel.signing.file_uri import path_of
from safemodel.signing.passphrase import Passphrase, find_passphrase
from safemodel.signing.signer import BackendSigner, missing_extra, unsupported_key

if TYPE_CHECKING:
    from pkcs11 import Session, Token

MODULE_VARIABLE = "PKCS11_MODULE_PATH"

_PATH_ATTRIBUTES = ("token", "serial", "slot-id", "object", "id", "type")
_QUERY_ATTRIBUTES = ("module-path", "pin-source")

# DER of CKA_EC_PARAMS and the beginning of CKA_EC_POINT, an OCTET STRING (PKCS#11 v3.0, section 2.3).
_P256 = bytes.fromhex("06082a8648ce3d030107")
_P256_POINT = bytes.fromhex("0441")
_ED25519 = (bytes.fromhex("06032b6570"), b"\x13\x0cedwards25519")
_ED25519_POINT = bytes.fromhex("0420")

_COORDINATE = 32
_SIGNATURE = 64
_PIN_MAX = 1024  # bytes


@dataclass(frozen=True, slots=True)
class TokenKey:
    """What a URI says.

    Attributes:
        token: label of the token.
        serial: serial number of the token.
        slot: number of the slot.
        label: of the private key.
        identifier: CKA_ID of the private key.
        module: absolute path of the module.
        pin_source: where the PIN is, or empty.
    """

    token: str | None
    serial: bytes | None
    slot: int | None
    label: str | None
    identifier: bytes | None
    module: str
    pin_source: str

    @classmethod
    def from_uri(cls, rest: str) -> Self:
        """Read what stands behind `pkcs11:`.

        Raises:
            ConfigurationError: it is not understood, or it holds a PIN, or no module is named.
        """
        path, _, query = rest.partition("?")
        if "pin-value=" in rest:
            raise ConfigurationError(
                "the key's URI holds a PIN, which every process on this machine could read",
                hint="remove pin-value, and use pin-source=env:NAME, SAFEMODEL_PASSPHRASE or the question",
            )
        found = parse_attributes(path, ";", _PATH_ATTRIBUTES) | parse_attributes(query, "&", _QUERY_ATTRIBUTES)
        values = {name: unquote_to_bytes(value) for name, value in found.items()}
        try:
            return cls._from_values(values)
        except ValueError:  # not UTF-8, not a number
            raise _misunderstood() from None

    @classmethod
    def _from_values(cls, values: dict[str, bytes]) -> Self:
        if values.get("type", b"private") != b"private":
            raise _misunderstood()
        texts = {name: values[name].decode() for name in values if name not in ("serial", "id")}
        return cls(
            token=texts.get("token"),
            serial=values.get("serial"),
            slot=int(texts["slot-id"]) if "slot-id" in texts else None,
            label=texts.get("object"),
            identifier=values.get("id"),
            module=_module(texts.get("module-path") or os.environ.get(MODULE_VARIABLE, "")),
            pin_source=texts.get("pin-source", ""),
        )


class Pkcs11Signer(BackendSigner):
    """A key in a PKCS#11 token, by a session that stays open as long as the process.

    Closing it would log the process out, and so break the other keys of the token.

    Args:
        private_key: the key of `pkcs11`, of a session that is logged in.
        verifying_key: its public side.
    """

    __slots__ = ("_private_key",)

    def __init__(self, private_key: Any, verifying_key: EcdsaP256VerifyingKey | Ed25519VerifyingKey) -> None:
        super().__init__(verifying_key)
        self._private_key = private_key

    def sign(self, message: bytes) -> bytes:
        """Return the signature, in the encoding of artifacts.

        Raises:
            SigningError: the token failed, or answered something else.
        """
        from pkcs11 import Mechanism

        is_ecdsa = isinstance(self._verifying_key, EcdsaP256VerifyingKey)
        data = hashlib.sha256(message).digest() if is_ecdsa else message  # few tokens hash for ECDSA themselves
        with _answering():
            signature: bytes = self._private_key.sign(data, mechanism=Mechanism.ECDSA if is_ecdsa else Mechanism.EDDSA)
        if len(signature) != _SIGNATURE:
            raise SigningError(f"expected a signature of {_SIGNATURE} bytes from the token, found {len(signature)}")
        if not is_ecdsa:
            return signature
        return encode_signature(
            int.from_bytes(signature[:_COORDINATE], "big"), int.from_bytes(signature[_COORDINATE:], "big")
        )


def signer_from_uri(rest: str, passphrase: Passphrase | None) -> Pkcs11Signer:
    """Get ready to sign with a key of a token.

    Args:
        rest: the URI behind `pkcs11:`.
        passphrase: the PIN, unless the URI says where it is; None stands for SAFEMODEL_PASSPHRASE or a question.

    Raises:
        ConfigurationError: the URI is not understood, or the module or python-pkcs11 is missing.
        KeyMaterialError: no such token or key, a key of another kind, or a wrong PIN.
        SigningError: the token failed.
    """
    wanted = TokenKey.from_uri(rest)
    library = _load(wanted.module)
    with _answering():
        token = _token(library, wanted)
        session = _session(token, _pin(wanted, passphrase, token.label))
        try:
            private_key = _private_key(session, wanted)
            return Pkcs11Signer(private_key, _verifying_key(session, private_key))
        except BaseException:
            session.close()
            raise


def _load(module: str) -> Any:
    try:
        import pkcs11
    except ImportError:
        raise missing_extra("a key in a PKCS#11 token", "python-pkcs11", "pkcs11") from None
    try:
        return pkcs11.lib(module)
    except pkcs11.PKCS11Error as error:
        raise ConfigurationError(
            f"the PKCS#11 module cannot be loaded: {module!r}", hint="check its path, and its own configuration"
        ) from error


def _token(library: Any, wanted: TokenKey) -> "Token":
    from pkcs11 import TokenFlag

    tokens = [
        token
        for token in library.get_tokens(token_label=wanted.token, token_serial=wanted.serial)
        if TokenFlag.TOKEN_INITIALIZED in token.flags and wanted.slot in (None, token.slot.slot_id)
    ]
    if len(tokens) != 1:
        raise KeyMaterialError(
            f"expected one PKCS#11 token that the URI fits, found {len(tokens)}",
            hint="see 'pkcs11-tool --list-token-slots', and say token=, serial= or slot-id=",
        )
    return tokens[0]  # type: ignore[no-any-return]


def _session(token: "Token", pin: str) -> "Session":
    import pkcs11

    try:
        return token.open(user_pin=pin)
    except pkcs11.UserAlreadyLoggedIn:  # by another key of this token: a login is that of the process
        return token.open()


def _pin(wanted: TokenKey, passphrase: Passphrase | None, label: str) -> str:
    given = _sourced_pin(wanted.pin_source) if wanted.pin_source else passphrase
    pin = find_passphrase(given, purpose=f"the PKCS#11 token {label!r}")
    try:
        return pin.decode()
    except UnicodeDecodeError:
        raise KeyMaterialError("expected a PIN in UTF-8, found other bytes", hint="see how it was set") from None


def _sourced_pin(source: str) -> bytes:
    kind, _, rest = source.partition(":")
    if kind == "env":
        return os.fsencode(os.environ.get(rest, ""))
    if kind != "file":
        raise _misunderstood()
    with open(system.open_regular(path_of(rest)), "rb") as file:
        return file.read(_PIN_MAX).rstrip(b"\r\n")


def _private_key(session: "Session", wanted: TokenKey) -> Any:
    from pkcs11 import Attribute, ObjectClass

    chosen = {Attribute.LABEL: wanted.label, Attribute.ID: wanted.identifier}
    keys = list(
        session.get_objects(
            {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
            | {attribute: value for attribute, value in chosen.items() if value is not None}
        )
    )
    if len(keys) != 1:
        raise KeyMaterialError(
            f"expected one private key in the PKCS#11 token that the URI fits, found {len(keys)}",
            hint="see 'pkcs11-tool --login --list-objects --type privkey', and say object= or id=",
        )
    return keys[0]


def _verifying_key(session: "Session", private_key: Any) -> EcdsaP256VerifyingKey | Ed25519VerifyingKey:
    from pkcs11 import Attribute, KeyType, ObjectClass

    if private_key.key_type not in (KeyType.EC, KeyType.EC_EDWARDS):
        raise unsupported_key(private_key.key_type.name)
    same = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: private_key.id}
    public = next(iter(session.get_objects(same)), None)
    if public is None:
        raise KeyMaterialError(
            "the PKCS#11 token has the private key and not its public key",
            hint="import the public key under the same id with 'pkcs11-tool --write-object --type pubkey'",
        )
    return _from_point(public[Attribute.EC_PARAMS], public[Attribute.EC_POINT])


def _from_point(parameters: bytes, point: bytes) -> EcdsaP256VerifyingKey | Ed25519VerifyingKey:
    if parameters == _P256:
        return EcdsaP256VerifyingKey(point.removeprefix(_P256_POINT))
    if parameters in _ED25519:
        return Ed25519VerifyingKey(point.removeprefix(_ED25519_POINT))
    raise unsupported_key("elliptic-curve, on another curve")


@contextmanager
def _answering() -> Iterator[None]:
    """Map the exceptions of `pkcs11`; their texts may show what was looked for, so only their names are shown."""
    import pkcs11

    wrong_pin = (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange, pkcs11.PinLocked, pkcs11.PinExpired)
    try:
        yield
    except wrong_pin as error:
        raise KeyMaterialError(
            f"the PKCS#11 token refused the PIN: {type(error).__name__}", hint="too many wrong PINs lock the token"
        ) from error
    except pkcs11.PKCS11Error as error:
        raise SigningError(
            f"the PKCS#11 token failed: {type(error).__name__}", hint="see whether 'pkcs11-tool --login --test' works"
        ) from error


def _module(path: str) -> str:
    if not os.path.isabs(path):
        raise ConfigurationError(
            "expected the absolute path of a PKCS#11 module, found none, or a relative one",
            hint=f"add ?module-path=/usr/lib/softhsm/libsofthsm2.so to the URI, or set {MODULE_VARIABLE}",
        )
    return path


def _misunderstood() -> ConfigurationError:
    return ConfigurationError(
        "expected a PKCS#11 URI of a private key (RFC 7512), found another value in it",
        hint="for example pkcs11:token=release;object=model?pin-source=env:RELEASE_PIN",
    )
