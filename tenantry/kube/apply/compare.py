"""Which fields differ between two objects of a type (structured-merge-diff's Compare).

This is a hot part of every create and update. It descends only where the two objects differ, and builds fieldsV1 at the same
time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tenantry.kube.apply.field_set import EMPTY, FieldSet, recursive_difference
from tenantry.kube.apply.typed import ABSENT, ListType, MapType, Node
from tenantry.kube.json_equality import same_json


class Comparison(NamedTuple):
    """Three disjoint sets of fields: only in the left object, in both with different values, only in the right object."""

    removed: FieldSet
    modified: FieldSet
    added: FieldSet

    def without(self, fields: FieldSet) -> Comparison:
        """The comparison without these fields and all fields below them."""
        if not fields:
            return self
        return Comparison(*(recursive_difference(part, fields) for part in self))


class _Changes:
    """The three sets of one level, while it is compared."""

    __slots__ = ("added", "modified", "removed")

    def __init__(self) -> None:
        self.removed: FieldSet = {}
        self.modified: FieldSet = {}
        self.added: FieldSet = {}


def compare(node: Node, left: Mapping[str, Any], right: Mapping[str, Any]) -> Comparison:
    """The changes from the left object to the right one.

    Raises TypedError where a list item has no key.
    """
    changes = _Changes()
    map_type = node.map
    if map_type is not None:
        _compare_fields(map_type, left, right, changes)
    return Comparison(changes.removed, changes.modified, changes.added)


def _compare_fields(map_type: MapType, left: Mapping[str, Any], right: Mapping[str, Any], changes: _Changes) -> None:
    present = map_type.present
    elements = map_type.elements
    for name, ours in left.items():
        theirs = right.get(name, ABSENT)
        if theirs is ABSENT and name in present:
            theirs = present[name]
        if not same_json(ours, theirs):
            _compare(map_type.at(name) or _UNKNOWN, elements.get(name) or "f:" + name, ours, theirs, changes)
    for name, theirs in right.items():
        if name not in left:
            ours = present.get(name, ABSENT)
            if not same_json(ours, theirs):
                _compare(map_type.at(name) or _UNKNOWN, elements.get(name) or "f:" + name, ours, theirs, changes)


_UNKNOWN = Node("untyped")
"""A field that the schema does not know: one value."""


def _compare(node: Node, element: str, left: Any, right: Any, changes: _Changes) -> None:
    """Records the difference at `element`. The values differ, and at most one of them is absent."""
    if left is ABSENT:
        changes.added[element] = everything(node, right)
        return
    if right is ABSENT:
        changes.removed[element] = everything(node, left)
        return
    left_kind, right_kind = node.kind(left), node.kind(right)
    if left_kind != right_kind:
        _compare_as(left_kind, node, element, left, right, changes)
    _compare_as(right_kind, node, element, left, right, changes)


def _compare_as(kind: str, node: Node, element: str, left: Any, right: Any, changes: _Changes) -> None:
    below = _Changes()
    if kind == "map" and node.map is not None and not node.map.atomic:
        ours, theirs = left if isinstance(left, dict) else EMPTY, right if isinstance(right, dict) else EMPTY
        if ours or theirs:
            _compare_fields(node.map, ours, theirs, below)
            _attach(changes, element, below)
            return
    elif kind == "list" and node.list is not None and node.list.kind != "atomic":
        old, new = left if isinstance(left, list) else [], right if isinstance(right, list) else []
        if old or new:
            _compare_items(node.list, old, new, below)
            _attach(changes, element, below)
            return
    if not same_json(left, right):
        if element in changes.modified:
            if changes.modified[element]:
                changes.modified[element] = {".": EMPTY, **changes.modified[element]}
        else:
            changes.modified[element] = EMPTY


def _attach(changes: _Changes, element: str, below: _Changes) -> None:
    """Adds a set below an element. What an earlier step added below the same element is kept."""
    for part, children in ((changes.removed, below.removed), (changes.modified, below.modified), (changes.added, below.added)):
        if children:
            kept = part.get(element)
            part[element] = children if kept is None else {".": EMPTY, **children} if not kept else {**kept, **children}


def _group(list_type: ListType, items: list[Any]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for item in items:
        groups.setdefault(list_type.item_element(item), []).append(item)
    return groups


def _compare_items(list_type: ListType, left: list[Any], right: list[Any], changes: _Changes) -> None:
    """Compares items by key. Several items with one key (older data may have them) count as one value."""
    ours, theirs = _group(list_type, left), _group(list_type, right)
    for element in [*ours, *(e for e in theirs if e not in ours)]:
        old, new = ours.get(element, []), theirs.get(element, [])
        if len(old) < 2 and len(new) < 2:
            before, after = old[0] if old else ABSENT, new[0] if new else ABSENT
            if not same_json(before, after):
                _compare(list_type.element, element, before, after, changes)
        elif len(old) > 1 and len(new) > 1:
            if not same_json(old, new):
                changes.modified[element] = EMPTY
        elif len(old) > 1:
            changes.removed[element] = EMPTY
            if new:
                changes.added[element] = everything(list_type.element, new[0])
        else:
            changes.added[element] = EMPTY
            if old:
                changes.removed[element] = everything(list_type.element, old[0])


def everything(node: Node, value: Any) -> FieldSet:
    """The set of all members in a value that is added or removed as a whole: the element itself, every container and every
    leaf."""
    if isinstance(value, dict):
        map_type = node.map
        if not value or map_type is None or map_type.atomic:
            return EMPTY
        elements = map_type.elements
        out: FieldSet = {".": EMPTY}
        if not map_type.fields and map_type.element is not None and not map_type.element.map and not map_type.element.list:
            for name in value:
                out["f:" + name] = EMPTY
            return out
        for name, below in value.items():
            out[elements.get(name) or "f:" + name] = everything(map_type.at(name) or _UNKNOWN, below)
        return out
    if isinstance(value, list):
        list_type = node.list
        if not value or list_type is None or list_type.kind == "atomic":
            return EMPTY
        out = {".": EMPTY}
        groups = _group(list_type, value)
        for element, items in groups.items():
            out[element] = everything(list_type.element, items[0]) if len(items) == 1 else EMPTY
        return out
    return EMPTY
