"""Validates x-kubernetes-validations when a definition is created: form, types and cost of the rules, with upstream's texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenantry.kube.field_errors import forbidden, invalid, not_supported, required
from tenantry.kube.jsonpath import field_names
from tenantry.kube.schema import cel, cel_cost
from tenantry.kube.schema.cel_check import CheckedExpression, check
from tenantry.kube.schema.cel_declared import Declarations, Declared, largest_count
from tenantry.kube.schema.cel_interpreter import Compiled
from tenantry.kube.schema.cel_sizes import MOST, times
from tenantry.kube.schema.cel_types import optional_of
from tenantry.kube.schema.ratchet import child_schema
from tenantry.kube.schema.ruled_schemas import RuledSchema, ruled_schemas
from tenantry.kube.schema.structural import Rule, Schema
from tenantry.kube.status import FieldError

REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_HINT = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
)
_EXPENSIVE_MAX = 4


@dataclass(slots=True)
class _DefinitionBudget:
    """The total cost of the rules of one schema, and the costs and paths of those that cost much."""

    total: int = 0
    expensive: list[tuple[int, str]] = field(default_factory=list)

    def add(self, cost: int, path: str) -> None:
        self.total = min(MOST, self.total + cost)
        if cost >= cel_cost.DEFINITION_LIMIT // 100:
            self.expensive = sorted([*self.expensive, (cost, path)], key=lambda each: -each[0])[:_EXPENSIVE_MAX]


@dataclass(slots=True, frozen=True)
class _Place:
    """Where the rules of a schema are: its type, the path, and how often a value of it may occur in an object."""

    schema: Schema
    declared: Declared
    declarations: Declarations
    path: str
    times: int
    uncorrelated: str | None
    budget: _DefinitionBudget


_NO_TYPE = (
    "internal error: failed to construct type information for x-kubernetes-validations rules: "
    "unable to convert structural schema to CEL declarations"
)
"""Upstream's text for a schema without a type, whose values no rule can be checked for."""


def rule_errors(schema: Schema, path: str) -> list[FieldError]:
    """The errors of the rules in a structural schema at `path`."""
    return errors_of(ruled_schemas(schema, path), path)


def errors_of(found: Sequence[RuledSchema], path: str) -> list[FieldError]:
    """The errors of the rules of schemas (`ruled_schemas`) in a structural schema at `path`."""
    words = [list(_words_of(ruled)) for ruled in found]
    errors: list[FieldError] = [error for each in words for error in each]
    wrong = {place for place, each in enumerate(words) if each}
    wrong |= {above for place in wrong for above in _above(found, place)}
    budget = _DefinitionBudget()
    declarations = Declarations()
    for place, ruled in enumerate(found):
        # Where words are wrong, here or below, what the rules mean is not looked at.
        if place in wrong:
            continue
        is_root = ruled.path == path or ruled.schema.embedded_resource
        declared = declarations.of(ruled.schema, is_root=is_root)
        if declared is None:
            errors.append(FieldError("Internal", f"{ruled.path}.x-kubernetes-validations", f"Internal error: {_NO_TYPE}"))
        else:
            times_most = largest_count(declared.smallest) if ruled.times is None else ruled.times
            here = _Place(ruled.schema, declared, declarations, ruled.path, times_most, ruled.uncorrelated, budget)
            errors += _rules(here)
    if budget.total > cel_cost.DEFINITION_LIMIT:
        contributed = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        errors += [forbidden(place_path, contributed) for _, place_path in budget.expensive]
        whole = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        errors.append(forbidden(path, _over_budget(whole, budget.total, cel_cost.DEFINITION_LIMIT)))
    return errors


def _above(found: Sequence[RuledSchema], place: int) -> Iterator[int]:
    above = found[place].above
    while above is not None:
        yield above
        above = found[above].above


# The words of rules ----------------------------------------------------------------------------------------------------


def _words_of(ruled: RuledSchema) -> Iterator[FieldError]:
    for index, rule in enumerate(ruled.schema.rules):
        yield from _words(rule, ruled.schema, f"{ruled.path}.x-kubernetes-validations[{index}]")


