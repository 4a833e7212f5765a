"""Types and objects that the tests of apply share."""

from typing import Any

from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.structural import Schema

NOW = "2024-01-01T00:00:00Z"
LATER = "2024-01-01T00:01:00Z"

CONFIG_MAP = Schema(
    type="object",
    ref="io.k8s.api.core.v1.ConfigMap",
    properties={
        "immutable": Schema(type="boolean"),
        "data": Schema(type="object", additional=Schema(type="string")),
    },
)
ROLE = Schema(
    type="object",
    ref="io.k8s.api.core.v1.Sample",
    properties={
        "spec": Schema(type="object", properties={"size": Schema(type="integer"), "names": Schema(type="array")}),
        "count": Schema(type="integer", default=0, has_default=True),
    },
)
"""A built-in type whose spec is no pointer and whose count is always written."""

_TEXT = {"type": "string"}
_ITEM = {"type": "object", "properties": {"k": _TEXT, "v": _TEXT, "n": {"type": "integer"}}, "required": ["k"]}
_PORT = {
    "type": "object",
    "properties": {"port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "name": _TEXT},
}
_PAIR = {"type": "object", "properties": {"a": _TEXT, "b": _TEXT}}


def _by(items: Any, *keys: str) -> dict[str, Any]:
    return {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys), "items": items}


THING_SPEC = {
    "atomicList": {"type": "array", "items": _TEXT},
    "set": {"type": "array", "items": _TEXT, "x-kubernetes-list-type": "set"},
    "map": _by(_ITEM, "k"),
    "ports": _by(_PORT, "port", "protocol"),
    "granular": _PAIR,
    "atomicMap": _PAIR | {"x-kubernetes-map-type": "atomic"},
    "free": {"type": "object", "additionalProperties": _TEXT},
    "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "replicas": {"type": "integer"},
    "flag": {"type": "boolean"},
    "nullable": {"type": "string", "nullable": True},
}
STATUS = {"type": "object", "properties": {"phase": _TEXT}}
THING = from_openapi({"type": "object", "properties": {"spec": {"type": "object", "properties": THING_SPEC}, "status": STATUS}})


def config_map(data: Any = None, **metadata: Any) -> dict[str, Any]:
    out: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", **metadata}}
    return out if data is None else {**out, "data": data}


def thing(spec: Any = None, **more: Any) -> dict[str, Any]:
    out: dict[str, Any] = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}, **more}
    return out if spec is None else {**out, "spec": spec}


def entry(
    manager: str,
    fields: dict[str, Any],
    *,
    operation: str = "Update",
    version: str = "v1",
    time: str = NOW,
    subresource: str = "",
) -> dict[str, Any]:
    out = {"manager": manager, "operation": operation, "apiVersion": version, "time": time, "fieldsType": "FieldsV1"}
    return {**out, "fieldsV1": fields, **({"subresource": subresource} if subresource else {})}


def owners(obj: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """(manager, operation) → what it owns."""
    return {(e["manager"], e["operation"]): e["fieldsV1"] for e in obj["metadata"].get("managedFields", [])}
