"""What the leader does: carry out the assigner's decisions, each by a transaction that compares what it was based on.

Nothing is kept but what is in the store, so a leader that dies in the middle leaves less to decide to the next one, and two
leaders at once refuse each other's transactions where they disagree, and repeat nothing where they agree.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec.structs import replace

from registry.assigner import Move, Policy, RangeWeight, decide
from registry.loads import Loads
from registry.openings import Openings
from registry.reachable_shards import reachable_shards
from tenantry.placement.map_rows import encode, range_key, session_key
from tenantry.placement.range_map import RangeMap
from tenantry.placement.reach import Reach
from tenantry.storage.fence import FenceValue, fence_key
from tenantry.storage.store import Fence, Fenced, Indeterminate, Put, Store, Unavailable

logger = logging.getLogger(__name__)

MOVES_IN_TRANSACTION = 40
"""Each may compare three keys, of the 128 that etcd allows."""
ROUND_SECONDS = 5.0
"""Between two rounds of balancing. What cannot wait is done at once."""
RETRY_SECONDS = 0.1


class Assignments:
    """`capacity`, the operator's present setting, is written into the rows of ranges that have another one.

    `balance` False: ranges move only away from shards that are gone or draining. `reach`: who is reached; without it all shards
    are. `clock`: seconds, monotonic.
    """

    def __init__(
        self,
        store: Store,
        range_map: RangeMap,
        loads: Loads,
        openings: Openings,
        *,
        capacity: int,
        balance: bool = True,
        policy: Policy | None = None,
        reach: Reach | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._map = range_map
        self._loads = loads
        self._openings = openings
        self._capacity = capacity
        self._balance = balance
        self._policy = policy or Policy()
        self._reach = reach
        self._clock = clock
        self.moves = 0
        """How many were begun here."""

    async def run(self) -> None:
        """Leads until cancelled."""
        changed = asyncio.Event()
        stops = [self._map.subscribe(changed.set)]
        if self._reach is not None:
            stops.append(self._reach.subscribe(changed.set))
        next_round = 0.0
        shards: set[str] = set()
        try:
            while True:
                changed.clear()
                try:
                    await self._openings.ensure_root()
                    await self._set_capacity()
                    now = self._clock()
                    serving = {shard.uid for shard in reachable_shards(self._map, self._reach) if not shard.draining}
                    # Somebody new is given its share at once.
                    shards &= serving
                    due = now >= next_round or serving > shards
                    if due:
                        next_round, shards = now + ROUND_SECONDS, serving
                    await self.act(self.decide(balance=self._balance and due))
                except (Unavailable, Indeterminate) as error:
                    logger.warning("assignments could not be written; trying again", extra={"error": str(error)})
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, next_round - self._clock())):
                        await changed.wait()
        finally:
            for stop in stops:
                stop()

    def decide(self, *, balance: bool) -> list[Move]:
        """What the map as it is now asks for."""
        return decide(
            (
                RangeWeight(name, record.row.owner, self._loads.weight(name), record.row.target)
                for name, record in self._map.records().items()
            ),
            reachable_shards(self._map, self._reach),
            balance=balance,
            policy=self._policy,
        )

    async def act(self, moves: Sequence[Move]) -> None:
        """Writes the moves that still agree with the map; the others are left to the next decision.

        Raises Unavailable, Indeterminate.
        """
        for at in range(0, len(moves), MOVES_IN_TRANSACTION):
            together = moves[at : at + MOVES_IN_TRANSACTION]
            if not await self._write(together) and len(together) > 1:
                for move in together:
                    await self._write([move])

    async def _write(self, moves: Sequence[Move]) -> bool:
        """One transaction; False where somebody else was quicker, about any of them."""
        records, sessions = self._map.records(), self._map.sessions()
        conditions: dict[bytes, Fence] = {}
        puts: list[Put] = []
        for move in moves:
            record, session = records.get(move.name), sessions.get(move.target)
            if record is None or session is None or record.row.owner != move.owner:
                return False
            row, key = record.row, range_key(move.name)
            # The row changes with every fence, so comparing it compares the fence. A target that is gone must not be written.
            conditions[key] = Fence(key, record.mod_revision)
            conditions[session_key(move.target)] = Fence(session_key(move.target), session.mod_revision)
            if row.owner in sessions:
                # The owner may be answering reads: it is asked to hand the range over.
                puts.append(Put(key, encode(replace(row, target=move.target))))
                continue
            if row.owner:
                # And if it has come back to life since the map was read, it has to be asked, too.
                conditions[session_key(row.owner)] = Fence(session_key(row.owner), 0)
            generation = row.generation + 1
            puts.append(Put(key, encode(replace(row, owner=move.target, generation=generation, target=""))))
            puts.append(Put(fence_key(move.name), FenceValue(move.target, generation).encode()))
        try:
            revision = await self._store.commit(list(conditions.values()), puts, [])
        except Fenced as fenced:
            logger.info("another registry was quicker", extra={"about": fenced.name, "moves": len(moves)})
            return False
        self.moves += len(moves)
        logger.info("moved ranges", extra={"ranges": len(moves), "first": moves[0].name, "revision": revision})
        await self._map.reached(revision)
        return True

    async def _set_capacity(self) -> None:
        for name, record in list(self._map.records().items()):
            if record.row.capacity != self._capacity:
                key = range_key(name)
                row = encode(replace(record.row, capacity=self._capacity))
                with suppress(Fenced):
                    await self._map.reached(await self._store.commit([Fence(key, record.mod_revision)], [Put(key, row)], []))
