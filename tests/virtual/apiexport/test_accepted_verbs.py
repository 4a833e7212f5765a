"""The verbs that a consumer accepted decide about each object, in lists and watches over all consumers too."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tenantry.kube.objects import Object
from tenantry.tenancy.resources import API_BINDINGS
from tests.support.people import MASTER
from tests.support.tenancies import ServedShard, accepted, claim
from tests.virtual.apiexport.ranch import NEAR, PROVIDER, SHERIFF, base, create, listed, ranch
from tests.virtual.watching import Watch

VERBS = [("get",), ("get", "list"), ("watch",), ("*",)]
EVERYWHERE = f"{base()}/api/v1/configmaps"
INSIDE = f"/clusters/{NEAR}/api/v1/namespaces/default/configmaps"


def allowed(verb: str, offered: tuple[str, ...], taken: tuple[str, ...]) -> bool:
    """The model: what both sides name, literally."""
    both = set(offered) & set(taken)
    return verb in both or "*" in both


async def shared(shard: ServedShard, *verbs: str) -> None:
    """An export that claims verbs on ConfigMaps; consumers accepted the same. One has a ConfigMap."""
    wanted = claim("", "configmaps", *verbs)
    await ranch(shard, claims=[wanted], accept=[accepted(wanted)])
    await create(shard, INSIDE, "shared", MASTER)


async def accept(shard: ServedShard, *verbs: str, **change: Any) -> None:
    def edit(binding: Object) -> None:
        binding["spec"]["permissionClaims"][0].update(verbs=list(verbs), **change)

    await shard.edit(NEAR, "apis.kcp.io", "apibindings", "cowboys", edit)


async def offer(shard: ServedShard, *verbs: str) -> None:
    def edit(export: Object) -> None:
        export["spec"]["permissionClaims"][0]["verbs"] = list(verbs)

    await shard.edit(PROVIDER, "apis.kcp.io", "apiexports", "cowboys", edit)
    await shard.until(lambda: current(shard)["verbs"] == list(verbs))


def current(shard: ServedShard) -> Any:
    return shard.tenancy.catalog.get("apis.kcp.io/apiexports", PROVIDER, "cowboys")["spec"]["permissionClaims"][0]  # type: ignore[index]


async def test_lists_and_watches_show_what_was_accepted_for_them() -> None:
    async with ServedShard() as shard:
        await shared(shard)
        for offered, taken in product(VERBS, VERBS):
            await offer(shard, *offered)
            await accept(shard, *taken)
            expected = ["shared"] if allowed("list", offered, taken) else []
            assert await listed(shard, EVERYWHERE) == expected, (offered, taken)
            status, found = await shard.call("GET", EVERYWHERE, SHERIFF, query="limit=1")
            assert (status, len(found["items"]), found["metadata"].get("continue", "")) == (200, len(expected), "")
            assert found["metadata"].get("remainingItemCount", 0) == 0
            path = f"{base(NEAR)}/api/v1/namespaces/default/configmaps"
            for verb, where in (("list", path), ("get", f"{path}/shared")):
                status, _ = await shard.call("GET", where, SHERIFF)
                assert status == (200 if allowed(verb, offered, taken) else 403), (verb, offered, taken)


async def test_watches() -> None:
    async with ServedShard() as shard:
        await shared(shard)
        for offered, taken in product(VERBS, VERBS):
            await offer(shard, *offered)
            await accept(shard, *taken)
            async with Watch(shard, EVERYWHERE, SHERIFF) as watch:
                status, answer = await create(shard, INSIDE, "new", MASTER)
                assert status == 201, answer
                expected = [("ADDED", "new"), ("ADDED", "shared")] if allowed("watch", offered, taken) else []
                assert sorted([await watch.next() for _ in expected]) == expected, (offered, taken)
                # A write is told to watches before its writer, so nothing is under way.
                assert watch.seen == len(expected), (offered, taken)
            assert (await shard.call("DELETE", f"{INSIDE}/new", MASTER))[0] == 200


@pytest.mark.parametrize("where", [EVERYWHERE, f"{base(NEAR)}/api/v1/configmaps"])
async def test_a_change_of_acceptance_shows_in_open_watches(where: str) -> None:
    async with ServedShard() as shard:
        await shared(shard)
        await accept(shard, "*")
        async with Watch(shard, where, SHERIFF) as watch:
            assert await watch.next() == ("ADDED", "shared")
            await accept(shard, "get", "list")
            assert await watch.next() == ("DELETED", "shared")
            await create(shard, INSIDE, "meanwhile", MASTER)
            await accept(shard, "*")
            assert sorted([await watch.next(), await watch.next()]) == [("ADDED", "meanwhile"), ("ADDED", "shared")]
            await offer(shard, "get")
            assert sorted([await watch.next(), await watch.next()]) == [("DELETED", "meanwhile"), ("DELETED", "shared")]
            await offer(shard, "*")
            assert sorted([await watch.next(), await watch.next()]) == [("ADDED", "meanwhile"), ("ADDED", "shared")]


@pytest.mark.parametrize("change", ["verbs", "state", "unbound"])
async def test_a_resumed_watch_gets_what_changed_meanwhile(change: str) -> None:
    async with ServedShard() as shard:
        await shared(shard)
        _, found = await shard.call("GET", EVERYWHERE, SHERIFF)
        since = found["metadata"]["resourceVersion"]
        if change == "verbs":
            await accept(shard, "get")
        elif change == "state":
            await accept(shard, "*", state="Rejected")
        else:
            binding = f"/clusters/{NEAR}/apis/apis.kcp.io/v1alpha2/apibindings/cowboys"
            assert (await shard.call("DELETE", binding, MASTER))[0] == 200
            await shard.until(lambda: shard.get(NEAR, API_BINDINGS, "cowboys") is None)
        await create(shard, INSIDE, "secret", MASTER)
        async with Watch(shard, EVERYWHERE, SHERIFF, f"watch=true&resourceVersion={since}") as watch:
            assert await watch.next() == ("DELETED", "shared")
            assert watch.seen == 1
        if change == "verbs":
            since = str(shard.cell.range_of(NEAR).version)
            await accept(shard, "*")
            async with Watch(shard, EVERYWHERE, SHERIFF, f"watch=true&resourceVersion={since}") as watch:
                assert sorted([await watch.next(), await watch.next()]) == [("ADDED", "secret"), ("ADDED", "shared")]


async def test_versions_of_before_show_nothing_that_was_not_accepted() -> None:
    async with ServedShard() as shard:
        await shared(shard)
        _, found = await shard.call("GET", EVERYWHERE, SHERIFF)
        version = found["metadata"]["resourceVersion"]
        await accept(shard, "get")
        query = f"resourceVersion={version}&resourceVersionMatch=Exact"
        status, found = await shard.call("GET", EVERYWHERE, SHERIFF, query=query)
        assert (status, found["items"]) == (200, [])


async def test_bindings_to_others_by_the_verbs_of_the_claim() -> None:
    """A provider always sees the bindings to its own export, and others' as far as the claim was accepted."""
    wanted = claim("apis.kcp.io", "apibindings")
    async with ServedShard() as shard:
        await shard.cluster("rowner0000000000", "root:owner")
        await shard.export("rowner0000000000", "horses")
        await ranch(shard, claims=[wanted], accept=[accepted(wanted)])
        await shard.bind(NEAR, "root:owner", "horses")
        path = f"{base()}/apis/apis.kcp.io/v1alpha2/apibindings"
        assert sorted(await listed(shard, path)) == ["cowboys", "horses"]
        await accept(shard, "get")
        for where in (path, path.replace("*", NEAR)):
            assert await listed(shard, where) == ["cowboys"]


async def test_each_identity_is_accepted_by_itself() -> None:
    """A claim that was accepted for one owner's type gives nothing of another's with the same name."""
    async with ServedShard() as shard:
        identities = []
        for owner, path in (("rowner0000000000", "root:owner"), ("rothers000000000", "root:others")):
            await shard.cluster(owner, path)
            await shard.export(owner, "horses")
            identities.append(shard.identity(owner, "horses"))
        first, second = (claim("wild.west", "horses", identity=identity) for identity in identities)
        await ranch(shard, claims=[first, second], accept=[accepted(second)])
        await shard.bind(NEAR, "root:owner", "horses")
        path = f"{base(NEAR)}/apis/wild.west/v1/namespaces/default/horses"
        assert (await create(shard, path, "silver", SHERIFF))[0] == 403
