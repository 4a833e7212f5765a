"""Writes through the view of an export: each verb, and what claims do to it."""

from __future__ import annotations

from typing import Any

from tests.support.people import MASTER
from tests.support.tenancies import ServedShard, accepted, claim
from tests.virtual.apiexport.ranch import NEAR, SHERIFF, base, configmaps, cowboys, create, listed, ranch, sheriff_rules
from tests.virtual.watching import Watch

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


def config(name: str, data: dict[str, str], **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": data}


async def shared_configmaps(shard: ServedShard, *verbs: str) -> None:
    """Consumers let the sheriff see ConfigMaps with the label `for=sheriff`; one has it, one has not."""
    wanted = claim("", "configmaps", *verbs)
    await ranch(shard, claims=[wanted], accept=[accepted(wanted, matchLabels={"for": "sheriff"})])
    inside = f"/clusters/{NEAR}/api/v1/namespaces/default/configmaps"
    await create(shard, inside, "private", MASTER)
    await create(shard, inside, "shared", MASTER, labels={"for": "sheriff"})


async def test_every_verb_stays_inside_the_selector() -> None:
    async with ServedShard() as shard:
        await shared_configmaps(shard)
        patches: list[tuple[str, Any]] = [
            (MERGE, {"data": {"a": "1"}}),
            (STRATEGIC, {"data": {"b": "2"}}),
            (JSON, [{"op": "add", "path": "/data/c", "value": "3"}]),
        ]
        for media_type, patch in patches:
            status, answer = await shard.call("PATCH", configmaps(obj="shared"), SHERIFF, patch, content_type=media_type)
            assert status == 200, answer
            assert (await shard.call("PATCH", configmaps(obj="private"), SHERIFF, patch, content_type=media_type))[0] == 404
        assert answer["data"] == {"a": "1", "b": "2", "c": "3"}
        assert (await shard.call("PUT", configmaps(obj="private"), SHERIFF, config("private", {})))[0] == 404
        assert (await shard.call("DELETE", configmaps(obj="private"), SHERIFF))[0] == 404
        status, answer = await shard.call("PUT", configmaps(obj="shared"), SHERIFF, config("shared", {"d": "4"}))
        assert (status, answer["metadata"]["labels"]["for"]) == (200, "sheriff")
        status, answer = await shard.call(
            "PATCH", configmaps(obj="shared"), SHERIFF, {"metadata": {"labels": {"for": "nobody"}}}, content_type=MERGE
        )
        why = "protected label for must have value sheriff"
        assert (status, answer["message"]) == (403, f'configmaps "shared" is forbidden: {why}')
        status, _ = await shard.call("DELETE", configmaps(), SHERIFF)
        assert status == 200
        assert await listed(shard, f"/clusters/{NEAR}/api/v1/namespaces/default/configmaps", MASTER) == ["private"]


async def test_apply() -> None:
    async with ServedShard() as shard:
        await shared_configmaps(shard)
        query = "fieldManager=sheriff"
        path = configmaps(obj="applied")
        for text in ("one", "two"):
            status, answer = await shard.call("PATCH", path, SHERIFF, config("applied", {"a": text}), query, content_type=APPLY)
            assert status in (200, 201), answer
            assert (answer["data"], answer["metadata"]["labels"]["for"]) == ({"a": text}, "sheriff")
        assert [entry["manager"] for entry in answer["metadata"]["managedFields"]] == ["sheriff"]
        status, _ = await shard.call(
            "PATCH", configmaps(obj="private"), SHERIFF, config("private", {}), query, content_type=APPLY
        )
        assert status == 409, "what the consumer did not share is in the way, and is not shown"


async def test_apply_creates_only_for_those_who_may_create() -> None:
    async with ServedShard() as shard:
        await shared_configmaps(shard, "get", "list", "patch")
        status, answer = await shard.call(
            "PATCH", configmaps(obj="new"), SHERIFF, config("new", {}), "fieldManager=x", content_type=APPLY
        )
        text = 'User "sheriff" cannot create resource "configmaps" in API group "" in the namespace "default": access denied'
        assert (status, answer["message"]) == (403, f'configmaps "new" is forbidden: {text}')
        status, answer = await shard.call(
            "PATCH", configmaps(obj="shared"), SHERIFF, config("shared", {"a": "1"}), "fieldManager=x", content_type=APPLY
        )
        assert status == 200, answer


async def test_apply_creates_only_for_those_whom_the_export_lets_create() -> None:
    async with ServedShard() as shard:
        await ranch(shard, verbs=("get", "list", "patch"))
        body = {"apiVersion": "wild.west/v1", "kind": "Cowboy", "metadata": {"name": "new"}, "spec": {"size": 1}}
        path = cowboys(NEAR, obj="new")
        status, _ = await shard.call("PATCH", path, SHERIFF, body, "fieldManager=x", content_type=APPLY)
        assert status == 403
        await shard.role("rprovider0000000", "more", *sheriff_rules(("create",)))
        await shard.bind_role("rprovider0000000", "more", "more", SHERIFF.name)
        status, _ = await shard.call("PATCH", path, SHERIFF, body, "fieldManager=x", content_type=APPLY)
        assert status in (200, 201)


async def test_events_of_both_groups_by_one_claim() -> None:
    async with ServedShard() as shard:
        await ranch(shard, claims=[claim("", "events")])
        old = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "old"},
            "involvedObject": {"kind": "Cowboy", "name": "of", "namespace": "default"},
            "reason": "Rode",
            "type": "Normal",
        }
        new = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": "new"},
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "sheriff",
            "reportingInstance": "sheriff-1",
            "action": "Ride",
            "reason": "Rode",
            "type": "Normal",
            "regarding": {"kind": "Cowboy", "name": "of", "namespace": "default"},
        }
        series = {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}
        for group, name, event, patch in (
            ("/api/v1", "old", old, {"count": 2}),
            ("/apis/events.k8s.io/v1", "new", new, {"series": series}),
        ):
            path = f"{base(NEAR)}{group}/namespaces/default/events"
            status, answer = await shard.call("POST", path, SHERIFF, event)
            assert status == 201, answer
            status, answer = await shard.call("PATCH", f"{path}/{name}", SHERIFF, patch, content_type=MERGE)
            assert status == 200, answer
        for group in ("/api/v1", "/apis/events.k8s.io/v1"):
            assert await listed(shard, f"{base()}{group}/events") == ["new", "old"]


async def test_a_claim_taken_back_and_given_again_shows_in_open_watches() -> None:
    def state(text: str) -> Any:
        return lambda binding: binding["spec"]["permissionClaims"][0].update(state=text)

    async with ServedShard() as shard:
        await shared_configmaps(shard)
        async with Watch(shard, f"{base()}/api/v1/configmaps", SHERIFF) as watch:
            assert await watch.next() == ("ADDED", "shared")
            await shard.edit(NEAR, "apis.kcp.io", "apibindings", "cowboys", state("Rejected"))
            assert await watch.next() == ("DELETED", "shared")
            assert (await shard.call("GET", configmaps(obj="shared"), SHERIFF))[0] == 403
            await shard.edit(NEAR, "apis.kcp.io", "apibindings", "cowboys", state("Accepted"))
            assert await watch.next() == ("ADDED", "shared")
            wider = {"matchLabels": {"for": "everybody"}}
            await shard.edit(
                NEAR,
                "apis.kcp.io",
                "apibindings",
                "cowboys",
                lambda binding: binding["spec"]["permissionClaims"][0].update(selector=wider),
            )
            assert await watch.next() == ("DELETED", "shared")
