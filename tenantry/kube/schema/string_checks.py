"""Checks of strings."""

from __future__ import annotations

from typing import Any

from tenantry.kube.field_errors import VALUE_CHARACTERS, counted, show
from tenantry.kube.schema import formats, regex
from tenantry.kube.schema.problem import Check, Problem, Problems, invalid
from tenantry.kube.schema.ratchet import Path, path_text
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import cut


def string_checks(schema: Schema) -> list[Check]:
    checks = _lengths_and_pattern(schema)
    if len(checks) > 1:
        checks = [_first_of(checks)]
    has_format = formats.find(schema.format) if schema.format and schema.type in ("", "string") else None
    if has_format is not None:
        name = schema.format

        def formatted(value: Any, path: Path, out: Problems) -> None:
            if not has_format(value):
                text = f"{path_text(path)} in body must be of type {name}: {show(value)}"
                out.append(Problem("TypeInvalid", path, path, f"Invalid value: {show(value)}: {text}"))

        checks.append(formatted)
    return checks


def _first_of(checks: list[Check]) -> Check:
    """kube-openapi's validator tells of a string the first thing that is wrong with its lengths and pattern."""

    def first(value: Any, path: Path, out: Problems) -> None:
        before = len(out)
        for check in checks:
            check(value, path, out)
            if len(out) != before:
                return

    return first


def _lengths_and_pattern(schema: Schema) -> list[Check]:
    checks: list[Check] = []
    least, most = schema.min_length, schema.max_length
    if most is not None:

        def not_longer(value: Any, path: Path, out: Problems) -> None:
            if len(value) > most:
                out.append(Problem("TooLong", path, path, f"Too long: may not be more than {counted(most, 'byte')}"))

        checks.append(not_longer)
    if least is not None:

        def not_shorter(value: Any, path: Path, out: Problems) -> None:
            if len(value) < least:
                out.append(invalid(path, value, f"should be at least {least} chars long"))

        checks.append(not_shorter)
    if schema.pattern:
        checks.append(_like(schema.pattern))
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
