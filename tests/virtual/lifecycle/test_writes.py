"""What can be written through the views of initializers and terminators, and as whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tenantry.apiserver import user as users
from tenantry.apiserver.authentication.authenticator import UnionAuthenticator
from tenantry.apiserver.endpoints import reviews
from tenantry.apiserver.user import WARRANT_EXTRA, User, is_privileged_group
from tenantry.kube.objects import Object
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tenantry.tenancy.types.logical_cluster import LOGICAL_CLUSTER
from tenantry.tenancy.types.phase_fields import PHASE
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard
from tests.virtual.lifecycle.waiting_workspaces import BUILDER, ID, NEW, OWNER, base, initializing, terminating, types

OTHER = "other:two"
MERGE = "application/merge-patch+json"
OBJECT = "/apis/core.kcp.io/v1alpha1/logicalclusters/cluster"
OLIVIA = person("olivia")
NOW = "2026-01-01T00:00:00Z"
FIELDS = {
    "URL": "https://elsewhere.example",
    "conditions": [{"type": "Own", "status": "True", "lastTransitionTime": NOW}],
    "initializers": [OTHER, ID],
    "terminators": [OTHER, ID],
    "phase": "Ready",
}
"""A change of each field of the status."""
WAYS = ("put", "merge", "json", "apply")


@asynccontextmanager
async def waiting(
    view: str = "initializingworkspaces", *, rules: list[Object] | None = None, **spec: Any
) -> AsyncIterator[ServedShard]:
    """A workspace of olivia's that waits for builder and for another one. With all of the platform's admission."""
    async with ServedShard(whole_admission=True) as shard:
        shard.connectors.update(reviews.connectors(UnionAuthenticator(anonymous=True)))
        field = "initializers" if view == "initializingworkspaces" else "terminators"
        permissions = {f"{field.removesuffix('s')}Permissions": rules} if rules else {}
        await types(shard, "initialize" if field == "initializers" else "terminate", **permissions)
        if field == "initializers":
            await initializing(shard, ID, OTHER)
        else:
            await terminating(shard)

        def prepare(obj: Object) -> None:
            obj["spec"].update(spec)
            obj["status"][field] = [ID, OTHER]
            if field == "terminators":
                obj["metadata"]["deletionTimestamp"] = NOW
                obj["status"]["phase"] = "Terminating"

        await shard.edit(NEW, "core.kcp.io", "logicalclusters", "cluster", prepare)
        yield shard


async def write(shard: ServedShard, way: str, path: str, who: User, status: Object) -> tuple[int, Any]:
    """Writes a status that is what it was but for the given fields."""
    _, current = await shard.call("GET", path, who)
    assert isinstance(current, dict), current
    if way == "merge":
        return await shard.call("PATCH", path, who, {"status": status}, content_type=MERGE)
    if way == "json":
        operations = [{"op": "add", "path": f"/status/{name}", "value": value} for name, value in status.items()]
        return await shard.call("PATCH", path, who, operations, content_type="application/json-patch+json")
    whole = {**current, "status": {**current["status"], **status}}
    if way == "put":
        return await shard.call("PUT", path, who, whole)
    whole["metadata"] = {"name": "cluster"}
    query = "fieldManager=builder&force=true"
    return await shard.call("PATCH", path, who, whole, query, content_type="application/apply-patch+yaml")


def state(shard: ServedShard) -> Object:
    found = shard.get(NEW, LOGICAL_CLUSTERS, "cluster")
    assert found is not None
    metadata = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
    return {"metadata": metadata, "spec": found["spec"], "status": found["status"]}


def test_every_field_is_tried() -> None:
    (version,) = LOGICAL_CLUSTER.versions
    assert version.status is not None
    assert set(FIELDS) == set(version.status["properties"])


def changes(field: str, phases: list[str]) -> list[Object]:
    alone = [{name: value} for name, value in FIELDS.items()]
    alone += [{"phase": phase} for phase in phases]
    removed: Object = {field: [OTHER]}
    lists: list[Object] = [{field: value} for value in ([], [ID], [ID, OTHER, "a:b"], ["a:b"], [OTHER, OTHER], [OTHER, ID])]
    return [*alone, *lists, *({**change, **removed} for change in alone if field not in change)]


@pytest.mark.parametrize("view", ["initializingworkspaces", "terminatingworkspaces"])
@pytest.mark.parametrize("way", WAYS)
async def test_exactly_the_own_entry_can_be_removed(view: str, way: str) -> None:
    field = "initializers" if view == "initializingworkspaces" else "terminators"
    async with waiting(view) as shard:
        path = f"{base(NEW, view)}{OBJECT}/status"
        before = state(shard)
        phases = [phase for phase in PHASE["enum"] if phase != before["status"]["phase"]]
        for change in changes(field, phases):
            for who in (BUILDER, MASTER):
                status, answer = await write(shard, way, path, who, change)
                assert (status, state(shard)) == (422, before), (change, answer)
                assert f'only removing the "{ID}"' in answer["message"]
        for method in ("PUT", "PATCH", "DELETE", "POST"):
            status, _ = await shard.call(method, f"{base(NEW, view)}{OBJECT}", BUILDER, {"metadata": {"finalizers": []}})
            assert status in (405, 415), method
        status, answer = await write(shard, way, path, BUILDER, {field: [OTHER]})
        assert status == 200, answer
        assert state(shard)["status"] == {**before["status"], field: [OTHER]}


@pytest.mark.parametrize(
    "spelled",
    [
        f"/{OBJECT}/status",
        f"//{OBJECT}/status",
        f"{OBJECT}/status/",
        OBJECT.replace("v1alpha1", "v1alpha1/watch") + "/status",
        OBJECT.replace("v1alpha1", "v1") + "/status",
        OBJECT.replace("logicalclusters", "namespaces/x/logicalclusters") + "/status",
        OBJECT.replace("logicalclusters", "/logicalclusters") + "/status",
        OBJECT.replace("logicalclusters", "logicalclusters:x") + "/status",
        f"/clusters/{NEW}{OBJECT}/status",
    ],
)
async def test_no_spelling_of_the_path_makes_it_content(spelled: str) -> None:
    async with waiting() as shard:
        before = state(shard)
        patches: list[Object] = [{"initializers": [], "phase": "Ready"}, {"phase": "Scheduling"}, {"initializers": []}]
        for patch in patches:
            status, _ = await shard.call("PATCH", base(NEW) + spelled, BUILDER, {"status": patch}, content_type=MERGE)
            assert status >= 400
            assert state(shard) == before


@pytest.mark.parametrize("way", WAYS)
async def test_no_tenant_writes_the_status_of_its_own_cluster(way: str) -> None:
    """The owner of a workspace does not skip the initializers of its type either."""
    async with waiting() as shard:
        before = state(shard)
        phases = [phase for phase in PHASE["enum"] if phase != "Initializing"]
        path = f"/clusters/{NEW}{OBJECT}/status"
        for change in [*changes("initializers", phases), {"initializers": [OTHER]}]:
            status, answer = await write(shard, way, path, OLIVIA, change)
            assert (status, state(shard)) == (403, before), (change, answer)


async def test_the_system_s_finalizers_stay() -> None:
    """Without them what a cluster holds would never be deleted, and who is waited for be passed over."""
    async with waiting("terminatingworkspaces") as shard:
        finalizers = ["core.kcp.io/logicalcluster-deletion", "kcp.io/has-terminators"]

        def hold(obj: Object) -> None:
            obj["metadata"]["finalizers"] = [*finalizers, "own.example/mine"]

        await shard.edit(NEW, "core.kcp.io", "logicalclusters", "cluster", hold)
        patch = {"metadata": {"finalizers": None}}
        status, answer = await shard.call("PATCH", f"/clusters/{NEW}{OBJECT}", OLIVIA, patch, content_type=MERGE)
        assert (status, answer["metadata"]["finalizers"]) == (200, finalizers)


async def reviewed(shard: ServedShard, view: str = "initializingworkspaces", who: User = BUILDER) -> Object:
    """Who the view acts as."""
    path = f"{base(NEW, view)}/apis/authentication.k8s.io/v1/selfsubjectreviews"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    status, answer = await shard.call("POST", path, who, body)
    assert status == 201, answer
    found: Object = answer["status"]["userInfo"]
    return found


PRIVILEGED = sorted(
    {
        value
        for name, value in vars(users).items()
        if name.endswith("_GROUP") and isinstance(value, str) and not name.startswith("_")
    }
    - {users.AUTHENTICATED_GROUP, users.UNAUTHENTICATED_GROUP}
)


def test_which_groups_are_privileged() -> None:
    assert len(PRIVILEGED) >= 5
    for group in (
        *PRIVILEGED,
        "system:nodes",
        "system:kcp:initializer:a:b",
        "system:kcp:terminator:a:b",
        "system:new",
    ):
        assert is_privileged_group(group), group
    for group in (
        "system:authenticated",
        "system:serviceaccounts",
        "system:serviceaccounts:default",
        "system:cluster:x",
        "devs",
        "vip",
        "System:masters",
    ):
        assert not is_privileged_group(group), group


@pytest.mark.parametrize("view", ["initializingworkspaces", "terminatingworkspaces"])
@pytest.mark.parametrize("rules", [None, [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]])
async def test_a_view_acts_without_privileges(view: str, rules: list[Object] | None) -> None:
    groups = [*PRIVILEGED, "system:kcp:initializer:other:two", "system:new", "system:authenticated", "devs"]
    warrant = '{"user":"x","groups":["system:masters"]}'
    extra = {WARRANT_EXTRA: [warrant], "example.com/team": ["a"]}
    async with waiting(view, rules=rules, createdBy={**OWNER, "groups": groups, "extra": extra}) as shard:
        if rules is None:
            found = await reviewed(shard, view)
            assert found["username"] == "olivia"
            assert sorted(found["groups"]) == ["devs", "system:authenticated"]
            assert found["extra"] == {"authentication.kcp.io/scopes": [f"cluster:{NEW}"], "example.com/team": ["a"]}
        for who in (BUILDER, MASTER, User("builder", tuple(groups), extra=((WARRANT_EXTRA, (warrant,)),))):
            found = await reviewed(shard, view, who)
            own = f"system:kcp:{'initializer' if view.startswith('init') else 'terminator'}:{ID}"
            assert {group for group in found["groups"] if is_privileged_group(group)} == ({own} if rules else set())
            assert WARRANT_EXTRA not in found.get("extra", {})


async def test_a_privileged_owner_has_no_privileges_elsewhere() -> None:
    """What it was granted in other workspaces, by name, is not for the controller of a type."""
    for groups, expected in ((["system:masters"], 403), (["devs"], 201)):
        async with waiting(createdBy={**OWNER, "groups": [*groups, "system:authenticated"]}) as shard:
            await shard.cluster("rowner0000000000", "root:owner", owner="olivia")
            await shard.export("rowner0000000000")
            spec = {"reference": {"export": {"path": "root:owner", "name": "cowboys"}}}
            body = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": "b"}, "spec": spec}
            status, answer = await shard.call("POST", f"{base(NEW)}/apis/apis.kcp.io/v1alpha2/apibindings", BUILDER, body)
            assert status == expected, answer


async def test_status_of_bindings_stays_closed_to_controllers_with_all_rules() -> None:
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    async with waiting(rules=rules) as shard:
        for resource in ("apibindings", "apiexports"):
            path = f"{base(NEW)}/apis/apis.kcp.io/v1alpha2/{resource}/x/status"
            assert (await shard.call("PATCH", path, BUILDER, {"status": {}}, content_type=MERGE))[0] == 403
