"""The views for initializers and terminators."""

from __future__ import annotations

import pytest

from tenantry.kube.objects import Object
from tenantry.tenancy.exports.hashing import lifecycle_hash
from tenantry.virtual.lifecycle.lifecycle_view import OBJECT_PATH, lifecycle_label
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard
from tests.virtual.lifecycle.waiting_workspaces import BUILDER, HOME, ID, NEW, base, initializing, terminating, types
from tests.virtual.watching import Watch


def test_label_vector() -> None:
    key, value = lifecycle_label("initializer.internal.kcp.io/", "root:universal")
    assert key == "initializer.internal.kcp.io/d1d6459a03641b6fd7560fc2849f6c66fa9"
    assert value == lifecycle_hash("root:universal")
    assert len(key) == len(lifecycle_label("terminator.internal.kcp.io/", "root:universal")[0]) == 63


async def test_wildcard_discovery_is_exactly_this() -> None:
    async with ServedShard() as shard:
        await types(shard)
        status, found = await shard.call("GET", f"{base()}/apis", BUILDER)
        assert (status, [group["name"] for group in found["groups"]]) == (200, ["core.kcp.io"])
        _, found = await shard.call("GET", f"{base()}/apis/core.kcp.io/v1alpha1", BUILDER)
        main, sub = found["resources"]
        assert main.pop("storageVersionHash")
        assert main == {
            "name": "logicalclusters",
            "singularName": "logicalcluster",
            "namespaced": False,
            "kind": "LogicalCluster",
            "verbs": ["get", "list", "watch"],
            "categories": ["kcp"],
        }
        assert sub == {
            "name": "logicalclusters/status",
            "singularName": "",
            "namespaced": False,
            "kind": "LogicalCluster",
            "verbs": [],
        }
        assert (await shard.call("GET", f"{base()}/api", BUILDER))[1]["versions"] == ["v1"]
        assert (await shard.call("GET", f"{base()}/api/v1", BUILDER))[0] == 404


async def test_a_workspace_is_seen_until_its_initializer_is_removed() -> None:
    async with ServedShard() as shard:
        await types(shard)
        async with Watch(shard, f"{base()}{OBJECT_PATH}", BUILDER) as watch:
            await initializing(shard)
            assert await watch.next() == ("ADDED", "cluster")
            status, found = await shard.call("GET", f"{base()}{OBJECT_PATH}", BUILDER)
            assert [o["metadata"]["annotations"]["kcp.io/cluster"] for o in found["items"]] == [NEW]
            status, _ = await shard.call("GET", f"{base(NEW)}{OBJECT_PATH}/cluster", BUILDER)
            assert status == 200
            patch: Object = {"status": {"initializers": []}}
            path = f"{base(NEW)}{OBJECT_PATH}/cluster/status"
            status, answer = await shard.call("PATCH", path, BUILDER, patch, content_type="application/merge-patch+json")
            assert status == 200, answer

            def ready(obj: Object) -> None:
                obj["metadata"]["labels"] = {"tenancy.kcp.io/phase": "Ready"}
                obj["status"]["phase"] = "Ready"

            await shard.edit(NEW, "core.kcp.io", "logicalclusters", "cluster", ready)
            while (event := await watch.next())[0] == "MODIFIED":
                continue
            assert event == ("DELETED", "cluster")
        assert (await shard.call("GET", f"{base(NEW)}{OBJECT_PATH}/cluster", BUILDER))[0] == 404


@pytest.mark.parametrize("wrong", [["wrong:one"], [ID, "other:two", "x:y"], []])
async def test_only_the_own_initializer_may_be_removed(wrong: list[str]) -> None:
    async with ServedShard() as shard:
        await types(shard)
        await initializing(shard, ID, "other:two")
        path = f"{base(NEW)}{OBJECT_PATH}/cluster/status"
        patch = {"status": {"initializers": wrong}}
        status, answer = await shard.call("PATCH", path, BUILDER, patch, content_type="application/merge-patch+json")
        assert status == 422
        assert f'only removing the "{ID}" initializer is supported' in answer["message"]
        patch = {"status": {"initializers": ["other:two"]}}
        status, answer = await shard.call("PATCH", path, BUILDER, patch, content_type="application/merge-patch+json")
        assert status == 200, answer


async def test_the_object_itself_is_read_only() -> None:
    async with ServedShard() as shard:
        await types(shard)
        await initializing(shard)
        path = f"{base(NEW)}{OBJECT_PATH}"
        assert (await shard.call("GET", path, BUILDER))[0] == 405
        assert (await shard.call("DELETE", f"{path}/cluster", BUILDER))[0] == 405
        patch = {"metadata": {"labels": {"a": "b"}}}
        status, _ = await shard.call("PATCH", f"{path}/cluster", BUILDER, patch, content_type="application/merge-patch+json")
        assert status == 405


