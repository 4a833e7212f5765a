"""Checks which shards this gateway or shard reaches, and puts a report into the store (`reachability.py` follows the reports)."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from tenantry.base.tasks import restarting
from tenantry.http.upstream import Upstream
from tenantry.http.upstream_connection import UpstreamError
from tenantry.placement.map_rows import ReachRow, encode, reach_key
from tenantry.placement.range_map import RangeMap
from tenantry.placement.shard_connections import ShardConnections
from tenantry.storage.store import LeaseGone, Put, Store, StoreError

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 10.0
RETRY_SECONDS = 1.0
"""A failed check is repeated after this time before it is reported, because networks drop packets."""
ANSWER_SECONDS = 5.0
AGAIN_SECONDS = 30.0
"""An unchanged report is repeated after this time: the other processes compare its clock with theirs."""
NEIGHBOURS = 8
"""How many shards check each shard, so that the work grows linearly with the number of shards."""
_LONGEST_REASON = 300
_REQUEST = b"GET /livez HTTP/1.1\r\nHost: tenantry\r\n\r\n"


class ReachProbe:
    """Checks and reports. Start it after `owners` and stop it before them.

    `uid`, `name`: of the report; a shard uses its own. `neighbours`: how many shards a shard checks, the next ones in the ring
    of uids, never itself. None (a gateway): all. `wall`: returns seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        range_map: RangeMap,
        owners: ShardConnections,
        *,
        uid: str,
        name: str,
        neighbours: int | None = None,
        interval_seconds: float = INTERVAL_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._map = range_map
        self._owners = owners
        self._uid = uid
        self._name = name
        self._neighbours = neighbours
        self._interval_seconds = interval_seconds
        self._retry_seconds = retry_seconds
        self._wall = wall
        self._reasons: dict[str, str] = {}
        """Shard's uid → why it is not reachable; empty if it is."""
        self._failing: set[str] = set()
        """Shards whose last check failed once; that is not reported yet."""
        self._reported: tuple[dict[str, str], float] | None = None
        self._lease = 0
        self._changed = asyncio.Event()
        self._unsubscribe: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._unsubscribe = self._map.subscribe(self._changed.set)
        self._task = restarting(self._run, name="who is reached")

    async def stop(self) -> None:
        """Stops the checks and deletes the report."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._lease:
            with suppress(StoreError):
                await self._store.revoke_lease(self._lease)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._changed.clear()
            upstreams = self._chosen()
            everything = loop.time() >= due
            if everything:
                due = loop.time() + self._interval_seconds * random.uniform(0.8, 1.0)
            wanted = [uid for uid in upstreams if everything or uid not in self._reasons or uid in self._failing]
            await self._try({uid: upstreams[uid] for uid in wanted})
            self._forget(upstreams)
            await self._report(keep=everything)
            pause = min(due - loop.time(), self._retry_seconds) if self._failing else due - loop.time()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, pause)):
                    await self._changed.wait()

    def _chosen(self) -> dict[str, Upstream]:
        upstreams = self._owners.by_shard()
        return {uid: upstreams[uid] for uid in chosen(upstreams, self._uid, self._neighbours)}

    async def _try(self, upstreams: Mapping[str, Upstream]) -> None:
        answers = await asyncio.gather(*map(reaches, upstreams.values()))
        for uid, why in zip(upstreams, answers, strict=True):
            if not why:
                self._failing.discard(uid)
                self._reasons[uid] = ""
            elif uid in self._failing:
                if not self._reasons.get(uid):
                    logger.warning("cannot reach a shard", extra={"shard": uid, "error": why})
                self._failing.discard(uid)
                self._reasons[uid] = why[:_LONGEST_REASON]
            elif not self._reasons.get(uid):
                # Checked again after `retry_seconds`, before it is reported.
                self._failing.add(uid)

    def _forget(self, upstreams: Mapping[str, Upstream]) -> None:
        """Drops the results of shards that ended or that other shards check now."""
        for uid in [uid for uid in self._reasons if uid not in upstreams]:
            del self._reasons[uid]
        self._failing.intersection_update(upstreams)

    async def _report(self, *, keep: bool) -> None:
        """Puts the report if it changed, or if the last one is too old. After a failure it is put in the next round."""
        now = asyncio.get_running_loop().time()
        try:
            if self._lease and keep:
                with suppress(LeaseGone):
                    await self._store.keep_alive(self._lease)
            if self._reported is not None and self._reported[0] == self._reasons and now - self._reported[1] < AGAIN_SECONDS:
                return
            await self._put()
            self._reported = dict(self._reasons), now
        except StoreError as error:
            self._reported = None
            logger.warning("cannot report which shards are reachable, retrying", extra={"error": str(error)})

    async def _put(self) -> None:
        row = encode(
            ReachRow(
                self._name,
                self._wall(),
                sorted(uid for uid, why in self._reasons.items() if not why),
                {uid: why for uid, why in self._reasons.items() if why},
            )
        )
        if self._lease:
            with suppress(LeaseGone):
                await self._store.commit([], [Put(reach_key(self._uid), row, 0, self._lease)], [])
                return
        self._lease = await self._store.grant_lease(3 * self._interval_seconds)
        await self._store.commit([], [Put(reach_key(self._uid), row, 0, self._lease)], [])


async def reaches(upstream: Upstream) -> str:
    """Why a shard does not answer; empty if it does. The status does not matter: any answer proves TLS and the connection."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await upstream.exchange(_REQUEST)
    except UpstreamError as error:
        return str(error) or "connection failed"
    except TimeoutError:
        return f"no answer in {ANSWER_SECONDS:g} seconds"
    if answer.rest is not None:
        answer.rest.abort()
    return ""


def chosen(uids: Mapping[str, object], own: str, neighbours: int | None) -> list[str]:
    """The shards to check: all except `own` (None), or the next `neighbours` ones in the ring of uids.

    With the ring, every shard is checked by `neighbours` other ones.
    """
    others = sorted(uid for uid in uids if uid != own)
    if neighbours is None or len(others) <= neighbours:
        return others
    first = next((at for at, uid in enumerate(others) if uid > own), 0)
    return [*others[first:], *others[:first]][:neighbours]
