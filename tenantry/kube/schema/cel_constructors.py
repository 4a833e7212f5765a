"""Lists, maps and other values that expressions write out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_objects import construct, struct_type
from tenantry.kube.schema.cel_operators import Frame, Run
from tenantry.kube.schema.cel_syntax import MessageLiteral
from tenantry.kube.schema.cel_text import scalar
from tenantry.kube.schema.cel_values import TYPE_NAMES, Cost, CostExceeded, Optional, TypeValue, is_key, type_name

LIST_COST, _MAP_COST, _OBJECT_COST = 10, 30, 40
_CONSTANT_LIMIT = 1_000_000


def new_list(parts: Sequence[Run], optional: frozenset[int]) -> Run:
    """A list of the values of `parts`. Those at the indexes `optional` are optionals, and left out where they have no value."""

    def make(frame: Frame) -> Any:
        frame.cost.charge(LIST_COST)
        if not optional:
            return [part(frame) for part in parts]
        made: list[Any] = []
        for place, part in enumerate(parts):
            value = part(frame)
            if place not in optional:
                made.append(value)
            elif type(value) is not Optional:
                raise CelError(f"cannot initialize optional list element from non-optional value {_shown(value)}")
            else:
                made.extend(value.items)
        return made

    return make


def new_map(parts: Sequence[tuple[Run, Run, bool]]) -> Run:
    """A map of keys and values. Of optional entries the value is an optional, and the entry is left out where it has none."""

    def make(frame: Frame) -> Any:
        frame.cost.charge(_MAP_COST)
        made: dict[Any, Any] = {}
        for get_key, get_value, optional in parts:
            key, value = get_key(frame), get_value(frame)
            if not is_key(key):
                raise CelError("unsupported key type")
            if optional:
                if type(value) is not Optional:
                    shown = f"'{scalar(key)}' from non-optional value {_shown(value)}"
                    raise CelError(f"cannot initialize optional entry {shown}")
                if not value.items:
                    made.pop(key, None)
                    continue
                value = value.items[0]
            made[key] = value
        return made

    return make


def new_object(node: MessageLiteral, values: Sequence[Run], *, patch_types: bool) -> Run:
    """An object or a JSON patch, with the values of its fields. Of optional fields the value is an optional, and the field is
    left out where it has none. Raises CelError for another type."""
    name = node.name.removeprefix(".")
    if not patch_types or struct_type(name) is None:
        raise CelError(f"undeclared reference to '{node.name}' (in container '')")
    parts = [(field.name, value, field.optional) for field, value in zip(node.fields, values, strict=True)]

    def make(frame: Frame) -> Any:
        frame.cost.charge(_OBJECT_COST)
        fields: dict[str, Any] = {}
        for field, get_value, optional in parts:
            value = get_value(frame)
            if optional:
                if type(value) is not Optional:
                    raise CelError(f"cannot initialize optional entry '{field}' from non-optional value {_shown(value)}")
                if not value.items:
                    fields.pop(field, None)
                    continue
                value = value.items[0]
            fields[field] = value
        return construct(name, fields)

    return make


def _shown(value: Any) -> str:
    return type_name(value) if isinstance(value, (list, dict)) else scalar(value)


def evaluated(run: Run, is_map: bool) -> Run:
    """A constant, evaluated once. Raises CelError where it cannot be; a map is looked at when the rule runs."""
    try:
        value = run(Frame([], Cost(_CONSTANT_LIMIT)))
    except CostExceeded:
        return run
    except CelError:
        if is_map:
            return run
        raise
    return lambda frame: value


def type_value(name: str, *, patch_types: bool = False) -> Run:
    """A type as a value. Raises CelError where there is none of this name."""
    if name not in TYPE_NAMES and not (patch_types and struct_type(name) is not None):
        raise CelError(f"undeclared reference to '{name}' (in container '')")
    value = TypeValue(name)
    return lambda frame: value
