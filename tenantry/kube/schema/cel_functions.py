"""CEL's standard functions and its extensions for strings, numbers, bytes and optionals.

Each function takes the `Cost` as its first argument and charges it before it does any work: the cost that cel-go charges, or the
size of the result where that is larger.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

from tenantry.kube.schema import cel_text, cel_time
from tenantry.kube.schema.cel_values import (
    NONE,
    CelError,
    Cost,
    Duration,
    NoOverload,
    Opaque,
    Optional,
    Timestamp,
    TypeValue,
    UInt,
    is_key,
    is_number,
    size,
    type_name,
)
from tenantry.kube.schema.regex import RegexError, search

Function = Callable[..., Any]
FUNCTIONS: dict[tuple[str, bool], Function] = {}
"""(name, is member) → function. Of a member, the value before the dot is the first argument."""

_INT_MIN, _INT_MAX, _UINT_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
_PER_POINTER = 0.25
"""Cost of a list item: a list of four items needs as much memory as one unit of cost may use."""


def _global(name: str) -> Callable[[Function], Function]:
    def register(function: Function) -> Function:
        FUNCTIONS[name, False] = function
        return function

    return register


def _member(*names: str) -> Callable[[Function], Function]:
    def register(function: Function) -> Function:
        for name in names:
            FUNCTIONS[name, True] = function
        return function

    return register


def text_of(value: Any) -> str:
    """The value, if it is a string. Raises NoOverload for others."""
    if type(value) is not str:
        raise NoOverload
    return value


def list_of(value: Any) -> list[Any]:
    if type(value) is not list:
        raise NoOverload
    return value


def int_of(value: Any) -> int:
    if type(value) is not int:
        raise NoOverload
    return value


def search_cost(cost: Cost, text: str, pattern: str) -> None:
    """cel-go's cost of a regular expression on a text."""
    cost.charge(math.ceil((1 + len(text)) * 0.1) * math.ceil(len(pattern) * 0.25))


# Arithmetic ------------------------------------------------------------------------------------------------------------


def _bounded(value: int) -> int:
    if type(value) is UInt:
        return value
    if not _INT_MIN <= value <= _INT_MAX:
        raise CelError("integer overflow")
    return value


def _unsigned(value: int) -> UInt:
    if not 0 <= value <= _UINT_MAX:
        raise CelError("unsigned integer overflow")
    return UInt(value)


