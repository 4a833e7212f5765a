"""Registries at work: ranges opened, owned, taken over, moved and handed over; one registry or several at once."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import pytest

from registry.assigner import Move
from registry.intervals import ROOT_INTERVAL
from registry.openings import CannotOpen
from registry.stale_keys import forget_processes
from registry.wiring import AmbiguousShard, UnknownShard
from tenantry.placement.map_rows import decode, encode, load_key, range_key, session_key
from tenantry.storage.cell import NotOwned
from tenantry.storage.fence import FenceValue, fence_key
from tenantry.storage.store import Delete, Event, Put, Store
from tests.support.patience import PATIENCE_SECONDS
from tests.support.shards import FleetInMemory
from tests.support.waiting import eventually


async def test_first_shard_gets_the_first_range(fleet: FleetInMemory) -> None:
    await fleet.registry()
    await eventually(lambda: fleet.owners() == {"root": ""})
    member = await fleet.join("one")
    await eventually(fleet.placed)
    (info,) = fleet.map.ranges()
    assert (info.name, info.start, info.end, info.shard, info.generation) == ("root", *ROOT_INTERVAL, "one", 1)
    assert fleet.map.range_of("root") is fleet.map.range_of("system:admin") is info
    assert fleet.map.range_of("000") is None
    await member.write("root", "a")
    await fleet.check_fences()


async def test_ranges_of_a_dead_shard_go_to_the_living_with_their_objects(fleet: FleetInMemory) -> None:
    registry = await fleet.registry()
    await fleet.join("one")
    ranges = await fleet.open(registry, 5)
    await eventually(fleet.placed)
    await fleet.members["one"].write(ranges[0].start, "kept")
    await fleet.kill("one")
    await eventually(lambda: set(fleet.owners().values()) == {""})
    two, three = await asyncio.gather(fleet.join("two"), fleet.join("three"))
    # Where one of them comes late, the other has everything until it does.
    await eventually(lambda: fleet.placed() and len(set(fleet.owners().values())) == 2)
    spread = Counter(fleet.owners().values())
    assert set(spread) == {"two", "three"} and max(spread.values()) == 3
    holder = two if ranges[0].name in two.cell.ranges else three
    assert holder.cell.ranges[ranges[0].name].size == 1
    await fleet.check_fences()


async def test_joining_shard_gets_its_share(fleet: FleetInMemory) -> None:
    registry = await fleet.registry()
    for name in ("one", "two", "three", "four"):
        await fleet.join(name)
    await fleet.open(registry, 39)
    await eventually(fleet.placed)
    before = fleet.owners()
    assert set(Counter(before.values()).values()) == {10}
    await fleet.join("five")
    await eventually(lambda: fleet.placed() and "five" in fleet.owners().values())
    moved = [name for name, shard in fleet.owners().items() if before[name] != shard]
    assert len(moved) == 8
    await fleet.check_fences()


async def test_owner_lets_go_before_another_one_is_named(fleet: FleetInMemory) -> None:
    """Between the first word of a move and the new fence there is a row without an owner, written when reads were refused."""
    registry = await fleet.registry()
    one = await fleet.join("one")
    await fleet.open(registry, 1)
    await eventually(fleet.placed)
    seen: list[tuple[str, str, bool]] = []
    fleet.map.subscribe(
        lambda: seen.append(
            ((info := fleet.map.named("root")).shard, info.target, "root" in one.cell.ranges and one.cell.ranges["root"].readable)  # type: ignore[union-attr]
        )
    )
    await registry.drain("one")
    await fleet.join("two")
    await eventually(lambda: fleet.placed() and set(fleet.owners().values()) == {"two"})
    two = fleet.members["two"].info.uid
    states = [state for at, state in enumerate(seen) if at == 0 or seen[at - 1] != state]
    assert ("", two, False) in states
    assert not any(serving for shard, _, serving in states if shard != "one")
    with pytest.raises(NotOwned):
        await one.write("root", "late")


async def test_drain_empties_a_shard_and_undrain_takes_it_back(fleet: FleetInMemory) -> None:
    registry = await fleet.registry()
    one, _ = await fleet.join("one"), await fleet.join("two")
    await fleet.open(registry, 7)
    await eventually(fleet.placed)
    assert (await registry.drain("one")).draining
    assert (await registry.drain(one.info.uid)).draining
    await eventually(lambda: fleet.placed() and set(fleet.owners().values()) == {"two"})
    assert not one.cell.ranges
    assert not (await registry.undrain("one")).draining
    assert not (await registry.undrain("one")).draining
    await eventually(lambda: fleet.placed() and Counter(fleet.owners().values()) == {"one": 4, "two": 4})
    with pytest.raises(UnknownShard, match="tenantry shards"):
        await registry.drain("nobody")
    await fleet.join("one")
    await eventually(lambda: len(registry.map.shards()) == 3)
    with pytest.raises(AmbiguousShard, match="several shards"):
        await registry.undrain("one")


async def test_shard_that_wants_to_end_is_emptied(fleet: FleetInMemory) -> None:
    registry = await fleet.registry()
    one, two = await fleet.join("one"), await fleet.join("two")
    await fleet.open(registry, 5)
    await eventually(fleet.placed)
    await one.session.drain()
    await eventually(lambda: fleet.placed() and not one.cell.ranges)
    assert len(two.cell.ranges) == 6


async def test_drain_of_the_last_shard_waits_for_another_one(fleet: FleetInMemory) -> None:
    registry = await fleet.registry()
    one = await fleet.join("one")
    await eventually(fleet.placed)
    await registry.drain("one")
    with pytest.raises(CannotOpen, match="no shard serves"):
        await registry.open_range({}, registry.map.version)
    await one.write("root", "still served")
    await fleet.join("two")
    await eventually(lambda: fleet.placed() and fleet.owners() == {"root": "two"})


async def test_target_that_dies_on_the_way_is_replaced(fleet: FleetInMemory) -> None:
    """A row names a target that is gone: whoever is left gets the range."""
    registry = await fleet.registry()
    one = await fleet.join("one")
    await eventually(fleet.placed)
    await fleet.join("two")
    await registry.assignments.act([Move("root", one.info.uid, fleet.members["two"].info.uid)])
    await fleet.kill("two")
    await eventually(lambda: fleet.placed() and fleet.owners() == {"root": "one"})
    await fleet.check_fences()


async def test_shard_that_lost_its_session_takes_up_what_is_still_its_own(fleet: FleetInMemory) -> None:
    registry = await fleet.registry(balance=False)
    one, _ = await fleet.join("one"), await fleet.join("two")
    await fleet.open(registry, 3)
    await eventually(fleet.placed)
    lease = fleet.map.sessions()[one.info.uid].row.lease
    await fleet.store.revoke_lease(lease)
    await eventually(lambda: set(fleet.owners().values()) == {"two"})
    await eventually(fleet.placed)
    assert one.cell.ranges == {}
    # It is back as a shard without ranges, and may be given some.
    await eventually(lambda: len(fleet.map.shards()) == 2)
    await registry.drain("two")
    await eventually(lambda: fleet.placed() and set(fleet.owners().values()) == {"one"})
    assert one.guard.alive
    await one.write("root", "a")


async def test_several_registries_open_one_range_for_one_wish(fleet: FleetInMemory) -> None:
    registries = [await fleet.registry() for _ in range(3)]
    await fleet.join("one")
    await eventually(fleet.placed)
    version = fleet.map.version
    wishes = [registry.open_range({"region": region}, version) for registry in registries for region in ("eu", "us") * 4]
    opened = await asyncio.gather(*wishes)
    assert len(set(opened)) == 2
    await fleet.map.reached(max(o.version for o in opened))
    infos = [info for info in fleet.map.ranges() if info.name != "root"]
    assert sorted(dict(info.labels)["region"] for info in infos) == ["eu", "us"]
    # Whoever knows that range, and found it full, gets another one.
    again = await registries[0].open_range({"region": "eu"}, max(o.version for o in opened))
    assert again.name == "range-4"


async def test_a_version_at_which_nothing_of_the_map_changed_is_not_waited_for(fleet: FleetInMemory, store: Store) -> None:
    registry = await fleet.registry()
    await fleet.join("one")
    await eventually(fleet.placed)
    # The caller's map is told how far the store is. The registry's is not.
    version = await store.commit([], [Put(b"/catalog/of/something/else", b"")], [])
    async with asyncio.timeout(PATIENCE_SECONDS):
        opened = await registry.open_range({}, version)
        again = await registry.open_range({}, version)
    assert again == opened and opened.version > version


async def test_opened_ranges_never_overlap(fleet: FleetInMemory) -> None:
    registries = [await fleet.registry() for _ in range(3)]
    await fleet.join("one")
    await eventually(fleet.placed)
    opened = await asyncio.gather(
        *(registry.open_range({"wish": f"{at}-{number}"}, 0) for at, registry in enumerate(registries) for number in range(6))
    )
    assert len({o.name for o in opened}) == 18
    await fleet.map.reached(max(o.version for o in opened))
    infos = fleet.map.ranges()
    assert len(infos) == 19
    assert all(a.end <= b.start for a, b in itertools.pairwise(infos))
    await fleet.check_fences()


async def test_two_leaders_at_once_are_harmless(fleet: FleetInMemory, store: Store) -> None:
    """Both act on everything, unelected, while shards come and go; no generation is ever written twice."""
    registry = await fleet.registry()
    await fleet.join("one")
    await fleet.open(registry, 20)
    other = await fleet.registry()
    third = await fleet.registry()
    before = await store.read(b"/fences/", b"/fences0")
    usurpers = [asyncio.create_task(rival.assignments.run()) for rival in (other, third)]
    await fleet.join("two")
    await eventually(lambda: fleet.placed() and len(set(fleet.owners().values())) == 2)
    await fleet.join("three")
    await fleet.kill("one")
    await eventually(fleet.placed)
    await registry.drain("two")
    await eventually(lambda: fleet.placed() and set(fleet.owners().values()) == {"three"})
    for usurper in usurpers:
        assert not usurper.done()
        usurper.cancel()
    await asyncio.gather(*usurpers, return_exceptions=True)
    await fleet.check_fences()
    generations: dict[bytes, list[int]] = {}
    async for batch in store.watch(b"/fences/", b"/fences0", from_revision=before.revision + 1):
        for event in batch.events:
            generations.setdefault(event.kv.key, []).append(_generation(event))
        if not batch.events:
            break
    for found in generations.values():
        assert found == list(range(found[0], found[0] + len(found))), "each rewrite followed the one before"


def _generation(event: Event) -> int:
    return decode(event.kv.value, FenceValue).generation


async def test_next_leader_finishes_what_a_dead_one_began(fleet: FleetInMemory) -> None:
    first = await fleet.registry()
    await fleet.join("one")
    await fleet.open(first, 9)
    await eventually(fleet.placed)
    second = await fleet.registry()
    await eventually(lambda: first.election.leading)
    assert await second.election.leader() == first.identity
    # The leader dies after the first of its transactions.
    await fleet.join("two")
    moves = first.assignments.decide(balance=True)
    await first.election.stop()
    await first.assignments.act(moves[:1])
    await eventually(lambda: second.election.leading)
    await eventually(lambda: fleet.placed() and Counter(fleet.owners().values()) == {"one": 5, "two": 5})
    await fleet.check_fences()


async def test_capacity_follows_the_setting(fleet: FleetInMemory) -> None:
    registry = await fleet.registry(capacity=5)
    await fleet.join("one")
    await fleet.open(registry, 1)
    await registry.stop()
    await fleet.registry(capacity=7)
    await eventually(lambda: [info.capacity for info in fleet.map.ranges()] == [7, 7])


async def test_heavy_ranges_are_spread_by_what_they_hold(fleet: FleetInMemory) -> None:
    registry = await fleet.registry(balance=False)
    await fleet.join("one")
    await fleet.join("two")
    await fleet.open(registry, 3)
    await eventually(fleet.placed)
    await fleet.report("one", 500)
    await eventually(lambda: all(registry.loads.of(name).tenants for name in fleet.members["one"].cell.ranges))
    (opened,) = {i.name for i in await fleet.open(registry, 1)} - {"range-2", "range-3", "range-4"}
    assert fleet.owners()[opened] == "two"


async def test_rows_of_the_one_process_form_are_taken_over(fleet: FleetInMemory, store: Store) -> None:
    """Rows that name their shard, as the first version wrote them, with a fence beside each."""
    for name, start, end in (("root", "r", "t"), ("range-2", "000", "001")):
        row = b'{"start":"%s","end":"%s","shard":"shard-1","capacity":9,"generation":3,"labels":{}}' % (
            start.encode(),
            end.encode(),
        )
        await store.commit([], [Put(range_key(name), row), Put(fence_key(name), FenceValue("former", 3).encode())], [])
    registry = await fleet.registry()
    await fleet.join("one")
    await eventually(fleet.placed)
    assert [(i.name, i.generation) for i in fleet.map.ranges()] == [("range-2", 4), ("root", 4)]
    await fleet.open(registry, 1)
    assert fleet.owners() == {"root": "one", "range-2": "one", "range-3": "one"}
    await fleet.check_fences()


async def test_processes_of_a_former_run_are_forgotten(fleet: FleetInMemory, store: Store) -> None:
    await fleet.registry()
    await fleet.join("one")
    await eventually(fleet.placed)
    await fleet.report("one", 1)
    await forget_processes(store)
    page = await store.read(b"/sessions/", b"/sessions0")
    assert page.kvs == []


async def test_damaged_rows_are_left_out(fleet: FleetInMemory, store: Store) -> None:
    registry = await fleet.registry()
    await store.commit([], [Put(range_key("broken"), b"{"), Put(session_key("x"), b"{}"), Put(load_key("x"), b"[]")], [])
    await fleet.join("one")
    await eventually(fleet.placed)
    assert fleet.owners() == {"root": "one"}
    # Nobody knows which ids that range has, so a new one could have the same.
    with pytest.raises(CannotOpen, match="are unreadable: broken"):
        await registry.open_range({}, fleet.map.version)
    await store.commit([], [Put(range_key("root"), encode(fleet.map.rows()["root"].row))], [Delete(range_key("broken"))])
    await eventually(fleet.placed)
    await registry.map.reached(fleet.map.version)
    await eventually(lambda: not registry.map.unreadable)
    assert (await registry.open_range({}, fleet.map.version)).name == "range-2"