async def test_who_has_access() -> None:
    async with ServedShard() as shard:
        await types(shard)
        await initializing(shard)
        for identifier in (ID, "nonsense", f"{HOME}:other"):
            assert (await shard.call("GET", f"{base(identifier=identifier)}{OBJECT_PATH}", person("nobody")))[0] == 403
        assert (await shard.call("GET", f"{base(identifier=f'{HOME}:other')}{OBJECT_PATH}", BUILDER))[0] == 403
        assert (await shard.call("GET", f"{base(NEW)}/api/v1/namespaces", person("nobody")))[0] == 403


async def test_content_is_accessed_as_the_owner() -> None:
    async with ServedShard() as shard:
        await types(shard)
        await initializing(shard)
        status, found = await shard.call("GET", f"{base(NEW)}/apis", BUILDER)
        assert "rbac.authorization.k8s.io" in [group["name"] for group in found["groups"]]
        await shard.namespace(NEW, "default")
        body = {"metadata": {"name": "made"}}
        status, answer = await shard.call("POST", f"{base(NEW)}/api/v1/namespaces/default/configmaps", BUILDER, body)
        assert status == 201, answer
        assert (await shard.call("GET", f"/clusters/{NEW}/api/v1/namespaces/default/configmaps", BUILDER))[0] == 403


async def test_content_by_the_rules_of_the_type() -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create"]}]
    async with ServedShard() as shard:
        await types(shard, initializerPermissions=rules)
        await initializing(shard)
        await shard.namespace(NEW, "default")
        path = f"{base(NEW)}/api/v1/namespaces/default"
        status, answer = await shard.call("POST", f"{path}/configmaps", BUILDER, {"metadata": {"name": "made"}})
        assert status == 201, answer
        status, answer = await shard.call("GET", f"{path}/secrets/s", BUILDER)
        assert status == 403
        assert answer == (
            f'initializer "{ID}" denied by initializerPermissions: no rule allows get on core/secrets in logical cluster {NEW}\n'
        )


RBAC = "rbac.authorization.k8s.io"
MAKES_ROLES: Object = {
    "apiGroups": [RBAC],
    "resources": ["roles", "rolebindings", "clusterroles", "clusterrolebindings"],
    "verbs": ["create", "update", "patch", "get"],
}
READS: Object = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}


def role(name: str, *rules: Object) -> Object:
    return {"metadata": {"name": name}, "rules": list(rules)}


def known(shard: ServedShard) -> Object:
    """The type as every shard knows it."""
    return shard.tenancy.catalog.get("tenancy.kcp.io/workspacetypes", HOME, "special") or {}


def binding(name: str, role: str) -> Object:
    subject = {"kind": "User", "apiGroup": RBAC, "name": "somebody"}
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }


async def test_a_controller_passes_on_no_more_than_its_type_gives_it() -> None:
    """Stricter than kcp, where whoever may make bindings while a workspace waits may bind cluster-admin."""
    async with ServedShard(whole_admission=True) as shard:
        await types(shard, initializerPermissions=[MAKES_ROLES, READS])
        await initializing(shard)
        path = f"{base(NEW)}/apis/{RBAC}/v1"
        all_of_it = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
        secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
        for wide in (role("wide", all_of_it), role("wide", secrets)):
            status, answer = await shard.call("POST", f"{path}/clusterroles", BUILDER, wide)
            assert (status, "not currently held" in answer["message"]) == (403, True), answer["message"]
        status, answer = await shard.call("POST", f"{path}/clusterrolebindings", BUILDER, binding("taken", "cluster-admin"))
        assert status == 403, answer
        status, answer = await shard.call("POST", f"{path}/clusterroles", BUILDER, role("narrow", READS))
        assert status == 201, answer
        status, answer = await shard.call("POST", f"{path}/clusterrolebindings", BUILDER, binding("given", "narrow"))
        assert status == 201, answer


async def test_a_type_may_let_its_controller_pass_on_more() -> None:
    more = {"apiGroups": [RBAC], "resources": ["clusterroles"], "verbs": ["escalate", "bind"]}
    async with ServedShard(whole_admission=True) as shard:
        await types(shard, initializerPermissions=[MAKES_ROLES, more])
        await initializing(shard)
        path = f"{base(NEW)}/apis/{RBAC}/v1"
        status, answer = await shard.call("POST", f"{path}/clusterroles", BUILDER, role("reader", READS))
        assert status == 201, answer
        status, answer = await shard.call("POST", f"{path}/clusterrolebindings", BUILDER, binding("taken", "cluster-admin"))
        assert status == 201, answer
        # What the type takes back is gone at once.
        await shard.edit(
            HOME, "tenancy.kcp.io", "workspacetypes", "special", lambda obj: obj["spec"]["initializerPermissions"].pop()
        )
        status, answer = await shard.call("POST", f"{path}/clusterrolebindings", BUILDER, binding("again", "cluster-admin"))
        assert status == 403, answer


