"""The catalogue as the gate takes it: under the rule of a trust policy that is for the model.

A rule's `allow` adds exact names, as an argument does for bare keys. Its `deny` beats everything, the catalogue too,
and is for the thing itself: by whatever name a payload reaches for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from safemodel.errors import GlobalNotAllowedError
from safemodel.format.manifest import GlobalReference
from safemodel.payload.allowance import advice, reason, spell, unlisted
from safemodel.payload.catalogue import Catalogue, Pair, Roles, load_catalogue
from safemodel.trust.policy import Rule, TrustPolicy


@dataclass(frozen=True, slots=True)
class RuledCatalogue:
    """A catalogue under a rule.

    Attributes:
        catalogue: what the rule leaves of it, with what it adds.
        before: the same before anything was denied.
        rule: the number of the rule, where a policy's file has it; None: the caller may allow more.
    """

    catalogue: Catalogue
    before: Catalogue
    rule: int | None = None

    @classmethod
    def of(cls, policy: TrustPolicy) -> Self:
        """Return the catalogue that comes with this version, to be put under any rule of a policy.

        Raises:
            ConfigurationError: a rule allows what is never allowed.
        """
        catalogue = load_catalogue()
        made = cls(catalogue, catalogue)
        for rule in policy.rules:
            if rule.allow:
                made.under(rule, policy.path)
        return made

    @property
    def permissions(self) -> Mapping[Pair, Roles]:
        """The roles of each global that is allowed."""
        return self.catalogue.permissions

    def under(self, rule: Rule, path: str) -> Self:
        """Return it with what a rule allows and without what it denies.

        Args:
            rule: the rule for the model.
            path: of the policy's file; empty for bare keys.

        Raises:
            ConfigurationError: the rule allows what is never allowed.
        """
        widened = self.catalogue
        if rule.allow:
            from safemodel.trust.fields import naming  # late: most policies add nothing

            with naming(f"{path}: rule {rule.number}: allow" if path else "allow"):
                widened = widened.with_additions(rule.allow)
        narrowed = widened.without(rule.deny) if rule.deny else widened
        return type(self)(narrowed, widened, rule.number if path else None)

    def refuse_unlisted(self, uses: Iterable[GlobalReference]) -> None:
        """Refuse globals that are not allowed.

        Raises:
            GlobalNotAllowedError: names each, its roles, and what would allow it.
        """
        lacking = unlisted(uses, self.catalogue)
        if not lacking:
            return
        missing = unlisted(lacking, self.before)
        if missing:
            raise GlobalNotAllowedError(reason(missing), hint=advice(missing, self.catalogue, self.rule))
        raise GlobalNotAllowedError(
            f"the model reaches for what is denied: {', '.join(map(spell, lacking))}",
            hint=f"rule {self.rule} denies it; take it out of deny if you know this code and trust it",
        )


def additions(policy: TrustPolicy, rule: Rule, uses: Iterable[GlobalReference]) -> tuple[str, ...]:
    """Return the names that a rule would have to allow too, for globals to be accepted.

    Args:
        policy: from a file.
        rule: one of it.
        uses: the signed list of an artifact.

    Raises:
        GlobalNotAllowedError: one is denied, or can never be allowed.
        ConfigurationError: a rule allows what is never allowed.
    """
    references = tuple(uses)
    catalogue = RuledCatalogue.of(policy)
    before = catalogue.under(rule, policy.path).before
    names = tuple(spell(use) for use in unlisted(references, before) if before.can_add((use.module, use.name)))
    widened = replace(rule, allow=(*rule.allow, *names))
    catalogue.under(widened, policy.path).refuse_unlisted(references)
    return names
