"""Registries that all lead at once, each with a view of its own of the past, and shards that come, freeze, die and come back.

Nothing runs by itself here: hypothesis decides who sees one more change, who acts on what it saw, and who dies in between.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from registry.assigner import Move
from registry.assignments import Assignments
from registry.loads import Loads
from registry.openings import CannotOpen, Openings
from tenantry.placement.map_rows import RangeLoad, RangeRow, SessionRow, decode, drain_key, encode, range_key, session_key
from tenantry.placement.range_map import RangeMap
from tenantry.storage.fence import FenceValue, decode_fence, fence_key, read_fence
from tenantry.storage.keys import FENCES, RANGES, prefix_end
from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Compare, CompareFailed, Delete, Put
from tests.support.explored import run_machine

LEADERS = 3
SHARDS = 4
T = TypeVar("T")


class LateMap(RangeMap):
    """Sees the store's changes when it is told to, and waits for none."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self._past = store._log

    async def reached(self, version: int) -> None:
        return

    def see(self, *, everything: bool = False) -> None:
        for batch in self._past:
            if batch.revision > self.version:
                self._changed(batch)
                if not everything:
                    return


class Leader:
    def __init__(self, store: MemoryStore) -> None:
        self.map = LateMap(store)
        self.loads = Loads(store)
        self.openings = Openings(store, self.map, self.loads, capacity=100)
        self.assignments = Assignments(store, self.map, self.loads, self.openings, capacity=100)
        self.plan: list[Move] = []


class Shard:
    """What a shard does about its ranges and its session. `proved` is the state of its read guard."""

    def __init__(self, store: MemoryStore, uid: str) -> None:
        self.store = store
        self.uid = uid
        self.map = LateMap(store)
        self.owned: dict[str, Compare] = {}
        self.begun = 0
        self.proved = False

    async def begin(self) -> None:
        row = SessionRow(self.uid, "https://shard.test", 0)
        self.begun = await self.store.commit([], [Put(session_key(self.uid), encode(row))], [])

    async def end(self) -> None:
        """The lease ends; the proof ended before."""
        self.proved, self.begun = False, 0
        await self.store.commit([], [], [Delete(session_key(self.uid)), Delete(drain_key(self.uid))])

    def prove(self) -> None:
        """Only who has seen what others took while there was no session may believe in it."""
        self.proved = bool(self.begun) and self.map.version >= self.begun

    async def act(self) -> None:
        mine = {info.name: info for info in self.map.ranges() if info.owner == self.uid}
        for name in list(self.owned):
            if name not in mine or mine[name].target:
                del self.owned[name]
        for name, info in mine.items():
            if not info.target:
                fence = await read_fence(self.store, name)
                if name not in self.owned and fence.value is not None and fence.value.owner == self.uid:
                    self.owned[name] = fence.condition
            else:
                record = self.map.rows()[name]
                row = Put(range_key(name), encode(replace(record.row, owner="")))
                with suppress(CompareFailed):
                    await self.store.commit([Compare(range_key(name), record.mod_revision)], [row], [])


