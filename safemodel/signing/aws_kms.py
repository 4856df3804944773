"""`awskms:KEY` signs with a key of AWS KMS that never leaves it: key spec ECC_NIST_P256, usage SIGN_VERIFY.

KEY is a key id, a key's ARN, an alias (`alias/release`) or an alias' ARN; `?region=eu-central-1` says where it is, else
the ARN does, else AWS's own settings. Credentials, proxies and endpoints are found as boto3 finds them. A key's region
and name are in the URI, nothing secret is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from safemodel.errors import ConfigurationError, SigningError
from safemodel.signing.backends import parse_attributes
from safemodel.signing.ecdsa_p256 import EcdsaP256VerifyingKey, low_s
from safemodel.signing.passphrase import Passphrase
from safemodel.signing.signer import BackendSigner, missing_extra, unsupported_key

_PATIENCE = 10  # seconds to connect, and for an answer
_ATTEMPTS = 3
_ALGORITHM = "ECDSA_SHA_256"
_REGION_OF_ARN = 3  # arn:aws:kms:REGION:...


class AwsKmsSigner(BackendSigner):
    """A key in AWS KMS.

    Args:
        client: boto3's client for KMS.
        key: key id, ARN or alias.

    Raises:
        KeyMaterialError: a key of another kind.
        SigningError: AWS KMS failed or refused.
    """

    __slots__ = ("_arn", "_client")

    def __init__(self, client: Any, key: str) -> None:
        with _answering():
            answer = client.get_public_key(KeyId=key)
        verifying_key = EcdsaP256VerifyingKey.from_spki(answer.get("PublicKey", b""))
        if verifying_key is None or _ALGORITHM not in answer.get("SigningAlgorithms", ()):
            raise unsupported_key(repr(answer.get("KeySpec")), "make one of spec ECC_NIST_P256 and usage SIGN_VERIFY")
        super().__init__(verifying_key)
        self._client = client
        self._arn = answer.get("KeyId", key)  # an alias may point to another key by the time of signing

    def sign(self, message: bytes) -> bytes:
        """Return the signature, DER of (r, s) with low s.

        Args:
            message: at most 4096 bytes, the most that AWS KMS hashes itself; that of an artifact has 90.

        Raises:
            SigningError: AWS KMS failed or refused.
        """
        with _answering():
            answer = self._client.sign(KeyId=self._arn, Message=message, MessageType="RAW", SigningAlgorithm=_ALGORITHM)
        return low_s(answer.get("Signature", b""))


def signer_from_uri(rest: str, passphrase: Passphrase | None) -> AwsKmsSigner:
    """Get ready to sign with a key of AWS KMS, which needs no passphrase.

    Raises:
        ConfigurationError: the URI is not understood, or boto3 is not installed.
        KeyMaterialError, SigningError: as for `AwsKmsSigner`.
    """
    location, _, query = rest.partition("?")
    key = location.removeprefix("///")  # as other tools write it
    region = parse_attributes(query, "&", ("region",)).get("region", "")
    if not key or key.startswith("/"):
        raise ConfigurationError(
            "expected a key id, ARN or alias in the awskms: URI, found none",
            hint="for example awskms:alias/release?region=eu-central-1",
        )
    return AwsKmsSigner(_client(region or _region_of(key)), key)


def _region_of(key: str) -> str | None:
    parts = key.split(":")
    return parts[_REGION_OF_ARN] if parts[0] == "arn" and len(parts) > _REGION_OF_ARN else None


def _client(region: str | None) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise missing_extra("a key in AWS KMS", "boto3", "aws") from None
    retries = {"total_max_attempts": _ATTEMPTS, "mode": "standard"}
    config = Config(connect_timeout=_PATIENCE, read_timeout=_PATIENCE, retries=retries)
    with _answering():
        return boto3.client("kms", region_name=region, config=config)


@contextmanager
def _answering() -> Iterator[None]:
    """Map boto3's exceptions; of what AWS says, only the error's name is shown."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        name = error.response.get("Error", {}).get("Code")
        raise SigningError(f"AWS KMS refused: {name!r}", hint="check the key, its policy, and the region") from error
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no URL
        raise SigningError(
            f"AWS KMS cannot be used: {type(error).__name__}",
            hint="check credentials, region and network, for example with 'aws kms list-aliases'",
        ) from error
