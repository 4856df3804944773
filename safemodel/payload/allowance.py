"""Which of the globals that a payload names the catalogue lists, and what a user is told of the others.

A global is allowed by its exact name and in its exact roles. The signing side asks before it signs, with the places in
the model that the walk found; the gate asks again, of the signed list.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from safemodel.errors import ConfigurationError, GlobalNotAllowedError
from safemodel.format.manifest import GlobalReference
from safemodel.payload.catalogue import Catalogue, Pair, load_catalogue, reason_against

if TYPE_CHECKING:
    from safemodel.payload.findings import GlobalUse

    Use = GlobalUse | GlobalReference  # as a walk or a manifest has it

_SHOWN_MAX: Final = 10  # globals in a message; a hostile payload names thousands


def catalogue_with(allow: Iterable[str] | None) -> Catalogue:
    """Return the catalogue with what the user allows in addition; a text is one name.

    Raises:
        ConfigurationError: not an exact name, or one that is never allowed.
    """
    return load_catalogue().with_additions(names_of(allow))


def names_of(allow: Iterable[str] | None) -> tuple[str, ...]:
    """Return the names that a user allows; a text is one name, None is none."""
    if allow is not None and not isinstance(allow, Iterable):
        raise ConfigurationError(
            f"allow is of type {type(allow).__name__}, expected exact names", hint='allow=["acme.transformers.Clip"]'
        )
    return (allow,) if isinstance(allow, str) else tuple(allow or ())


def unlisted(uses: "Iterable[Use]", catalogue: Catalogue) -> "tuple[GlobalUse, ...]":
    """Return the globals that the catalogue lacks, each with only those of its roles that it lacks."""
    lacking = [(use, roles) for use in uses if (roles := _roles_lacking(use, catalogue))]
    if not lacking:
        return ()
    from safemodel.payload.findings import GlobalUse  # late: most artifacts lack nothing

    return tuple(GlobalUse(use.module, use.name, roles, getattr(use, "paths", ())) for use, roles in lacking)


def refuse_unlisted(uses: "Iterable[Use]", catalogue: Catalogue) -> None:
    """Refuse a payload that reaches for what the catalogue lacks.

    Raises:
        GlobalNotAllowedError: names each global, its roles, where in the model it is, and what would allow it.
    """
    lacking = unlisted(uses, catalogue)
    if lacking:
        raise GlobalNotAllowedError(reason(lacking), hint=advice(lacking, catalogue))


def reason(lacking: "Iterable[GlobalUse]") -> str:
    """Say what is not allowed, and where it is."""
    return f"the model reaches for what the catalogue does not list: {_some(map(describe, lacking))}"


def describe(use: "GlobalUse") -> str:
    """Return a global in one line: name, roles, places."""
    places = ", ".join(path or "the model itself" for path in use.paths)
    return f"{spell(use)} ({', '.join(use.roles)})" + (f" at {places}" if places else "")


def advice(lacking: "Iterable[GlobalUse]", catalogue: Catalogue, rule: int | None = None) -> str:
    """Say what would allow it, or why nothing does, and which libraries the catalogue knows.

    Args:
        lacking: what is not allowed.
        catalogue: what allows it not.
        rule: the number of the rule that could allow it; None: an argument could.
    """
    pairs = [(use.module, use.name) for use in lacking]
    addable = [".".join(pair) for pair in pairs if catalogue.can_add(pair)]
    known = [pair for pair in pairs if pair in catalogue.permissions]
    remedy = _argument(addable) if rule is None else _entry(addable, rule)
    scope = f"the catalogue covers {catalogue.covers}"
    return "; ".join([*_refusals(pairs, catalogue), *remedy, *_known_roles(known, catalogue), scope])


def spell(use: "Use") -> str:
    """Return a global's full name, as `allow` takes it."""
    return f"{use.module}.{use.name}"


def _refusals(pairs: Iterable[Pair], catalogue: Catalogue) -> list[str]:
    names: dict[str, list[str]] = {}
    for pair in pairs:
        if not catalogue.can_add(pair):
            names.setdefault(reason_against(pair), []).append(".".join(pair))
    return [f"{_some(alike)}: {why}" for why, alike in names.items()]


def _argument(names: list[str]) -> list[str]:
    if not names:
        return []
    argument = _some(f'"{name}"' for name in names)
    options = _some((f"--allow {name}" for name in names), " ")
    return [f"if you know this code and trust it, say allow=[{argument}] ({options})"]


def _entry(names: list[str], rule: int) -> list[str]:
    if not names:
        return []
    return [
        f"if you know this code and trust it, let rule {rule} allow it: safemodel trust allow DIR FILE --rule {rule}"
    ]


def _known_roles(pairs: list[Pair], catalogue: Catalogue) -> list[str]:
    if not pairs:
        return []
    roles = (f"{'.'.join(pair)} as {', '.join(sorted(catalogue.permissions[pair]))} only" for pair in pairs)
    return [f"models use {_some(roles)}"]


def _roles_lacking(use: "Use", catalogue: Catalogue) -> tuple[str, ...]:
    if catalogue.allows(use.module, use.name, use.roles):
        return ()
    return tuple(role for role in use.roles if not catalogue.allows(use.module, use.name, (role,))) or use.roles


def _some(texts: Iterable[str], separator: str = ", ") -> str:
    shown = list(texts)
    return separator.join(shown[:_SHOWN_MAX] + (["..."] if len(shown) > _SHOWN_MAX else []))
