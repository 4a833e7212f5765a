"""Computes the field set that an applier owns from an object, and removes field sets from objects."""

from __future__ import annotations

from typing import Any

from tenantry.kube.apply.field_set import EMPTY, FieldSet, as_member, is_member, recursive_difference, union
from tenantry.kube.apply.typed import DEDUCED, MapType, Node


def fields_of(node: Node, value: dict[str, Any]) -> FieldSet:
    """Every leaf and every list item of an applied object (structured-merge-diff's ToFieldSet).

    Raises TypedError where a list item has no key.
    """
    return _fields_below(node, value) or EMPTY


def _fields_below(node: Node, value: Any) -> FieldSet | None:
    """The set below an element. None where neither the element nor anything below it belongs to the set."""
    match node.kind(value):
        case "map" if node.map is not None:
            if node.map.atomic:
                return EMPTY
            return _named(node.map, value) if isinstance(value, dict) else None
        case "list" if node.list is not None:
            list_type = node.list
            if list_type.kind == "atomic":
                return EMPTY
            if not isinstance(value, list):
                return None
            out: FieldSet = {}
            for item in value:
                element = list_type.item_element(item)
                out[element] = EMPTY if element in out else as_member(_fields_below(list_type.element, item))
            return out or None
    return EMPTY


def _named(map_type: MapType, value: dict[str, Any]) -> FieldSet | None:
    out: FieldSet = {}
    for name, below in value.items():
        children = _fields_below(map_type.at(name) or DEDUCED, below)
        if below is None or below == {} or name not in map_type.fields:
            children = as_member(children)
        if children is not None:
            out[map_type.elements.get(name) or "f:" + name] = children
    return out or None


def with_named_fields(fields: FieldSet, node: Node | None) -> FieldSet:
    """The set, where each declared field with members below it is a member too."""
    out: FieldSet = {}
    for element, below in fields.items():
        if element == ".":
            out[element] = below
            continue
        child = _node_at(node, element)
        if below:
            grown = with_named_fields(below, child)
            if element.startswith("f:") and node is not None and node.map is not None and element[2:] in node.map.fields:
                grown = as_member(grown)
            out[element] = grown
        else:
            out[element] = below
    return out


def _node_at(node: Node | None, element: str) -> Node | None:
    if node is None:
        return None
    if element.startswith("f:"):
        return node.map.at(element[2:]) if node.map is not None else None
    if element.startswith("k:"):
        return node.list.element if node.list is not None else None
    return None


def remove_fields(node: Node, value: Any, fields: FieldSet) -> Any:
    """The value without these fields and list items (structured-merge-diff's RemoveItems).

    A container that becomes empty stays. Upstream sets null there, which a schema may not allow.
    """
    if not fields or not value:
        return value
    if isinstance(value, dict) and node.map is not None:
        if node.map.atomic:
            return {}
        out: dict[str, Any] = {}
        for name, below in value.items():
            found = fields.get("f:" + name)
            if found is None:
                out[name] = below
            elif not is_member(found):
                out[name] = remove_fields(node.map.at(name) or DEDUCED, below, found)
        return out
    if isinstance(value, list) and node.list is not None:
        if node.list.kind == "atomic":
            return []
        items: list[Any] = []
        for item in value:
            found = fields.get(node.list.item_element(item))
            if found is None:
                items.append(item)
            elif not is_member(found):
                items.append(remove_fields(node.list.element, item, found))
        return items
    return value


def reconcile_with_schema(fields: FieldSet, node: Node) -> FieldSet:
    """The set after a change of the schema. Fields inside a part that is atomic now become ownership of that whole part.

    A part that became granular keeps its owner until its next change.
    """
    atomic = _atomic_with_fields(fields, node, own=False)
    if not atomic:
        return fields
    return union(recursive_difference(fields, atomic), atomic)


def _atomic_with_fields(fields: FieldSet, node: Node, *, own: bool) -> FieldSet | None:
    """The elements that are atomic in the schema although the set has members below them. `own`: this node's element itself is
    checked, too; then an empty set means that it is such an element."""
    map_type, list_type = node.map, node.list
    if map_type is not None:
        if not map_type.fields and (map_type.element is DEDUCED or map_type.element is None):
            return None
        if own and map_type.atomic and fields:
            return EMPTY
    elif list_type is not None and own and list_type.kind == "atomic" and fields:
        return EMPTY
    out: FieldSet = {}
    for element, below in fields.items():
        child = _node_at(node, element)
        if child is not None and below:
            found = _atomic_with_fields(below, child, own=True)
            if found is not None:
                out[element] = found
    return out or None
