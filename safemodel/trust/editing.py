"""Edits of a `trust.toml` as text: what is not edited stays byte for byte, comments and order included.

Rules kept here:

* An edit raises `version` by one, however many changes it makes.
* What a change says is for the strict reader to judge, afterwards (`safemodel.trust.folder`).
* Taking a signer away never loosens a rule: one that requires them, or has nobody else, refuses the edit.
* A file that cannot be written back as it was is not edited.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from safemodel.errors import ConfigurationError
from safemodel.trust.fields import one_of

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

Change = Callable[["TOMLDocument"], None]

# The first edit makes it version 1.
BLANK: Final = """\
# Who may sign which models. A change of this file is a change of trust: let somebody review it.
#
# [signers.NAME]  somebody who may sign, with their public keys, which are files in this folder
# [[rules]]       which models, and who of the signers must have signed them; a model without a rule is refused
# [[revoked]]     a key, a signer or an artifact that never counts again
#
# 'safemodel trust --help' shows the commands that edit it; by hand, raise the version too.
version = 0
"""


def edited(text: str, *changes: Change) -> str:
    """Return the content of a `trust.toml` after some changes, with its version raised by one.

    Args:
        text: the content, which the strict reader accepts.
        changes: made in this order.

    Raises:
        ConfigurationError: a change cannot be made, or the file cannot be kept as it is around it.
    """
    document = _parse(text if text.endswith("\n") else f"{text}\n")
    document["version"] = int(document["version"]) + 1
    for change in changes:
        change(document)
    return document.as_string()


def set_signer(name: str, keys: Sequence[str] = (), **fields: date | str | None) -> Change:
    """Return the change that makes a signer, or adds to one.

    Args:
        name: as rules call them.
        keys: references to add.
        fields: `valid_from`, `valid_until` and `contact`; None leaves a field.
    """
    given = {field: value for field, value in fields.items() if value is not None}

    def change(document: "TOMLDocument") -> None:
        signers = _signers(document)
        if name in signers:
            for reference in keys:
                signers[name]["keys"].append(reference)
            _set(signers[name], given)
        elif keys:
            _add_signer(document, name, {"keys": list(keys), **given})
        else:
            raise ConfigurationError(f"there is no signer {name!r} yet", hint="give a key, and it is made")

    return change


def add_rule(models: Sequence[str], signer: str) -> Change:
    """Return the change that lets somebody sign models: in the rule for exactly these, or else in a new one."""

    def change(document: "TOMLDocument") -> None:
        alike = [rule for rule in document.get("rules", ()) if list(rule["models"]) == list(models)]
        for rule in alike:
            if signer not in rule["signers"]:
                rule["signers"].append(signer)
        if not alike:
            _append(document, "rules", {"models": list(models), "signers": [signer]})

    return change


def remove_signer(name: str) -> Change:
    """Return the change that takes a signer away, and out of the rules."""

    def change(document: "TOMLDocument") -> None:
        _remove_signer(document, one_of(name, _signers(document)))
        for number, rule in enumerate(document.get("rules", ()), start=1):
            if name in rule.get("require", ()) or list(rule["signers"]) == [name]:
                raise ConfigurationError(
                    f"rule {number} cannot do without {name}", hint="edit that rule by hand first, or take it out"
                )
            if name in rule["signers"]:
                rule["signers"].remove(name)
            if name in rule.get("oms", ()):
                rule["oms"].remove(name)
                if not rule["oms"]:
                    del rule["oms"]

    return change


def remove_key(name: str, reference: str) -> Change:
    """Return the change that takes one key of a signer away, who has others."""

    def change(document: "TOMLDocument") -> None:
        signers = _signers(document)
        keys = signers[one_of(name, signers)]["keys"]
        if list(keys) == [one_of(reference, keys)]:
            raise ConfigurationError(
                f"{reference} is the only key of {name}", hint="add another one first, or take the signer away"
            )
        keys.remove(reference)

    return change


def revoke(of: str, subject: str, day: date, reason: str) -> Change:
    """Return the change that revokes a `key`, a `signer` or an `artifact`."""

    def change(document: "TOMLDocument") -> None:
        if any(each.get(of) == subject for each in document.get("revoked", ())):
            raise ConfigurationError(f"{of} {subject} is revoked already", hint="nothing needs to be done")
        _append(document, "revoked", {of: subject, "date": day, "reason": reason})

    return change


def allow(number: int, names: Iterable[str]) -> Change:
    """Return the change that lets a rule, by its number from 1, allow more globals."""

    def change(document: "TOMLDocument") -> None:
        rule: Any = document["rules"][number - 1]
        if "allow" not in rule:
            _set(rule, {"allow": list(names)})
        else:
            rule["allow"].extend(names)

    return change


def _parse(text: str) -> "TOMLDocument":
    import tomlkit  # late: no other verb edits
    from tomlkit.exceptions import TOMLKitError

    with suppress(TOMLKitError):
        document = tomlkit.parse(text)
        if document.as_string() == text:
            return document
    raise ConfigurationError(
        "this file cannot be edited without moving parts of it",
        hint="put all [signers.NAME] below one another, all [[rules]] too, or edit it by hand",
    )


def _signers(document: "TOMLDocument") -> Any:
    return document.get("signers", {})


def _add_signer(document: "TOMLDocument", name: str, fields: dict[str, Any]) -> None:
    import tomlkit
    from tomlkit.items import Table

    if "signers" not in document:
        document["signers"] = tomlkit.table(is_super_table=True)
    signers: Any = document["signers"]
    if not isinstance(signers, Table):
        signers[name] = _inline(fields)
        return
    others = [table for table in signers.values() if isinstance(table, Table)]
    signers[name] = _table(fields, others)


def _remove_signer(document: "TOMLDocument", name: str) -> None:
    """Take a signer's table away, and leave what stands below it and is about what comes next."""
    signers = _signers(document)
    names = list(signers)
    place = names.index(name)
    tail = _cut_tail(signers[name], after_blank=True)
    del signers[name]
    if place:
        signers[names[place - 1]].value.body.extend(tail)
    elif len(names) > 1:
        heading = signers[names[1]].trivia
        heading.indent = "".join(item.as_string() for _, item in tail) + heading.indent
    else:
        document.body.extend(tail)


