"""Patches, selectors, YAML, schemas, owners and roles that grow: what is no object of a type."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from tenantry.apiserver.verbs.selection import Selection
from tenantry.kube.apply.managed_fields import record_update
from tenantry.kube.apply.server_side import apply
from tenantry.kube.codec import json_codec, protobuf, yaml_codec
from tenantry.kube.codec.protobuf_encoding import encode
from tenantry.kube.crd_validation import validate_crd
from tenantry.kube.metadata_validation import owner_warnings, validate_metadata
from tenantry.kube.patch import json_patch, strategic_patch
from tenantry.kube.schema.default import default
from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.prune import prune
from tenantry.kube.schema.structural import Schema
from tenantry.kube.schema.validate import validate
from tenantry.kube.selectors import fields, labels
from tenantry.kube.status import CAUSES_MAX, StatusError, invalid
from tenantry.kube.types import config_map, service_account
from tenantry.storage.keys import Key
from tests.growth.meter import Seen, assert_linear, assert_time_is_linear
from tests.support.protobuf import envelope, message

NOW = "2024-01-01T00:00:00Z"
ACCOUNTS = service_account.DEFINITION.versions["v1"].schema
KEYED = Schema(
    type="object",
    properties={
        "list": Schema(
            type="array",
            items=Schema(type="object", properties={"name": Schema(type="string")}),
            patch_strategy=("merge",),
            patch_merge_key="name",
        ),
        "set": Schema(type="array", items=Schema(type="string"), patch_strategy=("merge",)),
        "map": Schema(type="object", additional=Schema(type="string"), patch_strategy=("retainKeys",)),
    },
)


def named(n: int, first: int = 0) -> list[dict[str, Any]]:
    return [{"name": f"x{i}"} for i in range(first, first + n)]


def owners(n: int, **more: Any) -> dict[str, Any]:
    references = [{"apiVersion": "v1", "kind": "A", "name": "x", "uid": Seen(f"u{i // 2}"), **more} for i in range(n)]
    return {"metadata": {"name": "a", "ownerReferences": references}}


def refused(work: Callable[[], object]) -> Callable[[], object]:
    """The work, which may end in a refusal of bounded length."""

    def run() -> None:
        try:
            work()
        except StatusError as error:
            assert len(orjson.dumps(error.to_object())) <= 200_000

    return run


def merge(document: Any, patch: Any) -> Callable[[], object]:
    return refused(lambda: strategic_patch.apply(document, patch, KEYED))


def custom(schema: Any, value: Any, old: Any = None) -> Callable[[], object]:
    parsed = from_openapi(schema)

    def run() -> None:
        copy = orjson.loads(orjson.dumps(value))
        prune(copy, parsed)
        default(copy, parsed)
        errors = validate(copy, parsed) if old is None else validate(copy, parsed, old=old)
        assert len(errors) <= CAUSES_MAX + 1
        if errors:
            assert len(orjson.dumps(invalid("g", "K", "x", errors).to_object())) <= 2 * len(orjson.dumps(value)) + 65536

    return refused(run)


MAP_LIST = {
    "type": "object",
    "properties": {
        "list": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer", "maximum": 1}}},
        }
    },
}


def alternatives(n: int) -> dict[str, Any]:
    branches = [{"properties": {"list": {"items": {"maxLength": i}}}} for i in range(n)]
    return {
        "type": "object",
        "properties": {"list": {"type": "array", "items": {"type": "string"}}},
        "anyOf": branches,
    }


def many_managers(n: int) -> list[dict[str, Any]]:
    return [
        {
            "manager": f"m{i}",
            "operation": "Update",
            "apiVersion": "v1",
            "time": NOW,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {f"f:k{i}": {}}},
        }
        for i in range(n)
    ]


def managed(n: int) -> Callable[[], object]:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {f"k{i}": "v" for i in range(n)}}
    entries = many_managers(n)
    appliers = [{**entry, "operation": "Apply"} for entry in entries]
    schema = config_map.DEFINITION.versions["v1"].schema

    def run() -> None:
        new = {**obj, "metadata": {"name": "x", "managedFields": entries}}
        record_update(new, obj, manager="me", api_version="v1", schema=schema, now=NOW)
        live = {**obj, "metadata": {"name": "x", "managedFields": appliers}}
        config = {**obj, "data": {f"k{i}": "other" for i in range(n)}}
        refused(lambda: apply(live, config, manager="me", force=False, api_version="v1", schema=schema, now=NOW))()
        apply(live, config, manager="me", force=True, api_version="v1", schema=schema, now=NOW)

    return run


def selector_over_objects(text: str, n: int) -> Callable[[], object]:
    """A selector of n requirements over n objects: what both are together, not their product."""
    parsed = labels.parse(text)
    return lambda: [parsed.matches({"a": "b", "c": f"d{i}"}) for i in range(n)]


def selection_over_records(text: str, n: int) -> Callable[[], object]:
    """The same of fields, over n records."""
    everything = Selection(config_map.DEFINITION, "v1", labels.parse(""), fields.parse(text))
    found: Any = [SimpleNamespace(key=Key("core/configmaps", "c", "x", f"o{i}")) for i in range(n)]
    return lambda: everything.apply(found)


def crd(n: int) -> Any:
    leaf: Any = {"type": "object", "properties": {f"p{i}": {"type": "string", "default": "x"} for i in range(n)}}
    return {
        "metadata": {"name": "ws.g.example.com"},
        "spec": {
            "group": "g.example.com",
            "scope": "Namespaced",
            "names": {"plural": "ws", "singular": "w", "kind": "W", "listKind": "WList"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": leaf}}],
        },
    }


DEFINITION_KIND = {"kind": "CustomResourceDefinition"}


def read_protobuf(schema: bytes) -> Callable[[], object]:
    """Reads a definition with this schema."""
    spec = message((7, message((4, message((1, schema))))))
    body = envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", message((2, spec)))
    return lambda: protobuf.decode(body)


def validated(obj: dict[str, Any]) -> Callable[[], object]:
    def run() -> None:
        warnings = owner_warnings(obj)
        errors = validate_metadata(obj, None, config_map.DEFINITION)
        assert sum(map(len, warnings)) <= 65536
        if errors:
            assert len(orjson.dumps(invalid("", "ConfigMap", "a", errors).to_object())) <= 65536

    return run


REQUESTS: dict[str, Callable[[int], Callable[[], object]]] = {
    "merge one item onto a list": lambda n: merge({"list": named(n)}, {"list": named(1)}),
    "merge a list onto a list": lambda n: merge({"list": named(n)}, {"list": named(n, n // 2)}),
    "merge a list onto nothing": lambda n: merge({}, {"list": named(n)}),
    "merge a list in order": lambda n: merge(
        {"list": named(n)}, {"$setElementOrder/list": named(n)[::-1], "list": named(n)[::-1]}
    ),
    "order a list": lambda n: merge({"list": named(n)}, {"$setElementOrder/list": named(n)[::-1]}),
    "delete items": lambda n: merge({"list": named(n)}, {"list": [{**item, "$patch": "delete"} for item in named(n)]}),
    "replace items": lambda n: merge({"list": named(n)}, {"list": [{"$patch": "replace"}, *named(n)]}),
    "an unknown directive": lambda n: merge({"list": named(n)}, {"list": [{"name": "x", "$patch": "y"}, *named(n)]}),
    "merge texts": lambda n: merge({"set": [f"a{i}" for i in range(n)]}, {"set": [f"b{i}" for i in range(n)]}),
    "delete texts": lambda n: merge(
        {"set": [f"a{i}" for i in range(n)]}, {"$deleteFromPrimitiveList/set": [f"a{i}" for i in range(n)]}
    ),
    "retain keys": lambda n: merge(
        {"map": {f"a{i}": "x" for i in range(n)}},
        {"map": {"$retainKeys": [f"a{i}" for i in range(n)], **{f"a{i}": "y" for i in range(n)}}},
    ),
    "merge secrets of an account": lambda n: refused(
        lambda: strategic_patch.apply({"secrets": named(n)}, {"secrets": named(1)}, ACCOUNTS)
    ),
    "JSON patch at the front": lambda n: refused(
        lambda: json_patch.apply({"list": []}, [{"op": "add", "path": "/list/0", "value": i} for i in range(n)])
    ),
    "JSON patch at the end": lambda n: refused(
        lambda: json_patch.apply({"list": []}, [{"op": "add", "path": "/list/-", "value": i} for i in range(n)])
    ),
    "JSON patch that copies": lambda n: refused(
        lambda: json_patch.apply({"a": "x"}, [{"op": "copy", "from": "/a", "path": f"/b{i}"} for i in range(n)])
    ),
    "owners": lambda n: validated(owners(n)),
    "owners that all control": lambda n: validated(owners(n, controller=True)),
    "owners without kind": lambda n: validated({"metadata": {"name": "a", "ownerReferences": [{} for _ in range(n)]}}),
    "finalizers": lambda n: validated({"metadata": {"name": "a", "finalizers": [Seen(f"f{i}") for i in range(n)]}}),
    "labels": lambda n: validated({"metadata": {"name": "a", "labels": {f"/{i}/": "!" for i in range(n)}}}),
    "a long key with many values": lambda n: custom(MAP_LIST, {"k" * n: [{"x": 1}] * n}),
    "keys that come twice": lambda n: (
        lambda: json_codec.decode(b"{" + b",".join(b'"a%d":1,"a%d":1' % (i, i) for i in range(n)) + b"}", duplicates=True)
    ),
    "one key that comes often": lambda n: lambda: json_codec.decode(b'{"a":{' + b'"b":1,' * n + b'"b":1}}', duplicates=True),
    "YAML": lambda n: refused(lambda: yaml_codec.decode(b"".join(b"a%d: [b, {c: d}]\n" % i for i in range(n)), duplicates=True)),
    "YAML that repeats keys": lambda n: refused(lambda: yaml_codec.decode(b"a: 1\n" * n, duplicates=True)),
    "YAML aliases": lambda n: refused(lambda: yaml_codec.decode(b"a: &a [" + b"x," * n + b"]\n" + b"b: [*a]\n", duplicates=True)),
    "YAML keys that are aliases": lambda n: refused(
        lambda: yaml_codec.decode(b"a: &a [" + b"x," * n + b"]\n" + b"? *a\n: 1\n" * n, duplicates=True)
    ),
    "YAML merges": lambda n: refused(
        lambda: yaml_codec.decode(b"a: &a {" + b"k" * n + b": 1}\nb: {" + b"<<: *a," * n + b"}", duplicates=True)
    ),
    "protobuf that is wide": lambda n: read_protobuf(message((25, b"")) * n),
    "protobuf with JSON": lambda n: read_protobuf(message((20, message((1, b'{"a":[1,2]}')))) * n),
    "protobuf with a map": lambda n: read_protobuf(message((29, message((1, "k"), (2, b"")))) * n),
    "protobuf that repeats itself": lambda n: read_protobuf(message((28, message((5, "x")))) * n),
    "definitions in protobuf": lambda n: partial(encode, {"apiVersion": "apiextensions.k8s.io/v1", **DEFINITION_KIND, **crd(n)}),
    "a list by keys": lambda n: custom(MAP_LIST, {"list": named(n)}),
    "a list by keys, repeated": lambda n: custom(MAP_LIST, {"list": named(1) * n}),
    "a list by keys, changed": lambda n: custom(
        MAP_LIST, {"list": [{**item, "n": 2} for item in named(n)]}, {"list": [{**item, "n": 3} for item in named(n)]}
    ),
    "a list by keys, forgiven": lambda n: custom(
        MAP_LIST, {"list": [{**item, "n": 2} for item in named(n)], "x": 1}, {"list": [{**item, "n": 2} for item in named(n)]}
    ),
    "unknown fields": lambda n: custom(MAP_LIST, {f"f{i}": 1 for i in range(n)}),
    "an enum": lambda n: custom(
        {"type": "object", "properties": {"list": {"type": "array", "items": {"type": "integer", "enum": list(range(n))}}}},
        {"list": list(range(n // 2, n + n // 2))},
    ),
    "managers": managed,
    "a definition": lambda n: lambda: validate_crd(crd(n), None),
    "a selector that needs labels": lambda n: selector_over_objects(",".join(f"k{i}" for i in range(n)), n),
    "a selector that forbids labels": lambda n: selector_over_objects(",".join(f"!k{i}" for i in range(n)), n),
    "a selector that forbids values": lambda n: selector_over_objects(",".join(f"c!=x{i}" for i in range(n)), n),
    "a selector of blanks": lambda n: lambda: labels.parse("a" + " " * n),
    "a field selector": lambda n: (lambda parsed: lambda: [parsed.matches({"metadata.name": f"o{i}"}) for i in range(n)])(
        fields.parse(",".join(f"metadata.name!=x{i}" for i in range(n)))
    ),
    "a selector of names": lambda n: selection_over_records(",".join(f"metadata.name!=x{i}" for i in range(n)), n),
    "a selector of namespaces": lambda n: selection_over_records(
        ",".join(f"metadata.namespace!=y{i},metadata.name!=x{i}" for i in range(n)), n
    ),
    "values of a selector": lambda n: (
        lambda: labels.from_object({"matchExpressions": [{"key": "a", "operator": "In", "values": [f"v{i}" for i in range(n)]}]})
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_costs_what_it_is(name: str) -> None:
    assert_linear(REQUESTS[name], small=64)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_takes_time_as_it_is_long(name: str) -> None:
    assert_time_is_linear(REQUESTS[name])


def test_alternatives_have_a_budget() -> None:
    value = {"list": ["x" * 5000] * 3000}
    errors = validate(value, from_openapi(alternatives(400)))
    assert "alternatives" in errors[-1].text


def test_aliases_do_not_repeat_a_long_text() -> None:
    body = b"a: &a " + b"x" * 100_000 + b"\nb: [" + b"*a," * 2000 + b"]\n"
    with pytest.raises(StatusError, match="excessive aliasing"):
        yaml_codec.decode(body)


def test_defaults_have_a_budget() -> None:
    item = {"type": "object", "properties": {"a": {"type": "string", "default": "x" * 100_000}}}
    schema = from_openapi({"type": "object", "properties": {"list": {"type": "array", "items": item}}})
    with pytest.raises(StatusError, match="defaults"):
        default({"list": [{} for _ in range(1000)]}, schema)


def test_moving_a_long_list_again_and_again_is_refused() -> None:
    operations = [{"op": "add", "path": "/list/0", "value": 1}] * 1000
    with pytest.raises(StatusError, match="may move"):
        json_patch.apply({"list": [0] * 100_000}, operations)
