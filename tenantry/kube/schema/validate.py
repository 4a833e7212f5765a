"""Validation of values against a schema, with the messages of kube-apiserver.

A schema is compiled once to closures. Paths are linked tuples that become text only in a message, so a valid object
pays nothing for them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tenantry.kube.schema.compiled import compiled
from tenantry.kube.schema.problem import NO_FIELD, Check, Problem
from tenantry.kube.schema.ratchet import ABSENT, is_unchanged, path_text
from tenantry.kube.schema.rules import Rules, compile_rules
from tenantry.kube.schema.shape import compile_shape
from tenantry.kube.schema.structural import Schema
from tenantry.kube.schema.unique import compile_lists
from tenantry.kube.status import FieldError

__all__ = ["ABSENT", "validate"]

_BLOCKING = frozenset(("NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid"))
_UNCHECKED = (
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


class Checks(NamedTuple):
    """What a schema compiles to; the last two are None where the schema has no such rules."""

    shape: Check
    lists: Check | None
    rules: Rules | None


def validate(
    value: Any, schema: Schema, *, path: str = "", old: Any = ABSENT, warnings: list[str] | None = None
) -> list[FieldError]:
    """The failures of `value`: shape, formats, unique lists, and the rules of x-kubernetes-validations.

    `path` goes before the field names, not into the messages. With `old`, the value before an update, what did not
    change may stay invalid (KEP-4008), and transition rules run; rules forgiven so are told in `warnings`.
    """
    checks = compiled(schema, "validate", _compile_all)
    problems: list[Problem] = []
    checks.shape(value, None, problems)
    updating = old is not ABSENT
    if problems and updating:
        problems = [p for p in problems if not is_unchanged(p.node, value, old, schema)]
    if checks.lists is not None:
        repeated: list[Problem] = []
        checks.lists(value, None, repeated)
        if repeated and updating:
            before: list[Problem] = []
            checks.lists(old, None, before)
            if before:
                repeated = []
        problems += repeated
    if checks.rules is not None:
        if any(p.kind in _BLOCKING for p in problems):
            problems.append(Problem("Invalid", None, NO_FIELD, _UNCHECKED))
        else:
            forgiven = checks.rules(value, old, problems)
            if warnings is not None:
                warnings += [f"{_field(p, path)}: {p.text}" for p in forgiven]
    return [FieldError(p.kind, _field(p, path), p.text) for p in problems] if problems else []


def _field(problem: Problem, prefix: str) -> str:
    field = problem.field
    inner = "" if field == NO_FIELD or isinstance(field, str) else path_text(field)
    if not inner:
        return prefix or NO_FIELD
    if not prefix or inner.startswith("["):
        return prefix + inner
    return f"{prefix}.{inner}"


def _compile_all(schema: Schema) -> Checks:
    return Checks(compile_shape(schema), compile_lists(schema), compile_rules(schema))
