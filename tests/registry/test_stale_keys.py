"""Which journals of shards are forgotten."""

from __future__ import annotations

import pytest

from registry import stale_keys
from registry.compaction import SAMPLES, Compaction
from registry.stale_keys import delete_journals
from tenantry.storage.keys import JOURNAL, SESSIONS, prefix_end
from tenantry.storage.store import Compare, Delete, Put, Store
from tests.support.clock import Clock

HOUR = 3600.0


async def journal(store: Store, uid: str) -> int:
    return await store.commit([], [Put(f"{JOURNAL}{uid}".encode(), b"1")], [])


async def left(store: Store) -> list[str]:
    page = await store.read(JOURNAL.encode(), prefix_end(JOURNAL.encode()))
    return [kv.key.decode().removeprefix(JOURNAL) for kv in page.kvs]


async def test_those_of_the_living_and_the_young_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale_keys, "PAGE", 2)
    for uid in ("alive", "dead-1", "dead-2", "dead-3", "idle"):
        await journal(store, uid)
    for uid in ("alive", "idle"):
        await store.commit([], [Put(f"{SESSIONS}{uid}".encode(), b"")], [])
    before = await journal(store, "young")
    assert await delete_journals(store, before) == 3
    assert await left(store) == ["alive", "idle", "young"]
    assert await delete_journals(store, before) == 0


@pytest.mark.parametrize("comes_back", ["session", "journal"])
async def test_who_comes_back_meanwhile_keeps_it(store: Store, monkeypatch: pytest.MonkeyPatch, comes_back: str) -> None:
    before = await journal(store, "back") + 1
    commit = store.commit

    async def late(compares: list[Compare], puts: list[Put], deletes: list[Delete]) -> int:
        if comes_back == "session":
            await commit([], [Put(f"{SESSIONS}back".encode(), b"")], [])
        else:
            await commit([], [Put(f"{JOURNAL}back".encode(), b"2")], [])
        return await commit(compares, puts, deletes)

    monkeypatch.setattr(store, "commit", late)
    assert await delete_journals(store, before) == 0
    assert await left(store) == ["back"]


async def test_they_go_with_the_past(store: Store) -> None:
    clock = Clock()
    leader = Compaction(store, retention_seconds=HOUR, leading=lambda: True, clock=clock)
    await journal(store, "killed")
    await store.commit([], [Put(b"/a", b"")], [])
    for _ in range(SAMPLES):
        await leader.step()
        clock.now += HOUR / SAMPLES
        assert await left(store) == ["killed"]
    await leader.step()
    assert await left(store) == []
