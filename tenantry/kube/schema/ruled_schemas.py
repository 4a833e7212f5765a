"""Finds the schemas of a definition that have rules (x-kubernetes-validations)."""

from __future__ import annotations

from typing import NamedTuple

from tenantry.kube.schema import cel_cost
from tenantry.kube.schema.structural import Schema


class RuledSchema(NamedTuple):
    """A schema with rules, at `path`. `times` is how often a value of the schema may occur in an object. `uncorrelated` is the
    path of an enclosing list or map whose items cannot be matched with the old object. `above` is the number of the nearest
    enclosing schema with rules; None if there is none."""

    schema: Schema
    path: str
    times: float
    uncorrelated: str | None
    above: int | None


def ruled_schemas(schema: Schema, path: str) -> list[RuledSchema]:
    """The schemas with rules in a structural schema at `path`, each after those that enclose it."""
    found: list[RuledSchema] = []
    _add(found, schema, path, 1, None, None)
    return found


def _add(found: list[RuledSchema], schema: Schema, path: str, times: float, uncorrelated: str | None, above: int | None) -> None:
    if schema.rules:
        found.append(RuledSchema(schema, path, times, uncorrelated, above))
        above = len(found) - 1
    for name, child in schema.properties.items():
        inside = uncorrelated or (path if schema.map_type == "atomic" else None)
        _add(found, child, f"{path}.properties[{name}]", times, inside, above)
    if schema.items is not None:
        inside = uncorrelated or (path if schema.list_type != "map" else None)
        _add(found, schema.items, f"{path}.items", times * cel_cost.largest_size(schema), inside, above)
    if isinstance(schema.additional, Schema):
        inside = uncorrelated or (path if schema.map_type == "atomic" else None)
        _add(found, schema.additional, f"{path}.additionalProperties", times * cel_cost.largest_size(schema), inside, above)
