"""Watches through a view that show the same, whichever user has opened them, cost one encoding of an event."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tenantry.apiserver.user import User
from tenantry.apiserver.visibility_group import VisibilityGroup
from tenantry.apiserver.watch_events import Encoder
from tenantry_personal_workspaces import PersonalWorkspaces
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard, accepted, claim
from tests.virtual.apiexport.ranch import NEAR, PROVIDER, SHERIFF, base, create, ranch
from tests.virtual.organisation import ANN, BOB, ORG, PATH, organisation
from tests.virtual.watching import Watch

EVERYWHERE = f"{base()}/api/v1/configmaps"
INSIDE = f"/clusters/{NEAR}/api/v1/namespaces/default/configmaps"
DEPUTY = person("deputy")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    counted: Counter[bytes] = Counter()
    encode = Encoder.event

    def event(self: Encoder, kind: bytes, *what: Any, **how: Any) -> bytes:
        counted[kind] += 1
        return encode(self, kind, *what, **how)

    monkeypatch.setattr(Encoder, "event", event)
    return counted


def shared_groups(shard: ServedShard, cluster: str = NEAR) -> list[VisibilityGroup]:
    hub = shard.tenancy.scopes.hubs.of(shard.cell.range_of(cluster))
    return [group for feed in hub._feeds.values() for group in feed.groups if isinstance(group, VisibilityGroup)]


async def test_claimed_resources(encoded: Counter[bytes]) -> None:
    wanted = claim("", "configmaps", "*")
    async with ServedShard() as shard, AsyncExitStack() as stack:
        await ranch(shard, claims=[wanted], accept=[accepted(wanted)])
        await shard.bind_role(PROVIDER, "deputy", "sheriff", DEPUTY.name)
        await create(shard, INSIDE, "before", MASTER)
        watches = []
        for who in (SHERIFF, DEPUTY, SHERIFF, DEPUTY):
            watches.append(await stack.enter_async_context(Watch(shard, EVERYWHERE, who)))
            assert await watches[-1].next() == ("ADDED", "before")
        masters = [await stack.enter_async_context(Watch(shard, EVERYWHERE, MASTER)) for _ in range(2)]
        for each in masters:
            assert await each.next() == ("ADDED", "before")
        encoded.clear()
        await create(shard, INSIDE, "new", MASTER)
        for each in (*watches, *masters):
            assert await each.next() == ("ADDED", "new")
        # Masters see what has the label, and others what was accepted.
        assert encoded == {b"ADDED": 2}
        named = "watch=true&fieldSelector=metadata.name%3Dnew"
        alone = await stack.enter_async_context(Watch(shard, EVERYWHERE, SHERIFF, named))
        assert await alone.next() == ("ADDED", "new")
        assert len(shared_groups(shard)) == 3
        # A change of the export makes other filters, which see the same.
        await shard.edit(PROVIDER, "apis.kcp.io", "apiexports", "cowboys", lambda export: None)
        await shard.role(PROVIDER, "more", {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]})
        await shard.export(PROVIDER, "horses")
        late = await stack.enter_async_context(Watch(shard, EVERYWHERE, DEPUTY))
        assert sorted([await late.next(), await late.next()]) == [("ADDED", "before"), ("ADDED", "new")]
        assert len(shared_groups(shard)) == 3
    assert shared_groups(shard) == []


async def test_personal_workspaces(encoded: Counter[bytes]) -> None:
    """What a user sees depends on who it is: only watches of one user share."""
    other = User(ANN.name, (*ANN.groups, "more"))
    async with ServedShard(PersonalWorkspaces) as shard, AsyncExitStack() as stack:
        await organisation(shard)
        watches = [await stack.enter_async_context(Watch(shard, PATH, who)) for who in (ANN, ANN, BOB, other)]
        for each, names in zip(watches, (["anns", "shared"], ["anns", "shared"], ["bobs"], ["anns", "shared"]), strict=True):
            assert [await each.next() for _ in names] == [("ADDED", name) for name in names]
        assert len(shared_groups(shard, ORG)) == 3
        encoded.clear()
        await shard.bind_role("rshared000000000", "guest", "cluster-admin", "bob")
        assert await watches[2].next() == ("ADDED", "shared")
        await shard.cluster("rlate00000000000", "root:org:late", owner="ann")
        for each in (watches[0], watches[1], watches[3]):
            assert await each.next() == ("ADDED", "late")
        assert encoded[b"ADDED"] == 3
