"""Definitions as large as controllers' authors write them, a megabyte and more, are far from the bound of values."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import orjson

from tenantry.kube.codec import json_size
from tests.support.one_process import running
from tests.support.people import MASTER

CRDS = "apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PROPERTIES = 15_000
TEXT = "what this is there for"


def properties(number: count[int], left: int, depth: int) -> tuple[dict[str, Any], int]:
    """Some properties, each with a description: texts, numbers, lists of texts, and at every fourth place an object or a list of
    them, as in what embeds a pod's template."""
    found: dict[str, Any] = {}
    for at in range(12):
        if left <= 0:
            break
        left -= 1
        described = {"description": TEXT}
        name = f"field{next(number)}"
        if at % 4 == 3 and depth < 8:
            below, left = properties(number, left, depth + 1)
            inner = {"type": "object", "properties": below, "required": list(below)[:1]}
            found[name] = {**described, **inner} if at % 8 == 3 else {**described, "type": "array", "items": inner}
        elif at % 4 == 2:
            found[name] = {**described, "type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}
        else:
            found[name] = {**described, "type": "integer", "format": "int32"} if at % 4 else {**described, "type": "string"}
    return found, left


def definition() -> dict[str, Any]:
    number, left = count(), PROPERTIES
    spec: dict[str, Any] = {}
    while left > 0:
        below, left = properties(number, left, 0)
        spec[f"part{len(spec)}"] = {"type": "object", "properties": below}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "description": TEXT, "properties": spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "larges.g.example.com"},
        "spec": {
            "group": "g.example.com",
            "scope": "Namespaced",
            "names": {"plural": "larges", "singular": "large", "kind": "Large", "listKind": "LargeList"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def values_of(value: Any) -> int:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(values_of, below))


def test_as_many_bytes_as_a_body_may_have_are_below_the_bound() -> None:
    crd = definition()
    size = len(orjson.dumps(crd))
    assert 1_200_000 < size < 3 << 20
    print(f"{size} bytes, {values_of(crd)} values, {values_of(crd) * (1 << 20) // size} in a MiB")
    assert values_of(crd) * (3 << 20) // size < json_size.MAX_VALUES


async def test_a_large_definition_passes(tmp_path: Path) -> None:
    crd = definition()
    async with running(tmp_path) as stack:
        place = f"/clusters/{await stack.workspace('root', 'large')}"
        one = f"{place}/{CRDS}/larges.g.example.com"
        apply, merge = "application/apply-patch+yaml", "application/merge-patch+json"
        for method, body, query, kind in (
            ("PATCH", crd, "fieldManager=a", apply),
            ("PATCH", {"metadata": {"labels": {"a": "b"}}}, "", merge),
            ("GET", None, "", ""),
        ):
            status, answer = await stack.call(method, one, MASTER, body, query, content_type=kind)
            assert status in (200, 201), answer
