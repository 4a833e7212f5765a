"""Admission of plain Kubernetes types: namespaces, grants, quotas, reserved names."""

from __future__ import annotations

import asyncio

import pytest

from tenantry.apiserver import local_client
from tenantry.apiserver.user import User
from tenantry.kube.objects import Object
from tenantry.storage.cell import ClusterLimits
from tenantry.storage.keys import Key
from tenantry.tenancy.admission.object_count import parse_limit
from tenantry.tenancy.controllers import resource_quotas
from tenantry.tenancy.resources import CONFIG_MAPS
from tests.support.clusters import CLUSTER, RBAC, ServedCluster, conditions, config_map, definition
from tests.support.people import MASTER, person
from tests.tenancy.rbac_objects import BOB, binding, role, rule, writers

# --- namespaces


async def test_objects_need_a_living_namespace_before_anything_else_is_looked_at() -> None:
    async with ServedCluster() as shard:
        assert await shard.refused("configmaps", config_map("x"), "none") == (404, 'namespaces "none" not found')
        assert (await shard.refused("configmaps", config_map("Bad_"), "none"))[0] == 404
        await shard.namespace(CLUSTER, "going")
        await shard.post("configmaps", config_map("held", finalizers=["x.example/hold"]), "going")
        await shard.delete("namespaces", "going", "")
        status, answer = await shard.call("POST", shard.url("configmaps", "", "going"), MASTER, config_map("Late_"))
        assert status == 403
        assert answer["message"] == (
            'configmaps "Late_" is forbidden: unable to create new content in namespace going because it is being terminated'
        )
        assert answer["details"]["causes"] == [
            {"reason": "NamespaceTerminating", "message": "namespace going is being terminated", "field": "metadata.namespace"}
        ]
        await shard.patch("configmaps", "held", {"data": {"a": "b"}}, "going")


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_some_namespaces_stay(name: str) -> None:
    async with ServedCluster() as shard:
        if name != "default":
            await shard.namespace(CLUSTER, name)
        status, answer = await shard.call("DELETE", shard.url("namespaces", name, ""), MASTER)
        assert (status, answer["message"]) == (403, f'namespaces "{name}" is forbidden: this namespace may not be deleted')


# --- grants


async def test_nobody_grants_what_they_do_not_hold() -> None:
    async with ServedCluster() as shard:
        await writers(shard)
        await shard.post("roles", role("fine", rule("get", "configmaps")), who=BOB)
        wanted = [rule("get list", "secrets"), rule("get delete", "configmaps"), rule("create", "x", "y.z", "n")]
        assert await shard.refused("roles", role("esc", *wanted), who=BOB) == (
            403,
            'roles.rbac.authorization.k8s.io "esc" is forbidden: user "bob" (groups=["devs" "system:authenticated"]) '
            "is attempting to grant RBAC permissions not currently held:\n"
            '{APIGroups:[""], Resources:["configmaps"], Verbs:["delete"]}\n'
            '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}\n'
            '{APIGroups:["y.z"], Resources:["x"], ResourceNames:["n"], Verbs:["create"]}',
        )
        await shard.post("roles", role("secrets", rule("get", "secrets")))
        status, message = await shard.refused("rolebindings", binding("esc", "secrets", "bob"), who=BOB)
        assert status == 403
        assert message.endswith('{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}')
        assert await shard.refused("rolebindings", binding("esc", "none", "bob"), who=BOB) == (
            404,
            'roles.rbac.authorization.k8s.io "none" not found',
        )
        status, message = await shard.refused(
            "rolebindings", binding("esc", "cluster-admin", "bob", role_kind="ClusterRole"), who=BOB
        )
        assert message.endswith('{APIGroups:["*"], Resources:["*"], Verbs:["*"]}\n{NonResourceURLs:["*"], Verbs:["*"]}')
        await shard.post("rolebindings", binding("ok", "fine", "eve"), who=BOB)


async def test_a_role_that_one_does_not_hold_cannot_be_touched_but_for_its_owners() -> None:
    async with ServedCluster() as shard:
        await writers(shard)
        await shard.post("roles", role("secrets", rule("get", "secrets")))
        headers = {"content_type": "application/merge-patch+json"}
        path = shard.url("roles", "secrets")
        status, _ = await shard.call("PATCH", path, BOB, {"metadata": {"labels": {"a": "b"}}}, **headers)
        assert status == 403
        status, _ = await shard.call("PATCH", path, BOB, {"metadata": {"finalizers": ["x.example/f"]}}, **headers)
        assert status == 200


