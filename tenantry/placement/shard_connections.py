"""Connections to the shards that own ranges. They follow the map."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tenantry.base.signal import Signal
from tenantry.http.upstream import Upstream, UpstreamLimits
from tenantry.http.upstream_connection import UpstreamConnection
from tenantry.placement.map import RangeInfo
from tenantry.placement.range_map import RangeMap


@dataclass(slots=True, eq=False)
class Use:
    """One exchange with the owner of a range, from the first byte of the request to the last byte of the answer.

    `range`: its name. `uid`: the owner's.
    """

    range: str
    uid: str
    connection: UpstreamConnection


class ShardConnections:
    """A pool of connections for each shard, and the exchanges in progress of each range.

    `grace_seconds`: after the map names a new owner, exchanges with the old one are aborted after this time. A live owner ends
    them itself. An owner that is frozen or disconnected does not.
    """

    def __init__(
        self,
        range_map: RangeMap,
        *,
        tls: ssl.SSLContext | None,
        limits: UpstreamLimits | None = None,
        grace_seconds: float = 1.0,
    ) -> None:
        self._map = range_map
        self._tls = tls
        self._limits = limits or UpstreamLimits()
        self._grace_seconds = grace_seconds
        self._owner_of: dict[str, str] = {}
        self._upstreams: dict[str, Upstream] = {}
        self._uses: dict[str, set[Use]] = {}
        self._changes = Signal()
        self._timers: set[asyncio.TimerHandle] = set()
        self._stop: Callable[[], None] | None = None
        self.cut = 0
        """Number of exchanges that were aborted because the old owner did not end them."""

    def start(self) -> None:
        self._stop = self._map.subscribe(self._changed)
        self._changed()

    def stop(self) -> None:
        if self._stop is not None:
            self._stop()
        for timer in self._timers:
            timer.cancel()
        for upstream in self._upstreams.values():
            upstream.abort("the gateway stops")
            upstream.close()

    def renew(self, tls: ssl.SSLContext) -> None:
        """Uses another client certificate for new connections."""
        self._tls = tls
        for upstream in self._upstreams.values():
            upstream.renew(tls)

    def of(self, info: RangeInfo) -> Upstream | None:
        """The connections to the owner of a range; None while no living shard owns it."""
        return self._upstreams.get(info.owner) if info.shard else None

    def begin(self, info: RangeInfo, connection: UpstreamConnection) -> Use:
        """Registers an exchange; the caller ends it with `end`."""
        use = Use(info.name, info.owner, connection)
        self._uses.setdefault(info.name, set()).add(use)
        return use

    def end(self, use: Use) -> None:
        uses = self._uses.get(use.range)
        if uses is not None:
            uses.discard(use)
            if not uses:
                del self._uses[use.range]

    async def changed(self, timeout_seconds: float) -> None:
        """Returns when the map has changed, or after `timeout_seconds`."""
        await self._changes.wait(timeout_seconds)

    def by_shard(self) -> Mapping[str, Upstream]:
        """The pools of the living shards by uid. Do not change the mapping."""
        return self._upstreams

    @property
    def upstreams(self) -> list[Upstream]:
        return list(self._upstreams.values())

    def _changed(self) -> None:
        shards = {shard.uid: shard.url for shard in self._map.shards()}
        for uid, url in shards.items():
            if uid not in self._upstreams:
                self._upstreams[uid] = Upstream(url, self._tls, self._limits)
        for uid in [uid for uid in self._upstreams if uid not in shards]:
            self._upstreams.pop(uid).close()
        owner_of = {info.name: info.owner for info in self._map.ranges()}
        for name in self._uses:
            if owner_of.get(name) != self._owner_of.get(name):
                self._cut_later(name)
        self._owner_of = owner_of
        self._changes.send()

    def _cut_later(self, name: str) -> None:
        def cut() -> None:
            self._timers.discard(timer)
            for use in list(self._uses.get(name, ())):
                if use.uid != self._owner_of.get(name):
                    self.cut += 1
                    use.connection.abort(f"range {name} has another owner")

        timer = asyncio.get_running_loop().call_later(self._grace_seconds, cut)
        self._timers.add(timer)
