"""Names of models and globals, versions of models (docs/spec.md, section "Names"): checked, never repaired."""

import re
from unicodedata import is_normalized

from safemodel.errors import FormatError
from safemodel.format.limits import GLOBAL_NAME_MAX, MODEL_NAME_MAX, MODEL_VERSION_MAX

_PART = r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")


def check_model_name(name: str) -> str:
    """Return the name when it is one: `acme/churn`.

    Raises:
        FormatError: not parts of lower-case letters, digits and inner `._-` joined by `/`, at most 128 bytes.
    """
    if isinstance(name, str) and len(name) <= MODEL_NAME_MAX and _NAME.fullmatch(name):
        return name
    raise FormatError(
        f"{str(name)[:MODEL_NAME_MAX]!r} is not a model name",
        hint="use lower-case letters, digits and inner '.', '_' or '-', parts joined by '/', such as 'acme/churn'",
    )


def check_model_version(version: str) -> str:
    """Return the version when it is a normalised public PEP 440 version without epoch or local part: `1.4.0`.

    Raises:
        FormatError: another text; the hint gives the normalised form where there is one.
    """
    if not isinstance(version, str):
        raise FormatError(f"a version is of type {type(version).__name__}, expected a text", hint="quote it: '1.4.0'")
    from packaging.version import InvalidVersion, Version  # only artifacts with a version pay for the import

    found = repr(version[:MODEL_VERSION_MAX])
    try:
        parsed = Version(version[: MODEL_VERSION_MAX + 1])
    except InvalidVersion:
        raise FormatError(f"{found} is not a PEP 440 version", hint="use a version such as '1.4.0'") from None
    if parsed.epoch or str(parsed) != version or parsed.local or len(version) > MODEL_VERSION_MAX:
        raise FormatError(
            f"{found} is not a normalised public version without epoch, of at most {MODEL_VERSION_MAX} characters",
            hint=f"use {parsed.public.partition('!')[2] or parsed.public!r}",
        )
    return version


def is_global_name(module: str, name: str) -> bool:
    """Tell whether this can be the exact name of a global.

    A dotted name would walk attributes to anything that a module happens to hold, and a look-alike is compared as other
    text than the one that Python imports.

    Args:
        module: identifiers joined by dots, in Unicode's NFKC form, of at most 255 bytes.
        name: one identifier, likewise.
    """
    return all(part.isidentifier() and is_normalized("NFKC", part) for part in (*module.split("."), name)) and all(
        len(text.encode()) <= GLOBAL_NAME_MAX for text in (module, name)
    )