async def test_content_of_a_workspace_that_does_not_wait() -> None:
    async with ServedShard() as shard:
        await types(shard)
        await initializing(shard, "other:two")
        status, answer = await shard.call("GET", f"{base(NEW)}/api/v1/namespaces", BUILDER)
        assert (status, answer) == (403, f'initializer "{ID}" cannot access this workspace\n')
        status, _ = await shard.call("GET", f"{base(NEW, identifier='rtypes0000000000:gone')}/api/v1/namespaces", MASTER)
        assert status == 403


async def test_refusals_of_content_are_text() -> None:
    async with ServedShard() as shard:
        gone = f"{HOME}:gone"
        await types(shard)
        await initializing(shard, gone, "system:own")
        status, answer = await shard.call("GET", f"{base(NEW, identifier=gone)}/api/v1/namespaces", MASTER)
        assert (status, answer) == (503, f'workspace type of initializer "{gone}" cannot be resolved\n')
        await shard.edit(NEW, "core.kcp.io", "logicalclusters", "cluster", lambda obj: obj["spec"].pop("createdBy"))
        status, answer = await shard.call("GET", f"{base(NEW, identifier='system:own')}/api/v1/namespaces", MASTER)
        assert (status, answer) == (500, f"logical cluster {NEW} does not say who created it\n")
        nothing = "rnothing00000000"
        status, answer = await shard.call("GET", f"{base(nothing)}/api/v1/namespaces", BUILDER)
        assert (status, answer) == (403, f'initializer "{ID}" cannot access this workspace\n')


async def test_the_begin_of_a_deletion_is_a_change() -> None:
    """kcp's e2e: nothing is ADDED when a workspace begins to wait for its terminator."""

    def delete(obj: Object) -> None:
        obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    def finish(obj: Object) -> None:
        obj["status"]["terminators"] = []
        obj["metadata"]["labels"] = {}

    path = f"{base(view='terminatingworkspaces')}{OBJECT_PATH}"
    async with ServedShard() as shard:
        await types(shard, "terminate")
        before = shard.cell.ranges["root"].version
        async with Watch(shard, path, BUILDER) as watch:
            await terminating(shard)
            await shard.edit(NEW, "core.kcp.io", "logicalclusters", "cluster", delete)
            assert await watch.next() == ("MODIFIED", "cluster")
            await shard.edit(NEW, "core.kcp.io", "logicalclusters", "cluster", finish)
            assert await watch.next() == ("DELETED", "cluster")
        async with Watch(shard, path, BUILDER, f"watch=true&resourceVersion={before}") as watch:
            assert await watch.next() == ("MODIFIED", "cluster")
            assert await watch.next() == ("DELETED", "cluster")


async def test_terminators_see_what_is_being_deleted() -> None:
    async with ServedShard() as shard:
        await types(shard, "terminate")
        await terminating(shard)
        view = "terminatingworkspaces"
        _, found = await shard.call("GET", f"{base(view=view)}{OBJECT_PATH}", BUILDER)
        assert found["items"] == []
        status, _ = await shard.call("GET", f"{base(NEW, view)}/api/v1/namespaces", BUILDER)
        assert status == 403

        def delete(obj: Object) -> None:
            obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            obj["status"]["phase"] = "Terminating"

        await shard.edit(NEW, "core.kcp.io", "logicalclusters", "cluster", delete)
        _, found = await shard.call("GET", f"{base(view=view)}{OBJECT_PATH}", BUILDER)
        assert len(found["items"]) == 1
        status, _ = await shard.call("GET", f"{base(NEW, view)}/api/v1/namespaces", BUILDER)
        assert status == 200
        _, found = await shard.call("GET", f"{base(NEW, view)}/apis", BUILDER)
        assert [group["name"] for group in found["groups"]] == ["core.kcp.io"]
        path = f"{base(NEW, view)}{OBJECT_PATH}/cluster/status"
        patch = {"status": {"terminators": ["x:y"]}}
        status, answer = await shard.call("PATCH", path, BUILDER, patch, content_type="application/merge-patch+json")
        assert status == 422
        assert f'only removing the "{ID}" terminator is supported' in answer["message"]
        patch = {"status": {"terminators": []}}
        status, answer = await shard.call("PATCH", path, BUILDER, patch, content_type="application/merge-patch+json")
        assert status == 200, answer
