"""Every list, map and text of what is sent to every type of kcp and of RBAC, and reviews: whole requests, admission included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.types import BUILTINS
from tenantry.tenancy.types import EXPORTED_TYPES, SYSTEM_DEFINITIONS
from tests.growth.served import Make, Sent, Served, failing, served
from tests.growth.shapes import LEAVES, Leaf, Place, grown, object_with, places

_EXPORTED = tuple(each.define(identity="x", uid="x") for types in EXPORTED_TYPES.values() for each in types)
TYPES = {str(each.group_resource): each for each in (*BUILTINS, *SYSTEM_DEFINITIONS, *_EXPORTED)}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    keys: Path = tmp_path_factory.mktemp("keys")
    with served(keys) as platform:
        yield platform


def path_of(platform: Served, definition: ResourceDefinition) -> str:
    version = definition.storage_version
    root = f"apis/{definition.group}/{version}" if definition.group else f"api/{version}"
    place = "/namespaces/default" if definition.namespaced else ""
    return f"/clusters/{platform.cluster}/{root}{place}/{definition.plural}"


def body_of(definition: ResourceDefinition, place: Place, leaf: Leaf, n: int) -> Any:
    body = object_with(definition, definition.storage_version, place, grown(place.schema, n, leaf), leaf)
    if definition.namespaced and place.path[:2] != ("metadata", "namespace"):
        body["metadata"]["namespace"] = "default"
    return body


@pytest.mark.parametrize("definition", TYPES.values(), ids=TYPES)
def test_a_create_costs_what_it_is(platform: Served, definition: ResourceDefinition) -> None:
    path = path_of(platform, definition)
    found = places(definition.versions[definition.storage_version].schema)
    # The functions that every write runs are counted apart; here it is what stands around them.
    found = [place for place in found if place.path[0] != "metadata" and len(place.path) <= 3]

    def cases() -> Iterator[tuple[str, Make]]:
        for place in found:
            for kind in ("wrong",) if place.schema.type == "string" else ("distinct", "alike"):

                def make(n: int, place: Place = place, leaf: Leaf = LEAVES[kind]) -> Sent:
                    body = body_of(definition, place, leaf, n)
                    return Sent(method="POST", path=path, query=f"dryRun=All&own={platform.number()}", body=body)

                yield f"{place.name} ({kind})", make

    assert failing(platform, cases(), small=24) == []
