"""The view of an export."""

from __future__ import annotations

import orjson
import pytest

from tenantry.kube.objects import Object
from tenantry.storage.keys import catalog_key
from tenantry.storage.store import Put
from tenantry.tenancy.resources import API_EXPORTS
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard, accepted, claim
from tests.virtual.apiexport.ranch import (
    FAR,
    NEAR,
    PROVIDER,
    SHERIFF,
    STRANGER,
    base,
    configmaps,
    cowboys,
    create,
    listed,
    ranch,
)
from tests.virtual.watching import Watch


async def test_wildcard_shows_the_consumers_of_a_range() -> None:
    async with ServedShard() as shard:
        await ranch(shard)
        assert await listed(shard, cowboys()) == [f"of-{NEAR}"]
        assert await listed(shard, cowboys(name="range-2")) == [f"of-{FAR}"]
        assert await listed(shard, cowboys(NEAR)) == [f"of-{NEAR}"]
        status, answer = await shard.call("GET", cowboys(NEAR, obj=f"of-{NEAR}"), SHERIFF)
        assert (status, answer["metadata"]["annotations"]["kcp.io/cluster"]) == (200, NEAR)


async def test_provider_writes_to_its_consumers() -> None:
    async with ServedShard() as shard:
        await ranch(shard)
        status, answer = await create(shard, cowboys(NEAR), "new", SHERIFF)
        assert status == 201, answer
        body = {"status": {"phase": "Riding"}}
        status, answer = await shard.call(
            "PATCH", cowboys(NEAR, obj="new") + "/status", SHERIFF, body, content_type="application/merge-patch+json"
        )
        assert (status, answer["status"]) == (200, {"phase": "Riding"})
        status, _ = await shard.call("DELETE", cowboys(NEAR, obj="new"), SHERIFF)
        assert status == 200


async def test_who_may_not() -> None:
    async with ServedShard() as shard:
        await ranch(shard, verbs=("get", "list"))
        status, answer = await shard.call("GET", cowboys(), person("nobody"))
        text = 'User "nobody" cannot list resource "cowboys" in API group "wild.west" at the cluster scope: access denied'
        assert (status, answer["message"]) == (403, f"cowboys.wild.west is forbidden: {text}")
        status, _ = await create(shard, cowboys(NEAR), "new", SHERIFF)
        assert status == 403
        status, _ = await shard.call("GET", cowboys(STRANGER), SHERIFF)
        assert status == 403
        status, _ = await shard.call("GET", configmaps(), SHERIFF)
        assert status == 403
        status, _ = await shard.call("GET", f"{base()}/api/v1/configmaps", SHERIFF)
        assert status == 404


async def test_wildcard_limits() -> None:
    async with ServedShard() as shard:
        await ranch(shard)
        status, answer = await shard.call("GET", f"{base()}/apis/wild.west/v1/namespaces/default/cowboys", SHERIFF)
        assert (status, answer["message"]) == (400, "cross-cluster LIST and WATCH are required to be cross-namespace")
        status, _ = await shard.call("POST", f"{base()}/apis/wild.west/v1/cowboys", SHERIFF, {"metadata": {"name": "x"}})
        assert status == 405


async def test_discovery() -> None:
    async with ServedShard() as shard:
        await ranch(shard, claims=[claim("", "configmaps")])
        aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        status, groups = await shard.call("GET", f"{base()}/apis", SHERIFF, accept=aggregated)
        assert (status, groups["kind"]) == (200, "APIGroupList")
        assert sorted(group["name"] for group in groups["groups"]) == ["apis.kcp.io", "wild.west"]
        status, versions = await shard.call("GET", f"{base()}/api", SHERIFF)
        assert versions["versions"] == ["v1"]
        status, core = await shard.call("GET", f"{base()}/api/v1", SHERIFF)
        assert [resource["name"] for resource in core["resources"]] == ["configmaps"]
        status, own = await shard.call("GET", f"{base()}/apis/wild.west/v1", SHERIFF)
        assert [resource["name"] for resource in own["resources"]] == ["cowboys", "cowboys/status"]
        verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        assert [resource["verbs"] for resource in own["resources"]] == [verbs, ["get", "patch", "update"]]
        status, bindings = await shard.call("GET", f"{base()}/apis/apis.kcp.io/v1alpha2", SHERIFF)
        assert [(r["name"], sorted(r["verbs"])) for r in bindings["resources"]] == [("apibindings", ["get", "list", "watch"])]
        # kcp's views have no v2, and no kubectl before 1.29 writes to them: it validates by that.
        assert (await shard.call("GET", f"{base()}/openapi/v2", SHERIFF, accept="*/*"))[0] == 200
        assert (await shard.call("GET", f"{base()}/openapi/v3", SHERIFF))[0] == 200


