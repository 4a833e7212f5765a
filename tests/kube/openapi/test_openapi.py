"""OpenAPI documents of a set of APIs."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tenantry.kube import openapi
from tenantry.kube.api_set import ApiSet
from tenantry.kube.schema.parse import from_openapi, to_openapi
from tests.kube.definitions import APIS, CLUSTER_THINGS, THINGS, S, define, obj_schema, version
from tests.support.protobuf import fields


def document(group: str, version_name: str, apis: ApiSet = APIS) -> Any:
    return orjson.loads(b"".join(openapi.document(apis, group, version_name)))


def test_index_and_hashes() -> None:
    paths = openapi.index(APIS)["paths"]
    assert (
        paths["apis/g.example/v1"]["serverRelativeURL"]
        == f"/openapi/v3/apis/g.example/v1?hash={openapi.digest(APIS, 'g.example', 'v1')}"
    )
    assert "api/v1" in paths
    same = ApiSet([THINGS, CLUSTER_THINGS])
    assert openapi.digest(same, "g.example", "v1") == openapi.digest(APIS, "g.example", "v1")
    assert openapi.digest(ApiSet([THINGS]), "g.example", "v1") != openapi.digest(APIS, "g.example", "v1")
    assert openapi.digest(APIS, "g.example", "v1beta1") != openapi.digest(APIS, "g.example", "v1")


def test_the_index_has_what_is_served_beside_resources() -> None:
    """Groups with custom types only have no document of their own."""
    paths = openapi.index(APIS)["paths"]
    assert {"api", "apis", "version", "apis/rbac.authorization.k8s.io", "openid/v1/jwks"} <= set(paths)
    assert "apis/g.example" not in paths and "apis/" not in paths
    assert list(paths) == sorted(paths)
    for path in ("api", "apis", "version", "apis/rbac.authorization.k8s.io", ".well-known/openid-configuration"):
        encoded, digest = openapi.root_document(APIS, path) or (b"", "")
        made = orjson.loads(encoded)
        assert paths[path]["serverRelativeURL"] == f"/openapi/v3/{path}?hash={digest}"
        assert (made["info"]["version"], list(made["paths"])) == ("1.37", [f"/{path}/"])
        known = made["components"].get("schemas", {})
        assert set(re.findall(rb'"#/components/schemas/([^"]+)"', encoded)) <= {name.encode() for name in known}
    for path in ("apis/g.example", "apis/none.example", "nothing", "", "api/v1"):
        assert openapi.root_document(APIS, path) is None


def test_operations_stand_in_the_order_of_http_methods() -> None:
    item = document("g.example", "v1")["paths"]["/apis/g.example/v1/namespaces/{namespace}/things/{name}"]
    assert list(item) == ["get", "put", "delete", "patch", "parameters"]
    assert "parameters" not in document("", "v1")["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]["get"]


@pytest.mark.parametrize("first", [0, 1])
def test_a_type_with_fewer_verbs_has_a_document_of_its_own(first: int) -> None:
    """Views serve types with fewer verbs, of the same versions."""
    versions = {name: replace(version, memo={}) for name, version in THINGS.versions.items()}
    both = [replace(THINGS, versions=versions), replace(THINGS, versions=versions, verbs=("get",))]
    item, things = "/apis/g.example/v1/namespaces/{namespace}/things/{name}", "example.g.v1.ThingList"
    for which in (first, 1 - first):
        made = document("g.example", "v1", ApiSet([both[which]]))
        assert ("patch" in made["paths"][item]) is (which == 0)
        assert (things in made["components"]["schemas"]) is (which == 0)


def test_paths() -> None:
    paths = document("g.example", "v1")["paths"]
    item = "/apis/g.example/v1/namespaces/{namespace}/things/{name}"
    assert sorted(paths[item]) == ["delete", "get", "parameters", "patch", "put"]
    assert sorted(paths["/apis/g.example/v1/things"]) == ["get", "parameters"]
    assert sorted(paths["/apis/g.example/v1/cthings"]) == ["delete", "get", "parameters", "post"]
    assert sorted(paths[f"{item}/scale"]) == ["get", "parameters", "patch", "put"]
    patch = paths[item]["patch"]
    assert patch["operationId"] == "patchGExampleV1NamespacedThing"
    assert patch["x-kubernetes-action"] == "patch"
    assert patch["x-kubernetes-group-version-kind"] == {"group": "g.example", "kind": "Thing", "version": "v1"}
    # kubectl looks for these before it writes.
    assert {"dryRun", "fieldValidation", "force"} <= {p["name"] for p in patch["parameters"]}
    assert "application/strategic-merge-patch+json" not in patch["requestBody"]["content"]
    core = document("", "v1")["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]
    assert "application/strategic-merge-patch+json" in core["patch"]["requestBody"]["content"]
    assert core["get"]["operationId"] == "readCoreV1NamespacedConfigMap"


def test_components() -> None:
    schemas = document("g.example", "v1")["components"]["schemas"]
    thing = schemas["example.g.v1.Thing"]
    assert thing["x-kubernetes-group-version-kind"] == [{"group": "g.example", "kind": "Thing", "version": "v1"}]
    assert thing["properties"]["metadata"]["allOf"] == [
        {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    ]
    assert thing["properties"]["spec"]["properties"]["a"] == {"type": "string", "default": "x"}
    assert thing["properties"]["spec"]["properties"]["q"]["anyOf"] == [{"type": "integer"}, {"type": "string"}]
    assert schemas["example.g.v1.ThingList"]["properties"]["items"]["items"] == {
        "$ref": "#/components/schemas/example.g.v1.Thing"
    }


def test_every_reference_has_its_component() -> None:
    for group, versions in APIS.groups().items():
        for name in versions:
            made = document(group, name)
            wanted = set(re.findall(r'"#/components/schemas/([^"]+)"', orjson.dumps(made).decode()))
            assert wanted <= set(made["components"]["schemas"]), (group, name)


def test_swagger() -> None:
    made = orjson.loads(b"".join(openapi.v2(APIS)))
    assert made["swagger"] == "2.0"
    thing = made["definitions"]["example.g.v1.Thing"]
    assert thing["properties"]["spec"]["properties"]["a"] == {"type": "string"}
    assert thing["properties"]["spec"]["properties"]["q"] == {"x-kubernetes-int-or-string": True}
    assert "io.k8s.api.core.v1.ConfigMap" in made["definitions"]
    wanted = set(re.findall(r'"#/definitions/([^"]+)"', orjson.dumps(made).decode()))
    assert wanted <= set(made["definitions"])


def test_paths_of_swagger_are_those_of_openapi() -> None:
    made = orjson.loads(b"".join(openapi.v2(APIS)))
    wanted: dict[str, list[str]] = {}
    for group, versions in APIS.groups().items():
        for name in versions:
            for path, item in document(group, name)["paths"].items():
                wanted[path] = sorted(item)
    assert {path: sorted(item) for path, item in made["paths"].items()} == wanted
    references = set(re.findall(r'"#/parameters/([^"]+)"', orjson.dumps(made).decode()))
    assert references == set(made["parameters"])
    core = made["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]
    assert "application/strategic-merge-patch+json" in core["patch"]["consumes"]
    assert "application/vnd.kubernetes.protobuf" in core["get"]["produces"]
    (body,) = [each for each in core["put"]["parameters"] if "in" in each]
    assert body == {
        "in": "body",
        "name": "body",
        "required": True,
        "schema": {"$ref": "#/definitions/io.k8s.api.core.v1.ConfigMap"},
    }
    assert core["get"]["responses"]["200"]["schema"] == body["schema"]


def read(raw: bytes) -> list[tuple[int, bytes]]:
    return list(fields(raw))


def entries(raw: bytes, number: int) -> dict[str, bytes]:
    """The named entries of a message, by name."""
    found = [dict(read(part)) for each, part in read(raw) if each == number]
    return {entry[1].decode(): entry[2] for entry in found}


def test_the_document_in_protobuf_has_the_same_paths_and_definitions() -> None:
    wanted = orjson.loads(b"".join(openapi.v2(APIS)))
    whole = dict(read(b"".join(openapi.v2_protobuf(APIS))))
    assert whole[1] == b"2.0"
    assert set(entries(whole[8], 2)) == set(wanted["paths"])
    assert set(entries(whole[10], 1)) == set(wanted["parameters"])
    definitions = entries(whole[9], 1)
    assert set(definitions) == set(wanted["definitions"])
    extensions = {}
    for number, part in read(definitions["io.k8s.api.core.v1.ConfigMap"]):
        if number == 31:
            named = dict(read(part))
            extensions[named[1].decode()] = orjson.loads(dict(read(named[2]))[2])
    shown = wanted["definitions"]["io.k8s.api.core.v1.ConfigMap"]
    assert extensions == {key: value for key, value in shown.items() if key.startswith("x-")} != {}


def test_pieces_of_the_document_in_protobuf_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = b"".join(openapi.v2_protobuf(APIS))
    monkeypatch.setattr(openapi, "_PIECE_BYTES", 2000)
    largest = max(len(entry) for raw in dict(read(whole)).values() for _, entry in read(raw) if len(raw) > 10_000)
    pieces = list(openapi.v2_protobuf(APIS))
    assert b"".join(pieces) == whole
    # Large entries stay alone, with their tag and size.
    assert max(map(len, pieces)) <= largest + 8
    assert len(pieces) > len(whole) // 4000


def test_a_bound_of_zero_is_described() -> None:
    zeros = {"minimum": 0, "maximum": 0, "minLength": 0, "minItems": 0, "maxProperties": 0, "multipleOf": 0.5}
    assert to_openapi(from_openapi(zeros)) == zeros


def test_selectable_fields_are_told_with_the_type_and_its_list() -> None:
    things = define(
        version(obj_schema(spec=obj_schema(a=S, b=S)), selectableFields=[{"jsonPath": ".spec.b"}, {"jsonPath": ".spec.a"}])
    )
    declared = [{"fieldPath": "spec.b"}, {"fieldPath": "spec.a"}]
    schemas = document("g.example", "v1", ApiSet([things]))["components"]["schemas"]
    definitions = orjson.loads(b"".join(openapi.v2(ApiSet([things]))))["definitions"]
    for found in (schemas, definitions):
        for name in ("example.g.v1.Thing", "example.g.v1.ThingList"):
            assert found[name]["x-kubernetes-selectable-fields"] == declared
    assert "x-kubernetes-selectable-fields" not in document("", "v1")["components"]["schemas"]["io.k8s.api.core.v1.Event"]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"type": "array", "nullable": True, "items": S}, {}),
        (
            {"type": "array", "x-kubernetes-preserve-unknown-fields": True, "items": S},
            {"x-kubernetes-preserve-unknown-fields": True},
        ),
        ({"x-kubernetes-preserve-unknown-fields": True} | obj_schema(a=S), {"x-kubernetes-preserve-unknown-fields": True}),
        (obj_schema("a", "b", a=S | {"nullable": True}, b=S), obj_schema("b", a={}, b=S)),
        (obj_schema("a", a=S | {"nullable": True}), obj_schema(a={})),
        (obj_schema("a", a=S | {"nullable": True}) | {"nullable": True}, {"required": ["a"]}),
        (
            {"type": "object", "required": ["a"], "additionalProperties": S | {"nullable": True}},
            {"type": "object", "additionalProperties": {}},
        ),
    ],
)
def test_swagger_says_nothing_that_old_clients_take_for_a_refusal(given: Any, wanted: Any) -> None:
    assert to_openapi(from_openapi(given), v2=True) == wanted


def test_a_kind_that_keeps_unknown_fields_has_none_in_swagger() -> None:
    things = define(version(obj_schema(spec=S) | {"x-kubernetes-preserve-unknown-fields": True}))
    kind = {"group": "g.example", "version": "v1", "kind": "Thing"}
    shown = orjson.loads(b"".join(openapi.v2(ApiSet([things]))))["definitions"]["example.g.v1.Thing"]
    assert shown == {"type": "object", "x-kubernetes-group-version-kind": [kind]}
    shown = document("g.example", "v1", ApiSet([things]))["components"]["schemas"]["example.g.v1.Thing"]
    assert shown["x-kubernetes-preserve-unknown-fields"] and set(shown["properties"]) == {
        "apiVersion",
        "kind",
        "metadata",
        "spec",
    }


EMBEDDED = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": S}, "required": ["kind"]}


def test_embedded_resources_have_the_fields_that_every_object_has() -> None:
    kept = {**EMBEDDED, "x-kubernetes-preserve-unknown-fields": True}
    things = define(version(obj_schema(one=EMBEDDED, many={"type": "array", "items": EMBEDDED}, kept=kept)))
    own = document("g.example", "v1", ApiSet([things]))["components"]["schemas"]["example.g.v1.Thing"]["properties"]
    for shown in (own["one"], own["many"]["items"], own["kept"]):
        assert set(shown["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
        assert shown["required"] == ["kind", "apiVersion"]
        assert shown["properties"]["metadata"]["allOf"][0]["$ref"].endswith(".ObjectMeta")
    own = orjson.loads(b"".join(openapi.v2(ApiSet([things]))))["definitions"]["example.g.v1.Thing"]["properties"]
    assert own["one"]["properties"]["metadata"]["$ref"].endswith(".ObjectMeta")
    # kubectl would refuse unknown fields.
    assert "properties" not in own["kept"]


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"type": "object", "additionalProperties": False}, {"type": "object", "additionalProperties": False}),
        ({"type": "object", "additionalProperties": True}, {"type": "object", "additionalProperties": True}),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, {"x-kubernetes-preserve-unknown-fields": True}),
        ({"type": "array", "x-kubernetes-preserve-unknown-fields": True}, {"x-kubernetes-preserve-unknown-fields": True}),
        (
            {"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "string", "nullable": True}, "b": S}},
            {"type": "object", "required": ["b"], "properties": {"a": {}, "b": S}},
        ),
    ],
)
def test_schemas_in_swagger(schema: Any, shown: Any) -> None:
    assert to_openapi(from_openapi(schema), v2=True) == shown
    assert to_openapi(from_openapi(schema)) == schema
