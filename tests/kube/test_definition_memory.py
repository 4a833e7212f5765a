"""What a custom type is said to take of the memory is about what it takes."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import orjson
import pytest

from tenantry.base.cache import caches
from tenantry.kube import openapi
from tenantry.kube.api_set import ApiSet
from tenantry.kube.custom import definition_from_crd
from tenantry.kube.schema.default import default
from tenantry.kube.schema.prune import prune
from tenantry.kube.schema.validate import validate


def nested(depth: int, width: int) -> dict[str, Any]:
    if not depth:
        return {"type": "string", "description": "words on what this is for " * 3}
    return {"type": "object", "properties": {f"field{number}": nested(depth - 1, width) for number in range(width)}}


def flat(schema: dict[str, Any], count: int = 500) -> dict[str, Any]:
    return {"type": "object", "properties": {f"f{number}": schema for number in range(count)}}


def crd(schema: dict[str, Any]) -> bytes:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    spec = {"group": "x.example", "scope": "Cluster", "names": names, "versions": [version]}
    return orjson.dumps({"metadata": {"name": "things.x.example", "uid": "u"}, "spec": spec, "status": {"acceptedNames": names}})


def used_bytes() -> int:
    for cache in caches():
        cache.clear()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.parametrize(
    "schema",
    [
        nested(3, 8),
        flat({"type": "string"}),
        flat({"x-kubernetes-preserve-unknown-fields": True}),
        flat({"type": "string", "enum": [f"value{number}" for number in range(20)]}),
        flat({"type": "array", "items": {"type": "integer", "minimum": 1}, "default": [1, 2, 3]}),
        {"type": "object", "description": "x" * 300_000},
    ],
    ids=["nested", "strings", "preserved", "enums", "lists", "text"],
)
def test_a_definition_tells_what_it_takes(schema: dict[str, Any]) -> None:
    encoded = crd(schema)

    def used() -> ApiSet:
        definition = definition_from_crd(orjson.loads(encoded))
        apis = ApiSet([definition])
        list(openapi.document(apis, "x.example", "v1"))
        list(openapi.v2(apis))
        shape = definition.versions["v1"].schema
        assert shape is not None
        obj: dict[str, Any] = {"metadata": {"name": "n"}}
        prune(obj, shape)
        default(obj, shape)
        validate(obj, shape)
        return apis

    used()
    tracemalloc.start()
    try:
        before = used_bytes()
        apis = used()
        taken = used_bytes() - before
    finally:
        tracemalloc.stop()
    estimated = apis.definitions[0].memory_bytes
    assert taken / 2 <= estimated <= 6 * taken, (taken, estimated)