async def test_unknown_export() -> None:
    async with ServedShard() as shard:
        await ranch(shard)
        assert (await shard.call("GET", f"{base(export='none')}/apis", SHERIFF))[0] == 403
        assert await shard.call("GET", f"{base(export='none')}/apis", MASTER) == (404, "404 page not found\n")
        rule = {"apiGroups": ["apis.kcp.io"], "resources": ["apiexports/content"], "verbs": ["*"]}
        await shard.role(PROVIDER, "anything", rule)
        await shard.bind_role(PROVIDER, "anything", "anything", SHERIFF.name)
        status, answer = await shard.call("GET", f"{base(export='none')}/apis", SHERIFF)
        why = f'error getting APIExport "none" of logical cluster "{PROVIDER}": not found'
        assert (status, answer["message"]) == (500, f"Internal error occurred: {why}")
        await shard.put(PROVIDER, "apis.kcp.io", "apiexports", {"metadata": {"name": "none"}, "spec": {}})
        await shard.until(lambda: shard.identity(PROVIDER, "none"))
        assert (await shard.call("GET", f"{base(export='none')}/apis", SHERIFF))[0] == 200


async def test_bindings_are_always_visible() -> None:
    async with ServedShard() as shard:
        await ranch(shard)
        path = "/apis/apis.kcp.io/v1alpha2/apibindings"
        assert await listed(shard, base() + path) == ["cowboys"]
        assert await listed(shard, base(NEAR) + path) == ["cowboys"]
        assert (await shard.call("DELETE", f"{base(NEAR)}{path}/cowboys", SHERIFF))[0] == 403


async def test_accepted_claims_show_labelled_objects() -> None:
    async with ServedShard() as shard:
        wanted = claim("", "configmaps")
        await ranch(shard, claims=[wanted])
        assert (await create(shard, f"/clusters/{NEAR}/api/v1/namespaces/default/configmaps", "one", MASTER))[0] == 201
        assert await listed(shard, f"{base()}/api/v1/configmaps") == ["one"]
        assert (await create(shard, configmaps(), "two", SHERIFF))[0] == 201
        assert await listed(shard, configmaps()) == ["one", "two"]
        assert (await shard.call("GET", f"{base(NEAR)}/api/v1/namespaces/default/secrets", SHERIFF))[0] == 403


async def test_verbs_of_both_sides() -> None:
    async with ServedShard() as shard:
        offered = claim("", "configmaps", "get", "list", "create")
        await ranch(shard, claims=[offered], accept=[accepted({**offered, "verbs": ["list", "delete"]})])
        assert (await shard.call("GET", configmaps(), SHERIFF))[0] == 200
        for method, path in (("GET", configmaps(obj="x")), ("DELETE", configmaps(obj="x")), ("POST", configmaps())):
            assert (await shard.call(method, path, SHERIFF, {"metadata": {"name": "x"}}))[0] == 403


