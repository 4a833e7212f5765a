"""Checks of numbers, as kube-openapi's validator makes them: on int64 where the value is one, else on float64."""

from __future__ import annotations

from typing import Any

from tenantry.kube.field_errors import show
from tenantry.kube.schema.formats import known_format
from tenantry.kube.schema.problem import Check, Problem, Problems, composite, invalid
from tenantry.kube.schema.ratchet import Path, path_text
from tenantry.kube.schema.structural import Schema

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_WIDEST = float(1 << 63)
_INT_RANGES = {"int32": (-(1 << 31), (1 << 31) - 1)}
_FLOAT32 = frozenset(("float",))
_FLOAT32_END = 3.4028235677973366e38
"""What is as large as this has no nearest float32."""
_SAFE_FLOAT = float((1 << 53) - 1)
_EPSILON = 1e-9


def number_checks(schema: Schema) -> list[Check]:
    checks: list[Check] = []
    if schema.type == "integer":
        checks.append(_in_range(known_format(schema)))
    elif schema.type == "number" and known_format(schema) in _FLOAT32:
        checks.append(_in_float32(schema.format))
    if schema.multiple_of:
        checks.append(_multiple(schema, schema.multiple_of))
    if schema.minimum is not None:
        checks.append(_not_less(schema, schema.minimum, exclusive=schema.exclusive_minimum))
    if schema.maximum is not None:
        checks.append(_not_more(schema, schema.maximum, exclusive=schema.exclusive_maximum))
    return checks


def _in_range(text_format: str) -> Check:
    low, high = _INT_RANGES.get(text_format, (_INT64_MIN, _INT64_MAX))
    kind = _kind_text("integer", text_format)

    def in_range(value: Any, path: Path, out: Problems) -> None:
        if low <= value <= high and (type(value) is int or (value.is_integer() and abs(value) < _WIDEST)):
            return
        out.append(composite(path, f"Checked value must be of type {kind} in {path_text(path)}"))
        if type(value) is int and not _INT64_MIN <= value <= _INT64_MAX:
            # Go decodes this number as a float64.
            wrong, right = ("float64", text_format) if text_format else ("number", "integer")
            text = f'Invalid value: "{wrong}": {path_text(path)} in body must be of type {right}: "{wrong}"'
            out.append(Problem("TypeInvalid", path, path, text))

    return in_range


def _in_float32(text_format: str) -> Check:
    kind = _kind_text("number", text_format)

    def in_range(value: Any, path: Path, out: Problems) -> None:
        if not -_FLOAT32_END < value < _FLOAT32_END:
            out.append(composite(path, f"Checked value must be of type {kind} in {path_text(path)}"))

    return in_range


def _kind_text(kind: str, text_format: str) -> str:
    return f"{kind} with format {text_format}" if text_format else f"{kind} (default format)"


def _bound_text(schema: Schema, bound: float, name: str) -> str:
    """What is wrong with a bound that the type does not have (a half for integers), empty where nothing is."""
    if schema.type == "integer":
        low, high = _INT_RANGES.get(known_format(schema), (_INT64_MIN, _INT64_MAX))
        fits = low <= bound <= high and bound == int(bound)
    else:
        fits = not (schema.type == "number" and known_format(schema) in _FLOAT32) or abs(bound) < _FLOAT32_END
    return "" if fits else f"{name} value must be of type {_kind_text(schema.type, known_format(schema))}"


def _multiple(schema: Schema, step: float) -> Check:
    wrong, whole = _bound_text(schema, step, "MultipleOf"), int(step)
    step = float(step)

    def multiple(value: Any, path: Path, out: Problems) -> None:
        if wrong:
            out.append(composite(path, f"{wrong} in {path_text(path)}"))
        native = type(value) is int and not wrong
        factor = whole if native else step
        if factor <= 0:
            text = f"factor MultipleOf declared for {path_text(path)} must be positive: {show(factor)}"
            out.append(Problem("Invalid", path, path, f"Invalid value: {show(factor)}: {text}"))
        elif value % factor if native else not _is_whole(1 / step * value if step < 1 else value / step):
            out.append(invalid(path, value, f"should be a multiple of {show(factor)}"))

    return multiple


def _is_whole(number: float) -> bool:
    """As kube-openapi decides it (swag.IsFloat64AJSONInteger): almost whole is enough, if it is not just below."""
    if not -_SAFE_FLOAT <= number <= _SAFE_FLOAT:
        return False
    whole = float(int(number))
    return number == whole or (whole != 0 and abs(number - whole) / (abs(number) + abs(whole)) < _EPSILON)


def _not_less(schema: Schema, least: float, *, exclusive: bool) -> Check:
    wrong, whole = _bound_text(schema, least, "Minimum boundary"), int(least)
    least = float(least)
    words = "greater than" if exclusive else "greater than or equal to"

    def not_less(value: Any, path: Path, out: Problems) -> None:
        if wrong:
            out.append(composite(path, f"{wrong} in {path_text(path)}"))
        bound = whole if type(value) is int and not wrong else least
        if value < bound or (exclusive and value == bound):
            out.append(invalid(path, value, f"should be {words} {show(bound)}"))

    return not_less


def _not_more(schema: Schema, most: float, *, exclusive: bool) -> Check:
    wrong, whole = _bound_text(schema, most, "Maximum boundary"), int(most)
    most = float(most)
    words = "less than" if exclusive else "less than or equal to"

    def not_more(value: Any, path: Path, out: Problems) -> None:
        if wrong:
            out.append(composite(path, f"{wrong} in {path_text(path)}"))
        bound = whole if type(value) is int and not wrong else most
        if value > bound or (exclusive and value == bound):
            out.append(invalid(path, value, f"should be {words} {show(bound)}"))

    return not_more
