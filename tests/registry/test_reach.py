"""Shards that nobody reaches own nothing."""

from __future__ import annotations

from tenantry.storage.store import Store
from tests.placement.test_reachability import REASON, report
from tests.support.shards import FleetInMemory
from tests.support.waiting import eventually


async def test_ranges_leave_a_shard_that_nobody_reaches_and_none_come(fleet: FleetInMemory, store: Store) -> None:
    registry = await fleet.registry()
    first = await fleet.join("first")
    second = await fleet.join("second")
    await fleet.open(registry, 4)
    await eventually(lambda: fleet.placed() and set(fleet.owners().values()) == {"first", "second"})

    everybody = [first.info.uid, second.info.uid]
    await report(store, "gateway", reached=everybody)
    await report(store, "gateway", reached=[first.info.uid], unreached={second.info.uid: REASON})
    await eventually(lambda: fleet.placed() and set(fleet.owners().values()) == {"first"})
    await fleet.open(registry, 2)
    await eventually(lambda: fleet.placed() and set(fleet.owners().values()) == {"first"})

    await report(store, "gateway", reached=everybody)
    await eventually(lambda: fleet.placed() and set(fleet.owners().values()) == {"first", "second"})
    await fleet.check_fences()


async def test_nothing_moves_where_nobody_is_reached(fleet: FleetInMemory, store: Store) -> None:
    """Whoever reports is cut off, or there is nowhere better: the owners stay."""
    registry = await fleet.registry()
    member = await fleet.join("first")
    await fleet.open(registry, 1)
    await eventually(fleet.placed)
    await report(store, "gateway", unreached={member.info.uid: REASON})
    await eventually(lambda: registry.reach.why_not(member.info.uid))
    assert registry.assignments.decide(balance=True) == []
    assert set(fleet.owners().values()) == {"first"}