async def test_objects_outside_of_the_selector_do_not_exist() -> None:
    async with ServedShard() as shard:
        wanted = claim("", "configmaps")
        await ranch(shard, claims=[wanted], accept=[accepted(wanted, matchLabels={"for": "sheriff"})])
        consumer = f"/clusters/{NEAR}/api/v1/namespaces/default/configmaps"
        await create(shard, consumer, "private", MASTER)
        await create(shard, consumer, "shared", MASTER, labels={"for": "sheriff"})
        assert await listed(shard, configmaps()) == ["shared"]
        assert (await shard.call("GET", configmaps(obj="private"), SHERIFF))[0] == 404
        status, answer = await create(shard, configmaps(), "mine", SHERIFF)
        assert (status, answer["metadata"]["labels"]["for"]) == (201, "sheriff")
        status, answer = await create(shard, configmaps(), "theirs", SHERIFF, labels={"for": "deputy"})
        assert (status, answer["message"]) == (
            403,
            'configmaps "theirs" is forbidden: protected label for must have value sheriff',
        )


async def test_match_expressions_are_not_filled_in() -> None:
    async with ServedShard() as shard:
        wanted = claim("", "configmaps")
        expression = {"key": "for", "operator": "Exists"}
        await ranch(shard, claims=[wanted], accept=[accepted(wanted, matchExpressions=[expression])])
        status, answer = await create(shard, configmaps(), "mine", SHERIFF)
        assert (status, answer["message"]) == (403, 'configmaps "mine" is forbidden: object does not match required labels')


async def test_subresources_other_than_status_are_not_there() -> None:
    async with ServedShard() as shard:
        await ranch(shard, claims=[claim("", "serviceaccounts")])
        path = f"{base(NEAR)}/api/v1/namespaces/default/serviceaccounts"
        assert (await create(shard, path, "robot", SHERIFF))[0] == 201
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        assert (await shard.call("POST", f"{path}/robot/token", SHERIFF, body))[0] == 404


async def test_claimed_type_of_another_export() -> None:
    async with ServedShard() as shard:
        await shard.cluster("rowner0000000000", "root:owner")
        await shard.export("rowner0000000000", "horses")
        wanted = claim("wild.west", "horses", identity=shard.identity("rowner0000000000", "horses"))
        await ranch(shard, claims=[wanted])
        await shard.bind(NEAR, "root:owner", "horses")
        assert (await create(shard, f"/clusters/{NEAR}/apis/wild.west/v1/namespaces/default/horses", "silver", MASTER))[0] == 201
        assert await listed(shard, f"{base()}/apis/wild.west/v1/horses") == ["silver"]
        assert await listed(shard, f"{base(name='range-2')}/apis/wild.west/v1/horses") == []
        policy: Object = {"local": {}}
        owner = "rowner0000000000"
        await shard.edit(owner, "apis.kcp.io", "apiexports", "horses", lambda e: e["spec"].update(maximalPermissionPolicy=policy))
        await shard.until(
            lambda: "maximalPermissionPolicy" in (shard.tenancy.catalog.get(API_EXPORTS, owner, "horses") or {})["spec"]
        )
        assert (await shard.call("GET", f"{base()}/apis/wild.west/v1/horses", SHERIFF))[0] == 403
        await shard.role(owner, "riders", {"apiGroups": ["wild.west"], "resources": ["horses"], "verbs": ["list"]})
        await shard.bind_role(owner, "riders", "riders", "apis.kcp.io:binding:sheriff")
        assert await listed(shard, f"{base()}/apis/wild.west/v1/horses") == ["silver"]


async def test_binding_through_the_view_is_the_providers_own_deed() -> None:
    """A claim on apibindings lets the provider create bindings, but to what it may bind itself only."""
    async with ServedShard() as shard:
        await shard.cluster("rowner0000000000", "root:owner")
        await shard.export("rowner0000000000", "horses")
        await ranch(shard, claims=[claim("apis.kcp.io", "apibindings")])
        path = f"{base(NEAR)}/apis/apis.kcp.io/v1alpha2/apibindings"
        spec = {"reference": {"export": {"path": "root:owner", "name": "horses"}}}
        body = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": "horses"}, "spec": spec}
        assert (await shard.call("POST", path, SHERIFF, body))[0] == 403
        rule = {"apiGroups": ["apis.kcp.io"], "resources": ["apiexports"], "verbs": ["bind"]}
        await shard.role("rowner0000000000", "binder", rule)
        await shard.bind_role("rowner0000000000", "binder", "binder", SHERIFF.name)
        status, answer = await shard.call("POST", path, SHERIFF, body)
        assert status == 201, answer


