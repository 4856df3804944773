"""OpenSSF Model Signing v1.0: a detached bundle over the artifact's file, which `model_signing verify key` accepts.

A bundle is a Sigstore bundle v0.3 with the hash of a public key, and a DSSE envelope around an in-toto statement. For a
model that is one file, the reference (model_signing 1.1.1) names the one resource `.`, and makes the subject's digest
of the resources' digests. Annotations, which it ignores and the signature covers, say which artifact it is.

Here, a bundle is exactly what `make_bundle` makes, of values that may be wrong: anything else in it is malformed.
Sources: https://github.com/ossf/model-signing-spec; https://docs.sigstore.dev/about/bundle/.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Self

from safemodel.arguments import Filename, Name, signers_of
from safemodel.errors import ConfigurationError, FormatError, KeyMaterialError
from safemodel.export.statement import envelope, make_statement, message, to_json
from safemodel.export.subject import Subject, check_target, verified_subject, write
from safemodel.format.content import Progress
from safemodel.signing import EcdsaP256VerifyingKey, Signer, sign_checked

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
_HINT: Final = re.compile(r"[0-9a-f]{64}")
BUNDLE_MAX: Final = 64 * 1024  # bytes; one of ours has some 2,000


def export_oms(
    filename: Filename,
    target: Filename,
    *,
    key: Any = None,
    trust: Any = None,
    name: Name = None,
    allow: Iterable[str] | None = None,
    passphrase: Any = None,
    progress: Progress | None = None,
) -> Subject:
    """Verify an artifact, and sign its file as OpenSSF Model Signing does.

    Args:
        filename: the artifact's path, or a seekable binary file.
        target: the bundle's path, replaced atomically, or a seekable binary file.
        key: one private key on P-256: file, URI or signer; None stands for what SAFEMODEL_KEY says.
        trust: as for `safemodel.load`.
        name: as for `safemodel.load`.
        allow: as for `safemodel.load`.
        passphrase: of the key: text, or a function that returns it.
        progress: called with (bytes done, bytes in all).

    Returns:
        What the bundle is about.

    Raises:
        ConfigurationError: not exactly one key, or the bundle would be written over the artifact.
        KeyMaterialError: a key of another kind.
        FormatError, VerificationError: the artifact is refused; nothing is written.
        SigningError: the signer failed.
        OSError: a file cannot be read or written; what existed before is untouched.
    """
    signer, verifying_key = _signer(signers_of(key, passphrase))
    check_target(filename, target)
    subject = verified_subject(filename, trust=trust, name=name, allow=allow, progress=progress)
    body = to_json(statement_about(subject, subject.file))
    write(target, OmsBundle(key_hint(verifying_key), body, sign_checked(signer, message(body))).to_bytes())
    return subject


@dataclass(frozen=True, slots=True)
class OmsBundle:
    """A bundle of which nothing is verified yet.

    Attributes:
        hint: names the key, see `key_hint`; nothing else, for it is shown.
        body: the statement's bytes.
        signature: over these.
    """

    hint: str
    body: bytes
    signature: bytes

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse a bundle.

        Raises:
            FormatError: not a bundle with one signature by a public key, or with anything else in it.
        """
        value = parse_json(data)
        try:
            [signature] = value["dsseEnvelope"]["signatures"]
            bundle = cls(
                value["verificationMaterial"]["publicKey"]["hint"],
                b64decode(value["dsseEnvelope"]["payload"], validate=True),
                b64decode(signature["sig"], validate=True),
            )
            is_ours = _HINT.fullmatch(bundle.hint) is not None and same(value, bundle.to_value())
        except (KeyError, TypeError, ValueError):
            is_ours = False
        if not is_ours:
            raise _malformed()
        return bundle

    def to_value(self) -> dict[str, Any]:
        """Return the bundle as plain maps and lists."""
        return {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": self.hint}, "tlogEntries": []},
            "dsseEnvelope": envelope(self.body, [("", self.signature)]),
        }

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        return to_json(self.to_value())


def statement_about(subject: Subject, file: object) -> Any:
    """Return the statement about an artifact.

    Args:
        subject: the artifact.
        file: the file's name as the statement has it; the reference takes it for information only.
    """
    manifest = subject.manifest
    annotations = {"name": manifest.name, "artifact_digest": subject.digest}
    resource = {
        "name": ".",
        "algorithm": "sha256",
        "digest": subject.sha256,
        "annotations": annotations if manifest.version is None else annotations | {"version": manifest.version},
    }
    root = sha256(bytes.fromhex(subject.sha256)).hexdigest()  # of all resources' digests: there is one
    serialization = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
    return make_statement(
        [{"name": file, "digest": {"sha256": root}}],
        PREDICATE_TYPE,
        {"serialization": serialization, "resources": [resource]},
    )


def key_hint(key: EcdsaP256VerifyingKey) -> str:
    """Return how a bundle names a key: the SHA-256 of its SPKI PEM, 64 hexadecimal digits."""
    return sha256(key.to_pem()).hexdigest()


def parse_json(data: bytes) -> Any:
    """Parse JSON of which no two readers can see different values.

    Raises:
        FormatError: not JSON in UTF-8, a key stands twice in a map, or a number is not whole.
    """
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_distinct, parse_float=_refuse, parse_constant=_refuse
        )
    except (ValueError, RecursionError):
        raise _malformed() from None


def same(one: object, other: object) -> bool:
    """Tell whether two values are the same JSON; for Python, true and 1 are equal too."""
    try:
        return to_json(one) == to_json(other)
    except RecursionError:  # nested deeper than anything that we make
        return False


def _signer(signers: list[Signer]) -> tuple[Signer, EcdsaP256VerifyingKey]:
    if len(signers) != 1:
        raise ConfigurationError(
            f"expected one key, found {len(signers)}", hint="a bundle has one signature; make one bundle for each key"
        )
    key = signers[0].verifying_key
    if not isinstance(key, EcdsaP256VerifyingKey):
        raise KeyMaterialError(
            f"OpenSSF Model Signing needs a key on P-256, found one for {key.algorithm}",
            hint="make one with 'safemodel keygen PATH --algorithm ecdsa-p256'",
        )
    return signers[0], key


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError
    return value


def _refuse(_: str) -> Any:
    raise ValueError


def _malformed() -> FormatError:
    return FormatError(
        "expected an OpenSSF Model Signing bundle with one signature by a public key, found something else",
        hint="make one with 'safemodel export oms'",
    )
