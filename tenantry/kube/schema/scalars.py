"""Checks of strings and numbers."""

from __future__ import annotations

from typing import Any

from tenantry.kube.field_errors import VALUE_CHARACTERS, show
from tenantry.kube.schema import formats, regex
from tenantry.kube.schema.problem import Check, Problem, Problems, composite, invalid, show_value
from tenantry.kube.schema.ratchet import Path, path_text
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import cut

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_INT_RANGES = {"int32": (-(1 << 31), (1 << 31) - 1), "uint32": (0, (1 << 32) - 1), "uint64": (0, (1 << 64) - 1)}


def string_checks(schema: Schema) -> list[Check]:
    checks: list[Check] = []
    least, most = schema.min_length, schema.max_length
    if most is not None:

        def not_longer(value: Any, path: Path, out: Problems) -> None:
            if len(value) > most:
                out.append(Problem("TooLong", path, path, f"Too long: may not be more than {most} bytes"))

        checks.append(not_longer)
    if least is not None:

        def not_shorter(value: Any, path: Path, out: Problems) -> None:
            if len(value) < least:
                out.append(invalid(path, value, f"should be at least {least} chars long"))

        checks.append(not_shorter)
    if schema.pattern:
        checks.append(_like(schema.pattern))
    has_format = formats.find(schema.format) if schema.format and schema.type in ("", "string") else None
    if has_format is not None:
        name = schema.format

        def formatted(value: Any, path: Path, out: Problems) -> None:
            if not has_format(value):
                text = f"{path_text(path)} in body must be of type {name}: {show(value)}"
                out.append(Problem("TypeInvalid", path, path, f"Invalid value: {show(value)}: {text}"))

        checks.append(formatted)
    return checks


def _like(source: str) -> Check:
    shown = cut(source, VALUE_CHARACTERS)

    def like(value: Any, path: Path, out: Problems) -> None:
        try:
            pattern = regex.pattern(source)
        except regex.RegexError as error:
            # An older version accepted and stored this definition.
            out.append(
                invalid(path, value, f"should match '{shown}, but pattern is invalid: {cut(str(error), VALUE_CHARACTERS)}'")
            )
            return
        if out.work is not None:
            out.work.match(pattern.steps(value))
        if not pattern.matches(value):
            out.append(invalid(path, value, f"should match '{shown}'"))

    return like


def number_checks(schema: Schema) -> list[Check]:
    checks: list[Check] = []
    if schema.type == "integer":
        low, high = _INT_RANGES.get(schema.format, (_INT64_MIN, _INT64_MAX))
        text_format = schema.format
        kind = f"with format {text_format}" if text_format else "(default format)"

        def in_range(value: Any, path: Path, out: Problems) -> None:
            if low <= value <= high and value == int(value):
                return
            out.append(composite(path, f"Checked value must be of type integer {kind} in {path_text(path)}"))
            if type(value) is int and not _INT64_MIN <= value <= _INT64_MAX:
                # Go decodes this number as a float64.
                wrong, right = ("float64", text_format) if text_format else ("number", "integer")
                text = f'Invalid value: "{wrong}": {path_text(path)} in body must be of type {right}: "{wrong}"'
                out.append(Problem("TypeInvalid", path, path, text))

        checks.append(in_range)
    least, most, step = schema.minimum, schema.maximum, schema.multiple_of
    above, below = schema.exclusive_minimum, schema.exclusive_maximum
    if least is not None:

        def not_less(value: Any, path: Path, out: Problems) -> None:
            if value < least or (above and value == least):
                bound = "greater than" if above else "greater than or equal to"
                out.append(invalid(path, value, f"should be {bound} {show_value(least)}"))

        checks.append(not_less)
    if most is not None:

        def not_more(value: Any, path: Path, out: Problems) -> None:
            if value > most or (below and value == most):
                bound = "less than" if below else "less than or equal to"
                out.append(invalid(path, value, f"should be {bound} {show_value(most)}"))

        checks.append(not_more)
    if step:

        def multiple(value: Any, path: Path, out: Problems) -> None:
            quotient = value / step
            if abs(quotient - round(quotient)) > 1e-9 * max(1.0, abs(quotient)):
                out.append(invalid(path, value, f"should be a multiple of {show_value(step)}"))

        checks.append(multiple)
    return checks