def _words(rule: Rule, schema: Schema, path: str) -> Iterator[FieldError]:
    message = rule.message.strip()
    if not rule.rule.strip():
        yield required(f"{path}.rule", "rule is not specified")
    elif rule.message and not message:
        yield invalid(f"{path}.message", rule.message, "must be non-empty if specified")
    elif _has_line_break(message):
        yield invalid(f"{path}.message", rule.message, "must not contain line breaks")
    elif _has_line_break(rule.rule.strip()) and not message:
        yield required(f"{path}.message", "message must be specified if rule contains line breaks")
    if rule.message_expression and not rule.message_expression.strip():
        yield required(f"{path}.messageExpression", "messageExpression must be non-empty if specified")
    if rule.reason and rule.reason not in REASONS:
        yield not_supported(f"{path}.reason", rule.reason, REASONS)
    if rule.field_path and not rule.field_path.strip():
        yield invalid(f"{path}.fieldPath", rule.field_path, "must be non-empty if specified")
    if _has_line_break(rule.field_path):
        yield invalid(f"{path}.fieldPath", rule.field_path, "must not contain line breaks")
    if rule.field_path and not _is_field_path(rule.field_path, schema):
        yield invalid(f"{path}.fieldPath", rule.field_path, "must be a valid path")


def _has_line_break(text: str) -> bool:
    return "\n" in text or "\r" in text


def _is_field_path(text: str, schema: Schema) -> bool:
    try:
        names = field_names(text)
    except ValueError:
        return False
    node: Schema | None = schema
    for name in names:
        node = child_schema(node, name)
        if node is None:
            return False
    return bool(names)


# What rules mean -------------------------------------------------------------------------------------------------------


def _rules(place: _Place) -> Iterator[FieldError]:
    for index, rule in enumerate(place.schema.rules):
        path = f"{place.path}.x-kubernetes-validations[{index}]"
        compares = cel.uses_old_self(rule.rule)
        try:
            cost = cel_cost.estimate(_checked(rule.rule, rule, place, "bool"), place.declared)
        except cel.CelError as error:
            yield invalid(f"{path}.rule", _shown(rule), str(error))
            # What a rule uses is known only where it compiles.
            compares = False
        else:
            yield from _cost(times(cost, place.times), f"{path}.rule", "estimated rule cost", place.budget)
            yield from _message_expression(rule, place, f"{path}.messageExpression")
        if not compares:
            if rule.optional_old_self is not None:
                text = "may not be set if oldSelf is not used in rule"
                yield invalid(f"{path}.optionalOldSelf", rule.optional_old_self, text)
        elif place.uncorrelated is not None:
            text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {place.uncorrelated}"
            yield invalid(f"{path}.rule", rule.rule, text)


def _message_expression(rule: Rule, place: _Place, path: str) -> Iterator[FieldError]:
    if not rule.message_expression:
        return
    try:
        cost = cel_cost.estimate(_checked(rule.message_expression, rule, place, "string"), place.declared)
    except cel.CelError as error:
        yield invalid(path, _shown(rule), f"messageExpression {error}")
        return
    # It counts once, however many values may fail.
    yield from _cost(cost, path, "estimated messageExpression cost", place.budget)


def _checked(text: str, rule: Rule, place: _Place, kind: str) -> CheckedExpression:
    """Raises CelError where the expression does not compile, or is of another type."""
    own = place.declared.type
    variables = {"self": own, "oldSelf": optional_of(own) if rule.optional_old_self else own}
    try:
        checked = check(text, variables, place.declarations.structs)
    except cel.CelError as error:
        raise cel.CelError(f"compilation failed: {error}") from None
    if checked.type.kind != kind:
        raise cel.CelError("cel expression must evaluate to a bool" if kind == "bool" else "must evaluate to a string")
    try:
        Compiled(checked.tree.root, ("self", "oldSelf"))
    except cel.CelError as error:
        raise cel.CelError(f"{'program ' if kind == 'bool' else ''}instantiation failed: {error}") from None
    return checked


def _cost(cost: int, path: str, what: str, budget: _DefinitionBudget) -> Iterator[FieldError]:
    budget.add(cost, path)
    if cost > cel_cost.RULE_LIMIT:
        yield forbidden(path, _over_budget(what, cost, cel_cost.RULE_LIMIT))


def _over_budget(what: str, cost: int, limit: int) -> str:
    factor = cost / limit
    if factor > 100:
        shown = "more than 100x"
    elif factor < 1.5:
        shown = f"{factor:f}x"
    else:
        shown = f"{factor:.1f}x"
    return f"{what} exceeds budget by factor of {shown} {_HINT}"


def _shown(rule: Rule) -> dict[str, Any]:
    """A rule as Go prints upstream's internal type."""
    return {
        "Rule": rule.rule,
        "Message": rule.message,
        "MessageExpression": rule.message_expression,
        "Reason": rule.reason or None,
        "FieldPath": rule.field_path,
        "OptionalOldSelf": rule.optional_old_self,
    }
