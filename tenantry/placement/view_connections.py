"""Connections to the processes of views, and which of them is asked."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import NamedTuple

from tenantry.http.upstream import Upstream, UpstreamLimits
from tenantry.placement.view_processes import ViewProcess, ViewProcesses

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LAST_PAUSE_SECONDS = 15.0
GONE_SECONDS = 1.0
"""How long after the end of a registration its exchanges are aborted. A process that ends in order ends them itself."""


class _Pause(NamedTuple):
    """`since`: when the failure was noticed. `until`: when a request tries again. Both are times of the loop."""

    seconds: float
    since: float
    until: float


class Replica:
    """A process of views, as one gateway or shard knows it.

    After a failure it is not asked about that view for a while, and then by one request: its success ends that, and another
    failure doubles the time. A failure says nothing new of the process where another request of that view was answered, or
    failed, while it lasted: one tenant's long list must not keep others out, and the failures of one moment are one.
    """

    def __init__(self, process: ViewProcess, upstream: Upstream) -> None:
        self.process = process
        self.upstream = upstream
        self._pauses: dict[str, _Pause] = {}
        self._answered: dict[str, float] = {}
        """View → the time of its last answer."""

    def may_be_asked(self, view: str, now: float) -> bool:
        return self.process.ready and (view not in self._pauses or now >= self._pauses[view].until)

    def asked(self, view: str, now: float) -> None:
        """A request begins. No other one tries a process that has failed before it is known how this one ends."""
        pause = self._pauses.get(view)
        if pause is not None:
            self._pauses[view] = pause._replace(until=now + pause.seconds)

    def failed(self, view: str, began: float, now: float) -> None:
        """A request that was asked at `began` has failed."""
        pause = self._pauses.get(view)
        if self._answered.get(view, began) > began or (pause is not None and pause.since > began):
            return
        seconds = min(LAST_PAUSE_SECONDS, 2 * pause.seconds) if pause is not None else FIRST_PAUSE_SECONDS
        self._pauses[view] = _Pause(seconds, now, now + seconds)

    def answered(self, view: str, now: float) -> None:
        self._pauses.pop(view, None)
        self._answered[view] = now

    def rank(self, place: str) -> tuple[bytes, str]:
        """For rendezvous hashing: of all processes, the one with the highest rank has a place. So all requests for a range reach
        one process, also when others come and go."""
        name = self.process.name
        return blake2b(f"{place} {name}".encode(), digest_size=8).digest(), self.process.uid


class ViewConnections:
    """A pool of connections for each living one of `processes`. `tls`: None for plain HTTP (tests)."""

    def __init__(self, processes: ViewProcesses, *, tls: ssl.SSLContext | None, limits: UpstreamLimits | None = None) -> None:
        self.processes = processes
        self._tls = tls
        self._limits = limits or UpstreamLimits()
        self._replicas: dict[str, Replica] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._stop: Callable[[], None] = lambda: None

    def start(self) -> None:
        self._stop = self.processes.subscribe(self._changed)
        self._changed()

    def stop(self) -> None:
        self._stop()
        for timer in self._timers:
            timer.cancel()
        for replica in self._replicas.values():
            replica.upstream.abort("the process stops")
            replica.upstream.close()

    def renew(self, tls: ssl.SSLContext) -> None:
        """Uses another client certificate for new connections."""
        self._tls = tls
        for replica in self._replicas.values():
            replica.upstream.renew(tls)

    def candidates(self, view: str, place: str) -> Iterator[Replica]:
        """The processes that may be asked about a view, the one that has the place first."""
        loop = asyncio.get_running_loop()
        serving = [replica for replica in self._replicas.values() if view in replica.process.views]
        for replica in sorted(serving, key=lambda replica: replica.rank(place), reverse=True):
            if replica.may_be_asked(view, loop.time()):
                yield replica

    def _changed(self) -> None:
        living = self.processes.processes
        for uid, process in living.items():
            known = self._replicas.get(uid)
            if known is not None:
                known.process = process
                continue
            try:
                upstream = Upstream(process.url, self._tls, self._limits)
            except ValueError as error:
                # The others are reached without it.
                logger.error("skipping a process of views", extra={"views": process.name, "error": str(error)})
                continue
            self._replicas[uid] = Replica(process, upstream)
        for uid in [uid for uid in self._replicas if uid not in living]:
            self._abort_later(self._replicas.pop(uid).upstream)

    def _abort_later(self, upstream: Upstream) -> None:
        upstream.close()

        def abort() -> None:
            self._timers.discard(timer)
            upstream.abort("the process of views has ended")

        timer = asyncio.get_running_loop().call_later(GONE_SECONDS, abort)
        self._timers.add(timer)
