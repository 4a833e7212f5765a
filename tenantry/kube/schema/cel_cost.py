"""Estimates the highest possible cost of a rule, as k8s.io/apiserver does. It depends on the size limits in the schema.

A rule that could block a server is refused when its definition is created. The unit is cel-go's: one for a field access or a
call, a tenth for each character of a text that is read. A value without a size limit can be as large as a request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tenantry.kube.schema.cel import escape
from tenantry.kube.schema.structural import Schema

RULE_LIMIT = 10_000_000
DEFINITION_LIMIT = 100_000_000
REQUEST_BYTES = 3 * 1024 * 1024
_PER_CHARACTER = 0.1
_REGEX_PER_CHARACTER = 0.25
_LIST_COST, _MAP_COST = 10, 30
_MANY = 10**18

# Bytes that the smallest value of a type takes in a request.
_SMALLEST = {"string": 2, "integer": 1, "number": 1, "boolean": 4, "array": 2, "object": 2}
_TEXT_SCANS = frozenset(("contains", "startsWith", "endsWith", "indexOf", "lastIndexOf", "split", "replace", "lowerAscii"))
_TEXT_SCANS |= frozenset(("upperAscii", "substring", "trim", "charAt", "format", "join", "url", "isURL", "ip", "isIP"))
_TEXT_SCANS |= frozenset(("cidr", "isCIDR", "quantity", "isQuantity", "semver", "isSemver", "timestamp", "duration", "reverse"))
_LIST_SCANS = frozenset(("isSorted", "sum", "min", "max", "sets.contains", "sets.equivalent", "sets.intersects", "@in"))
_REGEXES = frozenset(("matches", "find", "findAll"))
_COMPARES = frozenset(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_+_"))


class Estimate(NamedTuple):
    """The highest cost of an expression, the largest size of its value, and the schema of its value where it is known."""

    cost: float
    size: float = 1
    schema: Schema | None = None


def largest_size(schema: Schema | None) -> float:
    """The most characters, items or entries that a value of a schema may have."""
    if schema is None:
        return REQUEST_BYTES
    if schema.type == "array":
        limit = schema.max_items
        return limit if limit is not None else REQUEST_BYTES // (_smallest(schema.items) + 1)
    if schema.type == "object" or schema.additional:
        if not isinstance(schema.additional, Schema):
            return 1
        limit = schema.max_properties
        return limit if limit is not None else REQUEST_BYTES // (_smallest(schema.additional) + 5)
    if schema.type in ("integer", "number", "boolean"):
        return 1
    if schema.enum:
        return max(len(str(v)) for v in schema.enum)
    if schema.format in ("date-time", "date", "duration"):
        return 32
    return schema.max_length if schema.max_length is not None else REQUEST_BYTES - 2


def _smallest(schema: Schema | None) -> int:
    if schema is None:
        return 1
    size = _SMALLEST.get(schema.type, 1)
    for name in schema.required:
        child = schema.properties.get(name)
        if child is not None and not child.has_default:
            size += len(name) + 3 + _smallest(child)
    return size


def estimate(serialized: bytes, self_schema: Schema) -> float:
    """The highest cost of a checked expression (`CheckedExpression.serialized`) for values of a schema."""
    return estimate_of(serialized, {"self": self_schema, "oldSelf": self_schema})


def estimate_of(serialized: bytes, variables: Mapping[str, Schema]) -> float:
    """The same for an expression over other variables, with their schemas."""
    return _cost(
        _expression(serialized), {name: Estimate(1, largest_size(schema), schema) for name, schema in variables.items()}
    ).cost


# The syntax tree, from its protobuf form (cel.expr.CheckedExpr; field numbers of google/api/expr/v1alpha1/syntax.proto) ------


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        wire = tag & 7
        if wire == 0:
            number, position = _varint(data, position)
            yield tag >> 3, number
        elif wire == 2:
            length, position = _varint(data, position)
            yield tag >> 3, data[position : position + length]
            position += length
        else:
            width = 8 if wire == 1 else 4
            yield tag >> 3, data[position : position + width]
            position += width


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _part(data: bytes, number: int) -> bytes:
    return next((value for key, value in _fields(data) if key == number and isinstance(value, bytes)), b"")


def _parts(data: bytes, number: int) -> list[bytes]:
    return [value for key, value in _fields(data) if key == number and isinstance(value, bytes)]


def _text(data: bytes, number: int) -> str:
    return _part(data, number).decode()


def _expression(serialized: bytes) -> bytes:
    checked = _part(serialized, 2) if b"cel.expr.CheckedExpr" in serialized[:60] else serialized
    return _part(checked, 4)


# Costs -----------------------------------------------------------------------------------------------------------------

_Scope = dict[str, Estimate]


def _cost(expression: bytes, scope: _Scope) -> Estimate:
    for number, value in _fields(expression):
        if isinstance(value, int):
            continue
        if number == 3:
            return Estimate(0, len(_text(value, 6)) if _part(value, 6) else 1)
        if number == 4:
            return scope.get(_text(value, 1), Estimate(1))
        if number == 5:
            return _select(value, scope)
        if number == 6:
            return _call(value, scope)
        if number == 7:
            items = [_cost(item, scope) for item in _parts(value, 1)]
            return Estimate(_LIST_COST + sum(i.cost for i in items), len(items))
        if number == 8:
            entries = [_cost(_part(entry, 4), scope) for entry in _parts(value, 2)]
            return Estimate(_MAP_COST + sum(e.cost for e in entries), len(entries))
        if number == 9:
            return _loop(value, scope)
    return Estimate(0)


def _select(select: bytes, scope: _Scope) -> Estimate:
    operand = _cost(_part(select, 1), scope)
    name = _text(select, 2)
    child = _field_schema(operand.schema, name)
    return Estimate(operand.cost + 1, largest_size(child) if operand.schema is not None else 1, child)


def _field_schema(schema: Schema | None, name: str) -> Schema | None:
    if schema is None:
        return None
    for field, child in schema.properties.items():
        if escape(field) == name:
            return child
    if name in ("name", "generateName", "apiVersion", "kind"):
        return Schema(type="string", max_length=253)
    if name == "metadata":
        return Schema(type="object")
    return schema.additional if isinstance(schema.additional, Schema) else None


def _call(call: bytes, scope: _Scope) -> Estimate:
    function = _text(call, 2)
    target = _part(call, 1)
    operands = ([_cost(target, scope)] if target else []) + [_cost(argument, scope) for argument in _parts(call, 3)]
    cost = sum(o.cost for o in operands)
    sizes = [o.size for o in operands]
    if function in ("_&&_", "_||_", "!_"):
        return Estimate(cost)
    if function == "_?_:_":
        branches = operands[1:]
        return Estimate(operands[0].cost + max(b.cost for b in branches), max(b.size for b in branches), branches[0].schema)
    if function in ("_[_]", "_[?_]"):
        holder = operands[0].schema
        item = (holder.items or (holder.additional if isinstance(holder.additional, Schema) else None)) if holder else None
        return Estimate(cost + 1, largest_size(item) if item is not None else 1, item)
    if function in _REGEXES:
        cost += max(1.0, sizes[0] * _PER_CHARACTER) * max(1.0, (sizes[1] if len(sizes) > 1 else 1) * _REGEX_PER_CHARACTER)
        return Estimate(cost, sizes[0])
    if function in _COMPARES and len(sizes) == 2:
        size = sum(sizes) if function == "_+_" else 1
        return Estimate(cost + max(1.0, min(sizes) * _PER_CHARACTER), size)
    if function in _LIST_SCANS:
        return Estimate(cost + 1 + _product(sizes if function.startswith("sets.") else sizes[-1:]))
    if function == "replace" and len(sizes) >= 3:
        return Estimate(cost + 1 + 2 * sizes[0] * _PER_CHARACTER, _replaced(sizes, call))
    if function in _TEXT_SCANS and sizes:
        return Estimate(cost + 1 + sizes[0] * _PER_CHARACTER * max(1.0, _product(sizes[1:]) * _PER_CHARACTER), sizes[0])
    return Estimate(cost + 1, max(sizes, default=1))


def _replaced(sizes: list[float], call: bytes) -> float:
    """The longest text that a replacement can make: the replaced text is as short as possible and occurs everywhere."""
    old = _part(_parts(call, 3)[0], 3)
    shortest = sizes[1] if old else 0
    if shortest == 0:
        return min((sizes[0] + 1) * sizes[2] + sizes[0], _MANY)
    if sizes[2] <= shortest:
        return sizes[0]
    return min(-(-sizes[0] // shortest) * sizes[2], _MANY)


def _product(sizes: list[float]) -> float:
    total = 1.0
    for size in sizes:
        total = min(total * size, _MANY)
    return total


def _loop(loop: bytes, scope: _Scope) -> Estimate:
    items = _cost(_part(loop, 2), scope)
    start = _cost(_part(loop, 4), scope)
    item = _item_schema(items.schema)
    inner = scope | {
        _text(loop, 1): Estimate(1, largest_size(item) if item is not None else 1, item),
        _text(loop, 3): Estimate(1, max(1, start.size), None),
    }
    step = _cost(_part(loop, 6), inner).cost + _cost(_part(loop, 5), inner).cost
    result = _cost(_part(loop, 7), inner).cost
    total = items.cost + start.cost + min(max(items.size, 1) * step, _MANY) + result
    # map and filter make a list as long as their input.
    return Estimate(total, items.size, items.schema)


def _item_schema(schema: Schema | None) -> Schema | None:
    if schema is None:
        return None
    if schema.items is not None:
        return schema.items
    return Schema(type="string", max_length=REQUEST_BYTES) if isinstance(schema.additional, Schema) else None
