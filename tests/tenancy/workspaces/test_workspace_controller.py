"""Workspaces from POST to Ready to gone, on one shard and on two."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest

from tenantry.apiserver.user import SYSTEM
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.storage.keys import Key
from tenantry.storage.memory import MemoryStore
from tenantry.storage.record import RecordEvent
from tenantry.tenancy.object_changes import OPERATIONS
from tenantry.tenancy.resources import API_BINDINGS, CLUSTER_ROLE_BINDINGS, CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS
from tenantry.tenancy.workspaces.identifiers import initializer_label
from tests.tenancy.open_platform import USER, OpenPlatform, running, workspace

CONFIG_MAP: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "namespace": "default"}}


def phases_of(platform: OpenPlatform, cluster: str) -> list[str]:
    """Collects the phases that a watcher of workspaces sees from now on."""
    seen: list[str] = []

    def see(events: Sequence[RecordEvent]) -> None:
        seen.extend(orjson.loads(e.record.value)["status"]["phase"] for e in events if e.record is not None)

    resource = platform.tenancy.definitions.workspaces.storage_key
    platform.tenancy_of(cluster).cell.range_of(cluster).subscribe(see, resource, cluster)
    return seen


async def test_a_workspace_becomes_ready_through_all_phases() -> None:
    async with running() as platform:
        seen = phases_of(platform, "root")
        ready = await platform.workspace("root", "one")
        assert seen == ["Scheduling", "Initializing", "Ready"]
        assert ready["spec"]["type"] == {"name": "organization", "path": "root"}
        assert ready["spec"]["URL"] == "https://tenantry.test:6443/clusters/root:one"
        assert ready["metadata"]["labels"]["tenancy.kcp.io/phase"] == "Ready"
        assert orjson.loads(ready["metadata"]["annotations"]["experimental.tenancy.kcp.io/owner"])["username"] == "ada"
        kinds = {c["type"]: c["status"] for c in ready["status"]["conditions"]}
        assert kinds == {"WorkspaceScheduled": "True", "WorkspaceInitialized": "True"}


async def test_the_logical_cluster_and_its_contents_are_those_of_kcp() -> None:
    async with running() as platform:
        cluster = (await platform.workspace("root", "one"))["spec"]["cluster"]
        assert platform.tenancy.directory.cluster_of("root:one") == cluster
        assert platform.tenancy.directory.path_of(cluster) == "root:one"
        found = platform.logical_cluster(cluster)
        assert found is not None
        assert found["status"]["phase"] == "Ready"
        assert found["status"]["URL"] == f"https://tenantry.test:6443/clusters/{cluster}"
        assert found["spec"]["initializers"] == ["root:universal", "system:apibindings"]
        assert found["spec"]["createdBy"] == {"username": "ada", "groups": ["system:authenticated"]}
        assert found["metadata"]["annotations"]["internal.tenancy.kcp.io/type"] == "root:organization"
        assert found["metadata"]["annotations"]["experimental.tenancy.kcp.io/owner"] == '{"username":"ada"}'
        range_ = platform.tenancy.cell.range_of(cluster)
        assert [r.key.name for r in range_.list(NAMESPACES, cluster)] == ["default", "kube-system"]
        assert len(range_.list(SERVICE_ACCOUNTS, cluster)) == len(range_.list(CONFIG_MAPS, cluster)) == 2
        assert [r.key.name for r in range_.list(CLUSTER_ROLE_BINDINGS, cluster)] == ["workspace-admin"]
        apis = platform.tenancy.apis
        assert apis.definition(cluster, "tenancy.kcp.io", "workspaces") is platform.tenancy.definitions.workspaces
        assert apis.for_cluster(cluster) is not apis.for_cluster("root")


async def test_workspaces_of_one_type_share_their_set_of_apis() -> None:
    async with running() as platform:
        first, second = [(await platform.workspace("root", name))["spec"]["cluster"] for name in ("one", "two")]
        assert platform.tenancy.apis.for_cluster(first) is platform.tenancy.apis.for_cluster(second)


async def test_a_workspace_made_by_the_system_itself_becomes_ready() -> None:
    async with running() as platform:
        await platform.workspace("root", "one", user=SYSTEM)


async def test_workspaces_nest_and_the_child_type_is_the_parents_default() -> None:
    async with running() as platform:
        parent = (await platform.workspace("root", "one"))["spec"]["cluster"]
        child = await platform.workspace(parent, "two")
        assert child["spec"]["type"] == {"name": "universal", "path": "root"}
        assert child["spec"]["URL"].endswith("/clusters/root:one:two")
        assert platform.tenancy.directory.cluster_of("root:one:two") == child["spec"]["cluster"]
        assert platform.tenancy.directory.cluster_of(f"{parent}:two") == child["spec"]["cluster"]


async def test_deleting_a_workspace_deletes_all_beneath_it() -> None:
    async with running() as platform:
        definition = platform.tenancy.definitions.workspaces
        parent = (await platform.workspace("root", "one"))["spec"]["cluster"]
        child = (await platform.workspace(parent, "two"))["spec"]["cluster"]
        await platform.delete("root", definition, "one")
        await platform.until(lambda: platform.get("root", definition, "one") is None)
        for cluster in (parent, child):
            assert not list(platform.tenancy.cell.range_of(cluster).resources(cluster))
        assert platform.tenancy.directory.cluster_of("root:one") is None
        assert platform.tenancy.directory.tenants("root") == 0


async def test_deleting_the_logical_cluster_from_inside_deletes_the_workspace() -> None:
    async with running(2, capacity=1) as platform:
        definitions = platform.tenancy.definitions
        for name in ("here", "there"):
            cluster = (await platform.workspace("root", name))["spec"]["cluster"]
            await platform.delete(cluster, definitions.logical_clusters, "cluster")
            await platform.until(lambda name=name: platform.get("root", definitions.workspaces, name) is None)  # type: ignore[misc]
            assert platform.logical_cluster(cluster) is None


async def test_an_object_with_a_finalizer_keeps_its_workspace_until_it_is_released() -> None:
    async with running() as platform:
        definitions = platform.tenancy.definitions
        cluster = (await platform.workspace("root", "one"))["spec"]["cluster"]
        await platform.create(
            cluster, definitions.config_maps, CONFIG_MAP | {"metadata": {**CONFIG_MAP["metadata"], "finalizers": ["a.b/c"]}}
        )
        await platform.delete("root", definitions.workspaces, "one")

        def reported() -> bool:
            conditions = (platform.get("root", definitions.workspaces, "one") or {})["status"]["conditions"]
            return any(c["type"] == "WorkspaceContentDeleted" and c["status"] == "False" for c in conditions)

        await platform.until(reported)
        assert platform.phase("root", "one") == "Deleting"
        held = platform.get(cluster, definitions.config_maps, "held", "default")
        assert held is not None
        assert held["metadata"]["deletionTimestamp"]
        with pytest.raises(StatusError, match="being deleted"):
            await platform.create(
                cluster, definitions.config_maps, CONFIG_MAP | {"metadata": {"name": "new", "namespace": "default"}}
            )

        def release(obj: Object) -> Object:
            obj["metadata"].pop("finalizers")
            return obj

        await platform.update(cluster, definitions.config_maps, "held", release, namespace="default")
        await platform.until(lambda: platform.get("root", definitions.workspaces, "one") is None)


async def test_rights_and_accounts_stay_until_the_last_of_many_objects_is_released() -> None:
    async with running() as platform:
        definitions = platform.tenancy.definitions
        cluster = (await platform.workspace("root", "one"))["spec"]["cluster"]
        for number in range(2 * OPERATIONS):
            metadata: Object = {"name": f"n{number}", "namespace": "default"}
            if number == 2 * OPERATIONS - 1:
                metadata["finalizers"] = ["a.b/c"]
            await platform.create(cluster, definitions.config_maps, CONFIG_MAP | {"metadata": metadata})
        kept = [SERVICE_ACCOUNTS, CLUSTER_ROLE_BINDINGS, NAMESPACES, API_BINDINGS]
        range_ = platform.tenancy_of(cluster).cell.range_of(cluster)
        before = {resource: range_.count(resource, cluster, None) for resource in kept}
        assert all(before.values())
        await platform.delete("root", definitions.workspaces, "one")
        await platform.until(lambda: range_.count(CONFIG_MAPS, cluster, None) == 1)
        assert {resource: range_.count(resource, cluster, None) for resource in kept} == before

        def release(obj: Object) -> Object:
            obj["metadata"].pop("finalizers")
            return obj

        await platform.update(cluster, definitions.config_maps, f"n{2 * OPERATIONS - 1}", release, namespace="default")
        await platform.until(lambda: platform.get("root", definitions.workspaces, "one") is None)
        assert platform.logical_cluster(cluster) is None


async def test_a_type_with_an_initializer_waits_for_its_controller() -> None:
    async with running() as platform:
        definitions = platform.tenancy.definitions
        await platform.create("root", definitions.workspace_types, workspace_type("custom", initializer=True))
        await platform.create("root", definitions.workspaces, workspace("one", type={"name": "custom", "path": "root"}))
        await platform.until(lambda: platform.phase("root", "one") == "Initializing")
        found = platform.get("root", definitions.workspaces, "one")
        assert found is not None
        cluster = found["spec"]["cluster"]
        assert found["status"]["initializers"] == ["root:custom"]
        logical_cluster = platform.logical_cluster(cluster)
        assert logical_cluster is not None
        key, value = initializer_label("root:custom")
        assert logical_cluster["metadata"]["labels"][key] == value

        def done(obj: Object) -> Object:
            obj["status"]["initializers"] = []
            return obj

        await platform.update(cluster, definitions.logical_clusters, "cluster", done, subresource="status")
        await platform.ready("root", "one")
        logical_cluster = platform.logical_cluster(cluster)
        assert logical_cluster is not None
        assert logical_cluster["metadata"]["labels"] == {"tenancy.kcp.io/phase": "Ready"}


async def test_a_terminator_holds_the_contents_until_it_is_done() -> None:
    async with running() as platform:
        definitions = platform.tenancy.definitions
        await platform.create("root", definitions.workspace_types, workspace_type("custom", terminator=True))
        cluster = (await platform.workspace("root", "one", type={"name": "custom", "path": "root"}))["spec"]["cluster"]
        await platform.delete("root", definitions.workspaces, "one")
        await platform.until(lambda: platform.phase("root", "one") == "Terminating")
        assert platform.get(cluster, definitions.namespaces, "default") is not None
        logical_cluster = platform.logical_cluster(cluster)
        assert logical_cluster is not None
        assert logical_cluster["status"]["terminators"] == ["root:custom"]
        assert "kcp.io/has-terminators" in logical_cluster["metadata"]["finalizers"]

        def done(obj: Object) -> Object:
            obj["status"]["terminators"] = []
            return obj

        await platform.update(cluster, definitions.logical_clusters, "cluster", done, subresource="status")
        await platform.until(lambda: platform.get("root", definitions.workspaces, "one") is None)


async def test_a_default_binding_waits_for_its_export() -> None:
    async with running() as platform:
        definitions = platform.tenancy.definitions
        reference = [{"path": "root", "export": "late"}]
        await platform.create("root", definitions.workspace_types, workspace_type("custom", defaultAPIBindings=reference))
        await platform.create("root", definitions.workspaces, workspace("one", type={"name": "custom", "path": "root"}))
        await platform.until(lambda: platform.phase("root", "one") == "Initializing")
        found = platform.get("root", definitions.workspaces, "one")
        assert found is not None
        assert found["status"]["initializers"] == ["system:apibindings"]
        export: Object = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIExport", "metadata": {"name": "late"}, "spec": {}}
        await platform.create("root", definitions.api_exports, export)
        await platform.ready("root", "one")


async def test_maintained_bindings_follow_their_type() -> None:
    async with running() as platform:
        definitions = platform.tenancy.definitions
        for name in ("first", "second"):
            export: Object = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIExport", "metadata": {"name": name}, "spec": {}}
            await platform.create("root", definitions.api_exports, export)
        spec = {"defaultAPIBindings": [{"path": "root", "export": "first"}], "defaultAPIBindingLifecycle": "Maintain"}
        await platform.create("root", definitions.workspace_types, workspace_type("custom", **spec))
        cluster = (await platform.workspace("root", "one", type={"name": "custom", "path": "root"}))["spec"]["cluster"]

        def more(obj: Object) -> Object:
            obj["spec"]["defaultAPIBindings"].append({"path": "root", "export": "second"})
            return obj

        await platform.update("root", definitions.workspace_types, "custom", more)
        resource = definitions.api_bindings.storage_key

        def bound() -> bool:
            records = platform.tenancy.cell.range_of(cluster).list(resource, cluster)
            return [r.key.name.split("-")[0] for r in records if b'"phase":"Bound"' in r.value] == ["first", "second"]

        await platform.until(bound)
        # Whoever deletes one gets it back.
        record = platform.tenancy.cell.range_of(cluster).list(resource, cluster)[0]
        await platform.tenancy.cell.commit([platform.tenancy.changes.removed(record)])
        assert not bound()
        await platform.until(bound)


async def test_a_full_range_is_followed_by_a_new_one() -> None:
    async with running(capacity=2) as platform:
        clusters = [(await platform.workspace("root", f"w{n}"))["spec"]["cluster"] for n in range(5)]
        ranges = [platform.tenancy.directory.locate(c).range for c in clusters]
        assert ranges == ["root", "root", "range-2", "range-2", "range-3"]
        definitions = platform.tenancy.definitions

        def urls() -> list[dict[str, str]]:
            found = platform.get("root", definitions.workspace_types, "universal") or {}
            return (found.get("status") or {}).get("virtualWorkspaces") or []

        await platform.until(lambda: platform.get("root", definitions.shards, "range-3") is not None and len(urls()) == 6)
        assert urls()[0] == {
            "url": "https://tenantry.test:6443/ranges/range-2/services/initializingworkspaces/root:universal",
            "type": "initializing",
        }


async def test_a_selector_chooses_among_shards_and_waits_for_one_that_fits() -> None:
    async with running() as platform:
        definitions = platform.tenancy.definitions
        where = {"selector": {"matchLabels": {"region": "eu"}}}
        await platform.create("root", definitions.workspaces, workspace("one", location=where))

        def refused() -> bool:
            found = platform.get("root", definitions.workspaces, "one") or {}
            return any(c.get("reason") == "Unschedulable" for c in found["status"].get("conditions", ()))

        await platform.until(refused)

        def label(obj: Object) -> Object:
            obj["metadata"]["labels"]["region"] = "eu"
            return obj

        await platform.update("root", definitions.shards, "root", label)
        ready = await platform.ready("root", "one")
        assert ready["metadata"]["labels"]["region"] == "eu"


async def test_an_unschedulable_shard_is_left_alone() -> None:
    async with running() as platform:
        definitions = platform.tenancy.definitions

        def mark(obj: Object) -> Object:
            obj["metadata"].setdefault("annotations", {})["experimental.core.kcp.io/unschedulable"] = "true"
            return obj

        await platform.map.open_range({})
        await platform.until(lambda: platform.get("root", definitions.shards, "range-2") is not None)
        await platform.update("root", definitions.shards, "root", mark)
        ready = await platform.workspace("root", "one")
        assert platform.tenancy.directory.locate(ready["spec"]["cluster"]).range == "range-2"


async def test_workspaces_of_another_shards_range_come_and_go_the_same_way() -> None:
    async with running(2, capacity=1) as platform:
        definitions = platform.tenancy.definitions
        await platform.workspace("root", "here")
        seen = phases_of(platform, "root")
        ready = await platform.workspace("root", "there")
        cluster = ready["spec"]["cluster"]
        assert platform.tenancy_of(cluster).name == "shard-2"
        assert [p for n, p in enumerate(seen) if n == 0 or p != seen[n - 1]] == ["Scheduling", "Initializing", "Ready"]
        other = platform.shards[1].tenancy
        await platform.until(lambda: other.directory.cluster_of("root:there") == cluster)
        child = await platform.workspace(cluster, "child")
        await platform.delete("root", definitions.workspaces, "there")
        await platform.until(lambda: platform.get("root", definitions.workspaces, "there") is None)
        for gone in (cluster, child["spec"]["cluster"]):
            assert not list(platform.tenancy_of(gone).cell.range_of(gone).resources(gone))


async def test_a_second_start_finds_everything_and_writes_nothing() -> None:
    store = MemoryStore()
    async with running(store=store) as platform:
        identity = platform.tenancy.definitions.workspaces.identity
        cluster = (await platform.workspace("root", "one"))["spec"]["cluster"]
        await platform.shards[0].idle()
    async with running(store=store) as platform:
        await platform.shards[0].idle()
        assert platform.tenancy.definitions.workspaces.identity == identity
        assert platform.phase("root", "one") == "Ready"
        assert platform.tenancy.directory.cluster_of("root:one") == cluster
        assert platform.written == 0


async def test_use_of_every_type_in_the_chain_is_asked_for() -> None:
    async with running() as platform:
        platform.authorizer.refused.add(("use", "universal"))
        with pytest.raises(StatusError, match="missing verb='use' permission on workspacetype") as refused:
            await platform.create("root", platform.tenancy.definitions.workspaces, workspace("one"))
        assert refused.value.code == 403


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"type": {"name": "nowhere"}}, "cannot be resolved"),
        ({"type": {"name": "home", "path": "root"}}, "does not allow any parent workspaces"),
        ({"type": {"name": "team", "path": "root"}}, "only allows \\[root:organization root:team\\] parent workspaces"),
        ({"cluster": "abc"}, "can only be set by system privileged users"),
    ],
)
async def test_workspaces_that_may_not_be_made(spec: Object, text: str) -> None:
    async with running() as platform:
        with pytest.raises(StatusError, match=text) as refused:
            await platform.create("root", platform.tenancy.definitions.workspaces, workspace("one", **spec))
        assert refused.value.code == 403


async def test_types_that_extend_each_other_are_refused() -> None:
    async with running() as platform:
        definitions = platform.tenancy.definitions
        for name, other in (("a", "b"), ("b", "a")):
            extend = {"with": [{"name": other, "path": "root"}]}
            await platform.create("root", definitions.workspace_types, workspace_type(name, extend=extend))
        with pytest.raises(StatusError, match="extends itself"):
            await platform.create("root", definitions.workspaces, workspace("one", type={"name": "a", "path": "root"}))


async def test_a_type_brings_only_exports_that_its_author_may_bind() -> None:
    async with running() as platform:
        platform.authorizer.refused.add(("bind", "secret-api"))
        reference = [{"path": "root", "export": "secret-api"}]
        with pytest.raises(StatusError, match="missing verb='bind'"):
            await platform.create(
                "root", platform.tenancy.definitions.workspace_types, workspace_type("x", defaultAPIBindings=reference)
            )


async def test_users_do_not_touch_logical_clusters() -> None:
    async with running() as platform:
        definitions = platform.tenancy.definitions
        cluster = (await platform.workspace("root", "one"))["spec"]["cluster"]

        def grow(obj: Object) -> Object:
            obj["spec"]["initializers"] = ["root:more"]
            return obj

        with pytest.raises(StatusError, match=r"spec\.initializers is immutable"):
            await platform.update(cluster, definitions.logical_clusters, "cluster", grow, user=USER)


def workspace_type(name: str, **spec: object) -> Object:
    return {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "WorkspaceType", "metadata": {"name": name}, "spec": spec}


async def test_a_cluster_that_is_back_in_scheduling_is_filled_again_and_holds_nobody_up() -> None:
    async with running() as platform:
        await platform.workspace("root", "a")
        found = platform.get("root", platform.tenancy.definitions.workspaces, "a")
        assert found is not None
        cluster = found["spec"]["cluster"]
        range_ = platform.tenancy.cell.range_of(cluster)
        record = range_.get(Key(cluster, platform.tenancy.definitions.logical_clusters.storage_key, "", "cluster"))
        assert record is not None
        obj = orjson.loads(record.value)
        obj["status"]["phase"] = "Scheduling"
        await platform.tenancy.cell.commit(
            [platform.tenancy.changes.updated(platform.tenancy.definitions.logical_clusters, record, obj)]
        )
        await platform.until(lambda: (platform.logical_cluster(cluster) or {})["status"]["phase"] == "Ready")
        await platform.workspace("root", "b")


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("early", [False, True])
async def test_a_workspace_goes_when_a_user_takes_off_the_last_finalizer_of_its_cluster(shards: int, early: bool) -> None:
    """One of somebody else's at the end, or (`early`) all of them at once while there is still something in the cluster."""
    async with running(shards, capacity=2 if shards == 2 else 1000) as platform:
        definitions = platform.tenancy.definitions
        for name in ("near", "far"):
            cluster = (await platform.workspace("root", name))["spec"]["cluster"]
        await platform.create(cluster, definitions.config_maps, CONFIG_MAP)

        def hold(obj: Object) -> Object:
            obj["metadata"]["finalizers"].append("example.com/hold")
            return obj

        def let_go(obj: Object) -> Object:
            obj["metadata"].pop("finalizers")
            return obj

        def metadata() -> Object:
            found: Object = (platform.logical_cluster(cluster) or {"metadata": {}})["metadata"]
            return found

        await platform.update(cluster, definitions.logical_clusters, "cluster", hold)
        await platform.delete("root", definitions.workspaces, "far")
        if early:
            await platform.until(lambda: "deletionTimestamp" in metadata())
        else:
            await platform.until(lambda: metadata().get("finalizers") == ["example.com/hold"])
        await platform.update(cluster, definitions.logical_clusters, "cluster", let_go)
        await platform.until(lambda: platform.get("root", definitions.workspaces, "far") is None)
        assert list(platform.tenancy_of(cluster).cell.range_of(cluster).resources(cluster)) == []


