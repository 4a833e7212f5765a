"""The wildcard of a range, resources by identity, and clusters that were made inactive (as in kcp)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenantry.kube.objects import Object
from tests.support.one_process import Stack, running
from tests.support.people import ADMIN
from tests.tenancy.cowboys import APIS, EXPORT, SCHEMA, binding, bound, post

COWBOYS = "apis/wild.west/v1"


async def consumer_of(stack: Stack) -> tuple[str, str]:
    """A workspace that has bound an API, and the identity of that."""
    provider = await stack.workspace("root", "provider")
    await post(stack, f"/clusters/{provider}/{APIS}/v1alpha1/apiresourceschemas", SCHEMA)
    await post(stack, f"/clusters/{provider}/{APIS}/v1alpha2/apiexports", EXPORT)
    consumer = await stack.workspace("root", "consumer")
    await post(stack, f"/clusters/{consumer}/{APIS}/v1alpha2/apibindings", binding("root:provider"))
    await bound(stack, consumer)
    cowboy = {"apiVersion": "wild.west/v1", "kind": "Cowboy", "metadata": {"name": "joe"}}
    await post(stack, f"/clusters/{consumer}/{COWBOYS}/namespaces/default/cowboys", cowboy)
    _, export = await stack.call("GET", f"/clusters/{provider}/{APIS}/v1alpha2/apiexports/cowboys")
    return consumer, export["status"]["identityHash"]


@pytest.mark.parametrize("base", ["", "/ranges/root"])
async def test_a_bound_resource_across_clusters_is_named_by_its_identity(tmp_path: Path, base: str) -> None:
    async with running(tmp_path) as stack:
        consumer, identity = await consumer_of(stack)
        status, found = await stack.call("GET", f"{base}/clusters/*/{COWBOYS}/cowboys:{identity}")
        assert status == 200, found
        assert [o["metadata"]["annotations"]["kcp.io/cluster"] for o in found["items"]] == [consumer]
        assert (await stack.call("GET", f"{base}/clusters/*/{COWBOYS}/cowboys"))[0] == 404
        assert (await stack.call("GET", f"{base}/clusters/*/{COWBOYS}/cowboys:{'0' * 64}"))[0] == 404
        assert (await stack.call("GET", f"{base}/clusters/*/{COWBOYS}/cowboys:"))[0] == 500
        assert (await stack.call("GET", f"{base}/clusters/*/api/v1/namespaces"))[0] == 200
        assert (await stack.call("GET", f"{base}/clusters/*/api/v1/namespaces/default"))[0] == 405
        assert (await stack.call("GET", f"{base}/clusters/*/api/v1/namespaces", ADMIN))[0] == 403


async def test_the_identity_may_be_said_in_one_cluster_too(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        consumer, identity = await consumer_of(stack)
        for inner in ("cowboys", "namespaces/default/cowboys"):
            status, found = await stack.call("GET", f"/clusters/{consumer}/{COWBOYS}/{inner}:{identity}")
            assert (status, len(found["items"])) == (200, 1)
            assert (await stack.call("GET", f"/clusters/{consumer}/{COWBOYS}/{inner}:{'0' * 64}"))[0] == 404
        path = f"/clusters/{consumer}/{COWBOYS}/namespaces/default/cowboys:{identity}/joe"
        assert (await stack.call("GET", path))[0] == 200
        # A colon elsewhere is part of a name.
        assert (await stack.call("GET", "/clusters/system:admin/apis/rbac.authorization.k8s.io/v1/clusterroles/system:kcp:x"))[
            0
        ] == 404


@pytest.mark.parametrize("annotation", ["core.kcp.io/inactive", "internal.kcp.io/inactive"])
async def test_an_inactive_cluster_shows_itself_only(tmp_path: Path, annotation: str) -> None:
    async with running(tmp_path) as stack:
        cluster = await stack.workspace("root", "one")
        path = f"/clusters/{cluster}/apis/core.kcp.io/v1alpha1/logicalclusters/cluster"
        merge: dict[str, Any] = {"content_type": "application/merge-patch+json"}
        body: Object = {"metadata": {"annotations": {annotation: "true"}, "labels": {annotation: "false"}}}
        assert (await stack.call("PATCH", path, body=body, **merge))[0] == 200
        for place in (cluster, "root:one"):
            status, refused = await stack.call("GET", f"/clusters/{place}/api/v1/namespaces")
            assert (status, refused["reason"]) == (403, "Forbidden")
            assert "marked inactive" in refused["message"]
            assert (await stack.call("GET", f"/clusters/{place}/openapi/v3"))[0] == 200
        assert (await stack.call("GET", path))[0] == 200
        body = {"metadata": {"annotations": {annotation: None}, "labels": {annotation: "true"}}}
        assert (await stack.call("PATCH", path, body=body, **merge))[0] == 200
        assert (await stack.call("GET", f"/clusters/{cluster}/api/v1/namespaces"))[0] == 200
