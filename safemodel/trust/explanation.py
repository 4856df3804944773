"""Why an artifact is accepted or refused, as a value: the rule, each signature's fate, what would have to change."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from safemodel.trust.policy import NO_RULE, Rule, TrustPolicy
from safemodel.trust.refusal import Refusal
from safemodel.trust.signatures import Fate, JudgedRecord, JudgedSignatures

if TYPE_CHECKING:
    from safemodel.trust.environment import Difference


@dataclass(frozen=True, slots=True)
class SignedBy:
    """A key of the policy whose signature counts, and whose it is."""

    key_id: str
    algorithm: str
    signer: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with its grounds.

    Attributes:
        policy: what decided.
        artifact: the artifact's digest, 64 hexadecimal digits.
        signatures: each record and its fate.
        model: the signed name; None: the manifest was not read, since no signature counts.
        version: the signed version.
        rule: the rule for this model; `NO_RULE`: there is none, or the manifest was not read.
        differences: what is installed in another version than was signed, where that was compared.
        refusals: every reason to refuse it, in the order of the spec; none: it is accepted.
    """

    policy: TrustPolicy
    artifact: str
    signatures: JudgedSignatures
    model: str | None = None
    version: str | None = None
    rule: Rule = NO_RULE
    differences: "tuple[Difference, ...]" = ()
    refusals: tuple[Refusal, ...] = ()

    def check(self) -> Self:
        """Return the explanation of an acceptance.

        Raises:
            VerificationError: the first reason to refuse, with this explanation.
        """
        if not self.refusals:
            return self
        error = self.refusals[0].to_error()
        error.explanation = self
        raise error

    def counts(self, record: JudgedRecord) -> bool:
        """Tell whether a record is good and by a signer of the rule."""
        return record.fate is Fate.GOOD and record.signer in self.rule.signers

    @property
    def signers(self) -> tuple[SignedBy, ...]:
        """The keys whose signatures count."""
        counted = filter(self.counts, self.signatures.records)
        return tuple(SignedBy(record.key_id, record.algorithm, record.signer) for record in counted)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield lines for people, each a label and a text."""
        yield "policy", str(self.policy)
        yield "model", "not read, since no signature counts" if self.model is None else _named(self.model, self.version)
        if self.model is not None:
            yield "rule", "none is for it" if self.rule is NO_RULE else str(self.rule)
        for record in self.signatures.records:
            yield "signature", self._describe(record)
        for difference in self.differences:
            yield "environment", f"{difference}{' (accepted)' if difference.accepted else ''}"
        for refusal in self.refusals:
            yield "refused", f"{refusal.code}: {refusal.message}"
            yield "to change", refusal.hint

    def to_value(self) -> dict[str, Any]:
        """Return the same as plain maps and lists."""
        return {
            "policy": self.policy.to_value(),
            "name": self.model,
            "version": self.version,
            "rule": self.rule.number or None,
            "signatures": [
                {
                    "key_id": record.key_id,
                    "detached": record.detached,
                    "fate": record.fate,
                    "detail": record.detail,
                    "signer": record.signer or None,
                    "counts": self.counts(record),
                }
                for record in self.signatures.records
            ],
            "differences": [difference.to_value() for difference in self.differences],
            "refusals": [
                {"code": refusal.code, "message": refusal.message, "hint": refusal.hint} for refusal in self.refusals
            ],
        }

    def _describe(self, record: JudgedRecord) -> str:
        place = "detached, " if record.detached else ""
        whose = f" of {record.signer}" if record.signer else ""
        detail = f" ({record.detail})" if record.detail else ""
        outside = record.fate is Fate.GOOD and self.rule is not NO_RULE and not self.counts(record)
        return f"{place}key {record.key_id}{whose}: {record.fate}{detail}{', not in the rule' if outside else ''}"


def _named(model: str, version: str | None) -> str:
    return model if version is None else f"{model} {version}"
