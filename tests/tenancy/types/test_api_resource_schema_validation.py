"""Which APIResourceSchemas are accepted, with kcp's paths."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.tenancy.types.api_resource_schema_validation import validate_api_resource_schema
from tests.kube.definitions import S, obj_schema


def schema_object(**spec: Any) -> dict[str, Any]:
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    one = {"name": "v1", "served": True, "storage": True, "schema": obj_schema(a=S)}
    return {
        "metadata": {"name": "rev1.things.g.example"},
        "spec": {"group": "g.example", "names": names, "scope": "Namespaced", "versions": [one], **spec},
    }


def test_api_resource_schemas() -> None:
    assert validate_api_resource_schema(schema_object()) == []
    assert "spec.group" in [e.field for e in validate_api_resource_schema(schema_object(group="core"))]
    bad = schema_object()
    bad["metadata"]["name"] = "1.things.g.example"
    assert [e.field for e in validate_api_resource_schema(bad)] == ["metadata.name"]
    bad = schema_object()
    bad["spec"]["versions"][0]["schema"] = obj_schema(a={})
    assert [e.field for e in validate_api_resource_schema(bad)] == ["spec.versions[0].schema.properties[a].type"]
    two = schema_object()
    two["spec"]["versions"].append(two["spec"]["versions"][0] | {"name": "v2", "storage": False})
    assert [e.field for e in validate_api_resource_schema(two)] == ["spec.conversion"]


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"type": "object", "properties": {"a": 5}}, "spec.versions[0].schema.properties.a"),
        ({"type": "object", "pattern": True}, "spec.versions[0].schema.pattern"),
        ({"type": "object", "allOf": {"a": 1}}, "spec.versions[0].schema.allOf"),
        ({"type": {}}, "spec.versions[0].schema.type"),
    ],
)
def test_schemas_that_are_none(schema: dict[str, Any], field: str) -> None:
    bad = schema_object()
    bad["spec"]["versions"][0]["schema"] = schema
    assert [e.field for e in validate_api_resource_schema(bad)] == [field]
