"""Definitions of custom types with structural schemas out of dice, and values that fit them, or nearly."""

from __future__ import annotations

import random
from typing import Any

Object = dict[str, Any]

_TEXTS = ("", "a", "b", "x-1", "é", "2024-01-01T00:00:00Z", "10.0.0.1", "1Gi")
_FORMATS = ("date-time", "ipv4", "uri", "byte", "duration", "no-such-format")
_NAMES = ("a", "b", "name", "spec", "size", "items", "c-d", "e.f")
_DEPTH_MAX = 4


def random_schema(dice: random.Random, depth: int = 0) -> Object:
    """A structural schema (KEP-1693) of any type, nested up to some levels."""
    kinds = ["string", "integer", "number", "boolean", "int-or-string", "any"]
    kinds += ["object", "object", "map", "array", "set", "keyed"] if depth < _DEPTH_MAX else []
    made = _of_kind(dice, dice.choice(kinds), depth)
    if dice.random() < 0.15 and "type" in made:
        made["nullable"] = True
    if dice.random() < 0.2 and depth:
        default = random_value(dice, made)
        if default is not None:
            made["default"] = default
    return made


def object_schema(dice: random.Random, depth: int = 0) -> Object:
    properties = {name: random_schema(dice, depth + 1) for name in dice.sample(_NAMES, dice.randrange(1, 5))}
    made: Object = {"type": "object", "properties": properties}
    if dice.random() < 0.2:
        made["required"] = [dice.choice(list(properties))]
    if dice.random() < 0.2:
        made["x-kubernetes-preserve-unknown-fields"] = True
    if dice.random() < 0.2:
        made["x-kubernetes-map-type"] = dice.choice(("granular", "atomic"))
    if dice.random() < 0.2:
        made["x-kubernetes-validations"] = [{"rule": "self == oldSelf || true"}]
    return made


def _of_kind(dice: random.Random, kind: str, depth: int) -> Object:
    text: Object = {"type": "string"}
    match kind:
        case "string" if dice.random() < 0.3:
            return text | dice.choice(
                ({"format": dice.choice(_FORMATS)}, {"maxLength": 4}, {"pattern": "^[a-z]*$"}, {"enum": ["a", "b"]})
            )
        case "integer":
            return {"type": "integer"} | dice.choice(({}, {"format": "int32"}, {"minimum": 0}, {"multipleOf": 2}))
        case "int-or-string":
            return {"x-kubernetes-int-or-string": True}
        case "any":
            return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        case "object":
            return object_schema(dice, depth)
        case "map":
            return {"type": "object", "additionalProperties": random_schema(dice, depth + 1)}
        case "array":
            return {"type": "array", "items": random_schema(dice, depth + 1)} | dice.choice(({}, {"maxItems": 2}))
        case "set":
            return {"type": "array", "x-kubernetes-list-type": "set", "items": dice.choice((text, {"type": "integer"}))}
        case "keyed":
            item = object_schema(dice, depth + 1)
            item["properties"] = item["properties"] | {"k": text}
            item["required"] = sorted({*item.get("required", ()), "k"})
            item.pop("x-kubernetes-map-type", None)
            listed: Object = {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
                "items": item,
            }
            return listed
    return {"type": kind}


def random_value(dice: random.Random, schema: Object) -> Any:
    """A value that often fits the schema."""
    if schema.get("nullable") and dice.random() < 0.1:
        return None
    if schema.get("x-kubernetes-int-or-string"):
        return dice.choice((1, "5%"))
    match schema.get("type"):
        case "string":
            return dice.choice(schema.get("enum") or _TEXTS)
        case "integer":
            return dice.choice((0, 2, 4, -2, 1 << 40))
        case "number":
            return dice.choice((0, 1.5, -2.0, 1e21))
        case "boolean":
            return dice.random() < 0.5
        case "array":
            values = [random_value(dice, schema["items"]) for _ in range(dice.randrange(4))]
            if schema.get("x-kubernetes-list-type") == "map":
                for number, value in enumerate(values):
                    value["k"] = f"k{number}"
            if schema.get("x-kubernetes-list-type") == "set":
                values = list(dict.fromkeys(values))
            return values[: schema.get("maxItems", 9)]
    if "additionalProperties" in schema:
        return {name: random_value(dice, schema["additionalProperties"]) for name in dice.sample(_NAMES, 2)}
    properties = schema.get("properties", {})
    needed = schema.get("required", ())
    return {name: random_value(dice, each) for name, each in properties.items() if name in needed or dice.random() < 0.8}


def random_definition(dice: random.Random, plural: str, group: str) -> tuple[Object, Object]:
    """A CustomResourceDefinition with one version, and an object for it."""
    kind = plural.removesuffix("s").capitalize()
    spec = object_schema(dice)
    spec["properties"] = spec["properties"] | {"replicas": {"type": "integer"}, "selected": {"type": "string"}}
    status: Object = {"type": "object", "properties": {"replicas": {"type": "integer"}}}
    version: Object = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
        "additionalPrinterColumns": [{"name": "R", "type": "integer", "jsonPath": ".spec.replicas"}],
    }
    if dice.random() < 0.6:
        scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
        version["subresources"] = {"status": {}, "scale": scale}
    if dice.random() < 0.6:
        version["selectableFields"] = [{"jsonPath": ".spec.selected"}]
    names = {"plural": plural, "singular": plural.removesuffix("s"), "kind": kind, "listKind": f"{kind}List"}
    definition: Object = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }
    sound = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "a"}, "spec": random_value(dice, spec)}
    return definition, sound
