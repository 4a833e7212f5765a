"""Descriptions of built-in types in OpenAPI documents."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tenantry.kube import openapi
from tenantry.kube.api_set import ApiSet
from tenantry.kube.custom import definition_from_crd
from tenantry.kube.message_tables import DELETE_OPTIONS
from tenantry.kube.openapi.components import LIST_META, SCALE, STATUS, V2, V3, collect
from tenantry.kube.openapi.descriptions import _all, description
from tenantry.kube.openapi.fragment import fragment
from tenantry.kube.schema.structural import Schema
from tenantry.kube.types import BUILTINS
from tests.kube.definitions import APIS

ROOTS = [
    *(version.schema for d in BUILTINS for version in d.versions.values()),
    LIST_META,
    STATUS,
    SCALE,
]
UNDESCRIBED = {"$schema", "$ref", "id", "patternProperties", "definitions", "additionalItems", "dependencies"}
"""Fields of schemas that a structural schema does not have."""


@pytest.mark.parametrize("form", [V2, V3], ids=["v2", "v3"])
def test_every_field_of_the_built_in_types_is_described(form: Any) -> None:
    found = collect(ROOTS, form)
    missing = [
        f"{ref.rpartition('.')[2]}.{name}"
        for ref, component in found.items()
        for name, shown in component.get("properties", {}).items()
        if "description" not in shown and name not in {*UNDESCRIBED, "apiVersion", "kind", "metadata"}
    ]
    assert missing == []
    assert [ref for ref, component in found.items() if "description" not in component] == []


def test_every_description_is_of_a_field_that_exists() -> None:
    """A line that no component shows has a name that is wrong."""
    known: dict[str, Schema] = {}

    def walk(schema: Schema | None) -> None:
        if schema is None or (schema.ref and schema.ref in known):
            return
        if schema.ref:
            known[schema.ref] = schema
        for child in (*schema.properties.values(), schema.items, schema.additional):
            if isinstance(child, Schema):
                walk(child)

    for definition in BUILTINS:
        for version in definition.versions.values():
            walk(version.schema)
    for path in ("api", "apis", "apis/rbac.authorization.k8s.io", "version"):
        document, _ = openapi.root_document(APIS, path) or (b"", "")
        for ref, component in orjson.loads(document)["components"]["schemas"].items():
            known[ref] = Schema(properties=dict.fromkeys(component.get("properties", {}), Schema()))
    for schema in (
        LIST_META,
        STATUS,
        SCALE,
        DELETE_OPTIONS.schema,
        Schema(ref="io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
    ):
        walk(schema)
    names = {".".join(ref.rsplit(".", 3)[-3:]): schema for ref, schema in known.items()}
    wrong = [name for name in _all() if name not in names]
    wrong += [f"{name}.{field}" for name, of in _all().items() for field in of.fields if field not in names[name].properties]
    assert wrong == []


def test_a_reference_keeps_its_description_beside_it() -> None:
    in_v3, in_v2 = (collect(ROOTS, form)["io.k8s.api.rbac.v1.RoleBinding"]["properties"]["roleRef"] for form in (V3, V2))
    assert in_v3["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.rbac.v1.RoleRef"}] and in_v3["description"]
    assert in_v2["$ref"] == "#/definitions/io.k8s.api.rbac.v1.RoleRef" and in_v2["description"] == in_v3["description"]


def things(group: str, kind: str = "Thing") -> Any:
    names = {"plural": f"{kind.lower()}s", "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [version]}
    return definition_from_crd({"metadata": {"name": f"{names['plural']}.{group}", "uid": "1"}, "spec": spec})


def test_a_custom_type_does_not_get_the_words_of_a_built_in_one() -> None:
    """Its component has the same end of its name."""
    assert description("example.rbac.v1.Role").text == ""
    definition = things("rbac.example", "Role")
    made = orjson.loads(b"".join(openapi.document(ApiSet([definition]), "rbac.example", "v1")))
    assert "description" not in made["components"]["schemas"]["example.rbac.v1.Role"]
    assert made["info"] == {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}


def test_types_share_the_components_that_all_have() -> None:
    """Descriptions cost a workspace nothing: a type of its own has the bytes of its own component, and no others."""
    one, other = things("one.example"), things("other.example")
    first, second = (fragment(d, d.versions["v1"]).schemas for d in (one, other))
    shared = {name for name in first if name in second and first[name] is second[name]}
    assert len(shared) >= 8
    assert {name for name in first if name not in shared} == {"example.one.v1.Thing", "example.one.v1.ThingList"}
    assert sum(len(first[name]) for name in first if name not in shared) < 3000
