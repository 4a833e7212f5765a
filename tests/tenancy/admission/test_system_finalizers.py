"""What the end of an object hangs on is the system's: taking it off, in whatever way, leaves nothing behind, nor blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tenantry.kube.objects import Object
from tenantry.tenancy.admission.system_finalizers import FINALIZERS
from tenantry.tenancy.replication.publications import REPLICATED
from tests.support.one_process import Stack, running
from tests.support.people import person

TENANT = person("tenant")
MERGE, JSON_PATCH, STRATEGIC, APPLY = (
    f"application/{kind}" for kind in ("merge-patch+json", "json-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")
)
HOLD = "example.com/hold"


class Kind(NamedTuple):
    """`path` of an object, in the workspace `home`; `dependent`: what the end of the object has to take along."""

    path: str
    finalizers: tuple[str, ...]
    dependent: str


KINDS = {
    "workspaces": Kind(
        "/clusters/root:home/apis/tenancy.kcp.io/v1alpha1/workspaces/child", ("core.kcp.io/logicalcluster",), "/clusters/{child}"
    ),
    "logicalclusters": Kind(
        "/clusters/{child}/apis/core.kcp.io/v1alpha1/logicalclusters/cluster",
        ("core.kcp.io/logicalcluster-deletion",),
        "/clusters/{child}",
    ),
    "apibindings": Kind(
        "/clusters/root:home/apis/apis.kcp.io/v1alpha2/apibindings/{binding}",
        ("apis.kcp.io/apibinding-finalizer",),
        "/clusters/root:home/apis/wild.west/v1/cowboys/x",
    ),
    "customresourcedefinitions": Kind(
        "/clusters/root:home/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com",
        (),
        "/clusters/root:home/apis/example.com/v1/things/x",
    ),
    "clustercachedresources": Kind(
        "/clusters/root:home/apis/cache.kcp.io/v1alpha1/clustercachedresources/roles",
        ("cache.kcp.io/clustercachedresource",),
        "",
    ),
    "cachedresources": Kind(
        "/clusters/root:home/apis/cache.kcp.io/v1alpha1/cachedresources/roles", ("cache.kcp.io/cachedresource",), ""
    ),
}
NAMESPACE = "/clusters/root:home/api/v1/namespaces/team"


def crd(group: str, plural: str, kind: str) -> Object:
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}}
    version["schema"] = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = {"plural": plural, "singular": plural[:-1], "kind": kind, "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": names, "scope": "Cluster", "versions": [version]},
    }


async def post(stack: Stack, path: str, body: Object) -> Object:
    status, answer = await stack.call("POST", path, TENANT, body)
    assert status == 201, answer
    return dict(answer)


async def found(stack: Stack, path: str) -> Object | None:
    status, answer = await stack.call("GET", path)
    return answer if status == 200 else None


async def prepare(stack: Stack) -> dict[str, str]:
    """A workspace `home` of the tenant with one object of each kind that has something to take along."""
    home = await stack.workspace("root", "home")
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subjects = [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": TENANT.name}]
    bindings = f"/clusters/{home}/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    body = {"metadata": {"name": "admins"}, "roleRef": reference, "subjects": subjects}
    assert (await stack.call("POST", bindings, body=body))[0] == 201
    child = await stack.workspace("root:home", "child", TENANT)
    await post(stack, f"/clusters/{child}/api/v1/namespaces/default/configmaps", {"metadata": {"name": "x"}})
    await post(stack, "/clusters/root:home/api/v1/namespaces", {"metadata": {"name": "team"}})
    await post(stack, f"{NAMESPACE}/configmaps", {"metadata": {"name": "x", "finalizers": [HOLD]}})
    body = crd("example.com", "things", "Thing")
    await post(stack, "/clusters/root:home/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
    path = "/clusters/root:home/apis/example.com/v1/things"
    await stack.eventually(lambda: found(stack, path))
    await post(stack, path, {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x", "finalizers": [HOLD]}})
    return {"home": home, "child": child}


async def strip(stack: Stack, path: str, field: str = "metadata", *, deleted: bool = False) -> None:
    """Every way to take all finalizers off."""
    current = await found(stack, path.removesuffix("/finalize"))
    assert current is not None
    identity = {key: current[key] for key in ("apiVersion", "kind")}
    named = {"name": current["metadata"]["name"]}
    emptied: Object = {**current, field: {**(current.get(field) or {}), "finalizers": []}}
    emptied["metadata"] = {k: v for k, v in emptied["metadata"].items() if k != "resourceVersion"}
    removed = [{"op": "remove", "path": f"/{field}/finalizers"}]
    moved = [{"op": "move", "from": f"/{field}/finalizers", "path": f"/{field}/annotations/stolen"}]
    replaced = [{"op": "replace", "path": f"/{field}", "value": {**(current.get(field) or {}), "finalizers": []}}]
    copied = [
        {"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}},
        {"op": "add", "path": f"/{field}/finalizers", "value": [HOLD]},
    ]
    ways: list[tuple[str, str, Any]] = [
        ("PUT", "application/json", emptied),
        ("PATCH", MERGE, {field: {"finalizers": None}}),
        ("PATCH", MERGE, {field: {"finalizers": [HOLD]}}),
        ("PATCH", MERGE, {field: {"finalizers": []}}),
        ("PATCH", JSON_PATCH, removed),
        ("PATCH", JSON_PATCH, moved),
        ("PATCH", JSON_PATCH, replaced),
        ("PATCH", JSON_PATCH, copied),
        ("PATCH", STRATEGIC, {field: {"$patch": "replace", "finalizers": []}}),
        ("PATCH", STRATEGIC, {field: {"finalizers": None}}),
        ("PATCH", APPLY, {**identity, "metadata": {**named, "finalizers": []}}),
        ("PATCH", APPLY, {**identity, "metadata": {**named, "finalizers": [HOLD]}}),
        ("PATCH", APPLY, {**identity, "metadata": named}),
        ("PATCH", MERGE, {field: {"finalizers": []}}),
    ]
    accepted = 0
    for method, content_type, body in ways:
        query = "fieldManager=thief&force=true" if content_type == APPLY else ""
        status, answer = await stack.call(method, path, TENANT, body, query, content_type=content_type)
        if status == 404 and deleted:
            # The last finalizer of somebody else went.
            return
        assert status in (200, 400, 403, 405, 409, 415, 422), answer
        accepted += status == 200
    assert accepted >= (1 if path.endswith("/finalize") else 4), path


def every() -> set[str]:
    return {resource.resource for resource in FINALIZERS}


def test_every_type_is_tried() -> None:
    assert every() == set(KINDS)


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
async def test_a_workspace_never_leaves_its_cluster_behind(tmp_path: Path, deleted: bool, policy: str) -> None:
    async with running(tmp_path) as stack:
        places = await prepare(stack)
        child = places["child"]
        path = KINDS["workspaces"].path
        cluster = KINDS["logicalclusters"].path.format(child=child)
        if deleted:
            # Somebody else's finalizer in there keeps both of them while they are being deleted.
            patch = {"metadata": {"finalizers": [HOLD]}}
            assert (await stack.call("PATCH", cluster, TENANT, patch, content_type=MERGE))[0] == 200
            assert (await stack.call("DELETE", path, TENANT, {"propagationPolicy": policy}))[0] == 200
        for each in (path, cluster):
            if not deleted or await found(stack, each) is not None:
                await strip(stack, each, deleted=deleted)
        if not deleted:
            for each, wanted in ((path, KINDS["workspaces"]), (cluster, KINDS["logicalclusters"])):
                assert set(wanted.finalizers) <= set((await found(stack, each) or {})["metadata"]["finalizers"])
            assert (await stack.call("DELETE", path, TENANT, {"propagationPolicy": policy}))[0] == 200
        await stack.gone("root:home", "child")
        assert list(stack.tenancy_of(child).cell.range_of(child).resources(child)) == []


async def test_deleting_all_workspaces_at_once_leaves_no_cluster_behind(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        child = (await prepare(stack))["child"]
        await strip(stack, KINDS["workspaces"].path)
        all_of_them = "/clusters/root:home/apis/tenancy.kcp.io/v1alpha1/workspaces"
        assert (await stack.call("DELETE", all_of_them, TENANT, {"propagationPolicy": "Foreground"}))[0] == 200
        await stack.gone("root:home", "child")
        assert list(stack.tenancy_of(child).cell.range_of(child).resources(child)) == []


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_namespace_and_a_definition_never_leave_their_objects_behind(tmp_path: Path, deleted: bool) -> None:
    async with running(tmp_path) as stack:
        await prepare(stack)
        definition = KINDS["customresourcedefinitions"].path
        kept = {NAMESPACE: f"{NAMESPACE}/configmaps/x", definition: KINDS["customresourcedefinitions"].dependent}
        if deleted:
            for path in kept:
                assert (await stack.call("DELETE", path, TENANT))[0] == 200
        await strip(stack, f"{NAMESPACE}/finalize", "spec")
        await strip(stack, definition)
        # A definition that is not served has no objects.
        status = {"status": {"conditions": [], "acceptedNames": {"plural": "", "kind": ""}}}
        assert (await stack.call("PATCH", f"{definition}/status", TENANT, status, content_type=MERGE))[0] in (200, 422)
        if not deleted:
            for path in kept:
                assert (await stack.call("DELETE", path, TENANT))[0] == 200
        for path, dependent in kept.items():
            assert await found(stack, path) is not None

            async def marked(dependent: str = dependent) -> bool:
                return "deletionTimestamp" in (await found(stack, dependent) or {"metadata": {}})["metadata"]

            await stack.eventually(marked)
            patch = {"metadata": {"finalizers": None}}
            assert (await stack.call("PATCH", dependent, TENANT, patch, content_type=MERGE))[0] == 200
            finalizers = (await found(stack, path) or {"metadata": {}})["metadata"].get("finalizers")
            if finalizers and HOLD in finalizers:
                left = [each for each in finalizers if each != HOLD]
                await stack.call("PATCH", path, TENANT, {"metadata": {"finalizers": left}}, content_type=MERGE)
            if path == NAMESPACE:
                await stack.call("PATCH", f"{path}/finalize", TENANT, {"spec": {"finalizers": []}}, content_type=MERGE)

            async def gone(path: str = path) -> bool:
                return await found(stack, path) is None

            await stack.eventually(gone)


async def test_a_binding_keeps_its_finalizer(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        await prepare(stack)
        _, bindings = await stack.call("GET", "/clusters/root:home/apis/apis.kcp.io/v1alpha2/apibindings")
        path = KINDS["apibindings"].path.format(binding=bindings["items"][0]["metadata"]["name"])
        await strip(stack, path)
        assert KINDS["apibindings"].finalizers[0] in (await found(stack, path) or {})["metadata"]["finalizers"]


@pytest.mark.parametrize("plural", ["clustercachedresources", "cachedresources"])
async def test_a_cached_resource_never_leaves_its_copies_behind(tmp_path: Path, plural: str) -> None:
    wanted = KINDS[plural]
    kind = {"clustercachedresources": "ClusterCachedResource", "cachedresources": "CachedResource"}[plural]
    async with running(tmp_path) as stack:
        await prepare(stack)
        spec = {"group": "rbac.authorization.k8s.io", "version": "v1", "resource": "clusterroles"}
        body: Object = {"apiVersion": "cache.kcp.io/v1alpha1", "kind": kind, "metadata": {"name": "roles"}, "spec": spec}
        await post(stack, wanted.path.removesuffix("/roles"), body)
        role: Object = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "look"}}
        await post(stack, "/clusters/root:home/apis/rbac.authorization.k8s.io/v1/clusterroles", role)
        home = (await found(stack, wanted.path) or {})["metadata"]["annotations"]["kcp.io/cluster"]
        catalog = stack.tenancy_of(home).catalog

        async def copied() -> bool:
            return any("look" in names for _, names in catalog.names(REPLICATED))

        await stack.eventually(copied)
        await strip(stack, wanted.path)
        assert wanted.finalizers[0] in (await found(stack, wanted.path) or {})["metadata"]["finalizers"]
        patch = {"metadata": {"finalizers": [wanted.finalizers[0]]}}
        assert (await stack.call("PATCH", wanted.path, TENANT, patch, content_type=MERGE))[0] == 200
        assert (await stack.call("DELETE", wanted.path, TENANT))[0] == 200

        async def gone() -> bool:
            return await found(stack, wanted.path) is None

        await stack.eventually(gone)
        assert not [names for _, names in catalog.names(REPLICATED) if names]


async def test_a_workspace_with_cached_resources_is_deleted(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        child = (await prepare(stack))["child"]
        spec = {"group": "rbac.authorization.k8s.io", "version": "v1", "resource": "clusterroles"}
        body: Object = {"apiVersion": "cache.kcp.io/v1alpha1", "kind": "ClusterCachedResource", "metadata": {"name": "roles"}}
        await post(stack, f"/clusters/{child}/apis/cache.kcp.io/v1alpha1/clustercachedresources", {**body, "spec": spec})
        assert (await stack.call("DELETE", KINDS["workspaces"].path, TENANT))[0] == 200
        await stack.gone("root:home", "child")
        owner = stack.tenancy_of(child)
        assert list(owner.cell.range_of(child).resources(child)) == []
        assert not [names for _, names in owner.catalog.names(REPLICATED) if names]


async def test_users_add_no_finalizer_that_nobody_would_take_off(tmp_path: Path) -> None:
    """A mount has no logical cluster whose end would release it; and what has one never becomes a mount."""
    async with running(tmp_path) as stack:
        await prepare(stack)
        workspaces = "/clusters/root:home/apis/tenancy.kcp.io/v1alpha1/workspaces"
        mount = {"ref": {"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}}
        body: Object = {
            "apiVersion": "tenancy.kcp.io/v1alpha1",
            "kind": "Workspace",
            "metadata": {"name": "mounted", "finalizers": ["core.kcp.io/logicalcluster"]},
            "spec": {"mount": mount},
        }
        await post(stack, workspaces, body)
        patch = {"metadata": {"finalizers": ["core.kcp.io/logicalcluster"]}}
        assert (await stack.call("PATCH", f"{workspaces}/mounted", TENANT, patch, content_type=MERGE))[0] == 200
        status, answer = await stack.call("PATCH", f"{workspaces}/mounted", TENANT, {"spec": None}, content_type=MERGE)
        assert status in (403, 422), answer
        status, answer = await stack.call("PATCH", f"{workspaces}/child", TENANT, {"spec": {"mount": mount}}, content_type=MERGE)
        assert status == 403, answer
        for name in ("mounted", "child"):
            assert (await stack.call("DELETE", f"{workspaces}/{name}", TENANT))[0] == 200
            await stack.gone("root:home", name)
