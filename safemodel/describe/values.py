"""Any object as plain values that are short, repeatable and private.

Parameters are whatever a user gave. So nothing of theirs runs that need not run, and no `repr` or `str`: those of
tables, caches and functions show rows, home folders and addresses. What has no plain form is named by its class; arrays
and tables are their type, shape and digest; long values are their beginning, length and digest; a home folder is `~`.
"""

import enum
import hashlib
import json
import math
import os
import re
import sys
from datetime import date, time
from functools import lru_cache
from itertools import islice
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final

from safemodel.describe.data import describe_data, is_table
from safemodel.errors import SafemodelError
from safemodel.format import wire

TEXT_MAX: Final = 500  # characters of a text that is not shortened
_NAME_MAX: Final = 200  # characters of a class's name, of a key, and of what is kept of a long value
_SEEN: Final = 4096  # characters of a long text that are looked at
_SIZE_MAX: Final = 2048  # bytes of a collection that is not shortened
_NODES_MAX: Final = 10_000  # values looked at in one parameter; beyond, no digest
_FIRST: Final = 20  # of those that are shown beyond
_DEPTH_MAX: Final = 8  # collections inside one another; deeper ones, and those that hold themselves, are their class
_BITS_MAX: Final = 1024  # of an integer that is written out; turning long ones into text takes quadratic time
_NOT_FINITE: Final = ("nan", "inf", "-inf")
_NAMED: Final = (type, FunctionType, BuiltinFunctionType, MethodType)
_COLLECTIONS: Final = (dict, list, tuple, set, frozenset)


def summary(value: object) -> Any:
    """Describe a value.

    Args:
        value: any object, also one that raises wherever it can.

    Returns:
        None, booleans, integers of 64 bits, finite numbers, texts, and lists and text-keyed maps of them; at most some
        kilobytes.
    """
    try:
        return _Summary().of(value)
    except _TooMuch:
        return _beginning(value)


def class_name(cls: type) -> str:
    """Return the full name of a class, `sklearn.pipeline.Pipeline`; of a builtin one, just its name."""
    return _qualified(_stored(cls, "__module__"), _stored(cls, "__qualname__"))


def text(value: str) -> str:
    """Return a text with `~` for home folders, and with escapes for what UTF-8 cannot hold."""
    return _home(os.path.expanduser("~")).sub("~", _encoded(value).decode("utf-8"))


def texts(values: list[str]) -> list[str]:
    """Return many texts as `text` does, fast where there is nothing to change."""
    try:
        together = "\n".join(values)
        together.encode("utf-8")
        clean = not _home(os.path.expanduser("~")).search(together)
    except (TypeError, UnicodeEncodeError):  # not all of them texts, or not in UTF-8
        clean = False
    return [str(value) for value in values] if clean else [key(value) for value in values]


def key(value: object) -> str:
    """Return a map's key as text, not too long."""
    found = value if isinstance(value, str) else summary(value)
    return _front(found if isinstance(found, str) else json.dumps(found))


def shortened(beginning: str, length: int, digest: str | None) -> dict[str, Any]:
    """Return what stands for a value that is too long (docs/spec.md, section "Descriptive maps")."""
    found: dict[str, Any] = {"shortened": beginning[:_NAME_MAX], "length": length}
    return found if digest is None else found | {"sha256": digest}


def _base(value: Any) -> Any:
    """Return the builtin class whose methods are used, whatever those of the value's own class do."""
    return next(each for each in _COLLECTIONS if issubclass(type(value), each))


class _TooMuch(Exception):
    """More values than are looked at."""