async def exports(platform: OpenPlatform) -> None:
    """Two exports, and a type that keeps its workspaces bound to the first."""
    for name in ("first", "second"):
        export: Object = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIExport", "metadata": {"name": name}, "spec": {}}
        await platform.create("root", platform.tenancy.definitions.api_exports, export)
    spec = {"defaultAPIBindings": [{"path": "root", "export": "first"}], "defaultAPIBindingLifecycle": "Maintain"}
    await platform.create("root", platform.tenancy.definitions.workspace_types, workspace_type("custom", **spec))


@pytest.mark.parametrize("far", [False, True])
async def test_nobody_is_bound_by_a_type_that_only_the_logical_cluster_names(far: bool) -> None:
    """Its annotation was once everybody's to write. `far`: the Workspace is another shard's."""
    async with running(2 if far else 1, capacity=2 if far else 1000) as platform:
        definitions = platform.tenancy.definitions
        await exports(platform)
        await platform.create("root", definitions.workspace_types, workspace_type("plain", defaultAPIBindingLifecycle="Maintain"))
        cluster = ""
        for name in ("near", "other", "claims")[0 if far else 2 :]:
            cluster = (await platform.workspace("root", name, type={"name": "plain", "path": "root"}))["spec"]["cluster"]
        tenancy = platform.tenancy_of(cluster)
        assert (tenancy is not platform.tenancy) == far
        record = tenancy.cell.range_of(cluster).get(Key(cluster, definitions.logical_clusters.storage_key, "", "cluster"))
        assert record is not None
        obj = orjson.loads(record.value)
        obj["metadata"]["annotations"]["internal.tenancy.kcp.io/type"] = "root:custom"
        await tenancy.cell.commit([tenancy.changes.updated(definitions.logical_clusters, record, obj)])
        assert tenancy.workspace_types.of(cluster, obj) == ("root", "plain")

        def more(obj: Object) -> Object:
            obj["spec"]["defaultAPIBindings"] = [{"path": "root", "export": "second"}]
            return obj

        def bound() -> list[str]:
            return [r.key.name.split("-")[0] for r in tenancy.cell.range_of(cluster).list(API_BINDINGS, cluster)]

        # By the time that the change of its own type has come to it, that of the other one would have.
        await platform.update("root", definitions.workspace_types, "plain", more)
        await platform.until(lambda: bound() != [])
        assert bound() == ["second"]


async def test_a_maintained_binding_does_not_turn_one_to_another_export() -> None:
    async with running() as platform:
        definitions = platform.tenancy.definitions
        await exports(platform)
        cluster = (await platform.workspace("root", "one", type={"name": "custom", "path": "root"}))["spec"]["cluster"]
        (record,) = platform.tenancy.cell.range_of(cluster).list(API_BINDINGS, cluster)
        obj = orjson.loads(record.value)
        obj["spec"]["reference"]["export"]["name"] = "second"
        await platform.tenancy.cell.commit([platform.tenancy.changes.updated(definitions.api_bindings, record, obj)])

        def reported() -> bool:
            status = (platform.logical_cluster(cluster) or {})["status"]
            texts = [c.get("message", "") for c in status.get("conditions") or () if c["type"] == "APIBindingsReconciled"]
            return any("bound to another export" in text for text in texts)

        await platform.until(reported)
        (record,) = platform.tenancy.cell.range_of(cluster).list(API_BINDINGS, cluster)
        assert orjson.loads(record.value)["spec"]["reference"]["export"]["name"] == "second"
