"""The work of the leading registry: it writes the assigner's decisions, each in a transaction that compares its inputs.

All state is in the store, so a new leader continues where the last one stopped. Two leaders at the same time are harmless: a
transaction fails if the other leader changed one of its inputs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec.structs import replace

from registry.assigner import BalancePolicy, Move, RangeWeight, decide
from registry.loads import Loads
from registry.openings import Openings
from registry.reachable_shards import reachable_shards
from tenantry.base.backoff import Backoff
from tenantry.placement.map_rows import encode, range_key, session_key
from tenantry.placement.range_map import RangeMap
from tenantry.placement.reachability import Reach
from tenantry.storage.fence import FenceValue, fence_key
from tenantry.storage.store import Compare, CompareFailed, Indeterminate, Put, Store, Unavailable

logger = logging.getLogger(__name__)

MOVES_IN_TRANSACTION = 40
"""Each move compares up to three keys, and etcd allows 128 comparisons in a transaction (--max-txn-ops)."""
ROUND_SECONDS = 5.0
"""Time between two rounds of balancing. Ranges of shards that are gone or draining move at once."""
RETRY_SECONDS = 0.1


class Assignments:
    """Assigns ranges to shards.

    `capacity`: tenants of a range. It is written into the rows of ranges that have another value.
    `balance` False: move only the ranges of shards that are gone or draining. `reach`: which shards are reachable; None: all.
    `clock`: monotonic seconds.
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
        policy: BalancePolicy | None = None,
        reach: Reach | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._map = range_map
        self._loads = loads
        self._openings = openings
        self._capacity = capacity
        self._balance = balance
        self._policy = policy or BalancePolicy()
        self._reach = reach
        self._clock = clock
        self.moves = 0
        """Number of moves that this registry wrote."""

    async def run(self) -> None:
        """Decides and writes until cancelled."""
        changed = asyncio.Event()
        stops = [self._map.subscribe(changed.set)]
        if self._reach is not None:
            stops.append(self._reach.subscribe(changed.set))
        next_round = 0.0
        backoff = Backoff.steady(RETRY_SECONDS)
        shards: set[str] = set()
        try:
            while True:
                changed.clear()
                try:
                    await self._openings.ensure_root()
                    await self._set_capacity()
                    now = self._clock()
                    serving = {shard.uid for shard in reachable_shards(self._map, self._reach) if not shard.draining}
                    # A new shard gets its share at once.
                    shards &= serving
                    due = now >= next_round or serving > shards
                    if due:
                        next_round, shards = now + ROUND_SECONDS, serving
                    await self.act(self.decide(balance=self._balance and due))
                except (Unavailable, Indeterminate) as error:
                    logger.warning("cannot write assignments, retrying", extra={"error": str(error)})
                    await backoff.pause()
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, next_round - self._clock())):
                        await changed.wait()
        finally:
            for stop in stops:
                stop()

    def decide(self, *, balance: bool) -> list[Move]:
        """The moves that the present map needs."""
        return decide(
            (
                RangeWeight(name, stored.row.owner, self._loads.weight(name), stored.row.target)
                for name, stored in self._map.rows().items()
            ),
            reachable_shards(self._map, self._reach),
            balance=balance,
            policy=self._policy,
        )

    async def act(self, moves: Sequence[Move]) -> None:
        """Writes the moves that still match the map and drops the others: the next decision repeats them.

        Raises Unavailable, Indeterminate.
        """
        for at in range(0, len(moves), MOVES_IN_TRANSACTION):
            together = moves[at : at + MOVES_IN_TRANSACTION]
            if not await self._write(together) and len(together) > 1:
                for move in together:
                    await self._write([move])

    async def _write(self, moves: Sequence[Move]) -> bool:
        """Writes all moves in one transaction. False if a row or session of any of them has changed."""
        rows, sessions = self._map.rows(), self._map.sessions()
        conditions: dict[bytes, Compare] = {}
        puts: list[Put] = []
        for move in moves:
            stored, session = rows.get(move.name), sessions.get(move.target)
            if stored is None or session is None or stored.row.owner != move.owner:
                return False
            row, key = stored.row, range_key(move.name)
            # The row changes with every fence, so this compares the fence, too. The target must be alive.
            conditions[key] = Compare(key, stored.mod_revision)
            conditions[session_key(move.target)] = Compare(session_key(move.target), session.mod_revision)
            if row.owner in sessions:
                # A living owner may be serving reads, so it has to hand the range over.
                puts.append(Put(key, encode(replace(row, target=move.target))))
                continue
            if row.owner:
                # The owner is dead in the map. If it has a new session, the transaction must fail.
                conditions[session_key(row.owner)] = Compare(session_key(row.owner), 0)
            generation = row.generation + 1
            puts.append(Put(key, encode(replace(row, owner=move.target, generation=generation, target=""))))
            puts.append(Put(fence_key(move.name), FenceValue(move.target, generation).encode()))
        try:
            revision = await self._store.commit(list(conditions.values()), puts, [])
        except CompareFailed as fenced:
            logger.info("assignment conflicted with another registry", extra={"about": fenced.name, "moves": len(moves)})
            return False
        self.moves += len(moves)
        logger.info("moved ranges", extra={"ranges": len(moves), "first": moves[0].name, "revision": revision})
        await self._map.reached(revision)
        return True

    async def _set_capacity(self) -> None:
        for name, stored in list(self._map.rows().items()):
            if stored.row.capacity != self._capacity:
                key = range_key(name)
                row = encode(replace(stored.row, capacity=self._capacity))
                with suppress(CompareFailed):
                    await self._map.reached(await self._store.commit([Compare(key, stored.mod_revision)], [Put(key, row)], []))
