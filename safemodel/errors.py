"""Every error that safemodel raises, in one tree.

    SafemodelError
    ├ FormatError                     not a well-formed artifact
    │ ├ LimitExceededError            a cap of the format would be exceeded
    │ └ UnsupportedVersionError       made by a newer writer than this reader knows
    ├ VerificationError               well-formed, must not be loaded
    │ ├ NoTrustedSignatureError
    │ ├ SignatureMismatchError
    │ ├ ThresholdNotMetError
    │ ├ DigestMismatchError
    │ └ PolicyError
    │   ├ ExpiredError
    │   ├ RevokedError
    │   ├ RollbackError
    │   ├ NameMismatchError
    │   ├ AlgorithmNotAllowedError
    │   ├ GlobalNotAllowedError
    │   ├ EnvironmentMismatchError
    │   └ DriftError                  loaded, and predicts something else than when it was signed
    ├ PayloadError                    cannot be written or read; the cause is kept
    ├ KeyMaterialError                bad PEM, passphrase or key type
    ├ ConfigurationError              a required setting is missing or contradictory
    ├ SigningError                    a signing backend failed
    └ StoreError                      a remote store failed

    UserWarning
    └ EnvironmentWarning              other versions are installed than were signed

None of them is a ValueError or a TypeError, so a broad ``except ValueError`` never swallows a refusal. The builtin
OSError passes through unchanged. Messages carry neither secrets nor payload bytes.
"""

from typing import Any, ClassVar


class SafemodelError(Exception):
    """Root of the tree.

    Args:
        message: what was expected and what was found; lower case, no full stop.
        hint: what to do next, or empty.

    Attributes:
        code: a stable string for programs; it never changes between releases.
        hint: as given.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.args[0]}; {self.hint}" if self.hint else str(self.args[0])


class FormatError(SafemodelError):
    """The bytes are not a well-formed artifact."""

    code = "format"


class LimitExceededError(FormatError):
    """A cap of the format, or a quota of the signed manifest, would be exceeded."""

    code = "limit-exceeded"


class UnsupportedVersionError(FormatError):
    """The artifact needs a newer reader."""

    code = "unsupported-version"


class VerificationError(SafemodelError):
    """The artifact is well-formed and must not be loaded.

    Attributes:
        explanation: where a trust policy decided, what it says of the rule and of each signature, and what would have
            to change (`safemodel.trust.explanation.Explanation`); None where it did not come to that.
    """

    code = "verification"
    explanation: object = None


class NoTrustedSignatureError(VerificationError):
    """No signature is by a key of the trust store."""

    code = "no-trusted-signature"


class SignatureMismatchError(VerificationError):
    """A signature by a known key does not match the signed bytes."""

    code = "signature-mismatch"


class ThresholdNotMetError(VerificationError):
    """Fewer distinct signers than the rule demands."""

    code = "threshold-not-met"


class DigestMismatchError(VerificationError):
    """Bytes differ from the digest that was signed."""

    code = "digest-mismatch"


class PolicyError(VerificationError):
    """Signed by a trusted key, and still not acceptable here."""

    code = "policy"


class ExpiredError(PolicyError):
    """The artifact or its signer is outside its validity."""

    code = "expired"


class RevokedError(PolicyError):
    """The key, the signer or the artifact is revoked."""

    code = "revoked"


class RollbackError(PolicyError):
    """The artifact is older than the lowest version accepted."""

    code = "rollback"


class NameMismatchError(PolicyError):
    """The signed name is not the name of the model that was asked for."""

    code = "name-mismatch"


class AlgorithmNotAllowedError(PolicyError):
    """The digest or signature algorithm is not accepted here."""

    code = "algorithm-not-allowed"


class GlobalNotAllowedError(PolicyError):
    """The payload reaches for code that is not allowed."""

    code = "global-not-allowed"


class EnvironmentMismatchError(PolicyError):
    """The installed distributions differ from the signed ones beyond what is accepted."""

    code = "environment-mismatch"

    @property
    def differences(self) -> tuple[Any, ...]:
        """What differs, also what is accepted (`safemodel.trust.environment.Difference`)."""
        return getattr(self.explanation, "differences", ())


class DriftError(PolicyError):
    """The model no longer predicts what it predicted when it was signed.

    Attributes:
        reproduction: what differs (`safemodel.trust.reproduction.Reproduction`).
    """

    code = "drift"
    reproduction: object = None


class PayloadError(SafemodelError):
    """The payload cannot be written or read."""

    code = "payload"


class KeyMaterialError(SafemodelError):
    """A key file or key object cannot be used: wrong format, type or passphrase."""

    code = "key-material"


class ConfigurationError(SafemodelError):
    """A required setting is missing or two settings contradict each other."""

    code = "configuration"


class SigningError(SafemodelError):
    """A signing backend failed."""

    code = "signing"


class StoreError(SafemodelError):
    """A remote store failed."""

    code = "store"


class EnvironmentWarning(UserWarning):
    """Other versions are installed than the model was made with, and it is loaded all the same.

    Args:
        message: a table of what differs, and the command that would restore it.
        differences: the same as values.

    Attributes:
        differences: what differs, also what is accepted (`safemodel.trust.environment.Difference`).
    """

    def __init__(self, message: str, differences: tuple[Any, ...]) -> None:
        super().__init__(message)
        self.differences = differences
