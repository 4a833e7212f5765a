"""Scalars of YAML as Go's go.yaml.in/yaml/v2 resolves them: YAML 1.1 without times and numbers of base 60, and Go's integers."""

from __future__ import annotations

import binascii
import codecs
import math
import re
import struct
from datetime import date
from decimal import Decimal
from typing import Final

Scalar = str | int | float | bool | None

PREFIX: Final = "tag:yaml.org,2002:"
STR: Final = PREFIX + "str"
MERGE: Final = PREFIX + "merge"
_BOOL, _INT, _FLOAT, _NULL = (PREFIX + name for name in ("bool", "int", "float", "null"))
_BINARY, _TIMESTAMP = PREFIX + "binary", PREFIX + "timestamp"
_RESOLVED = frozenset((_BOOL, _INT, _FLOAT, _NULL, _TIMESTAMP))


def _cases(*words: str) -> tuple[str, ...]:
    return tuple(form for word in words for form in (word, word.capitalize(), word.upper()))


WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(_cases("y", "yes", "true", "on"), True),
    **dict.fromkeys(_cases("n", "no", "false", "off"), False),
    **dict.fromkeys(("", "~", *_cases("null"))),
}
"""Plain scalars that are not text, except numbers."""
NUMERIC: Final = frozenset("+-.0123456789")
"""How a plain scalar begins that may be a number."""

_NOT_FINITE = {
    ".nan": math.nan,
    ".NaN": math.nan,
    ".NAN": math.nan,
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGER = re.compile(
    r"[-+]?(?:0[xX](?P<hexadecimal>[0-9a-fA-F]+)|0[bB](?P<binary>[01]+)|0[oO](?P<octal>[0-7]+)|0(?P<zeros>[0-7]*)"
    r"|(?P<decimal>[1-9][0-9]*))"
)
_BASES = {"hexadecimal": 16, "binary": 2, "octal": 8, "zeros": 8, "decimal": 10}
_LONGEST_DECIMAL = len(str(1 << 64))
_SIGNED_BINARY = re.compile(r"0b([-+][01]+)")
_FLOATING = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_FRACTION = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?")
_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{1,2}-[0-9]{1,2})"
    r"(?:(?P<separator>[Tt]| +)(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{1,2}):(?P<second>[0-9]{1,2})(?:[.,][0-9]+)?"
    r"(?P<zone>Z|[-+](?P<zone_hours>[0-9]{2}):(?P<zone_minutes>[0-9]{2}))?)?"
)
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")

INT64: Final = range(-(1 << 63), 1 << 63)
_UINT64 = range(1 << 64)


def number(text: str) -> int | float | str:
    """The value of a plain scalar that begins as NUMERIC says: an integer of 64 bits (without a sign up to 2^64), a float, or the
    text."""
    if text in _NOT_FINITE:
        return _NOT_FINITE[text]
    if text[0] == ".":
        return _finite(text, text) if _FRACTION.fullmatch(text) else text
    plain = text.replace("_", "")
    if match := _INTEGER.fullmatch(plain):
        value = _integer(match)
        if value is not None:
            return value
    if _FLOATING.fullmatch(plain):
        return _finite(plain, text)
    if match := _SIGNED_BINARY.fullmatch(plain):
        value = int(match[1], 2)
        if value in INT64:
            return value
    return text


def _integer(match: re.Match[str]) -> int | None:
    name = str(match.lastgroup)
    digits = match[name]
    if name == "decimal" and len(digits) > _LONGEST_DECIMAL:
        return None
    value = int(digits or "0", _BASES[name])
    sign = match[0][0]
    if sign == "-":
        value = -value
    return value if value in INT64 or (sign not in "+-" and value in _UINT64) else None


def _finite(digits: str, text: str) -> float | str:
    value = float(digits)
    return text if math.isinf(value) else value


def resolve(text: str) -> Scalar:
    """The value of a plain scalar without a tag."""
    return number(text) if text[:1] in NUMERIC else WORDS.get(text, text)


