"""Finds the schemas of a definition that have rules (x-kubernetes-validations)."""

from __future__ import annotations

from typing import Any, NamedTuple

from tenantry.kube.schema.cel_sizes import times
from tenantry.kube.schema.structural import Schema


class RuledSchema(NamedTuple):
    """A schema with rules, at `path`. `times` is how often a value of the schema may occur in an object; None where lists or maps
    around it have no limit. `uncorrelated` is the path of an enclosing list or map whose items cannot be matched with the old
    object. `above` is the number of the nearest enclosing schema with rules; None if there is none."""

    schema: Schema
    path: str
    times: int | None
    uncorrelated: str | None
    above: int | None


def ruled_schemas(schema: Schema, path: str) -> list[RuledSchema]:
    """The schemas with rules in a structural schema at `path`, each after those that enclose it."""
    found: list[RuledSchema] = []
    _add(found, schema, path, 1, None, None)
    return found


def _add(
    found: list[RuledSchema], schema: Schema, path: str, count: int | None, uncorrelated: str | None, above: int | None
) -> None:
    if schema.rules:
        found.append(RuledSchema(schema, path, count, uncorrelated, above))
        above = len(found) - 1
    for name, child in schema.properties.items():
        inside = uncorrelated or (path if schema.map_type == "atomic" else None)
        _add(found, child, f"{path}.properties[{name}]", count, inside, above)
    if schema.items is not None:
        inside = uncorrelated or (path if schema.list_type != "map" else None)
        _add(found, schema.items, f"{path}.items", _often(count, schema.max_items), inside, above)
    if isinstance(schema.additional, Schema):
        inside = uncorrelated or (path if schema.map_type == "atomic" else None)
        _add(found, schema.additional, f"{path}.additionalProperties", _often(count, schema.max_properties), inside, above)


def _often(count: int | None, limit: int | None) -> int | None:
    return None if count is None or limit is None else times(count, max(0, limit))


RULES_AT_ONCE = 500
"""So many characters of rules (`characters_of_rules`) are checked on the event loop: some milliseconds. Definitions with more are
validated in a thread."""
COMPILED_AT_ONCE = 1_000
"""So many characters of rules are compiled on the event loop: some milliseconds. Objects whose validation has to compile more are
validated in a thread."""
_RULE_CHARACTERS = 20
"""To check a rule takes as long as so many characters beside its own."""


def lengths_of_rules(schema: Schema) -> list[int]:
    """How many characters each rule in a schema has. The schema may contain itself."""
    lengths: list[int] = []
    waiting, seen = [schema], {id(schema)}
    while waiting:
        each = waiting.pop()
        lengths += [len(rule.rule) for rule in each.rules]
        below = [*each.properties.values(), each.items, each.additional]
        for child in below:
            if isinstance(child, Schema) and id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)
    return lengths


def characters_of_rules(value: Any) -> int:
    """How many characters the rules and messageExpressions have in an OpenAPI document, or in what has such documents, and some
    for each. It may be of any shape."""
    total = 0
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            waiting += each.values()
            for name in ("rule", "messageExpression"):
                if isinstance(each.get(name), str):
                    total += _RULE_CHARACTERS + len(each[name])
    return total
