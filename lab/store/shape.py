# SPDX-License-Identifier: Apache-2.0
"""Check that a value that was read from JSON has the shape that a type hint describes.

The files in the folder of a run are written by others, also by guests that may have run untrusted code, and may contain
anything.  What has been checked here can be used as the TypedDicts of :mod:`lab.job.protocol` promise.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, NotRequired, Union, get_args, get_origin

from lab.errors import StoreError

__all__ = ["Place", "check_shape", "shown"]

Place = tuple[str | int, ...]
"""The keys and indices that lead from the root of a document to a value in it."""

_MAX_INTEGER = 2**64 - 1
"""The largest integer in any document: the kernel's counters have 64 bits."""
_MAX_SHOWN = 60

_Check = Callable[[Any, Place], None]


class _WrongError(Exception):
    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


def check_shape(value: Any, hint: Any, what: str, place: Place = ()) -> None:
    """Check that *value* is what *hint* describes.

    *hint* may consist of TypedDicts, dataclasses, ``list``, ``dict`` with texts as keys, ``Literal``, unions, ``None``,
    ``bool``, ``int``, ``float``, ``str``, ``Any`` and ``object``.  A TypedDict has exactly its keys, and a dataclass is
    an object with its fields.  ``bool`` is no ``int``; an ``int`` has at most 64 bits and is a ``float``, too, which is
    finite.  This also holds inside of ``Any``, but what is to be an ``object`` is not looked at.

    Raises:
        StoreError: It is not; the message names *what* is damaged, the place in it, what was found and what was
            expected.
    """
    try:
        _check_of(hint)(value, place)
    except _WrongError as error:
        raise StoreError(f"{what} is damaged: {_place_text(error.place)}{error}") from None


def shown(value: Any) -> str:
    """Return a short, one-line text that stands for *value* in a message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = repr(value[: _MAX_SHOWN + 1]) if isinstance(value, str) else _number_text(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def _number_text(value: float) -> str:
    # Python refuses to write integers of more than 4300 digits.
    return "a huge number" if isinstance(value, int) and abs(value) > 10**40 else repr(value)


def _place_text(place: Place) -> str:
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if part.isprintable() and len(part) <= _MAX_SHOWN else shown(part)
            text += f".{name}" if text else name
    return f"{text}: " if text else ""


def _expect(condition: bool, place: Place, value: Any, expected: str) -> None:
    if not condition:
        raise _WrongError(place, f"found {shown(value)}; expected {expected}")


@cache
def _check_of(hint: Any) -> _Check:
    """Return the function that checks values against *hint*."""
    if typing.is_typeddict(hint) or dataclasses.is_dataclass(hint):
        return _of_typed_dict(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return _of_literal(arguments)
    if origin in (Union, types.UnionType):
        return _of_union(arguments)
    if origin is list:
        return _of_list(_check_of(arguments[0]))
    if origin is dict:
        return _of_dict(_check_of(arguments[1]))
    return _SIMPLE[hint]


def _of_typed_dict(hint: Any) -> _Check:
    hints = typing.get_type_hints(hint, include_extras=True)
    optional = {name for name, of in hints.items() if get_origin(of) is NotRequired}
    checks = {name: _check_of(get_args(of)[0] if name in optional else of) for name, of in hints.items()}

    def check(value: Any, place: Place) -> None:
        _expect(isinstance(value, dict), place, value, "an object")
        missing = sorted(checks.keys() - optional - value.keys())
        if missing:
            raise _WrongError(place, f"it lacks {', '.join(missing)}")
        for name, item in value.items():
            if name not in checks:
                raise _WrongError(place, f"found the unknown key {shown(name)}")
            checks[name](item, (*place, name))

    return check


def _of_list(check_item: _Check) -> _Check:
    def check(value: Any, place: Place) -> None:
        _expect(isinstance(value, list), place, value, "a list")
        for index, item in enumerate(value):
            check_item(item, (*place, index))

    return check


def _of_dict(check_item: _Check) -> _Check:
    def check(value: Any, place: Place) -> None:
        _expect(isinstance(value, dict), place, value, "an object")
        for name, item in value.items():
            check_item(item, (*place, name))

    return check


def _of_literal(allowed: tuple[Any, ...]) -> _Check:
    expected = ", ".join(map(shown, allowed))

    def check(value: Any, place: Place) -> None:
        _expect(any(type(value) is type(one) and value == one for one in allowed), place, value, expected)

    return check


def _of_union(members: tuple[Any, ...]) -> _Check:
    checks = [_check_of(member) for member in members]
    # With None as the only alternative, the message names the place inside of the value.
    others = [check for member, check in zip(members, checks, strict=True) if member is not types.NoneType]

    def check(value: Any, place: Place) -> None:
        if value is None and len(others) < len(checks):
            return
        for number, one in enumerate(others, 1):
            try:
                one(value, place)
            except _WrongError:
                if number == len(others):
                    raise
            else:
                return

    return check


def _text(value: Any, place: Place) -> None:
    _expect(isinstance(value, str), place, value, "text")
    # JSON can contain half of a surrogate pair, which cannot be written as UTF-8.
    _expect(value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value), place, value, "valid characters")


def _boolean(value: Any, place: Place) -> None:
    _expect(isinstance(value, bool), place, value, "true or false")


def _integer(value: Any, place: Place) -> None:
    _expect(isinstance(value, int) and not isinstance(value, bool), place, value, "a whole number")
    _expect(abs(value) <= _MAX_INTEGER, place, value, "a number of at most 64 bits")


def _number(value: Any, place: Place) -> None:
    if isinstance(value, float):
        _expect(math.isfinite(value), place, value, "a finite number")
        return
    _expect(isinstance(value, int) and not isinstance(value, bool), place, value, "a number")
    _expect(abs(value) <= _MAX_INTEGER, place, value, "a number of at most 64 bits")


def _unread(value: Any, place: Place) -> None:
    """Accept everything: nobody reads this value, or whoever does checks it."""


def _nothing(value: Any, place: Place) -> None:
    _expect(value is None, place, value, "nothing")


def _anything(value: Any, place: Place) -> None:
    """Accept everything that JSON can contain, but no number and no text that cannot be used."""
    if isinstance(value, dict):
        for name, item in value.items():
            _text(name, place)
            _anything(item, (*place, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _anything(item, (*place, index))
    elif isinstance(value, str):
        _text(value, place)
    elif value is not None and not isinstance(value, bool):
        _number(value, place)


_SIMPLE: dict[Any, _Check] = {
    str: _text,
    bool: _boolean,
    int: _integer,
    float: _number,
    type(None): _nothing,
    None: _nothing,
    Any: _anything,
    object: _unread,
}