def _append(document: "TOMLDocument", name: str, fields: dict[str, Any]) -> None:
    """Append a table to an array of tables, before what stands between the last one and what follows."""
    import tomlkit
    from tomlkit.items import AoT

    if name not in document:
        document[name] = tomlkit.aot()
    tables: Any = document[name]
    if not isinstance(tables, AoT):
        tables.append(_inline(fields))
        return
    table = _table(fields, list(tables))
    table.trivia.indent = "\n"  # an empty line, above the first one too
    tables.append(table)


def _set(table: Any, fields: dict[str, Any]) -> None:
    """Set fields, new ones below the last there is and above comments that follow."""
    tail = _cut_tail(table, after_blank=False)
    for name, value in fields.items():
        table[name] = value
    table.value.body.extend(tail)


def _table(fields: dict[str, Any], others: Sequence[Any]) -> Any:
    """Return a table that goes below others, with what stands below the last of these."""
    import tomlkit

    table = tomlkit.table()
    table.update(fields)
    if others:
        table.trivia.indent = "\n"  # an empty line, which tomlkit puts above the first signer by itself
        table.value.body.extend(_cut_tail(others[-1], after_blank=True))
    return table


def _inline(fields: dict[str, Any]) -> Any:
    import tomlkit

    table = tomlkit.inline_table()
    table.update(fields)
    return table


def _cut_tail(table: Any, *, after_blank: bool) -> list[Any]:
    """Cut off and return the comments and empty lines that end a table, or those from its first empty line on.

    They stand below its last field, and an empty line tells that they are about what comes next.
    """
    from tomlkit.items import InlineTable, Whitespace

    if isinstance(table, InlineTable):
        return []
    body = table.value.body
    start = len(body)
    while start and body[start - 1][0] is None:
        start -= 1
    while after_blank and start < len(body) and not isinstance(body[start][1], Whitespace):
        start += 1
    tail = body[start:]
    del body[start:]
    return list(tail)
