"""Who has the store forget its past, and how much of it."""

from __future__ import annotations

import asyncio

import pytest

from registry import compaction
from registry.compaction import KEY, SAMPLES, Compaction
from registry.settings import RegistrySettings
from registry.wiring import Registry
from tenantry.base.flags import SettingError
from tenantry.storage.store import Compacted, Put, Store
from tests.support.clock import Clock
from tests.support.patience import PATIENCE_SECONDS

HOUR = 3600.0


async def write(store: Store) -> int:
    return await store.commit([], [Put(b"/a", b"")], [])


async def oldest(store: Store, *revisions: int) -> int:
    """The first of these revisions that can still be read."""
    for revision in revisions:
        try:
            await store.read(b"/", b"0", revision=revision)
        except Compacted:
            continue
        return revision
    raise AssertionError("none is left")


async def test_the_past_is_kept_for_the_retention_and_a_note_longer(store: Store) -> None:
    clock = Clock()
    leader = Compaction(store, retention_seconds=HOUR, leading=lambda: True, clock=clock)
    written: list[tuple[float, int]] = []
    compacted = 0
    for _ in range(3 * SAMPLES):
        written.append((clock.now, await write(store)))
        compacted = await leader.step() or compacted
        first = await oldest(store, *(revision for _, revision in written))
        kept = next(at for at, revision in written if revision == first)
        age = clock.now - kept
        assert clock.now <= HOUR or HOUR <= age <= HOUR * (1 + 1 / SAMPLES)
        clock.now += HOUR / SAMPLES
    page = await store.read(KEY, KEY + b"\0")
    assert int(page.kvs[0].value) == compacted > 0


async def test_a_new_leader_goes_on_at_once(store: Store) -> None:
    clock = Clock()
    first_leads = True
    first = Compaction(store, retention_seconds=HOUR, leading=lambda: first_leads, clock=clock)
    second = Compaction(store, retention_seconds=HOUR, leading=lambda: not first_leads, clock=clock)
    for _ in range(SAMPLES):
        await write(store)
        assert (await first.step(), await second.step()) == (0, 0)
        clock.now += HOUR / SAMPLES
    assert await first.step()
    first_leads = False
    clock.now += HOUR / SAMPLES
    assert await second.step()


async def test_two_leaders_at_once_compact_once(store: Store) -> None:
    clock = Clock()
    leaders = [Compaction(store, retention_seconds=HOUR, leading=lambda: True, clock=clock) for _ in range(2)]
    for leader in leaders:
        await leader.step()
    last = await write(store)
    clock.now += HOUR
    done = await asyncio.gather(*(leader.step() for leader in leaders))
    assert sorted(done)[0] == 0 < sorted(done)[1] < last
    assert await oldest(store, last) == last


async def test_nothing_is_forgotten_that_a_stopped_clock_calls_young(store: Store) -> None:
    """As after a machine was suspended: others wrote meanwhile, and no time passed here."""
    clock = Clock()
    leader = Compaction(store, retention_seconds=HOUR, leading=lambda: True, clock=clock)
    first = await write(store)
    for _ in range(2 * SAMPLES):
        await write(store)
        assert await leader.step() == 0
    assert await oldest(store, first) == first


async def test_a_registry_compacts_while_it_runs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(store, capacity=10, retention_seconds=0.05)
    forgotten = asyncio.Event()
    compact = store.compact

    async def seen(revision: int) -> None:
        await compact(revision)
        forgotten.set()

    monkeypatch.setattr(store, "compact", seen)
    await registry.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await forgotten.wait()
    await registry.stop()


async def test_a_damaged_key_stops_nothing_else(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.commit([], [Put(KEY, b"nonsense")], [])
    failed = asyncio.Event()
    monkeypatch.setattr(compaction.logger, "error", lambda *_, **__: failed.set())
    registry = Registry(store, capacity=10, retention_seconds=0.05)
    await registry.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await failed.wait()
    assert await registry.election.leader() == registry.identity
    await registry.stop()


def test_a_retention_is_long_enough_to_read_a_range_or_off() -> None:
    assert RegistrySettings(etcd_retention_seconds=0).etcd_retention_seconds == 0
    assert RegistrySettings(etcd_retention_seconds=60).etcd_retention_seconds == 60
    with pytest.raises(SettingError, match="at least 60"):
        RegistrySettings(etcd_retention_seconds=59)
