"""Merges an applied configuration into a live object (structured-merge-diff's Merge)."""

from __future__ import annotations

from typing import Any

from tenantry.kube.apply.field_set import display
from tenantry.kube.apply.typed import ABSENT, DEDUCED, ListType, MapType, Node, TypedError


def merge(node: Node, live: Any, config: Any) -> Any:
    """The live value with all values of the configuration; nothing is removed. The inputs are not changed, and the result shares
    unchanged parts with them.

    Raises TypedError where a list item has no key, or where the configuration repeats a key.
    """
    return _merge(node, live, config)


def _merge(node: Node, live: Any, config: Any) -> Any:
    """The merged value. ABSENT where nothing is left, which happens only for containers."""
    kind = node.kind(live if config is ABSENT else config)
    if kind == "map" and node.map is not None and not node.map.atomic:
        ours = live if isinstance(live, dict) else None
        theirs = config if isinstance(config, dict) else None
        if ours or theirs:
            return _merge_fields(node.map, ours or {}, theirs or {})
    elif kind == "list" and node.list is not None and node.list.kind != "atomic":
        old = live if isinstance(live, list) else None
        new = config if isinstance(config, list) else None
        if old or new:
            return _merge_items(node.list, old or [], new or [])
    return live if config is ABSENT else config


def _merge_fields(map_type: MapType, live: dict[str, Any], config: dict[str, Any]) -> Any:
    out: dict[str, Any] = {}
    for name, ours in live.items():
        theirs = config.get(name, ABSENT)
        merged = ours if theirs is ABSENT else _merge(map_type.at(name) or DEDUCED, ours, theirs)
        if merged is not ABSENT:
            out[name] = merged
    for name, theirs in config.items():
        if name not in live:
            merged = _merge(map_type.at(name) or DEDUCED, ABSENT, theirs)
            if merged is not ABSENT:
                out[name] = merged
    return out or ABSENT


class _Items:
    """The items of a list by path element, in order. A live list may repeat an element; such items are not merged."""

    def __init__(self, list_type: ListType, items: list[Any], *, repeats: bool) -> None:
        self.elements: list[str] = []
        self.values: dict[str, Any] = {}
        for item in items:
            element = list_type.item_element(item)
            if element in self.values:
                if not repeats:
                    raise TypedError(f"duplicate entries for key {display((element,))}")
                self.values[element] = None
            else:
                self.values[element] = item
            self.elements.append(element)


def _merge_items(list_type: ListType, live: list[Any], config: list[Any]) -> Any:
    """The items of both lists. Items in both are in the configuration's order; others of the live list stay near their
    neighbours."""
    ours, theirs = _Items(list_type, live, repeats=True), _Items(list_type, config, repeats=False)
    shared = iter([element for element in theirs.elements if element in ours.values])
    awaited = next(shared, None)
    taken: set[str] = set()
    out: list[Any] = []

    def put(element: str, left: Any, right: Any) -> None:
        merged = _merge(list_type.element, left, right)
        if merged is not ABSENT:
            out.append(merged)

    left = right = 0
    while left < len(ours.elements) or right < len(theirs.elements):
        if left < len(ours.elements) and right < len(theirs.elements):
            element = ours.elements[left]
            if element == theirs.elements[right]:
                taken.add(element)
                put(element, ours.values[element], theirs.values[element])
                left, right, awaited = left + 1, right + 1, next(shared, None)
                continue
            if element in theirs.values and awaited is not None and awaited != element:
                # It is also in the configuration, at another place: it is put there.
                left += 1
                continue
        if left < len(ours.elements):
            element = ours.elements[left]
            if element not in theirs.values:
                put(element, live[left], ABSENT)
                left += 1
                continue
            if element in taken:
                left += 1
        if right < len(theirs.elements):
            element = theirs.elements[right]
            taken.add(element)
            put(element, ours.values.get(element, ABSENT), theirs.values[element])
            right += 1
            if awaited == element:
                awaited = next(shared, None)
    return out or ABSENT
