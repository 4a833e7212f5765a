"""Wires the parts of one registry: map, loads, openings, and the assignments of the leader. Any number may run."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress

from registry.assigner import BalancePolicy
from registry.assignments import Assignments
from registry.compaction import Compaction
from registry.loads import Loads
from registry.openings import Openings
from tenantry.placement.map import ShardInfo
from tenantry.placement.map_rows import drain_key
from tenantry.placement.range_map import RangeMap
from tenantry.placement.range_opening import OpenedRange
from tenantry.placement.reachability import Reach
from tenantry.placement.view_processes import ViewProcesses
from tenantry.placement.view_registration import forget_views
from tenantry.storage.election import Election
from tenantry.storage.store import Compare, CompareFailed, Delete, LeaseGone, Put, Store

SERVICE = "registry"


class UnknownShard(Exception):
    """No living shard has this name or uid."""


class AmbiguousShard(Exception):
    """Several living shards have this name."""


class UnknownView(Exception):
    """No process of its own has served a view of this name."""


class ServedView(Exception):
    """A living process serves the view."""


class Registry:
    """One registry. Call `start` and `stop`.

    `capacity`: tenants of a range. `identity`: of this registry in the election. `balance`, `policy`: see `Assignments`.
    `ttl_seconds`: how long a dead leader still counts as the leader. `range_map`: a map that other parts of the process use, too;
    None: the registry makes one. `retention_seconds`: how long the store keeps its history; 0: this registry does not compact it.
    """

    def __init__(
        self,
        store: Store,
        *,
        capacity: int,
        identity: str = "",
        balance: bool = True,
        policy: BalancePolicy | None = None,
        ttl_seconds: float = 2.0,
        range_map: RangeMap | None = None,
        retention_seconds: float = 0.0,
    ) -> None:
        self._store = store
        self.identity = identity or uuid.uuid4().hex
        self.map = range_map or RangeMap(store)
        self._own_map = range_map is None
        self.loads = Loads(store)
        self.views = ViewProcesses(store)
        self.reach = Reach(store)
        self.openings = Openings(store, self.map, self.loads, capacity=capacity, reach=self.reach)
        self.assignments = Assignments(
            store, self.map, self.loads, self.openings, capacity=capacity, balance=balance, policy=policy, reach=self.reach
        )
        self.election = Election(store, SERVICE, self.identity, self.assignments.run, ttl_seconds=ttl_seconds)
        self._compaction = (
            Compaction(store, retention_seconds=retention_seconds, leading=lambda: self.election.leading)
            if retention_seconds
            else None
        )

    def __repr__(self) -> str:
        return f"<Registry {self.identity} leading={self.election.leading} {self.map!r}>"

    async def start(self) -> None:
        """Returns when the map is loaded. The registry leads when it is elected. Raises Unavailable, Damaged."""
        if self._own_map:
            await self.map.start()
        await self.loads.start()
        await self.reach.start()
        await self.views.start()
        self.election.start()
        if self._compaction is not None:
            self._compaction.start()

    async def stop(self) -> None:
        if self._compaction is not None:
            await self._compaction.stop()
        await self.election.stop()
        await self.views.stop()
        await self.reach.stop()
        await self.loads.stop()
        if self._own_map:
            await self.map.stop()

    async def open_range(self, labels: Mapping[str, str], after_version: int) -> OpenedRange:
        """See `Openings.__call__`."""
        return await self.openings(labels, after_version)

    async def drain(self, shard: str) -> ShardInfo:
        """Moves all ranges away from a shard (name or uid). It gets no ranges until `undrain`, or until it ends. Idempotent.

        Raises UnknownShard, AmbiguousShard, Unavailable, Indeterminate.
        """
        info = self._shard(shard)
        session = self.map.sessions().get(info.uid)
        if session is None:
            raise UnknownShard(f"shard {shard} has just ended")
        key = drain_key(info.uid)
        try:
            # The key has the lease of the session, so it ends with the session.
            revision = await self._store.commit([Compare(key, 0)], [Put(key, self.identity.encode(), 0, session.row.lease)], [])
        except CompareFailed:
            revision = 0
        except LeaseGone as error:
            raise UnknownShard(f"shard {shard} has just ended") from error
        await self.map.reached(revision)
        return self.map.shard(info.uid) or info._replace(draining=True)

    async def undrain(self, shard: str) -> ShardInfo:
        """Reverts `drain`. A shard that drains because it is ending keeps draining. Idempotent. Raises the errors of `drain`."""
        info = self._shard(shard)
        key = drain_key(info.uid)
        page = await self._store.read(key, key + b"\0")
        if page.kvs:
            with suppress(CompareFailed):
                await self.map.reached(await self._store.commit([Compare(key, page.kvs[0].mod_revision)], [], [Delete(key)]))
        return self.map.shard(info.uid) or info

    async def forget_view(self, name: str) -> None:
        """Gives a view back to the shards. Raises UnknownView, ServedView, Unavailable, Indeterminate."""
        if name not in self.views.names:
            raise UnknownView(f"no process of its own has served the view {name!r}; `tenantry views list` lists those that have")
        if await forget_views(self._store, [name]):
            return
        raise ServedView(f"the view {name} is served by a living process; stop it, and shards serve the view again")

    def _shard(self, shard: str) -> ShardInfo:
        found = [info for info in self.map.shards() if shard in (info.uid, info.name)]
        if not found:
            raise UnknownShard(f"no shard with the name or uid {shard!r} is alive; `tenantry shards` lists those that are")
        if len(found) > 1:
            uids = ", ".join(info.uid for info in found)
            raise AmbiguousShard(f"several shards have the name {shard!r}; name one by its uid: {uids}")
        return found[0]
