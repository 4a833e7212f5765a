"""Names with fields (`object.metadata.name`): most of what expressions read."""

from __future__ import annotations

from typing import Any

from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_operators import Frame, Run, Scope
from tenantry.kube.schema.cel_syntax import Node, Select, dotted
from tenantry.kube.schema.cel_values import CostExceeded, readable


def path_of(node: Node, scope: Scope) -> tuple[int, tuple[str, ...]] | None:
    """The place of a variable and the names of fields, for a node that is a variable followed by fields."""
    fields: list[str] = []
    while True:
        name = dotted(node)
        place = scope.get(name) if name is not None else None
        if place is not None:
            return place, tuple(reversed(fields))
        if not isinstance(node, Select) or node.test:
            return None
        fields.append(node.field)
        node = node.operand


def along(place: int, fields: tuple[str, ...], otherwise: Run) -> Run:
    """Reads fields of objects in one step. `otherwise` reads them one after the other, where one is missing or no object has
    it."""
    units = 1 + len(fields)

    def read(frame: Frame) -> Any:
        value = frame.values[place]
        for field in fields:
            if type(value) is not dict or field not in value:
                return otherwise(frame)
            value = value[field]
        cost = frame.cost
        cost.left -= units
        if cost.left < 0:
            # It ends with the step that is one too many.
            cost.left = -1
            raise CostExceeded
        return readable(value) if type(value) is CelError else value

    return read
