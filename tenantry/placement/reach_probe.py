"""A gateway or shard tries whether it reaches the shards, and reports that in the store (`reach` follows all reports)."""

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
from tenantry.placement.owners import Owners
from tenantry.placement.range_map import RangeMap
from tenantry.storage.store import LeaseGone, Put, Store, StoreError

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 10.0
RETRY_SECONDS = 1.0
"""Before a shard counts as not reached, for the network drops a packet now and then."""
ANSWER_SECONDS = 5.0
AGAIN_SECONDS = 30.0
"""When a report is put once more: it has the time of this clock, which the others compare with theirs."""
NEIGHBOURS = 8
"""So many shards try each shard, so that the work grows with their number, not with its square."""
_LONGEST_REASON = 300
_REQUEST = b"GET /livez HTTP/1.1\r\nHost: tenantry\r\n\r\n"


class ReachProbe:
    """Started after `owners`, stopped before them. `uid` and `name`: under which it reports, a shard's own where it is one:
    then it tries its `neighbours` next ones alone, and not itself; a gateway, with None, tries all."""

    def __init__(
        self,
        store: Store,
        range_map: RangeMap,
        owners: Owners,
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
        """By shards: why it is not reached, empty where it is."""
        self._failing: set[str] = set()
        """Those that failed once, which is not reported yet."""
        self._reported: tuple[dict[str, str], float] | None = None
        self._lease = 0
        self._changed = asyncio.Event()
        self._unsubscribe: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._unsubscribe = self._map.subscribe(self._changed.set)
        self._task = restarting(self._run, name="who is reached")

    async def stop(self) -> None:
        """Takes the report back."""
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
                    logger.warning("a shard is not reached", extra={"shard": uid, "error": why})
                self._failing.discard(uid)
                self._reasons[uid] = why[:_LONGEST_REASON]
            elif not self._reasons.get(uid):
                # Once more in a moment, before it is reported.
                self._failing.add(uid)

    def _forget(self, upstreams: Mapping[str, Upstream]) -> None:
        """Those that ended, or are others' to try."""
        for uid in [uid for uid in self._reasons if uid not in upstreams]:
            del self._reasons[uid]
        self._failing.intersection_update(upstreams)

    async def _report(self, *, keep: bool) -> None:
        """Puts the report where it is new, or old. What cannot be put now is put with the next round."""
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
            logger.warning("it could not be reported which shards are reached", extra={"error": str(error)})

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
    """Why a shard does not answer, empty where it does, whatever the answer: it heard us, and knows who we are."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await upstream.exchange(_REQUEST)
    except UpstreamError as error:
        return str(error) or "it cannot be reached"
    except TimeoutError:
        return f"no answer in {ANSWER_SECONDS:g} seconds"
    if answer.rest is not None:
        answer.rest.abort()
    return ""


def chosen(uids: Mapping[str, object], own: str, neighbours: int | None) -> list[str]:
    """Whom to try: all but oneself, or as many as that of those who come next in the ring of all uids, so that each is tried by
    as many."""
    others = sorted(uid for uid in uids if uid != own)
    if neighbours is None or len(others) <= neighbours:
        return others
    first = next((at for at, uid in enumerate(others) if uid > own), 0)
    return [*others[first:], *others[:first]][:neighbours]