async def test_watch_over_consumers() -> None:
    async with ServedShard() as shard:
        await ranch(shard)
        async with Watch(shard, cowboys(), SHERIFF) as watch:
            assert await watch.next() == ("ADDED", f"of-{NEAR}")
            await create(shard, f"/clusters/{FAR}/apis/wild.west/v1/namespaces/default/cowboys", "far", MASTER)
            await create(shard, f"/clusters/{NEAR}/apis/wild.west/v1/namespaces/default/cowboys", "near", MASTER)
            assert await watch.next() == ("ADDED", "near")


async def test_rejecting_a_claim_removes_objects_from_watches() -> None:
    async with ServedShard() as shard:
        wanted = claim("", "configmaps")
        await ranch(shard, claims=[wanted])
        await create(shard, f"/clusters/{NEAR}/api/v1/namespaces/default/configmaps", "one", MASTER)
        async with Watch(shard, f"{base()}/api/v1/configmaps", SHERIFF) as watch:
            assert await watch.next() == ("ADDED", "one")
            await shard.edit(
                NEAR, "apis.kcp.io", "apibindings", "cowboys", lambda b: b["spec"]["permissionClaims"][0].update(state="Rejected")
            )
            assert await watch.next() == ("DELETED", "one")


async def test_watch_ends_with_its_claim() -> None:
    async with ServedShard() as shard:
        await ranch(shard, claims=[claim("", "configmaps"), claim("", "secrets")])
        async with Watch(shard, f"{base()}/api/v1/configmaps", SHERIFF) as gone, Watch(shard, cowboys(), SHERIFF) as kept:
            assert await kept.next() == ("ADDED", f"of-{NEAR}")
            await shard.edit(PROVIDER, "apis.kcp.io", "apiexports", "cowboys", lambda e: e["spec"]["permissionClaims"].pop(0))
            assert await gone.next() == ("END", "")
            await create(shard, cowboys(NEAR), "later", SHERIFF)
            assert await kept.next() == ("ADDED", "later")
        assert (await shard.call("GET", f"{base()}/api/v1/configmaps", SHERIFF))[0] == 404


async def test_watch_ends_with_its_export() -> None:
    async with ServedShard() as shard:
        await ranch(shard)
        async with Watch(shard, cowboys(), SHERIFF) as watch:
            assert await watch.next() == ("ADDED", f"of-{NEAR}")
            path = f"/clusters/{PROVIDER}/apis/apis.kcp.io/v1alpha2/apiexports/cowboys"
            assert (await shard.call("DELETE", path, MASTER))[0] == 200
            assert await watch.next() == ("END", "")
        assert (await shard.call("GET", cowboys(), MASTER))[0] == 404


async def test_watch_ends_when_the_catalog_is_ahead_of_memory() -> None:
    """The store's news of a commit can arrive before the commit's own answer does."""
    exports = API_EXPORTS
    async with ServedShard() as shard:
        await ranch(shard, claims=[claim("", "configmaps")])
        async with Watch(shard, f"{base()}/api/v1/configmaps", SHERIFF) as watch:
            found = shard.tenancy.catalog.get(exports, PROVIDER, "cowboys") or {}
            copy = {**found, "spec": {**found["spec"], "permissionClaims": []}}
            await shard.store.commit([], [Put(catalog_key(exports, PROVIDER, "cowboys"), orjson.dumps(copy))], [])
            assert await watch.next() == ("END", "")


@pytest.mark.parametrize(
    "path", ["", "/", f"/services/apiexport/{PROVIDER}", f"/services/apiexport/{PROVIDER}/cowboys/clusters/root:x/apis"]
)
async def test_paths_that_no_view_has(path: str) -> None:
    async with ServedShard() as shard:
        path = path or "/services/unknown/api/v1"
        path = path if path != "/" else "/services/unknown"
        assert (await shard.call("GET", path, SHERIFF))[0] == 403
        assert (await shard.call("GET", path, MASTER))[0] == 404