def tagged(tag: str, text: str) -> Scalar:
    """The value of a scalar with a tag: tags that Go does not know are ignored, and the text stays. Raises ValueError."""
    if tag == _BINARY:
        return _decoded(text)
    if tag not in _RESOLVED:
        return text
    value = resolve(text)
    found = _tag_of(value)
    if found == tag:
        return value
    if tag == _FLOAT and found == _INT and isinstance(value, int) and value in INT64:
        return float(value)
    if tag == _TIMESTAMP and _is_time(text):
        return text
    raise ValueError(f"cannot decode {_short(found)} `{text}` as a {_short(tag)}")


def _tag_of(value: Scalar) -> str:
    match value:
        case None:
            return _NULL
        case bool():
            return _BOOL
        case int():
            return _INT
        case float():
            return _FLOAT
        case _:
            return STR


def _short(tag: str) -> str:
    return "!!" + tag.removeprefix(PREFIX)


def _decoded(text: str) -> str:
    digits = text.replace("\n", "").replace("\r", "")
    try:
        # Python takes padding of four digits that need none.
        data = binascii.a2b_base64(digits, strict_mode=True) if len(digits) % 4 == 0 else None
    except ValueError:
        data = None
    if data is None:
        raise ValueError("!!binary value contains invalid base64 data")
    return data.decode("utf-8", "tenantry.each")


def _each(error: UnicodeError) -> tuple[str, int]:
    """Go puts U+FFFD for each byte that is no UTF-8; Python's `replace` one for bytes that begin a character."""
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("tenantry.each", _each)


def _is_time(text: str) -> bool:
    """One of the four layouts that Go tries: a date, or a date and a time, with a zone after `T` and none after a blank."""
    match = _TIME.fullmatch(text)
    if match is None:
        return False
    year, month, day = map(int, match["date"].split("-"))
    try:
        # Go has a year 0, which is a leap year.
        date(year or 400, month, day)
    except ValueError:
        return False
    if match["separator"] is None:
        return True
    if (match["separator"] in "Tt") == (match["zone"] is None):
        return False
    if match["zone_hours"] and (int(match["zone_hours"]) > 24 or int(match["zone_minutes"]) > 60):
        return False
    return int(match["hour"]) < 24 and int(match["minute"]) < 60 and int(match["second"]) < 60


def is_text(text: str) -> bool:
    """Whether Go's writer leaves `text` without quotes as far as its type goes: this rule and YAML 1.1 read it as text."""
    if text[:1] not in NUMERIC:
        return text not in WORDS
    return number(text) is text and not _BASE_60.fullmatch(text) and not _is_time(text)


def json_number(value: float) -> int | float:
    """A finite float as decoders read what Go's encoding/json writes: below 1e21 without an exponent, and so an integer."""
    if not value.is_integer() or abs(value) >= 1e21:
        return value
    if abs(value) < 1 << 53:
        return int(value)
    # Go writes the shortest digits, and zeros after them.
    digits = int(Decimal(repr(value)))
    return digits if digits in INT64 or digits in _UINT64 else value


def not_finite(value: float) -> str:
    """NaN or an infinity as Go's %v prints it."""
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def float_key(value: float) -> str:
    """A float that is a key, as sigs.k8s.io/yaml writes it: Go's `%g` with the shortest digits of 32 bits."""
    if math.isnan(value):
        return ".nan"
    try:
        single = _single(value)
    except OverflowError:
        single = math.copysign(math.inf, value)
    if math.isinf(single):
        return ".inf" if single > 0 else "-.inf"
    shortest = next(text for digits in range(9) if _single(float(text := f"{single:.{digits}e}")) == single)
    exponent = int(shortest.partition("e")[2])
    return shortest if exponent < -4 or exponent > 5 else f"{Decimal(shortest):f}"


def _single(value: float) -> float:
    """Rounded to 32 bits. Raises OverflowError."""
    return float(struct.unpack("f", struct.pack("f", value))[0])
