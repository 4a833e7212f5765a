"""Which texts fields of built-in components may have (`enum`), for people who ask `kubectl explain` and for clients that check
objects. They are in `values.txt`, which is read when the first document is made. The server itself checks by the types' rules."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import orjson

from tenantry.kube.objects import Object

_BUILT_IN = "io.k8s.api"
_ITEMS = "[]"


def show_values(ref: str, properties: dict[str, Object]) -> None:
    """Sets them on the fields of a component, in place."""
    if not ref.startswith(_BUILT_IN):
        return
    for field, values in _all().get(".".join(ref.rsplit(".", 3)[-3:]), {}).items():
        name = field.removesuffix(_ITEMS)
        shown = properties.get(name)
        if shown is None:
            continue
        if field.endswith(_ITEMS):
            below = "items" if "items" in shown else "additionalProperties"
            properties[name] = {**shown, below: {**shown[below], "enum": list(values)}}
        else:
            properties[name] = {**shown, "enum": list(values)}


@cache
def _all() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """By the last three parts of the component's name, and the field."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for line in files(__package__).joinpath("values.txt").read_text(encoding="utf-8").splitlines():
        place, _, values = line.partition(": ")
        if values and not line.startswith("#"):
            component, _, field = place.rpartition(".")
            found.setdefault(component, {})[field] = tuple(orjson.loads(values))
    return found
