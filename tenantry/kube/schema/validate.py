"""Validates values against a schema, with kube-apiserver's messages.

A schema is compiled once to closures. Paths are linked tuples that become text only in a message, so they cost nothing for a
valid object.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tenantry.kube.schema.cel_rules import Rules, compile_rules
from tenantry.kube.schema.compiled import compiled
from tenantry.kube.schema.embedded import embedded_errors, has_embedded
from tenantry.kube.schema.problem import (
    NO_FIELD,
    Check,
    Problem,
    Problems,
    TooManyAlternatives,
    TooMuchMatching,
    ValidationBudget,
)
from tenantry.kube.schema.ratchet import ABSENT, Ratchet, path_text
from tenantry.kube.schema.shape import compile_shape
from tenantry.kube.schema.structural import Schema
from tenantry.kube.schema.unique import compile_lists
from tenantry.kube.status import CAUSES_MAX, FieldError

__all__ = ["ABSENT", "validate"]

_BLOCKING = frozenset(("NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid"))
_UNCHECKED = (
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


_ALTERNATIVES = 'Invalid value: "": the alternatives of its schema (allOf, anyOf, oneOf, not) are too many to be tried on it'


_PATTERNS = 'Invalid value: "": the patterns of its schema are too large to be matched on texts of this length'


class _Ratcheting:
    """Whether a problem concerns an unchanged value (KEP-4008). Values are compared only when there is a problem."""

    def __init__(self, value: Any, old: Any, schema: Schema) -> None:
        self._about = (value, old, schema)
        self._ratchet: Ratchet | None = None

    def __call__(self, problem: Problem) -> bool:
        if self._ratchet is None:
            self._ratchet = Ratchet(*self._about)
        return self._ratchet.is_unchanged(problem.node)


class Checks(NamedTuple):
    """The compiled checks of a schema. The last two are None where the schema has no such rules. `embedded`: it has embedded
    objects."""

    shape: Check
    embedded: bool
    lists: Check | None
    rules: Rules | None


def validate(
    value: Any,
    schema: Schema,
    *,
    path: str = "",
    old: Any = ABSENT,
    warnings: list[str] | None = None,
    at_once: bool = False,
) -> list[FieldError]:
    """The errors of `value`: shape, formats, unique lists, and the rules of x-kubernetes-validations.

    `path` is put before the field names, not into the messages. `old` is the value before an update: unchanged parts may stay
    invalid (KEP-4008), and transition rules run. Failures of rules that are ratcheted in this way are added to `warnings`.
    `at_once`: the call is on the event loop, and cel.LoopBudgetExceeded is raised where the rules cost more than is allowed
    there.
    """
    checks = compiled(schema, "validate", _compile_all)
    updating = old is not ABSENT
    problems = Problems(ValidationBudget(value), _Ratcheting(value, old, schema) if updating else None)
    try:
        checks.shape(value, None, problems)
    except TooManyAlternatives:
        problems.append(Problem("Invalid", None, NO_FIELD, _ALTERNATIVES))
    except TooMuchMatching:
        problems.append(Problem("TooLong", None, NO_FIELD, _PATTERNS))
    if checks.embedded:
        problems.add_all(Problem(error.kind, None, error.field, error.text) for error in embedded_errors(value, schema))
    if checks.lists is not None:
        repeated = Problems()
        checks.lists(value, None, repeated)
        if repeated and updating:
            before = Problems()
            checks.lists(old, None, before)
            if before:
                repeated = Problems()
        problems.add_all(repeated)
    if checks.rules is not None:
        if any(p.kind in _BLOCKING for p in problems):
            problems.append(Problem("Invalid", None, NO_FIELD, _UNCHECKED))
        else:
            # Rules ratchet by themselves: what a transition rule says of an unchanged value counts.
            failures = Problems()
            ratcheted = checks.rules(value, old, failures, at_once)
            problems.add_all(failures)
            if warnings is not None:
                warnings += [f"{_field(p, path)}: {p.text}" for p in ratcheted[:CAUSES_MAX]]
    return [FieldError(p.kind, _field(p, path), p.text) for p in problems] if problems else []


def _field(problem: Problem, prefix: str) -> str:
    field = problem.field
    inner = "" if field == NO_FIELD else field if isinstance(field, str) else path_text(field)
    if not inner:
        return prefix or NO_FIELD
    if not prefix or inner.startswith("["):
        return prefix + inner
    return f"{prefix}.{inner}"


def _compile_all(schema: Schema) -> Checks:
    return Checks(compile_shape(schema), has_embedded(schema), compile_lists(schema), compile_rules(schema))