class Registries(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.store = MemoryStore()
        self.leaders = [Leader(self.store) for _ in range(LEADERS)]
        self.shards = [Shard(self.store, f"shard-{number}") for number in range(SHARDS)]
        self.intervals: dict[str, tuple[str, str]] = {}
        self.generations: dict[str, int] = {}
        self.read_up_to = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self._come_to_rest())
        self.runner.close()

    @initialize(ranges=st.integers(0, 4))
    def begin(self, ranges: int) -> None:
        self.run(self.leaders[0].openings.ensure_root())
        for shard in self.shards[:2]:
            self.run(shard.begin())
        for leader in self.leaders:
            leader.map.see(everything=True)
        for _ in range(ranges):
            self.leaders[0].map.see(everything=True)
            self.run(self.leaders[0].openings._open({}))

    @rule(who=st.integers(0, LEADERS - 1), sees=st.booleans(), balance=st.booleans())
    def leader_leads(self, who: int, sees: bool, balance: bool) -> None:
        leader = self.leaders[who]
        if sees:
            leader.map.see(everything=True)
        self.run(leader.assignments.act(leader.assignments.decide(balance=balance)))

    @rule(who=st.integers(0, SHARDS - 1))
    def shard_is_quick(self, who: int) -> None:
        shard = self.shards[who]
        shard.map.see(everything=True)
        self.run(shard.act())
        shard.prove()

    @rule(who=st.integers(0, LEADERS - 1), everything=st.booleans())
    def leader_sees(self, who: int, everything: bool) -> None:
        self.leaders[who].map.see(everything=everything)

    @rule(who=st.integers(0, LEADERS - 1), balance=st.booleans())
    def leader_plans(self, who: int, balance: bool) -> None:
        self.leaders[who].plan = self.leaders[who].assignments.decide(balance=balance)

    @rule(who=st.integers(0, LEADERS - 1), part=st.integers(1, 40))
    def leader_acts(self, who: int, part: int) -> None:
        """It may die before all of its plan is done."""
        leader = self.leaders[who]
        self.run(leader.assignments.act(leader.plan[:part]))
        leader.plan = []

    @rule(who=st.integers(0, LEADERS - 1))
    def range_opens(self, who: int) -> None:
        with suppress(CompareFailed, CannotOpen):
            self.run(self.leaders[who].openings._open({}))

    @rule(who=st.integers(0, LEADERS - 1), weights=st.lists(st.integers(0, 1000), max_size=6))
    def loads_change(self, who: int, weights: list[int]) -> None:
        loads = {name: RangeLoad(tenants=weight) for name, weight in zip(self.intervals, weights, strict=False)}
        self.leaders[who].loads._ranges.update(loads)

    @rule(who=st.integers(0, SHARDS - 1), everything=st.booleans())
    def shard_sees(self, who: int, everything: bool) -> None:
        self.shards[who].map.see(everything=everything)

    @rule(who=st.integers(0, SHARDS - 1))
    def shard_acts(self, who: int) -> None:
        self.run(self.shards[who].act())

    @rule(who=st.integers(0, SHARDS - 1))
    def session_begins(self, who: int) -> None:
        if not self.shards[who].begun:
            self.run(self.shards[who].begin())

    @rule(who=st.integers(0, SHARDS - 1))
    def session_is_proved(self, who: int) -> None:
        self.shards[who].prove()

    @rule(who=st.integers(0, SHARDS - 1), gives_up=st.booleans())
    def session_ends(self, who: int, gives_up: bool) -> None:
        """`gives_up` False: the process is frozen, and believes what it believed."""
        self.run(self.shards[who].end())
        if gives_up:
            self.shards[who].owned.clear()

    @rule(who=st.integers(0, SHARDS - 1), witness=st.integers(0, LEADERS - 1))
    def session_is_lost_and_begun_anew(self, who: int, witness: int) -> None:
        """One leader knows of the loss, and not yet of the new beginning."""
        shard = self.shards[who]
        self.run(shard.end())
        self.leaders[witness].map.see(everything=True)
        shard.owned.clear()
        self.run(shard.begin())
        self.shard_is_quick(who)

    @rule(who=st.integers(0, SHARDS - 1))
    def shard_is_drained(self, who: int) -> None:
        if self.shards[who].begun:
            self.run(self.store.commit([], [Put(drain_key(self.shards[who].uid), b"")], []))

    @precondition(lambda self: any(shard.owned for shard in self.shards))
    @rule(who=st.integers(0, SHARDS - 1))
    def shard_writes(self, who: int) -> None:
        """Whoever believes in a range may try; only the owner by the fence gets through."""
        shard = self.shards[who]
        for name, fence in list(shard.owned.items()):
            owner = self.run(read_fence(self.store, name)).value
            try:
                self.run(self.store.commit([fence], [Put(f"/journal/{shard.uid}".encode(), b"")], []))
            except CompareFailed:
                del shard.owned[name]
            else:
                assert owner is not None and owner.owner == shard.uid

    @invariant()
    def nothing_overlaps_and_nothing_is_lost(self) -> None:
        rows = self._rows()
        now = {name: (row.start, row.end) for name, row in rows.items()}
        assert now.items() >= self.intervals.items()
        self.intervals = now
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(sorted(now.values())))
        for name, row in rows.items():
            fence = self.run(read_fence(self.store, name)).value
            assert row.generation == (fence.generation if fence else 0)
            assert not row.owner or (fence is not None and fence.owner == row.owner)

    @invariant()
    def generations_rise_by_one(self) -> None:
        for batch in self.store._log:
            if batch.revision > self.read_up_to:
                self.read_up_to = batch.revision
                for event in batch.events:
                    if event.kv.key.startswith(FENCES.encode()):
                        name, value = event.kv.key.decode().removeprefix(FENCES), decode_fence(event.kv.value)
                        assert value.generation == self.generations.get(name, 0) + 1
                        self.generations[name] = value.generation

    @invariant()
    def nobody_serves_what_another_one_owns(self) -> None:
        """Reads are answered by who holds a range in memory and has a proved session: he must be whom the fence names."""
        for shard in self.shards:
            for name in shard.owned if shard.proved else ():
                fence = self.run(read_fence(self.store, name)).value
                assert fence is not None and fence.owner == shard.uid

    def _rows(self) -> dict[str, RangeRow]:
        page = self.run(self.store.read(RANGES.encode(), prefix_end(RANGES.encode())))
        return {kv.key.decode().removeprefix(RANGES): decode(kv.value, RangeRow) for kv in page.kvs}

    async def _come_to_rest(self) -> None:
        """Whatever happened, one leader and shards that live bring everything to rest."""
        for shard in self.shards:
            await self.store.commit([], [], [Delete(drain_key(shard.uid))])
            if not shard.begun:
                shard.owned.clear()
                await shard.begin()
        leader = self.leaders[0]
        for _ in range(100):
            revision = (await self.store.read(b"/", b"0")).revision
            for known in (leader.map, *(shard.map for shard in self.shards)):
                known.see(everything=True)
            await leader.assignments.act(leader.assignments.decide(balance=True))
            for shard in self.shards:
                shard.map.see(everything=True)
                shard.prove()
                await shard.act()
            if (await self.store.read(b"/", b"0")).revision == revision:
                break
        else:
            raise AssertionError("the ranges come to no rest")
        holders = [name for shard in self.shards for name in shard.owned]
        assert sorted(holders) == sorted(leader.map.rows())
        for name, record in leader.map.rows().items():
            fence = await read_fence(self.store, name)
            assert fence.value == FenceValue(record.row.owner, record.row.generation)
            assert (await self.store.read(fence_key(name), fence_key(name) + b"\0")).kvs


@pytest.mark.hypothesis
def test_two_leaders_and_any_sequence_of_events() -> None:
    run_machine(Registries, settings(max_examples=100, stateful_step_count=50, suppress_health_check=[HealthCheck.too_slow]))
