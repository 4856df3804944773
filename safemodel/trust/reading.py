"""Reads the content of a `trust.toml`, strictly: fields, words and names that nobody knows are errors (docs/trust.md).

What is read is checked as a whole before anything is decided with it: rules name signers that there are, no two are for
one model, and a secret that verifies and signs is trusted alone.
"""

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import combinations
from typing import Any, Final, Literal

from safemodel.errors import ConfigurationError, FormatError
from safemodel.format.digests import ALGORITHMS
from safemodel.format.names import check_model_version, is_global_name
from safemodel.signing import HmacSha256Key, VerifyingKey, verifying_key_from_pem
from safemodel.trust.fields import SCHEMA, Table, naming, one_of
from safemodel.trust.patterns import ModelNames, check_pattern
from safemodel.trust.policy import (
    ENVIRONMENT,
    ENVIRONMENT_REFERENCE,
    FILE_REFERENCE,
    ROLES,
    ReadKey,
    Revocation,
    Rule,
    TrustedSigner,
)

POLICY_FIELDS: Final = ("version", "signers", "rules", "revoked")
SIGNER_FIELDS: Final = ("keys", "valid_from", "valid_until", "contact")
RULE_FIELDS: Final = (
    "models",
    "except",
    "signers",
    "threshold",
    "require",
    "min_version",
    "max_age_days",
    "digests",
    "allow",
    "deny",
    "environment",
    "versions",
    "roles",
    "oms",
)
REVOKED_KINDS: Final[tuple[Literal["key", "signer", "artifact"], ...]] = ("key", "signer", "artifact")
REVOCATION_FIELDS: Final = (*REVOKED_KINDS, "date", "reason")

_SIGNER_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,61}[A-Za-z0-9])?")  # shorter than a key id
_HEXADECIMAL: Final = re.compile(r"[0-9a-f]{64}")


def read_policy(text: str, read_key: ReadKey) -> dict[str, Any]:
    """Return the fields of a `TrustPolicy`; arguments and errors are those of `TrustPolicy.from_toml`."""
    table = Table(_parse(text), POLICY_FIELDS)
    signers = tuple(_read_signer(name, value, read_key) for name, value in _signers(table).items())
    rules = tuple(_read_rule(number, value, signers) for number, value in _numbered(table, "rules"))
    _refuse_overlaps(rules)
    return {
        "version": table.required_number("version"),
        "signers": signers,
        "rules": rules,
        "revocations": tuple(_read_revocation(number, value, signers) for number, value in _numbered(table, "revoked")),
        "digest": sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
    }


def _parse(text: str) -> dict[str, Any]:
    import tomllib  # late: only a folder needs it

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise ConfigurationError(f"expected TOML, found something else: {error}", hint=SCHEMA) from None


def _signers(table: Table) -> dict[str, Any]:
    return table.take("signers", dict, "tables such as [signers.alice]") if "signers" in table else {}


def _numbered(table: Table, name: str) -> Iterator[tuple[int, Any]]:
    return enumerate(table.take(name, list, f"tables [[{name}]]") if name in table else (), start=1)


def _read_signer(name: str, value: object, read_key: ReadKey) -> TrustedSigner:
    with naming(f"signers.{name[:64]}"):
        if not _SIGNER_NAME.fullmatch(name):
            raise ConfigurationError(
                "this is no name for a signer",
                hint="use letters, digits and inner '.', '_', '@', '+' or '-', at most 63, such as 'alice'",
            )
        table = Table(value, SIGNER_FIELDS)
        keys = {reference: _read_key(reference, read_key) for reference in table.required_texts("keys")}
        if len({isinstance(key, HmacSha256Key) for key in keys.values()}) > 1:
            raise ConfigurationError(
                "keys has both public keys and a secret that verifies and signs", hint="make two signers of it"
            )
        signer = TrustedSigner(
            name, keys, table.moment("valid_from"), table.moment("valid_until"), table.text("contact")
        )
        if signer.valid_from is not None and signer.has_ended(signer.valid_from):
            raise ConfigurationError("valid_until is not after valid_from", hint="give a later date")
    return signer