class _Summary:
    """The summary of one value, which looks at so many values in all."""

    def __init__(self) -> None:
        self._left = _NODES_MAX

    def of(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _TooMuch
        kind = type(value)
        if value is None or kind is bool:
            return value
        if issubclass(kind, _COLLECTIONS):
            return _fitting(value, self._collection(value, depth)) if depth < _DEPTH_MAX else class_name(kind)
        try:
            return _table(value) if is_table(value) else _scalar(value, kind)
        except Exception:  # whatever the value's own code raises
            return class_name(kind)

    def _collection(self, value: Any, depth: int) -> Any:
        if issubclass(type(value), dict):
            return {key(name): self.of(item, depth + 1) for name, item in dict.items(value)}
        members = [self.of(item, depth + 1) for item in _base(value).__iter__(value)]
        return members if issubclass(type(value), list | tuple) else sorted(members, key=wire.encode)


def _fitting(value: Any, plain: Any) -> Any:
    """Return a collection's plain form, or what stands for it where it is long or holds rows of numbers."""
    data = wire.encode(plain)
    if _is_rows(plain):
        return shortened(
            f"{class_name(type(value))} of {len(plain)} rows", len(plain), hashlib.sha256(data).hexdigest()
        )
    if len(data) <= _SIZE_MAX:
        return plain
    return shortened(json.dumps(plain, ensure_ascii=False), len(plain), hashlib.sha256(data).hexdigest())


def _is_rows(plain: Any) -> bool:
    """Tell whether a collection may be rows of a table, as lists or maps, that hold fractions.

    Whole numbers are ranges and columns, and a map of lists is a grid of parameters.
    """
    if not isinstance(plain, list | dict) or len(plain) < 2:
        return False
    rows = plain.values() if isinstance(plain, dict) else plain
    kind = dict if isinstance(plain, dict) else type(plain[0])
    if kind not in (list, dict) or not all(isinstance(row, kind) for row in rows):
        return False
    items = (item for row in rows for item in (row.values() if kind is dict else row))
    return any(type(item) is float or item in _NOT_FINITE for item in items)


def _beginning(value: Any) -> dict[str, Any]:
    """Describe a collection of more values than are looked at: its first ones, and of collections in it the class."""
    if issubclass(type(value), dict):
        first: Any = {key(name): _shallow(item) for name, item in islice(dict.items(value), _FIRST)}
    else:
        first = [_shallow(item) for item in islice(_base(value).__iter__(value), _FIRST)]
    return shortened(json.dumps(first, ensure_ascii=False), _base(value).__len__(value), None)


def _shallow(value: object) -> Any:
    return class_name(type(value)) if issubclass(type(value), _COLLECTIONS) else summary(value)


def _table(value: Any) -> dict[str, Any]:
    try:
        described = describe_data(value)
    except SafemodelError:  # objects in it that have no digest
        described = {}
    shape = [int(length) for length in value.shape]
    kept = {name: described[name] for name in ("dtype", "digest") if name in described}
    return {"class": class_name(type(value)), "shape": shape} | kept


def _scalar(value: Any, kind: type) -> Any:
    if issubclass(kind, enum.Enum):
        return _front(f"{class_name(kind)}.{value._name_}")
    if issubclass(kind, str):
        return _text_or_beginning(value)
    if issubclass(kind, int):
        number = int.__int__(value)
        return number if -(2**63) <= number < 2**64 else _wide(number)
    if issubclass(kind, float):
        real = float.__float__(value)
        return real + 0.0 if math.isfinite(real) else str(real)  # + 0.0: the wire has no negative zero
    if issubclass(kind, bytes | bytearray):
        return shortened("", len(value), hashlib.sha256(value).hexdigest())
    if issubclass(kind, PurePath):
        return _text_or_beginning(os.fspath(value))
    if issubclass(kind, date | time):
        return _front(kind.isoformat(value))
    return _of_numpy(value, kind)


def _of_numpy(value: Any, kind: type) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, numpy.generic):
        item = value.item()
        return class_name(kind) if isinstance(item, numpy.generic) else summary(item)
    if numpy is not None and issubclass(kind, numpy.dtype):
        return str(value.name)
    if numpy is not None and issubclass(kind, numpy.ufunc):
        return f"numpy.{value.__name__}"
    if issubclass(kind, _NAMED):
        return _qualified(getattr(value, "__module__", None), getattr(value, "__qualname__", None))
    return class_name(kind)


def _text_or_beginning(value: str) -> Any:
    if len(value) <= TEXT_MAX:
        return text(value)
    return shortened(_front(value), len(value), hashlib.sha256(_encoded(value)).hexdigest())


def _front(value: str) -> str:
    """Return the beginning of a text; home folders are looked for in more than that, so that none is cut."""
    return text(value[:_SEEN])[:_NAME_MAX]


def _encoded(value: str) -> bytes:
    return str.__str__(value).encode("utf-8", "backslashreplace")


def _wide(number: int) -> str:
    return str(number) if number.bit_length() <= _BITS_MAX else f"an integer of {number.bit_length()} bits"


def _stored(cls: type, name: str) -> object:
    try:
        return type.__getattribute__(cls, name)  # whatever its metaclass says
    except AttributeError:
        return None


def _qualified(module: object, name: object) -> str:
    found = [part for part in (module, name) if isinstance(part, str) and part != "builtins"]
    return _front(".".join(found)) or "unnamed"


@lru_cache(maxsize=1)
def _home(own: str) -> re.Pattern[str]:
    """Match home folders: this user's, and what looks like anybody's on Linux, macOS and Windows.

    A user's name ends at the next separator or line: it may hold blanks, and one word too many is better gone.
    """
    known = [
        rf"{re.escape(path)}(?![\w.-])"
        for path in sorted({own, os.path.realpath(own)})
        if len(path) > 1  # "~" or "/" where there is none
    ]
    common = [
        r"(?:/(?:var|export|mnt|net|nfs|data))?/(?:home|Users)/+[^/\\\n]+",
        r"/root(?![\w.-])",
        r"(?:[A-Za-z]:|\\\\[^\\\n]+)[\\/]+(?i:Users|Documents and Settings)[\\/]+[^/\\\n]+",
    ]
    return re.compile("|".join([*known, *common]))
