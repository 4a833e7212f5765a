"""The names of the system's roles are nobody's to take, and mean the system's roles whatever a workspace holds."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.tenancy.admission.system_roles import INSTALLED
from tenantry.tenancy.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from tenantry.tenancy.well_known import SYSTEM_ADMIN
from tests.support.clusters import CLUSTER, RBAC, ServedCluster
from tests.support.people import MASTER, person
from tests.tenancy.rbac_objects import BOB, binding, role, rule, writers

EVE = person("eve")
SECRETS = f"/clusters/{CLUSTER}/api/v1/secrets"
APPLY = "application/apply-patch+yaml"


def cluster_role(name: str, *rules: Object) -> Object:
    return role(name, *(rules or (rule("get", "configmaps"),)), kind="ClusterRole")


def cluster_binding(name: str, to: str, *users: str) -> Object:
    return binding(name, to, *users, kind="ClusterRoleBinding", role_kind="ClusterRole")


async def reads_secrets(shard: ServedCluster, who: Any) -> int:
    return (await shard.call("GET", SECRETS, who))[0]


def system_names(shard: ServedCluster, resource: str) -> set[str]:
    return {record.key.name for record in shard.cell.range_of(SYSTEM_ADMIN).list(resource, SYSTEM_ADMIN)}


async def test_every_name_that_the_system_holds_is_taken_by_whatever_verb() -> None:
    async with ServedCluster() as shard:
        await writers(shard)
        await shard.put(SYSTEM_ADMIN, RBAC, "clusterroles", {"metadata": {"name": "house-rules"}, "rules": []})
        names = system_names(shard, CLUSTER_ROLES)
        assert {"cluster-admin", "admin", "edit", "view", "system:basic-user", "house-rules"} <= names
        assert names >= INSTALLED[CLUSTER_ROLES]
        for name in sorted(names):
            refusal = (409, f'clusterroles.{RBAC} "{name}" already exists')
            path = shard.url("clusterroles", name, "")
            for who in (BOB, person("ada"), MASTER):
                assert await shard.refused("clusterroles", cluster_role(name), "", who) == refusal
            status, answer = await shard.call("PUT", path, BOB, cluster_role(name))
            assert (status, answer["message"]) == refusal
            query = "fieldManager=me&force=true"
            status, answer = await shard.call("PATCH", path, BOB, cluster_role(name), query, content_type=APPLY)
            assert (status, answer["message"]) == refusal
            assert (await shard.call("DELETE", path, BOB))[0] == 404
        for name in sorted(system_names(shard, CLUSTER_ROLE_BINDINGS)):
            body = cluster_binding(name, "writer", "eve")
            refusal = (409, f'clusterrolebindings.{RBAC} "{name}" already exists')
            assert await shard.refused("clusterrolebindings", body, "", person("ada")) == refusal
        assert not {record.key.name for record in shard.cell.range_of(CLUSTER).list(CLUSTER_ROLES, CLUSTER)} & names


async def test_other_names_are_free_and_roles_of_a_namespace_are_no_cluster_roles() -> None:
    async with ServedCluster() as shard:
        await writers(shard)
        await shard.post("clusterroles", cluster_role("system:of-mine"), "", BOB)
        await shard.post("clusterroles", {**cluster_role(""), "metadata": {"generateName": "view"}}, "", BOB)
        await shard.post("roles", role("cluster-admin", rule("get", "configmaps")), who=BOB)
        await shard.post("rolebindings", binding("named-alike", "cluster-admin", "eve"), who=BOB)
        assert await reads_secrets(shard, EVE) == 403


async def test_what_an_administrator_deleted_stays_taken() -> None:
    """It is installed again by the next start, and a role that took its place would change what bindings mean."""
    async with ServedCluster() as shard:
        assert (await shard.call("DELETE", f"/clusters/{SYSTEM_ADMIN}/apis/{RBAC}/v1/clusterroles/view", MASTER))[0] == 200
        assert (await shard.refused("clusterroles", cluster_role("view"), "", person("ada")))[0] == 409


async def shadowed(shard: ServedCluster, name: str) -> None:
    """A role with a system role's name, as stores from before they were refused have it."""
    await writers(shard)
    await shard.put(
        CLUSTER, RBAC, "clusterroles", {k: v for k, v in cluster_role(name).items() if k not in ("apiVersion", "kind")}
    )


@pytest.mark.parametrize("name", ["cluster-admin", "system:kcp:tenancy:workspace-bootstrapper"])
async def test_a_stored_shadow_means_the_systems_role(name: str) -> None:
    async with ServedCluster() as shard:
        await shadowed(shard, name)
        await shard.bind_role(CLUSTER, "real", name, "eve")
        enter = {"nonResourceURLs": ["/"], "verbs": ["access"]}
        await shard.role(CLUSTER, "enter", enter)
        await shard.bind_role(CLUSTER, "enter", "enter", "eve")
        assert await reads_secrets(shard, EVE) == 200, "the owner is not locked out"
        for plural, namespace, kind in (
            ("clusterrolebindings", "", "ClusterRoleBinding"),
            ("rolebindings", "default", "RoleBinding"),
        ):
            body = binding("own", name, "bob", kind=kind, role_kind="ClusterRole")
            status, message = await shard.refused(plural, body, namespace, BOB)
            assert status == 403
            assert "attempting to grant RBAC permissions not currently held" in message
        path = shard.url("clusterroles", name, "")
        assert (await shard.call("DELETE", path, BOB))[0] == 200, "it may be cleared away"
        assert await reads_secrets(shard, BOB) == 403
        assert await reads_secrets(shard, EVE) == 200
        assert await shard.refused("clusterroles", cluster_role(name), "", BOB) == (
            409,
            f'clusterroles.{RBAC} "{name}" already exists',
        )


async def test_a_role_made_under_the_name_of_a_dangling_binding_has_to_be_held() -> None:
    async with ServedCluster() as shard:
        await writers(shard, rule("get", "secrets"))
        await shard.post("clusterroles", cluster_role("gone", rule("get", "secrets")), "")
        await shard.post("clusterrolebindings", cluster_binding("dangling", "gone", "bob"), "")
        assert (await shard.call("DELETE", shard.url("clusterroles", "gone", ""), BOB))[0] == 200
        status, _ = await shard.refused("clusterroles", cluster_role("gone", rule("*", "*", "*")), "", BOB)
        assert status == 403
        await shard.post("clusterroles", cluster_role("gone", rule("get", "secrets")), "", BOB)


@pytest.mark.parametrize("to", ["admin", "edit", "view"])
async def test_aggregation_labels_of_a_tenant_change_no_role_of_the_system(to: str) -> None:
    async with ServedCluster() as shard:
        before = shard.get(SYSTEM_ADMIN, CLUSTER_ROLES, to)
        body = cluster_role("more", rule("*", "*", "*"))
        body["metadata"]["labels"] = {f"rbac.authorization.k8s.io/aggregate-to-{to}": "true"}
        await shard.post("clusterroles", body, "", person("ada"))
        await shard.bind_role(CLUSTER, "eve", to, "eve")
        await shard.idle()
        assert shard.get(SYSTEM_ADMIN, CLUSTER_ROLES, to) == before
        assert (await shard.call("POST", shard.url("clusterroles", "", ""), EVE, cluster_role("x")))[0] == 403
        assert shard.cell.range_of(CLUSTER).get(Key(CLUSTER, CLUSTER_ROLES, "", to)) is None