def _read_key(reference: str, read_key: ReadKey) -> VerifyingKey:
    with naming(f"keys: {reference}"):
        elsewhere = reference.startswith((ENVIRONMENT_REFERENCE, FILE_REFERENCE))
        if not reference.isprintable() or (not elsewhere and (reference in (".", "..") or set("/\\") & set(reference))):
            raise ConfigurationError("this is no file of the folder", hint="name a file in it, such as 'alice.pub'")
        key = verifying_key_from_pem(read_key(reference))
        if isinstance(key, HmacSha256Key) and not elsewhere:
            raise ConfigurationError(
                "a secret that signs lies in the folder",
                hint="take it out and refer to it as 'env:NAME' or 'file:PATH'; make a new one if others have seen it",
            )
        if elsewhere and not isinstance(key, HmacSha256Key):
            raise ConfigurationError(
                "a public key lies outside of the folder",
                hint="put it into the folder, where changes of it are reviewed",
            )
    return key


def _read_rule(number: int, value: object, signers: Sequence[TrustedSigner]) -> Rule:
    with naming(f"rule {number}"):
        table = Table(value, RULE_FIELDS)
        known = {signer.name: signer for signer in signers}
        named = table.required_texts("signers", lambda name: one_of(name, known))
        rule = Rule(
            number=number,
            models=ModelNames(table.required_texts("models", check_pattern), table.texts("except", check_pattern)),
            signers=named,
            threshold=table.number("threshold") or 1,
            require=table.texts("require", lambda name: one_of(name, named)),
            min_version=_read_version(table.text("min_version")),
            max_age_days=table.number("max_age_days"),
            digests=table.texts("digests", lambda name: one_of(name, ALGORITHMS)) or ALGORITHMS,
            allow=table.texts("allow", check_global),
            deny=table.texts("deny", check_global),
            environment=table.choice("environment", ENVIRONMENT),
            versions=_read_versions(table),
            roles=table.choice("roles", ROLES),
            oms=table.texts("oms", lambda name: one_of(name, known)),
        )
        _refuse_secret_beside_others(rule, [known[name] for name in named])
    return rule


def _refuse_secret_beside_others(rule: Rule, signers: Sequence[TrustedSigner]) -> None:
    secret = [signer.name for signer in signers if any(isinstance(key, HmacSha256Key) for key in signer.keys.values())]
    if secret and (len(signers), rule.threshold) != (1, 1):
        raise ConfigurationError(
            f"{secret[0]}, whose secret every verifier can sign with, stands beside others",
            hint="give it a rule of its own, with threshold 1",
        )


def _read_version(text: str) -> str | None:
    try:
        return check_model_version(text) if text else None
    except FormatError as error:
        raise ConfigurationError(f"min_version: {error.args[0]}", hint=error.hint) from None


def _read_versions(table: Table) -> tuple[tuple[str, str], ...]:
    if "versions" not in table:
        return ()
    from safemodel.trust.environment import check_versions  # late: few rules say so

    with naming("versions"):
        return check_versions(table.take("versions", dict, "a table of versions by distribution"))


def check_global(text: str) -> str:
    """Return the text when it is the exact name of a global: `acme.transformers.Clip`.

    Raises:
        ConfigurationError: it is not.
    """
    module, _, name = text.rpartition(".")
    if is_global_name(module, name):
        return text
    raise ConfigurationError(
        f"{text[:255]!r} is not the exact name of a global", hint='write module and name: "acme.transformers.Clip"'
    )


def _read_revocation(number: int, value: object, signers: Sequence[TrustedSigner]) -> Revocation:
    with naming(f"revoked {number}"):
        table = Table(value, REVOCATION_FIELDS)
        given = [kind for kind in REVOKED_KINDS if kind in table]
        if len(given) != 1:
            raise ConfigurationError(
                f"expected one of {', '.join(REVOKED_KINDS)}, found {' and '.join(given) or 'none'}",
                hint="write one [[revoked]] for each thing",
            )
        [of] = given
        subject = table.required_text(of)
        with naming(of):
            if of == "signer":
                one_of(subject, [signer.name for signer in signers])
            elif not _HEXADECIMAL.fullmatch(subject):
                raise ConfigurationError(
                    "expected 64 hexadecimal digits in lower case, found something else",
                    hint="take the key id or the digest from 'safemodel inspect FILE'",
                )
        return Revocation(of, subject, table.day("date"), table.required_text("reason"))


def _refuse_overlaps(rules: Sequence[Rule]) -> None:
    for one, other in combinations(rules, 2):
        if (name := one.models.shared_with(other.models)) is not None:
            raise ConfigurationError(
                f"rules {one.number} and {other.number} are both for {name!r}",
                hint="exactly one rule may be for a name: write other models, or except into one of them",
            )
