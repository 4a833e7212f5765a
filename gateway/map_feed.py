"""Sends the map of ranges to any number of followers. Each change is encoded once. The only state of a follower is its
position."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress

from tenantry._proto.tenantry.gateway.v1 import gateway_pb2 as pb
from tenantry.base.broadcast import Signal
from tenantry.base.tasks import restarting
from tenantry.placement.map import RangeInfo, ShardInfo
from tenantry.placement.range_map import MapDelta, RangeMap
from tenantry.placement.urls import Urls

STEPS = 1024
"""How many encoded changes are kept. A follower that is further behind gets the whole map."""
HEARTBEAT_SECONDS = 5.0
AHEAD_SECONDS = 5.0
"""How long a follower that knows a newer version from another gateway waits for this gateway to reach it."""


class MapFeed:
    """Serves followers between `start` and `stop`.

    `cell`: the number of the store. Versions of another store are ignored. `heartbeat_seconds`: interval of updates without a
    change.
    """

    def __init__(self, range_map: RangeMap, urls: Urls, *, cell: int, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._map = range_map
        self._urls = urls
        self._cell = cell
        self._heartbeat_seconds = heartbeat_seconds
        self._version = 0
        self._steps: dict[int, tuple[int, bytes]] = {}
        self._full: tuple[int, bytes] = (-1, b"")
        self._beats = 0
        self._changes = Signal()
        self._ended = False
        self._stop: Callable[[], None] | None = None
        self._ticker: asyncio.Task[None] | None = None
        self.followers = 0
        """Number of followers now."""

    def start(self) -> None:
        self._version = self._map.version
        self._stop = self._map.subscribe(self._publish)
        self._ticker = restarting(self._beat, name="map heartbeat")

    async def stop(self) -> None:
        """Ends the streams of all followers."""
        self._ended = True
        if self._stop is not None:
            self._stop()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        self._changes.send()

    async def follow(self, known_version: int, known_cell: int) -> AsyncGenerator[bytes, None]:
        """Yields encoded `MapUpdate`s until the feed stops. Each follower reads at its own pace.

        `known_version`, `known_cell`: what the follower has; 0: nothing.
        """
        self.followers += 1
        try:
            await self._catch_up(known_version if known_cell == self._cell else 0)
            first = self._first(known_version if known_cell == self._cell else 0)
            version, beats = self._version, self._beats
            yield first
            while not self._ended:
                step = self._steps.get(version)
                if step is not None:
                    version = step[0]
                    beats = self._beats
                    yield step[1]
                elif version != self._version:
                    version, beats = self._version, self._beats
                    yield self._whole()
                elif beats != self._beats:
                    beats = self._beats
                    yield self._encode(pb.MapUpdate(from_version=version, version=version))
                else:
                    await self._changes.wait()
        finally:
            self.followers -= 1

    async def _catch_up(self, known: int) -> None:
        if known > self._map.version:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._map.reached(known), AHEAD_SECONDS)

    def _first(self, known: int) -> bytes:
        delta = self._map.since(known) if known else None
        if delta is None or delta.full:
            return self._whole()
        # Every change is published at once, so the map has the content of `_version`.
        return self._encode(self._update(delta, known, self._version))

    def _publish(self) -> None:
        delta = self._map.since(self._version)
        if delta.version == self._version:
            return
        if delta.full:
            # No steps lead to this version, so every follower gets the whole map.
            self._steps.clear()
        else:
            self._steps[self._version] = (delta.version, self._encode(self._update(delta, self._version, delta.version)))
            if len(self._steps) > STEPS:
                del self._steps[next(iter(self._steps))]
        self._version = delta.version
        self._changes.send()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            if self._map.version != self._version:
                self._publish()
            else:
                self._beats += 1
                self._changes.send()

    def _whole(self) -> bytes:
        if self._full[0] != self._version:
            update = self._update(self._map.since(0), 0, self._version)
            update.full = True
            update.url_prefix = self._urls.cluster("")
            update.silence_milliseconds = int(self._heartbeat_seconds * 3000)
            self._full = (self._version, self._encode(update))
        return self._full[1]

    def _update(self, delta: MapDelta, known: int, version: int) -> pb.MapUpdate:
        return pb.MapUpdate(
            from_version=known,
            version=version,
            ranges=[range_message(info, self._urls) for info in delta.ranges],
            removed_ranges=delta.removed_ranges,
            shards=[shard_message(shard) for shard in delta.shards],
            removed_shards=delta.removed_shards,
        )

    def _encode(self, update: pb.MapUpdate) -> bytes:
        update.cell = self._cell
        encoded: bytes = update.SerializeToString()
        return encoded


def range_message(info: RangeInfo, urls: Urls, tenants: int = 0) -> pb.Range:
    return pb.Range(
        name=info.name,
        start=info.start,
        end=info.end,
        shard=info.shard,
        generation=info.generation,
        tenants=tenants,
        capacity=info.capacity,
        url=urls.range(info.name),
        labels=dict(info.labels),
        owner=info.owner,
    )


def shard_message(shard: ShardInfo, ranges: Sequence[str] = (), tenants: int = 0) -> pb.Shard:
    return pb.Shard(name=shard.name, uid=shard.uid, ranges=ranges, tenants=tenants, url=shard.url, draining=shard.draining)