def add(cost: Cost, left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is not type(right):
        return cel_time.add(cost, left, right)
    if kind is str or kind is bytes:
        cost.text(len(left) + len(right))
        return left + right
    if kind is list:
        cost.charge(1 + _PER_POINTER * (len(left) + len(right)))
        return left + right
    cost.charge(1)
    if kind is int:
        return _bounded(left + right)
    if kind is float:
        return left + right
    if kind is UInt:
        return _unsigned(int(left) + int(right))
    return cel_time.add(cost, left, right)


def subtract(cost: Cost, left: Any, right: Any) -> Any:
    cost.charge(1)
    if type(left) is type(right):
        if type(left) is int:
            return _bounded(left - right)
        if type(left) is float:
            return left - right
        if type(left) is UInt:
            return _unsigned(int(left) - int(right))
    return cel_time.subtract(left, right)


@_global("_*_")
def _multiply(cost: Cost, left: Any, right: Any) -> Any:
    cost.charge(1)
    match left, right:
        case float(), float():
            return left * right
        case UInt(), UInt():
            return _unsigned(int(left) * int(right))
    return _bounded(int_of(left) * int_of(right))


@_global("_/_")
def _divide(cost: Cost, left: Any, right: Any) -> Any:
    cost.charge(1)
    match left, right:
        case float(), float():
            if right == 0:
                return math.nan if left == 0 or left != left else math.copysign(math.inf, left) * math.copysign(1, right)
            return left / right
    if type(left) is not type(right) or type(left) not in (int, UInt):
        raise NoOverload
    if right == 0:
        raise CelError("division by zero")
    quotient = abs(int(left)) // abs(int(right))
    if type(left) is UInt:
        return UInt(quotient)
    return _bounded(quotient if (left < 0) == (right < 0) else -quotient)


@_global("_%_")
def _modulo(cost: Cost, left: Any, right: Any) -> Any:
    cost.charge(1)
    if type(left) is not type(right) or type(left) not in (int, UInt):
        raise NoOverload
    if right == 0:
        raise CelError("modulus by zero")
    rest = abs(int(left)) % abs(int(right))
    return UInt(rest) if type(left) is UInt else (-rest if left < 0 else rest)


@_global("-_")
def _negate(cost: Cost, value: Any) -> Any:
    cost.charge(1)
    if type(value) is float:
        return -value
    return _bounded(-int_of(value))


@_global("!_")
def _not(cost: Cost, value: Any) -> Any:
    cost.charge(1)
    if type(value) is not bool:
        raise NoOverload
    return not value


def index(holder: Any, key: Any) -> Any:
    """`holder[key]`."""
    if type(holder) is list:
        if type(key) is float and key.is_integer():
            key = int(key)
        if type(key) not in (int, UInt):
            raise CelError(f"unsupported index type '{type_name(key)}' in list")
        if not 0 <= key < len(holder):
            raise CelError(f"index out of bounds: {key}")
        return holder[key]
    if type(holder) is dict:
        if not is_key(key) or key not in holder:
            raise CelError(f"no such key: {key}")
        return holder[key]
    raise NoOverload


# Types -----------------------------------------------------------------------------------------------------------------


@_global("size")
@_member("size")
def _size(cost: Cost, value: Any) -> int:
    cost.charge(1)
    if type(value) not in (str, bytes, list, dict):
        raise NoOverload
    return len(value)


@_global("type")
def _type(cost: Cost, value: Any) -> TypeValue:
    cost.charge(1)
    return TypeValue(type_name(value))


@_global("dyn")
def _dyn(cost: Cost, value: Any) -> Any:
    cost.charge(1)
    return value


def _from_double(value: float, low: int, high: int, text: str) -> int:
    if value != value or not low <= value < high:
        raise CelError(text)
    return int(value)


@_global("int")
def _int(cost: Cost, value: Any) -> int:
    cost.charge(1)
    match value:
        case bool():
            raise NoOverload
        case float():
            return _from_double(value, _INT_MIN, 1 << 63, "integer overflow")
        case int():
            return _bounded(int(value))
        case str():
            if not (value.lstrip("+-").isdigit() and value.isascii() and len(value) <= 64):
                raise CelError(f'strconv.ParseInt: parsing "{value[:64]}": invalid syntax')
            return _bounded(int(value))
        case Timestamp():
            return value.nanoseconds // 10**9
        case Duration():
            return value.nanoseconds
    raise NoOverload


@_global("uint")
def _uint(cost: Cost, value: Any) -> UInt:
    cost.charge(1)
    match value:
        case bool():
            raise NoOverload
        case float():
            return UInt(_from_double(value, 0, 1 << 64, "unsigned integer overflow"))
        case int():
            return _unsigned(int(value))
        case str():
            if not (value.isdigit() and value.isascii() and len(value) <= 64):
                raise CelError(f'strconv.ParseUint: parsing "{value[:64]}": invalid syntax')
            return _unsigned(int(value))
    raise NoOverload


@_global("double")
def _double(cost: Cost, value: Any) -> float:
    cost.charge(1)
    if is_number(value):
        return float(value)
    text = text_of(value)
    cost.text(len(text))
    try:
        if "_" in text or text != text.strip():
            raise ValueError
        return float(text)
    except ValueError:
        raise CelError(f'strconv.ParseFloat: parsing "{text[:64]}": invalid syntax') from None


@_global("bool")
def _bool(cost: Cost, value: Any) -> bool:
    cost.charge(1)
    if type(value) is bool:
        return value
    if text_of(value) in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if value in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise CelError(f'strconv.ParseBool: parsing "{value[:64]}": invalid syntax')


@_global("string")
def _string(cost: Cost, value: Any) -> str:
    if type(value) is bytes:
        cost.text(len(value))
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise CelError("invalid UTF-8 in bytes, cannot convert to string") from None
    cost.charge(1)
    if type(value) in (str, bool, int, UInt, float, Timestamp, Duration):
        return cel_text.scalar(value)
    if type(value) is Opaque and value.kind in ("IP", "CIDR"):
        return str(value.value)
    raise NoOverload


@_global("bytes")
def _bytes(cost: Cost, value: Any) -> bytes:
    if type(value) is bytes:
        cost.charge(1)
        return value
    text = text_of(value)
    cost.text(len(text))
    return text.encode(errors="surrogatepass")


@_global("timestamp")
def _timestamp(cost: Cost, value: Any) -> Timestamp:
    cost.charge(1)
    return cel_time.timestamp(value)


@_global("duration")
def _duration(cost: Cost, value: Any) -> Duration:
    cost.charge(1)
    return cel_time.duration(value)


for _name, _accessor in cel_time.ACCESSORS.items():
    FUNCTIONS[_name, True] = _accessor


# Strings ---------------------------------------------------------------------------------------------------------------


@_member("contains")
def _contains(cost: Cost, text: Any, part: Any) -> bool:
    cost.charge(math.ceil(len(text_of(text)) * 0.1) * math.ceil(len(text_of(part)) * 0.1))
    return part in text


@_member("startsWith")
def _starts_with(cost: Cost, text: Any, part: Any) -> bool:
    cost.text(len(text_of(part)))
    return text_of(text).startswith(part)


@_member("endsWith")
def _ends_with(cost: Cost, text: Any, part: Any) -> bool:
    cost.text(len(text_of(part)))
    return text_of(text).endswith(part)


@_global("matches")
@_member("matches")
def _matches(cost: Cost, text: Any, pattern: Any) -> bool:
    search_cost(cost, text_of(text), text_of(pattern))
    try:
        return search(pattern, text, cost.charge)
    except RegexError as error:
        raise CelError(str(error)) from None


@_member("charAt")
def _char_at(cost: Cost, text: Any, place: Any) -> str:
    cost.charge(1)
    if not 0 <= int_of(place) <= len(text_of(text)):
        raise CelError(f"index out of range: {place}")
    return str(text[place : place + 1])


@_member("substring")
def _substring(cost: Cost, text: Any, start: Any, end: Any = None) -> str:
    length = len(text_of(text))
    cost.text(length)
    stop = length if end is None else int_of(end)
    if not 0 <= int_of(start) <= length:
        raise CelError(f"index out of range: {start}")
    if not 0 <= stop <= length:
        raise CelError(f"index out of range: {stop}")
    if start > stop:
        raise CelError(f"invalid substring range. start: {start}, end: {stop}")
    return str(text[start:stop])


def _ascii_mapped(lower: bool) -> Function:
    table = {code: code + 32 for code in range(65, 91)} if lower else {code: code - 32 for code in range(97, 123)}

    def mapped(cost: Cost, text: Any) -> str:
        cost.text(len(text_of(text)))
        if text.isascii():
            return str(text.lower() if lower else text.upper())
        return str(text.translate(table))

    return mapped


FUNCTIONS["lowerAscii", True] = _ascii_mapped(True)
FUNCTIONS["upperAscii", True] = _ascii_mapped(False)


@_member("trim")
def _trim(cost: Cost, text: Any) -> str:
    cost.text(len(text_of(text)))
    return str(text.strip())


@_member("reverse")
def _reverse(cost: Cost, value: Any) -> Any:
    if type(value) is list:
        cost.charge(1 + _PER_POINTER * len(value))
    else:
        cost.text(len(text_of(value)))
    return value[::-1]


@_member("replace")
def _replace(cost: Cost, text: Any, old: Any, new: Any, limit: Any = -1) -> str:
    text_of(text), text_of(old), text_of(new), int_of(limit)
    cost.text(len(text), 2)
    cost.charge(len(old) * len(text) / 1000 if len(old) < 100 else 1)
    found = text.count(old)
    count = found if limit < 0 else min(found, limit)
    # The result may be much longer than the input, and the next replacement works on it.
    cost.text(max(0, count * (len(new) - len(old))), 2)
    return str(text.replace(old, new, count))


@_member("split")
def _split(cost: Cost, text: Any, separator: Any, limit: Any = -1) -> list[str]:
    text_of(text), text_of(separator), int_of(limit)
    cost.text(len(text), 2)
    if limit == 0:
        return []
    if not separator:
        count = len(text) if limit < 0 else min(limit, len(text))
        cost.charge(count)
        if count == 0:
            return []
        return [*text[: count - 1], text[count - 1 :] if limit > 0 else text[count - 1]]
    cost.charge(text.count(separator))
    return list(text.split(separator, -1 if limit < 0 else limit - 1))


@_member("join")
def _join(cost: Cost, items: Any, separator: Any = "") -> str:
    cost.charge(_PER_POINTER * len(list_of(items)))
    if any(type(item) is not str for item in items):
        raise NoOverload
    length = sum(map(len, items)) + len(text_of(separator)) * max(0, len(items) - 1)
    cost.text(length, 2)
    return str(separator.join(items))


@_member("format")
def _format(cost: Cost, template: Any, arguments: Any) -> str:
    cost.text(len(text_of(template)))
    return cel_text.formatted(cost, template, list_of(arguments))


@_global("strings.quote")
def _quote(cost: Cost, text: Any) -> str:
    cost.text(len(text_of(text)), 2)
    return cel_text.quote(text)


@_global("base64.encode")
def _encode(cost: Cost, value: Any) -> str:
    if type(value) is not bytes:
        raise NoOverload
    cost.charge(1)
    cost.text(len(value))
    return base64.b64encode(value).decode()


@_global("base64.decode")
def _decode(cost: Cost, text: Any) -> bytes:
    cost.charge(1)
    cost.text(len(text_of(text)))
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise CelError("illegal base64 data at input byte 0") from None


# Numbers ---------------------------------------------------------------------------------------------------------------


def _extreme(pick: Callable[[Any], Any]) -> Function:
    def extreme(cost: Cost, *values: Any) -> Any:
        items = values[0] if len(values) == 1 and type(values[0]) is list else list(values)
        cost.charge(max(1, len(items)))
        if not items or not all(map(is_number, items)):
            raise NoOverload
        return pick(items)

    return extreme


def _of_double(run: Callable[[float], Any]) -> Function:
    def apply(cost: Cost, value: Any) -> Any:
        cost.charge(1)
        if type(value) is not float:
            raise NoOverload
        return run(value)

    return apply


def _round(value: float) -> float:
    return float(math.floor(abs(value) + 0.5)) * math.copysign(1, value) if math.isfinite(value) else value


def _whole(run: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: float(run(value)) if math.isfinite(value) else value


def _bits(run: Callable[[int, int], int]) -> Function:
    def apply(cost: Cost, left: Any, right: Any) -> Any:
        cost.charge(1)
        if type(left) is not type(right) or type(left) not in (int, UInt):
            raise NoOverload
        return type(left)(run(int(left), int(right)))

    return apply


def _shift(left: bool) -> Function:
    def apply(cost: Cost, value: Any, by: Any) -> Any:
        cost.charge(1)
        if type(value) not in (int, UInt):
            raise NoOverload
        if int_of(by) < 0:
            raise CelError(f"math.bitShift{'Left' if left else 'Right'}() negative offset: {by}")
        bits = (int(value) & _UINT_MAX) << min(by, 64) if left else (int(value) & _UINT_MAX) >> min(by, 64)
        bits &= _UINT_MAX
        return UInt(bits) if type(value) is UInt else (bits - (1 << 64) if bits > _INT_MAX else bits)

    return apply


@_global("math.abs")
def _abs(cost: Cost, value: Any) -> Any:
    cost.charge(1)
    if not is_number(value):
        raise NoOverload
    return value if type(value) is UInt else (abs(value) if type(value) is float else _bounded(abs(value)))


@_global("math.sign")
def _sign(cost: Cost, value: Any) -> Any:
    cost.charge(1)
    if not is_number(value):
        raise NoOverload
    return value if value != value else type(value)((value > 0) - (value < 0))


@_global("math.sqrt")
def _sqrt(cost: Cost, value: Any) -> float:
    cost.charge(1)
    if not is_number(value):
        raise NoOverload
    return math.sqrt(value) if value >= 0 else math.nan


@_global("math.bitNot")
def _bit_not(cost: Cost, value: Any) -> Any:
    cost.charge(1)
    return UInt(_UINT_MAX ^ value) if type(value) is UInt else ~int_of(value)


FUNCTIONS |= {
    ("math.@max", False): _extreme(max),
    ("math.@min", False): _extreme(min),
    ("math.ceil", False): _of_double(_whole(math.ceil)),
    ("math.floor", False): _of_double(_whole(math.floor)),
    ("math.trunc", False): _of_double(_whole(math.trunc)),
    ("math.round", False): _of_double(_round),
    ("math.isInf", False): _of_double(math.isinf),
    ("math.isNaN", False): _of_double(math.isnan),
    ("math.isFinite", False): _of_double(math.isfinite),
    ("math.bitAnd", False): _bits(lambda a, b: a & b),
    ("math.bitOr", False): _bits(lambda a, b: a | b),
    ("math.bitXor", False): _bits(lambda a, b: a ^ b),
    ("math.bitShiftLeft", False): _shift(True),
    ("math.bitShiftRight", False): _shift(False),
}


# Optionals -------------------------------------------------------------------------------------------------------------


def _optional(value: Any) -> Optional:
    if type(value) is not Optional:
        raise NoOverload
    return value


@_global("optional.of")
def _of(cost: Cost, value: Any) -> Optional:
    cost.charge(1)
    return Optional((value,))


@_global("optional.none")
def _none(cost: Cost) -> Optional:
    cost.charge(1)
    return NONE


@_global("optional.ofNonZeroValue")
def _of_non_zero(cost: Cost, value: Any) -> Optional:
    cost.charge(1)
    is_zero = value is None or (type(value) in (str, bytes, list, dict) and size(value) == 0) or (is_number(value) and value == 0)
    return NONE if is_zero or value is False else Optional((value,))


@_member("hasValue")
def _has_value(cost: Cost, value: Any) -> bool:
    cost.charge(1)
    return bool(_optional(value).items)


@_member("value")
def _value(cost: Cost, value: Any) -> Any:
    cost.charge(1)
    if not _optional(value).items:
        raise CelError("optional.none() dereference")
    return value.items[0]


@_member("or")
def _or(cost: Cost, value: Any, other: Any) -> Optional:
    cost.charge(1)
    return _optional(value) if _optional(value).items else _optional(other)


@_member("orValue")
def _or_value(cost: Cost, value: Any, other: Any) -> Any:
    cost.charge(1)
    return value.items[0] if _optional(value).items else other
