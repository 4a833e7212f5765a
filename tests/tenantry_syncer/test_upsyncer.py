"""The view of objects that come from below: only where the workspace lets the syncer create them, and nobody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tenantry.kube.objects import Object
from tenantry_syncer.names import STATE_LABEL_PREFIX
from tenantry_syncer.syncer import Syncer
from tenantry_syncer.upsyncer import Upsyncer
from tests.support.one_process import Stack, running
from tests.support.people import MASTER, person
from tests.tenantry_syncer.targets import (
    RBAC,
    SYNCER,
    assigned,
    config_map,
    made,
    merge,
    names,
    sync_target,
    view,
)

CONFIG_MAPS = "api/v1/namespaces/default/configmaps"
BODY: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "up"}, "data": {"a": "1"}}


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path, views=[Syncer, Upsyncer]) as started:
        yield started


async def consent(stack: Stack, cluster: str) -> None:
    """Lets the syncer create ConfigMaps in a workspace."""
    rules = [
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["create"]},
        {"nonResourceURLs": ["/"], "verbs": ["access"]},
    ]
    head = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "upsync"}}
    await made(stack, f"/clusters/{cluster}/{RBAC}/clusterroles", {**head, "kind": "ClusterRole", "rules": rules})
    binding = {
        **head,
        "kind": "ClusterRoleBinding",
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "upsync"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": SYNCER.name}],
    }
    await made(stack, f"/clusters/{cluster}/{RBAC}/clusterrolebindings", binding)


async def test_objects_come_up_where_the_workspace_lets_them(stack: Stack) -> None:
    tenant, other = await stack.workspace("root", "tenant"), await stack.workspace("root", "other")
    target = await sync_target(stack, await stack.workspace("root", "home"))
    await consent(stack, tenant)
    place = f"{view(target, tenant, 'upsyncer')}/{CONFIG_MAPS}"
    code, found = await stack.call("POST", place, SYNCER, BODY)
    assert code == 201 and found["metadata"]["labels"] == {STATE_LABEL_PREFIX + target.key: "Upsync"}, found
    assert (await stack.call("POST", f"{view(target, other, 'upsyncer')}/{CONFIG_MAPS}", SYNCER, BODY))[0] == 403
    apply = {"content_type": "application/apply-patch+yaml"}
    path = f"{view(target, other, 'upsyncer')}/{CONFIG_MAPS}/up"
    assert (await stack.call("PATCH", path, SYNCER, BODY, query="fieldManager=me", **apply))[0] == 403
    code, found = await merge(stack, f"{place}/up", {"data": {"a": "2"}, "metadata": {"labels": None}})
    assert code == 200 and found["metadata"]["labels"] == {STATE_LABEL_PREFIX + target.key: "Upsync"}, found
    wrong = {"metadata": {"labels": {STATE_LABEL_PREFIX + target.key: "Sync"}}}
    assert (await merge(stack, f"{place}/up", wrong))[0] == 422
    _, stored = await stack.call("GET", f"/clusters/{tenant}/{CONFIG_MAPS}/up")
    assert stored["data"] == {"a": "2"}
    assert (await stack.call("DELETE", f"{place}/up", SYNCER))[0] == 200
    assert (await stack.call("GET", f"/clusters/{tenant}/{CONFIG_MAPS}/up"))[0] == 404


async def test_no_token_of_the_workspace_comes_with_a_secret(stack: Stack) -> None:
    tenant = await stack.workspace("root", "tenant")
    target = await sync_target(stack, await stack.workspace("root", "home"))
    await consent(stack, tenant)
    place = f"{view(target, tenant, 'upsyncer')}/api/v1/namespaces/default/secrets"
    metadata: Object = {"name": "up", "annotations": {"kubernetes.io/service-account.name": "default"}}
    secret: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/service-account-token"}
    assert (await stack.call("POST", place, SYNCER, secret))[0] == 422
    apply = {"content_type": "application/apply-patch+yaml"}
    assert (await stack.call("PATCH", f"{place}/up", SYNCER, secret, query="fieldManager=me", **apply))[0] == 422
    assert (await stack.call("POST", place, SYNCER, {**secret, "type": "Opaque"}))[0] == 201
    assert (await merge(stack, f"{place}/up", {"type": secret["type"]}))[0] == 422


async def test_nothing_else_is_seen_or_changed(stack: Stack) -> None:
    tenant = await stack.workspace("root", "tenant")
    target = await sync_target(stack, await stack.workspace("root", "home"))
    await consent(stack, tenant)
    await config_map(stack, tenant, "down", assigned(target))
    await config_map(stack, tenant, "plain", {})
    await config_map(stack, tenant, "up", assigned(target, "Upsync"))
    everywhere = f"{view(target, name='upsyncer')}/api/v1/configmaps"
    assert await names(stack, everywhere) == ["up"]
    assert await names(stack, f"{view(target)}/api/v1/configmaps") == ["down"]
    for name in ("down", "plain"):
        path = f"{view(target, tenant, 'upsyncer')}/{CONFIG_MAPS}/{name}"
        assert (await stack.call("DELETE", path, SYNCER))[0] == 404
        assert (await merge(stack, path, {"data": {"a": "2"}}))[0] == 404
        assert (await stack.call("PUT", path, SYNCER, {**BODY, "metadata": {"name": name}}))[0] in (403, 404)
        query = "fieldManager=me&force=true"
        applied = {**BODY, "metadata": {"name": name}, "data": {"a": "2"}}
        code, _ = await stack.call("PATCH", path, SYNCER, applied, query=query, content_type="application/apply-patch+yaml")
        assert code == 409
        _, stored = await stack.call("GET", f"/clusters/{tenant}/{CONFIG_MAPS}/{name}")
        assert stored["data"] == {"a": "1"}
    for who, code in ((person("eve"), 403), (MASTER, 200)):
        assert (await stack.call("GET", everywhere, who))[0] == code
