"""The keys in the verifier's hands, as a value: any one of them may sign."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from safemodel.errors import ConfigurationError
from safemodel.signing import VerifyingKey, refuse_public_as_secret


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Verifying keys by key id; look-ups are exact."""

    keys: Mapping[bytes, VerifyingKey]

    @classmethod
    def of(cls, keys: Iterable[VerifyingKey]) -> "TrustedKeys":
        """Collect keys.

        Raises:
            ConfigurationError: there is none; an empty trust store would refuse everything.
            KeyMaterialError: an HMAC secret is a listed public key.
        """
        listed = tuple(keys)
        if not listed:
            raise ConfigurationError("no verifying key was given", hint="give at least one: trust='release.pub'")
        refuse_public_as_secret(listed)
        return cls(MappingProxyType({key.key_id: key for key in listed}))

    def find(self, key_id: bytes) -> VerifyingKey | None:
        """Return the key with exactly this id, or None."""
        return self.keys.get(key_id)