async def test_escalate_and_bind_lift_the_check() -> None:
    async with ServedCluster() as shard:
        await writers(shard, rule("escalate", "roles", RBAC, "mine"), rule("bind", "roles", RBAC, "secrets"))
        # A new role has no name where upstream asks, so the right to escalate one of that name does not make it.
        assert (await shard.refused("roles", role("mine", rule("get", "secrets")), who=BOB))[0] == 403
        await shard.post("roles", role("mine", rule("get", "configmaps")), who=BOB)
        await shard.patch("roles", "mine", {"rules": [rule("*", "*", "*")]}, who=BOB)
        await shard.post("roles", role("secrets", rule("get", "secrets")))
        await shard.post("rolebindings", binding("bound", "secrets", "bob"), who=BOB)


async def test_aggregation_is_for_those_who_hold_everything() -> None:
    async with ServedCluster() as shard:
        await writers(shard)
        whole = role("all", kind="ClusterRole", aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]})
        assert await shard.refused("clusterroles", whole, "", who=BOB) == (
            403,
            'clusterroles.rbac.authorization.k8s.io "all" is forbidden: '
            "must have cluster-admin privileges to use the aggregationRule",
        )
        await shard.post("clusterroles", whole, "", who=person("ada"))


# --- quotas


def quota(name: str, hard: dict[str, str], *, cluster_scoped: bool = False) -> Object:
    annotations = {"annotations": {"experimental.quota.kcp.io/cluster-scoped": "true"}} if cluster_scoped else {}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name, **annotations}, "spec": {"hard": hard}}


def used(shard: ServedCluster, name: str) -> dict[str, str]:
    return ((shard.find("resourcequotas", name) or {}).get("status") or {}).get("used") or {}


async def test_a_quota_is_counted_charged_and_counted_again() -> None:
    async with ServedCluster() as shard:
        await shard.post("resourcequotas", quota("q", {"configmaps": "3", "count/secrets": "1"}))
        # kube-root-ca.crt counts too.
        await shard.until(lambda: used(shard, "q") == {"configmaps": "1", "count/secrets": "0"})
        await shard.post("configmaps", config_map("one"))
        assert used(shard, "q")["configmaps"] == "2"
        await shard.post("configmaps", config_map("dry"), query="dryRun=All")
        assert used(shard, "q")["configmaps"] == "2"
        await shard.post("configmaps", config_map("two"))
        refusal = (
            403,
            'configmaps "three" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=3, '
            "limited: configmaps=3",
        )
        assert await shard.refused("configmaps", config_map("three")) == refusal
        await shard.patch("configmaps", "one", {"data": {"a": "b"}})
        await shard.delete("configmaps", "one")
        await shard.until(lambda: used(shard, "q")["configmaps"] == "2")
        await shard.post("configmaps", config_map("three"))


@pytest.mark.parametrize(
    "scopes",
    [
        {"scopes": ["NotTerminating"]},
        {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}},
    ],
)
async def test_a_quota_with_scopes_counts_nothing(scopes: Object) -> None:
    async with ServedCluster() as shard:
        body = quota("q", {"count/configmaps": "0"})
        body["spec"] |= scopes
        await shard.post("resourcequotas", body)
        await shard.until(lambda: used(shard, "q") == {"count/configmaps": "0"})
        await shard.post("configmaps", config_map("one"))
        await shard.delete("configmaps", "one")
        await shard.idle()
        assert used(shard, "q") == {"count/configmaps": "0"}


async def test_what_is_used_of_a_type_that_does_not_exist_is_not_known() -> None:
    key, name = "count/widgets.x.example", "widgets.x.example"
    async with ServedCluster() as shard:
        await shard.post("resourcequotas", quota("q", {key: "1", "count/secrets": "5"}))
        await shard.until(lambda: used(shard, "q") == {"count/secrets": "0"})
        await shard.post("customresourcedefinitions", definition("widgets", "Widget"), "")
        await shard.until(lambda: used(shard, "q") == {key: "0", "count/secrets": "0"})
        await shard.delete("customresourcedefinitions", name, "")
        await shard.until(lambda: used(shard, "q") == {"count/secrets": "0"})


