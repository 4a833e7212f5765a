"""Numbers as Go holds them in an object without a type: whole ones as int64, all others as float64.

A float64 that is whole is written without a fraction, and read as an int64 where it fits. Above that, Go writes the shortest
digits that mean the float64, and zeros: 9223372036854775808 becomes 9223372036854776000.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_EXACT = float(1 << 53)
"""Below this, the digits of a float are those of its value."""
_ENCODABLE_MAX = (1 << 64) - 1
"""The largest integer that orjson encodes. What is larger stays a float here."""
_HINT = re.compile(rb"e[+-]?[0-9]")
_EXPONENT = re.compile(rb"[:,\[]-?[0-9][0-9.]*e")
"""A number with an exponent, or a text that looks like one."""
_STRING_OR_EXPONENT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|-?[0-9][0-9.]*e[+-]?[0-9]+', re.DOTALL)


def canonical(value: float) -> float:
    """An integer or a float in the one form that it has in stored objects: an integer where it is whole and can be encoded."""
    if type(value) is int and _INT64_MIN <= value <= _INT64_MAX:
        return value
    number = float(value)
    if not number.is_integer():
        return number
    if -_EXACT < number < _EXACT:
        return int(number)
    digits = int(Decimal(repr(number)))
    return digits if _INT64_MIN <= digits <= _ENCODABLE_MAX else number


def is_canonical(value: float) -> bool:
    """Whether `canonical` leaves a number as it is."""
    return _INT64_MIN <= value <= _INT64_MAX if type(value) is int else not value.is_integer()


def json_text(value: float) -> str:
    """A number as Go's encoding/json writes a float64: with an exponent below 1e-6 and from 1e21 on."""
    shortest = Decimal(repr(value))
    if not shortest or 1e-6 <= abs(value) < 1e21:
        return f"{shortest:f}"
    sign, digits, _ = shortest.normalize().as_tuple()
    fraction = "." + "".join(map(str, digits[1:])) if digits[1:] else ""
    return f"{'-' if sign else ''}{digits[0]}{fraction}e{shortest.adjusted():+d}"


def in_go_form(encoded: bytes) -> bytes:
    """JSON of orjson's with each number that has an exponent in the form of `json_text`."""
    # The first search is several times as fast, and the second one is rarely needed.
    if _HINT.search(encoded) is None or _EXPONENT.search(encoded) is None:
        return encoded
    return _STRING_OR_EXPONENT.sub(_in_go_form, encoded)


def _in_go_form(found: re.Match[bytes]) -> bytes:
    text = found.group()
    return text if text[:1] == b'"' else json_text(float(text)).encode()


def canonicalise(value: Any) -> bool:
    """Gives the numbers at any depth of a list or dict their canonical form, in place. Returns whether any changed."""
    changed = False
    waiting = [value]
    while waiting:
        container = waiting.pop()
        for key, item in container.items() if type(container) is dict else enumerate(container):
            kind = type(item)
            if kind is str:
                continue
            if kind is dict or kind is list:
                waiting.append(item)
            elif (kind is float or kind is int) and not is_canonical(item):
                number = canonical(item)
                if number != item or type(number) is not kind:
                    container[key] = number
                    changed = True
    return changed
