"""Helpers for decoded JSON values that the patches share."""

from __future__ import annotations

from typing import Any

import orjson

from tenantry.kube.codec.json_size import nests_too_deeply
from tenantry.kube.status import bad_request


def copy_of(value: Any) -> Any:
    """A deep copy.

    Raises StatusError 400 where the value is nested more deeply than can be stored (orjson writes 254 levels).
    """
    if not isinstance(value, (dict, list)):
        return value
    try:
        return orjson.loads(orjson.dumps(value))
    except TypeError as error:
        raise bad_request("exceeded max depth") from error


def check_depth(value: Any) -> None:
    """Raises StatusError 400 where a value is nested more deeply than a body may be: an answer adds levels around it, and field
    managers some more."""
    if nests_too_deeply(value):
        raise bad_request("exceeded max depth")


def json_type(value: Any) -> str:
    """The type as encoding/json names it in errors."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
        case _:
            return "object"


def identity(value: Any) -> Any:
    """A hashable key for a value: values that are `equal` have equal keys. It makes searches in lists fast."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return orjson.dumps(_whole_numbers(value), option=orjson.OPT_SORT_KEYS)
    return type(value) is bool, value


def _whole_numbers(value: Any) -> Any:
    """The value with integral floats as integers (1.0 as 1)."""
    if isinstance(value, dict):
        return {key: _whole_numbers(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(below) for below in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 63 else value


def equal(left: Any, right: Any) -> bool:
    """Equality of JSON values: 1 and 1.0 are equal, true and 1 are not."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right, strict=True))
    return bool(left == right)
