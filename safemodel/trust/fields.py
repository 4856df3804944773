"""Reading tables of a policy field by field: what is missing, of another type or unknown is an error with its place."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from typing import Any, Final, TypeVar

from safemodel.errors import ConfigurationError, KeyMaterialError

T = TypeVar("T")

SCHEMA: Final = "docs/trust.md lists the fields"

_SHOWN_MAX: Final = 64  # characters of a word in a message
_DATE: Final = "a date such as 2027-01-31"
_KINDS: Final[dict[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number with a fraction",
    str: "a text",
    list: "a list",
    dict: "a table",
}


class Table:
    """One table of the policy's file.

    Args:
        value: as it was parsed.
        known: the fields that it may have.

    Raises:
        ConfigurationError: not a table, or it has an unknown field.
    """

    def __init__(self, value: object, known: Sequence[str]) -> None:
        self._values: dict[str, Any] = _expect(value, dict, "a table")
        for name in self._values:
            if name not in known:
                raise unknown(f"there is no field {name[:_SHOWN_MAX]!r}", name, known)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def take(self, name: str, kind: type[T], what: str) -> T:
        """Return a field of exactly this type; `what` names the type for people."""
        with naming(name):
            return _expect(self._required(name, what), kind, what)

    def text(self, name: str) -> str:
        """Return a text that is not empty, or an empty one where the field is absent."""
        return self.required_text(name) if name in self else ""

    def required_text(self, name: str) -> str:
        """Return a text that is there and not empty."""
        return _filled(name, self.take(name, str, "a text"))

    def texts(self, name: str, check: Callable[[str], str] = str) -> tuple[str, ...]:
        """Return distinct texts, none where the field is absent, each as `check` returns it."""
        return self.required_texts(name, check) if name in self else ()

    def required_texts(self, name: str, check: Callable[[str], str] = str) -> tuple[str, ...]:
        """Return one or more distinct texts, each as `check` returns it."""
        values = _filled(name, self.take(name, list, "a list of texts"))
        with naming(name):
            texts = tuple(check(_expect(value, str, "a list of texts")) for value in values)
            if twice := next((text for text in texts if texts.count(text) > 1), None):
                raise ConfigurationError(f"{twice!r} is there twice", hint="write it once")
        return texts

    def number(self, name: str) -> int | None:
        """Return a whole number of 1 or more, or None where the field is absent."""
        return self.required_number(name) if name in self else None

    def required_number(self, name: str) -> int:
        """Return a whole number of 1 or more."""
        number = self.take(name, int, "a whole number")
        if number < 1:
            raise ConfigurationError(f"{name}: expected a whole number from 1 on, found {number}")
        return number

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """Return one of the choices, the first where the field is absent."""
        with naming(name):
            return one_of(self.take(name, str, "a text"), choices) if name in self else choices[0]

    def moment(self, name: str) -> int | None:
        """Return seconds since 1970 UTC, or None where the field is absent.

        A date alone is its first moment, UTC. Fractions are rounded up: for a clock of whole seconds that changes
        neither `moment <= now` nor `now < moment`.
        """
        if name not in self:
            return None
        value = self._date(name)
        if not isinstance(value, datetime):
            value = datetime.combine(value, time(), UTC)
        if value.tzinfo is None:
            hint = f"write {value.isoformat()}Z, or the date alone"
            raise ConfigurationError(f"{name}: expected a time with its zone, found one without", hint=hint)
        return math.ceil(value.timestamp())

    def day(self, name: str) -> str:
        """Return a date, with or without a time, as it is written."""
        return str(self._date(name))

    def _required(self, name: str, what: str) -> Any:
        if name not in self:
            raise ConfigurationError(f"expected {what}, found nothing", hint=SCHEMA)
        return self._values[name]

    def _date(self, name: str) -> date:
        with naming(name):
            value = self._required(name, _DATE)
            return _expect(value, datetime if isinstance(value, datetime) else date, _DATE)


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Put a place before what is wrong there."""
    try:
        yield
    except (ConfigurationError, KeyMaterialError) as error:
        raise type(error)(f"{place}: {error.args[0]}", hint=error.hint) from error.__cause__


def one_of(text: str, choices: Iterable[str]) -> str:
    """Return the text when it is one of the choices.

    Raises:
        ConfigurationError: it is not.
    """
    known = tuple(choices)
    if text not in known:
        raise unknown(f"{text[:_SHOWN_MAX]!r} is none of those that there are", text, known)
    return text


def unknown(message: str, found: str, known: Sequence[str]) -> ConfigurationError:
    """Return the error for a word that is not known, with the nearest one that is."""
    from difflib import get_close_matches  # late: only a mistake needs it

    near = get_close_matches(found[:_SHOWN_MAX], known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known) or 'none'}"
    return ConfigurationError(message, hint=hint)


def _filled(name: str, value: T) -> T:
    if not value:
        raise ConfigurationError(f"{name} is empty", hint="fill it, or leave the field away")
    return value


def _expect(value: object, kind: type[T], what: str) -> T:
    """Return the value when it is of exactly this type: a boolean is no number."""
    if type(value) is kind:
        return value
    raise ConfigurationError(f"expected {what}, found {_KINDS.get(type(value), type(value).__name__)}", hint=SCHEMA)
