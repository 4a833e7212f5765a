"""Validates x-kubernetes-validations when a definition is created: form, types and cost of the rules, with upstream's texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenantry.kube.field_errors import forbidden, invalid, not_supported, required
from tenantry.kube.jsonpath import field_names
from tenantry.kube.schema import cel, cel_cost
from tenantry.kube.schema.cel_check import CheckedExpression, Checker, Types
from tenantry.kube.schema.ratchet import child_schema
from tenantry.kube.schema.ruled_schemas import RuledSchema, ruled_schemas
from tenantry.kube.schema.structural import Rule, Schema
from tenantry.kube.status import FieldError

REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_HINT = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
)


@dataclass(slots=True)
class _DefinitionBudget:
    """The total cost of the rules of one schema, and the paths of those that cost much."""

    total: float = 0
    over: list[str] = field(default_factory=list)


def rule_errors(schema: Schema, path: str) -> list[FieldError]:
    """The errors of the rules in a structural schema at `path`."""
    return errors_of(ruled_schemas(schema, path), path)


def errors_of(found: Sequence[RuledSchema], path: str) -> list[FieldError]:
    """The errors of the rules of schemas (`ruled_schemas`) in a structural schema at `path`."""
    budget = _DefinitionBudget()
    errors: list[FieldError] = []
    types: list[Types] = []
    for ruled in found:
        schema = ruled.schema
        own = types[ruled.above].covering(schema) if ruled.above is not None else Types(schema, is_root=ruled.path == path)
        types.append(own)
        checker = own.checker(schema)
        for index, rule in enumerate(schema.rules):
            place = f"{ruled.path}.x-kubernetes-validations[{index}]"
            errors += _rule(rule, schema, checker, place, ruled.times, ruled.uncorrelated, budget)
    if budget.total > cel_cost.DEFINITION_LIMIT:
        whole = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        errors.append(forbidden(path, _over_budget(whole, budget.total, cel_cost.DEFINITION_LIMIT)))
        contributed = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        errors += [forbidden(place, contributed) for place in budget.over]
    return errors


def _rule(
    rule: Rule, schema: Schema, checker: Checker, path: str, times: float, uncorrelated: str | None, budget: _DefinitionBudget
) -> Iterator[FieldError]:
    if not rule.rule.strip():
        yield required(f"{path}.rule", "rule is not specified")
        return
    yield from _words(rule, schema, path)
    transition = cel.uses_old_self(rule.rule)
    optional = bool(rule.optional_old_self)
    if rule.optional_old_self is not None and not transition:
        yield invalid(f"{path}.optionalOldSelf", rule.optional_old_self, "may not be set if oldSelf is not used in rule")
    if transition and uncorrelated is not None:
        text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
        yield invalid(f"{path}.rule", rule.rule, text)
    try:
        checked = checker.check(rule.rule, optional_old=optional)
    except cel.CelError as error:
        yield invalid(f"{path}.rule", _shown(rule), f"compilation failed: {error}")
    else:
        if checked.type not in ("BOOL", "DYN"):
            yield invalid(f"{path}.rule", _shown(rule), "cel expression must evaluate to a bool")
        else:
            yield from _cost(checked, schema, f"{path}.rule", "estimated rule cost", times, budget)
    if rule.message_expression:
        yield from _message_expression(rule, schema, checker, path, times, budget, optional=optional)


def _words(rule: Rule, schema: Schema, path: str) -> Iterator[FieldError]:
    if rule.message and not rule.message.strip():
        yield invalid(f"{path}.message", rule.message, "must be non-empty if specified")
    elif "\n" in rule.message.strip():
        yield invalid(f"{path}.message", rule.message, "must not contain line breaks")
    elif not rule.message and not rule.message_expression and "\n" in rule.rule.strip():
        yield required(f"{path}.message", "message must be specified if rule contains line breaks")
    if rule.message_expression and not rule.message_expression.strip():
        yield required(f"{path}.messageExpression", "must be non-empty if specified")
    if rule.reason and rule.reason not in REASONS:
        yield not_supported(f"{path}.reason", rule.reason, REASONS)
    if rule.field_path and not _is_field_path(rule.field_path, schema):
        yield invalid(f"{path}.fieldPath", rule.field_path, "must be a valid path")


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


def _message_expression(
    rule: Rule, schema: Schema, checker: Checker, path: str, times: float, budget: _DefinitionBudget, *, optional: bool
) -> Iterator[FieldError]:
    place = f"{path}.messageExpression"
    try:
        checked = checker.check(rule.message_expression, optional_old=optional)
    except cel.CelError as error:
        yield invalid(place, _shown(rule), f"messageExpression compilation failed: {error}")
        return
    if checked.type not in ("STRING", "DYN"):
        yield invalid(place, _shown(rule), "messageExpression must evaluate to a string")
    else:
        yield from _cost(checked, schema, place, "estimated messageExpression cost", times, budget)


def _cost(
    checked: CheckedExpression, schema: Schema, path: str, what: str, times: float, budget: _DefinitionBudget
) -> Iterator[FieldError]:
    cost = cel_cost.estimate(checked.serialized, schema) * times
    budget.total += cost
    if cost > cel_cost.DEFINITION_LIMIT // 10:
        budget.over.append(path)
    if cost > cel_cost.RULE_LIMIT:
        yield forbidden(path, _over_budget(what, cost, cel_cost.RULE_LIMIT))


def _over_budget(what: str, cost: float, limit: int) -> str:
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
