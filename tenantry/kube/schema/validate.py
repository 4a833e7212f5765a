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
    part: str = "",
    lists: bool = True,
    warnings: list[str] | None = None,
    at_once: bool = False,
) -> list[FieldError]:
    """The errors of `value`: shape, formats, unique lists, and the rules of x-kubernetes-validations.

    `path` is put before the field names, not into the messages. `old` is the value before an update: unchanged parts may stay
    invalid (KEP-4008), and transition rules run. Failures of rules that are ratcheted in this way are added to `warnings`.
    `part`: the shape of this field alone is checked, and in messages (not in the names of fields) it is the root, as where a
    status is written. `lists`: items of sets and maps are compared. `at_once`: the call is on the event loop, and
    cel.LoopBudgetExceeded is raised where the rules cost more than is allowed there.
    """
    checks = compiled(schema, "validate", _compile_all)
    updating = old is not ABSENT
    problems = Problems(ValidationBudget(value), _Ratcheting(value, old, schema) if updating else None)
    try:
        if part:
            problems.add_all(_problems_of_part(value, schema, old, part))
        else:
            checks.shape(value, None, problems)
    except TooManyAlternatives:
        problems.append(Problem("Invalid", None, NO_FIELD, _ALTERNATIVES))
    except TooMuchMatching:
        problems.append(Problem("TooLong", None, NO_FIELD, _PATTERNS))
    named = len(problems)
    if checks.embedded:
        problems.add_all(Problem(error.kind, None, error.field, error.text) for error in embedded_errors(value, schema))
    if checks.lists is not None and lists:
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
    if not problems:
        return []
    fields = (_field(p, path, is_name=number < named) for number, p in enumerate(problems))
    return [FieldError(p.kind, field, p.text) for p, field in zip(problems, fields, strict=True)]


def _problems_of_part(value: Any, schema: Schema, old: Any, part: str) -> list[Problem]:
    """The problems in the shape of a field. Raises TooManyAlternatives and TooMuchMatching."""
    inner = schema.properties.get(part)
    if inner is None or part not in value:
        return []
    ratchets = _Ratcheting(value[part], old.get(part, ABSENT), inner) if type(old) is dict else None
    found = Problems(ValidationBudget(value[part]), ratchets)
    compiled(inner, "validate", _compile_all).shape(value[part], None, found)
    return [Problem(each.kind, None, _field(each, part, is_name=True), each.text) for each in found]


def _field(problem: Problem, prefix: str, *, is_name: bool = False) -> str:
    """`is_name`: upstream puts the place below the prefix as if it were a name, also where it is an index."""
    field = problem.field
    inner = "" if field == NO_FIELD else field if isinstance(field, str) else path_text(field)
    if not inner:
        return prefix or NO_FIELD
    if not prefix or (inner.startswith("[") and not is_name):
        return prefix + inner
    return f"{prefix}.{inner}"


def _compile_all(schema: Schema) -> Checks:
    return Checks(compile_shape(schema), has_embedded(schema), compile_lists(schema), compile_rules(schema))