async def test_the_first_object_of_a_type_is_charged_however_soon_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quota was counted before the type existed, and not again since."""
    key, name = "count/widgets.x.example", "widgets.x.example"
    monkeypatch.setattr(resource_quotas, "_TYPES", frozenset())
    async with ServedCluster() as shard:
        await shard.post("resourcequotas", quota("q", {key: "1", "count/secrets": "5"}))
        await shard.until(lambda: used(shard, "q") == {"count/secrets": "0"})
        await shard.post("customresourcedefinitions", definition("widgets", "Widget"), "")
        await shard.until(lambda: conditions(shard.find("customresourcedefinitions", name, "")).get("Established"))

        def widget(called: str) -> Object:
            return {"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": called}}

        await shard.post(name, widget("first"))
        status, message = await shard.refused(name, widget("second"))
        assert (status, f"exceeded quota: q, requested: {key}=1, used: {key}=1" in message) == (403, True)
        assert used(shard, "q")[key] == "1"


async def test_every_quota_of_the_namespace_is_asked() -> None:
    async with ServedCluster() as shard:
        await shard.post("resourcequotas", quota("q", {"configmaps": "5"}))
        await shard.post("resourcequotas", quota("r", {"count/configmaps": "2"}))
        await shard.until(lambda: used(shard, "q") and used(shard, "r"))
        await shard.post("configmaps", config_map("one"))
        assert (used(shard, "q"), used(shard, "r")) == ({"configmaps": "2"}, {"count/configmaps": "2"})
        _, message = await shard.refused("configmaps", config_map("two"))
        assert "exceeded quota: r, requested: count/configmaps=1, used: count/configmaps=2" in message
        assert used(shard, "q") == {"configmaps": "2"}


async def test_creates_at_once_never_pass_a_limit() -> None:
    async with ServedCluster() as shard:
        await shard.post("resourcequotas", quota("q", {"configmaps": "11"}))
        await shard.until(lambda: used(shard, "q"))
        answers = await asyncio.gather(*(shard.refused("configmaps", config_map(f"c{n}")) for n in range(30)))
        assert sorted(status for status, _ in answers) == [201] * 10 + [403] * 20
        assert used(shard, "q") == {"configmaps": "11"}


async def test_what_the_system_creates_is_charged_too() -> None:
    async with ServedCluster() as shard:
        await shard.post("resourcequotas", quota("q", {"configmaps": "2"}))
        await shard.until(lambda: used(shard, "q"))
        config_maps = shard.tenancy.definitions.get("", "configmaps")
        await local_client.create(
            shard.tenancy.scopes.cluster(CLUSTER), config_maps, {"metadata": {"name": "x"}}, namespace="default"
        )
        assert used(shard, "q") == {"configmaps": "2"}


async def test_a_quota_of_the_whole_cluster_counts_what_has_no_namespace() -> None:
    async with ServedCluster() as shard:
        key = "count/clusterroles.rbac.authorization.k8s.io"
        await shard.role(CLUSTER, "first")
        await shard.post("resourcequotas", quota("plain", {key: "0"}))
        await shard.post("resourcequotas", quota("whole", {key: "2"}, cluster_scoped=True))
        await shard.until(lambda: used(shard, "plain") == {key: "0"} and used(shard, "whole") == {key: "1"})
        await shard.post("clusterroles", role("second", kind="ClusterRole"), "")
        assert used(shard, "whole") == {key: "2"}
        status, message = await shard.refused("clusterroles", role("third", kind="ClusterRole"), "")
        assert (status, message.partition(": ")[2]) == (
            403,
            f"exceeded quota: whole, requested: {key}=1, used: {key}=2, limited: {key}=2",
        )
        await shard.delete("clusterroles", "second", "")
        await shard.until(lambda: used(shard, "whole") == {key: "1"})


async def test_the_annotation_alone_makes_a_quota_one_of_the_whole_cluster() -> None:
    async with ServedCluster() as shard:
        key = "count/clusterroles.rbac.authorization.k8s.io"
        labelled = quota("labelled", {key: "0"})
        labelled["metadata"]["labels"] = {"experimental.quota.kcp.io/cluster-scoped": "true"}
        await shard.post("resourcequotas", labelled)
        await shard.until(lambda: used(shard, "labelled") == {key: "0"})
        await shard.post("clusterroles", role("first", kind="ClusterRole"), "")


async def test_what_a_workspace_is_made_with_counts_in_no_quota() -> None:
    async with ServedCluster() as shard:
        key = "count/clusterrolebindings.rbac.authorization.k8s.io"
        assert shard.find("clusterrolebindings", "workspace-admin", "") is not None
        await shard.post("resourcequotas", quota("whole", {key: "5"}, cluster_scoped=True))
        await shard.until(lambda: used(shard, "whole") == {key: "0"})


# --- what is reserved, and how much there may be


async def test_definitions_leave_kcps_groups_and_marks_alone() -> None:
    async with ServedCluster() as shard:
        assert await shard.refused("customresourcedefinitions", definition("things", "Thing", "apis.kcp.io"), "") == (
            403,
            'customresourcedefinitions.apiextensions.k8s.io "things.apis.kcp.io" is forbidden: '
            'spec.group: Invalid value: "apis.kcp.io": group is reserved',
        )
        marked = definition("things", "Thing")
        marked["metadata"]["annotations"] = {"apis.kcp.io/bound-crd": ""}
        assert await shard.refused("customresourcedefinitions", marked, "") == (
            403,
            'customresourcedefinitions.apiextensions.k8s.io "things.x.example" is forbidden: '
            'metadata.annotations[apis.kcp.io/bound-crd]: Invalid value: "": must not be set',
        )


async def test_a_cluster_may_be_bounded() -> None:
    async with ServedCluster() as shard:
        annotation = {"core.kcp.io/max-total-objects": "1"}

        async def limit(value: str | None, phase: str = "Ready") -> None:
            def change(obj: Object) -> None:
                obj["metadata"]["annotations"] = {**obj["metadata"]["annotations"], **annotation}
                obj["metadata"]["annotations"]["core.kcp.io/max-total-objects"] = value or ""
                obj["status"]["phase"] = phase

            await shard.edit(CLUSTER, "core.kcp.io", "logicalclusters", "cluster", change)

        await limit("1")
        status, message = await shard.refused("configmaps", config_map("x"))
        assert status == 403
        assert message.endswith("objects and may hold 1 (core.kcp.io/max-total-objects)")
        event = {"involvedObject": {"namespace": "default"}, "metadata": {"name": "e"}}
        await shard.post("events", {"apiVersion": "v1", "kind": "Event", "reason": "R", **event})
        for value, phase in (("0", "Ready"), ("many", "Ready"), ("1", "Initializing")):
            await limit(value, phase)
            await shard.post("configmaps", config_map(f"{value}-{phase}".lower()))
        assert shard.cell.range_of(CLUSTER).get(Key(CLUSTER, CONFIG_MAPS, "default", "x")) is None


@pytest.mark.parametrize(("kind", "limits"), [("objects", {"objects": 3}), ("bytes", {"size_bytes": 5000})])
async def test_many_writes_at_once_do_not_pass_a_limit_that_each_alone_keeps(kind: str, limits: dict[str, int]) -> None:
    async with ServedCluster() as shard:
        objects, size = shard.cell.usage(CLUSTER)
        more = {"objects": objects, "size_bytes": size}
        allowed = ClusterLimits(**{name: limit + more[name] for name, limit in limits.items()})
        shard.cell.limits_of = lambda _: allowed
        wanted = [{**config_map(f"c{number}"), "data": {"k": "v" * 1000}} for number in range(12)]
        answers = await asyncio.gather(*(shard.refused("configmaps", obj, who=person("ada")) for obj in wanted))
        refusals = [message for status, message in answers if status == 403]
        assert [status for status, _ in answers if status not in (201, 403)] == []
        assert len(answers) - len(refusals) == 3
        assert all(kind in message for message in refusals)
        # What is taken away makes room.
        assert (await shard.refused("configmaps", wanted[-1], who=person("ada")))[0] == 403
        await shard.delete("configmaps", "c0")
        await shard.post("configmaps", wanted[-1], who=person("ada"))


def test_limits() -> None:
    assert [parse_limit(text) for text in ("5", "0", "-1", "", "x")] == [5, None, None, None, None]


async def test_names_of_workspaces_that_would_be_mistaken() -> None:
    async with ServedCluster() as shard:
        workspace = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": "system"}}
        root = User("system:admin", MASTER.groups)
        status, answer = await shard.call("POST", "/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspaces", root, workspace)
        assert (status, answer["message"].partition(": ")[2]) == (403, 'metadata.name: Invalid value: "system": name is reserved')
