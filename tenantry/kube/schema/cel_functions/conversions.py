"""CEL's conversions between types, `size` and `type`, and the accessors of timestamps and durations."""

from __future__ import annotations

import math
from typing import Any

from tenantry.kube.schema import cel_text, cel_time
from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arguments import INT_MAX, INT_MIN, UINT_MAX, FunctionTable, bounded, text_of, unsigned
from tenantry.kube.schema.cel_values import (
    PER_CHARACTER,
    Cost,
    Duration,
    Opaque,
    Timestamp,
    TypeValue,
    UInt,
    is_number,
    type_name,
)

FUNCTIONS = FunctionTable()
_SIZED = (str, bytes, list, dict)


@FUNCTIONS.function("size")
@FUNCTIONS.member("size")
def _size(cost: Cost, value: Any) -> int:
    cost.charge(1)
    if not isinstance(value, _SIZED):
        raise NoOverload
    return len(value)


@FUNCTIONS.function("type")
def _type(cost: Cost, value: Any) -> TypeValue:
    cost.charge(1)
    return TypeValue(type_name(value))


@FUNCTIONS.function("dyn")
def _dyn(cost: Cost, value: Any) -> Any:
    cost.charge(1)
    return value


def _from_double(value: float, low: int, high: int, text: str) -> int:
    if value != value or not low <= value < high:
        raise CelError(text)
    return int(value)


@FUNCTIONS.function("int")
def _int(cost: Cost, value: Any) -> int:
    cost.charge(1)
    match value:
        case bool():
            raise NoOverload
        case float():
            return _from_double(value, INT_MIN, 1 << 63, "integer overflow")
        case int():
            return bounded(int(value))
        case str():
            if not (value.lstrip("+-").isdigit() and value.isascii() and len(value) <= 64):
                raise CelError("type conversion error from 'string' to 'int'")
            return _in_range(int(value), INT_MIN, INT_MAX, "int")
        case Timestamp():
            return value.nanoseconds // 10**9
        case Duration():
            return value.nanoseconds
    raise NoOverload


@FUNCTIONS.function("uint")
def _uint(cost: Cost, value: Any) -> UInt:
    cost.charge(1)
    match value:
        case bool():
            raise NoOverload
        case float():
            return UInt(_from_double(value, 0, 1 << 64, "unsigned integer overflow"))
        case int():
            return unsigned(int(value))
        case str():
            if not (value.isdigit() and value.isascii() and len(value) <= 64):
                raise CelError("type conversion error from 'string' to 'uint'")
            return UInt(_in_range(int(value), 0, UINT_MAX, "uint"))
    raise NoOverload


def _in_range(number: int, smallest: int, largest: int, kind: str) -> int:
    if not smallest <= number <= largest:
        raise CelError(f"type conversion error from 'string' to '{kind}'")
    return number


@FUNCTIONS.function("double")
def _double(cost: Cost, value: Any) -> float:
    cost.charge(1)
    if is_number(value):
        return float(value)
    text = text_of(value)
    cost.work(len(text) * PER_CHARACTER)
    try:
        if "_" in text or text != text.strip():
            raise ValueError
        number = float(text)
        if math.isinf(number) and "inf" not in text.lower():
            raise ValueError
        return number
    except ValueError:
        raise CelError("type conversion error from 'string' to 'double'") from None


@FUNCTIONS.function("bool")
def _bool(cost: Cost, value: Any) -> bool:
    cost.charge(1)
    if type(value) is bool:
        return value
    if text_of(value) in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if value in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise CelError("type conversion error from 'string' to 'bool'")


@FUNCTIONS.function("string")
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


@FUNCTIONS.function("bytes")
def _bytes(cost: Cost, value: Any) -> bytes:
    if type(value) is bytes:
        cost.charge(1)
        return value
    text = text_of(value)
    cost.text(len(text))
    return text.encode(errors="surrogatepass")


@FUNCTIONS.function("timestamp")
def _timestamp(cost: Cost, value: Any) -> Timestamp:
    cost.charge(1)
    return cel_time.timestamp(value)


@FUNCTIONS.function("duration")
def _duration(cost: Cost, value: Any) -> Duration:
    cost.charge(1)
    if type(value) is int:
        raise NoOverload
    try:
        return cel_time.duration(value)
    except NoOverload:
        raise
    except CelError:
        raise CelError("type conversion error from 'string' to 'google.protobuf.Duration'") from None


for _name, _accessor in cel_time.ACCESSORS.items():
    FUNCTIONS[_name, True] = _accessor
