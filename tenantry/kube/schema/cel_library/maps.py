"""The function of maps to which macros expand."""

from __future__ import annotations

from typing import Any

from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arguments import FunctionTable
from tenantry.kube.schema.cel_text import scalar
from tenantry.kube.schema.cel_values import Cost, is_key

FUNCTIONS = FunctionTable()


def insert(cost: Cost, into: dict[Any, Any], added: list[Any]) -> None:
    """Adds a key and a value, or the entries of a map, to a map. No key may be there already."""
    entries = added[0] if len(added) == 1 else {added[0]: added[1]} if is_key(added[0]) else None
    if type(entries) is not dict:
        raise NoOverload
    cost.work(1 + len(entries))
    for key, value in entries.items():
        if key in into:
            raise CelError(f"insert failed: key {scalar(key)} already exists")
        into[key] = value


def _map_insert(cost: Cost, into: Any, *added: Any) -> dict[Any, Any]:
    if type(into) is not dict:
        raise NoOverload
    cost.charge(1)
    cost.work(len(into))
    made = {**into}
    insert(cost, made, [*added])
    return made


FUNCTIONS["cel.@mapInsert", False] = _map_insert
