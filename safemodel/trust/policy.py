"""Who may sign what, as a value: signers and their keys, rules for models, revocations (docs/trust.md).

Rules kept here:

* Default deny: a name that no rule is for is refused, and there is no trust on first use.
* Exactly one rule is for a name, and one key is one signer's, so that nobody counts twice.
* A revocation has no clock: revoked is revoked.
* Bare keys are the simplest policy, so that there is one way to decide.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from safemodel.errors import ConfigurationError
from safemodel.format.digests import ALGORITHMS
from safemodel.format.envelope import DetachedSignatures
from safemodel.format.unverified import UnverifiedArtifact
from safemodel.signing import VerifyingKey, refuse_public_as_secret
from safemodel.trust.names import ANY_NAME, ExpectedName
from safemodel.trust.patterns import EVERY_NAME, ModelNames

if TYPE_CHECKING:
    from safemodel.trust.explanation import Explanation

MANIFEST_ROLES: Final = "manifest"
WALKED_ROLES: Final = "walk"
ROLES: Final = (MANIFEST_ROLES, WALKED_ROLES)
WARN: Final = "warn"
ERROR: Final = "error"
IGNORE: Final = "ignore"
ENVIRONMENT: Final = (WARN, ERROR)  # of a rule
ENVIRONMENT_CHOICES: Final = (*ENVIRONMENT, IGNORE)  # of a caller
ENVIRONMENT_REFERENCE: Final = "env:"
FILE_REFERENCE: Final = "file:"

ReadKey: TypeAlias = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class TrustedSigner:
    """Somebody who may sign, with the keys that are theirs.

    Attributes:
        name: as rules call them; of bare keys, the key id in hexadecimal.
        keys: by the reference that stands in the policy: a file in the folder, `env:NAME` or `file:PATH`.
        valid_from: seconds since 1970 UTC, from when on the keys count; None: always.
        valid_until: seconds since 1970 UTC, from when on they no longer do; None: never.
        contact: where to ask, for people.
    """

    name: str
    keys: Mapping[str, VerifyingKey]
    valid_from: int | None = None
    valid_until: int | None = None
    contact: str = ""

    def has_begun(self, now: int) -> bool:
        """Tell whether the keys count yet."""
        return self.valid_from is None or self.valid_from <= now

    def has_ended(self, now: int) -> bool:
        """Tell whether the keys no longer count."""
        return self.valid_until is not None and self.valid_until <= now


@dataclass(frozen=True, slots=True)
class Rule:
    """What is demanded of the models that it is for.

    Attributes:
        number: its place in the file, from 1.
        models: the names of the models that it is for.
        signers: the names of those who may sign them.
        threshold: how many of these must have signed; people, not keys.
        require: those who must be among them.
        min_version: the lowest version, normalised PEP 440; None: any, or none.
        max_age_days: how long after its creation an artifact is accepted; None: for ever.
        digests: the digest algorithms that are accepted.
        allow: exact names of globals that are allowed beyond the catalogue.
        deny: exact names of globals that are not, whatever else allows them.
        environment: what becomes of an artifact that was made with other versions than are installed: `warn` or
            `error`; where a caller said so, `ignore`. It is a demand on the machine that loads.
        versions: PEP 440 specifiers of versions that are accepted beside the signed one, by name of the distribution.
        roles: `walk` where the payload is also followed at load as when it was signed.
        oms: whose OpenSSF Model Signing bundles are accepted; a verdict of its own, on which nothing is loaded.
    """

    number: int
    models: ModelNames
    signers: tuple[str, ...]
    threshold: int = 1
    require: tuple[str, ...] = ()
    min_version: str | None = None
    max_age_days: int | None = None
    digests: tuple[str, ...] = ALGORITHMS
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    environment: str = WARN
    versions: tuple[tuple[str, str], ...] = ()
    roles: str = MANIFEST_ROLES
    oms: tuple[str, ...] = ()

    def __str__(self) -> str:
        among = f", among them {', '.join(self.require)}" if self.require else ""
        return f"{self.number}, for {self.models}: {self.threshold} of {', '.join(self.signers)}{among}"


NO_RULE: Final = Rule(0, ModelNames(()), ())  # for no name, met by nobody: what holds where no rule is for a name


@dataclass(frozen=True, slots=True)
class Revocation:
    """What never counts again, whatever else is said of it.

    Attributes:
        of: what kind of thing is revoked.
        subject: the key id or the artifact's digest, 64 hexadecimal digits, or the signer's name.
        date: when it was found, for people; it is never compared with anything.
        reason: why.
    """

    of: Literal["key", "signer", "artifact"]
    subject: str
    date: str
    reason: str


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """Who may sign what.

    Attributes:
        version: raised at every change of the file; None: made of bare keys.
        signers: who may sign.
        rules: at most one is for a name.
        revocations: what never counts again.
        path: of the file, absolute where a file was read; empty: made of bare keys.
        digest: SHA-256 of the file, 64 hexadecimal digits; None: made of bare keys.

    Raises:
        ConfigurationError: a key is listed twice.
        KeyMaterialError: an HMAC secret is a listed public key.
    """

    version: int | None
    signers: tuple[TrustedSigner, ...]
    rules: tuple[Rule, ...]
    revocations: tuple[Revocation, ...] = ()
    path: str = ""
    digest: str | None = None
    _listed: Mapping[bytes, tuple[TrustedSigner, VerifyingKey]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_listed", _by_key_id(self.signers))

    @classmethod
    def from_toml(cls, text: str, read_key: ReadKey, *, path: str = "trust.toml") -> Self:
        """Read the content of a `trust.toml`, strictly.

        Args:
            text: the content.
            read_key: returns the PEM that a reference of `keys` stands for: a file in the folder, `env:NAME` or
                `file:PATH`. What it raises passes.
            path: of the file, for messages and log records.

        Raises:
            ConfigurationError: not a policy, or one that contradicts itself.
            KeyMaterialError: a key cannot be used.
        """
        from safemodel.trust.fields import naming  # late: bare keys need neither tomllib nor the reader
        from safemodel.trust.reading import read_policy

        with naming(path):
            return cls(**read_policy(text, read_key), path=path)

    @classmethod
    def from_keys(cls, keys: Iterable[VerifyingKey]) -> Self:
        """Trust each of these keys with every model, on its own.

        Raises:
            ConfigurationError: there is none; such a policy would refuse everything.
            KeyMaterialError: an HMAC secret is a listed public key.
        """
        listed = {key.key_id.hex(): key for key in keys}
        if not listed:
            raise ConfigurationError("no verifying key was given", hint="give at least one: trust='release.key.pub'")
        signers = tuple(TrustedSigner(name, {name: key}) for name, key in listed.items())
        return cls(None, signers, (Rule(1, ModelNames(EVERY_NAME), tuple(listed), oms=tuple(listed)),))

    def __str__(self) -> str:
        return f"{self.path}, version {self.version}, sha256 {self.digest}" if self.is_reviewed else "the given keys"

    @property
    def is_reviewed(self) -> bool:
        """Tell whether it comes from a file, so that whoever calls adds nothing to it."""
        return self.version is not None

    @property
    def folder(self) -> str:
        """The folder of the file, for commands that messages show."""
        return os.path.dirname(self.path) or "."

    def find(self, key_id: bytes) -> tuple[TrustedSigner, VerifyingKey] | None:
        """Return the key with exactly this id and whose it is, or None."""
        return self._listed.get(key_id)

    def signer(self, name: str) -> TrustedSigner:
        """Return the signer that rules call so."""
        return next(signer for signer in self.signers if signer.name == name)

    def rule_for(self, name: str) -> Rule:
        """Return the one rule for a model, or `NO_RULE`."""
        return next((rule for rule in self.rules if name in rule.models), NO_RULE)

    def revocation_of_key(self, key_id: bytes, signer: TrustedSigner) -> Revocation | None:
        """Return what revokes a key or its signer, or None."""
        return self._revocation(("key", key_id.hex()), ("signer", signer.name))

    def revocation_of_artifact(self, digest: str) -> Revocation | None:
        """Return what revokes the artifact with this digest, 64 hexadecimal digits, or None."""
        return self._revocation(("artifact", digest))

    def explain(
        self,
        artifact: UnverifiedArtifact,
        *,
        now: int,
        name: ExpectedName = ANY_NAME,
        detached: DetachedSignatures | None = None,
    ) -> "Explanation":
        """Say what the policy decides of an artifact, and why: which rule, what became of each signature, what to do.

        The contents, and the code that the model reaches for, are not looked at. Nothing is loaded on this.

        Args:
            artifact: as `safemodel.inspect` reads it.
            now: the clock, seconds since 1970 UTC.
            name: the model that is wanted.
            detached: the content of the `.sig` file, if there is one.

        Raises:
            FormatError: a signature counts, and the manifest is malformed.
        """
        from safemodel.trust.decision import Requirements, decide, judge  # late: they decide by this value

        required = Requirements(self, name, now, detached=detached)
        judged = judge(bytes.fromhex(artifact.digest), artifact.signatures, required)
        return judged if judged.refusals else decide(judged, artifact.manifest, required)

    def to_value(self) -> dict[str, Any] | None:
        """Return what log records and `--json` show of it; None for bare keys."""
        if not self.is_reviewed:
            return None
        return {"path": self.path, "version": self.version, "digest": self.digest}

    def for_countersigning(self) -> Self:
        """Return the policy for an artifact that is still being signed: one signature is enough, all else holds."""
        return replace(self, rules=tuple(replace(rule, threshold=1, require=()) for rule in self.rules))

    def for_oms(self) -> Self:
        """Return the policy for an OpenSSF Model Signing bundle: one of those in `oms` must have signed it."""
        rules = (replace(rule, signers=rule.oms, threshold=1, require=()) for rule in self.rules)
        return replace(self, rules=tuple(rules))

    def with_choices(
        self, allow: Iterable[str] = (), roles: str | None = None, versions: Mapping[str, str] | None = None
    ) -> Self:
        """Return the policy with what a caller may add to bare keys.

        Args:
            allow: exact names of globals.
            roles: `manifest` or `walk`; None leaves it.
            versions: PEP 440 specifiers of versions that are accepted beside the signed one.

        Raises:
            ConfigurationError: the policy comes from a reviewed file; or a choice is none.
        """
        choices: dict[str, Any] = {"allow": tuple(allow), "roles": roles, "versions": _accepted(versions)}
        _check_choice("roles", roles, ROLES)
        given = {name: value for name, value in choices.items() if value}
        if given and self.is_reviewed:
            name = next(iter(given))
            raise ConfigurationError(
                f"{name} was given beside the policy {self.path}, where it belongs",
                hint=f"write it into the rule that is for the model: {name} = ...",
            )
        return self._with_rules(**given)

    def with_environment(self, choice: str | None) -> Self:
        """Return the policy with what a caller wants to happen where other versions are installed.

        What a rule refuses stays refused; a warning is the caller's to have or not, since Python shows it to them.

        Args:
            choice: `warn`, `error` or `ignore`; None leaves it.

        Raises:
            ConfigurationError: there is no such choice.
        """
        _check_choice("environment", choice, ENVIRONMENT_CHOICES)
        if choice is None:
            return self
        rules = (rule if rule.environment == ERROR else replace(rule, environment=choice) for rule in self.rules)
        return replace(self, rules=tuple(rules))

    def _with_rules(self, **changes: Any) -> Self:
        """Return the policy with the same changes in each rule."""
        return replace(self, rules=tuple(replace(rule, **changes) for rule in self.rules)) if changes else self

    def _revocation(self, *what: tuple[str, str]) -> Revocation | None:
        return next((each for each in self.revocations if (each.of, each.subject) in what), None)


def _accepted(versions: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    if not versions:
        return ()
    from safemodel.trust.environment import check_versions  # late: few say so

    return check_versions(versions)


def _check_choice(name: str, choice: str | None, choices: Iterable[str]) -> None:
    if choice is not None and choice not in choices:
        raise ConfigurationError(f"{name} is {choice!r}, expected one of {', '.join(choices)}")


def _by_key_id(signers: Iterable[TrustedSigner]) -> dict[bytes, tuple[TrustedSigner, VerifyingKey]]:
    listed: dict[bytes, tuple[TrustedSigner, VerifyingKey]] = {}
    for signer in signers:
        for reference, key in signer.keys.items():
            if key.key_id in listed:
                raise ConfigurationError(
                    f"signers.{signer.name}: {reference} is the same key as one of {listed[key.key_id][0].name}",
                    hint="one key is one signer's, and is listed once",
                )
            listed[key.key_id] = signer, key
    refuse_public_as_secret(key for _, key in listed.values())
    return listed
