"""Who manages hidden fields: no manager loses or gains one by a write through the view."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import orjson

from tenantry.kube.apply import field_set
from tenantry.kube.apply.field_set import FieldSet
from tenantry.kube.apply.managers import Managers, decode, encode
from tenantry.kube.objects import Object
from tenantry.virtual.declared.hidden.paths import Hidden, Paths, tree


class Parts(NamedTuple):
    """A field set in two parts."""

    shown: FieldSet
    hidden: FieldSet


def managers_shown(entries: list[Object] | None, paths: Paths) -> list[Object] | None:
    """managedFields without the hidden fields; None for none."""
    return _encoded({manager: owned for manager, owned in _shown(decode(entries, trusted=True), paths).items() if owned.fields})


def managers_stored(entries: list[Object] | None, old: list[Object] | None, paths: Paths) -> list[Object] | None:
    """What is stored for the managedFields that a write through the view has made: with what `old` says of the hidden fields."""
    paths = tree(paths)
    made = _shown(decode(entries, trusted=True), paths)
    for manager, owned in decode(old, trusted=True).items():
        hidden = parts_of(owned.fields, paths).hidden
        if not hidden:
            continue
        now = made.get(manager)
        if now is None:
            made[manager] = replace(owned, fields=hidden)
        else:
            now.fields = field_set.ordered(field_set.union(now.fields, hidden))
    return _encoded({manager: owned for manager, owned in made.items() if owned.fields})


def parts_of(fields: FieldSet, paths: Paths) -> Parts:
    """The members of a field set that a view shows, and those that it hides: hidden fields and all below them, and items of lists
    that are named by hidden fields."""
    shown: FieldSet = {}
    hidden: FieldSet = {}
    place = tree(paths)
    for element, children in fields.items():
        below_it = _below(element, place)
        if below_it is not None and (below_it.here or _has_hidden_key(element, below_it)):
            hidden[element] = children
            continue
        if below_it is None or not children:
            shown[element] = children
            continue
        inner = parts_of(children, below_it)
        if inner.hidden:
            hidden[element] = inner.hidden
        if inner.shown:
            shown[element] = inner.shown if inner.shown.keys() != {"."} else field_set.EMPTY
    return Parts(shown, hidden)


def _below(element: str, place: Hidden) -> Hidden | None:
    """What is hidden below an element. Items of lists do not count."""
    if element == ".":
        return None
    return place.of(element[2:]) if element.startswith("f:") else place


def _has_hidden_key(element: str, item: Hidden) -> bool:
    """Whether an element is an item of a list, with a hidden field among its keys."""
    return element.startswith("k:") and any(inner.here for _, inner in item.among(orjson.loads(element[2:])))


def _shown(managers: Managers, paths: Paths) -> Managers:
    paths = tree(paths)
    return {manager: replace(owned, fields=parts_of(owned.fields, paths).shown) for manager, owned in managers.items()}


def _encoded(managers: Managers) -> list[Object] | None:
    return encode(managers) or None
