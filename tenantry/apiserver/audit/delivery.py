"""Delivers audit events to one backend: one batch at a time, with what waits bounded in number and in bytes.

In the mode `batch` requests do not wait. In `blocking` they wait until their events are delivered, or could not be; in
`blocking-strict` the latter refuses the request. Events that find the buffer full are dropped and counted, as in kube-apiserver.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tenantry.base.tasks import restarting
from tenantry.kube.audit.event import Event

logger = logging.getLogger(__name__)

BATCH, BLOCKING, BLOCKING_STRICT = "batch", "blocking", "blocking-strict"
MODES = (BATCH, BLOCKING, BLOCKING_STRICT)
BUFFER_BYTES_MAX = 64 << 20
"""The most bytes of events that wait. kube-apiserver bounds their number alone."""
_BATCH_BYTES_MAX = 8 << 20
_LAST_SECONDS = 5.0
"""How long what waits may take at the end of the process."""
_QUIET_SECONDS = 10.0
"""Between two log lines about events that were dropped."""


class DeliveryFailed(Exception):
    """A batch was not delivered, or only a part of it: `lost` events are missing. The text has no content of events."""

    def __init__(self, text: str, lost: int) -> None:
        super().__init__(text)
        self.lost = lost


class Backend(Protocol):
    """Where events go. `name`: in metrics and logs."""

    name: str

    async def write(self, events: Sequence[Event]) -> None:
        """Raises DeliveryFailed."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How batches are made: of at most `size` events, once there are so many or the oldest has waited for `wait_seconds`, and
    not more than `per_second` (0: no limit), but `burst` after a pause."""

    buffered: int = 10_000
    size: int = 400
    wait_seconds: float = 0.0
    per_second: float = 0.0
    burst: int = 15


class Delivery:
    """The events that go to one backend. `lost` counts those that did not get there."""

    def __init__(self, backend: Backend, mode: str, pace: Pace) -> None:
        self.name = backend.name
        self.lost = 0
        self._backend = backend
        self._mode = mode
        self._pace = pace
        self._waiting: deque[tuple[Event, asyncio.Future[bool] | None, int]] = deque()
        """Events with their sizes."""
        self._bytes = 0
        self._came = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = False
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        self._tokens = float(pace.burst)
        self._refilled = 0.0
        self._told = -_QUIET_SECONDS

    def start(self) -> None:
        self._task = restarting(self._run, name=f"audit delivery to {self.name}", ends=True)

    async def stop(self) -> None:
        """Delivers what waits, for a few seconds, and ends."""
        self._closing = True
        self._came.set()
        self._full.set()
        task, self._task = self._task, None
        if task is not None:
            try:
                async with asyncio.timeout(_LAST_SECONDS):
                    await asyncio.shield(task)
                    while self._waiting:
                        await self._batch()
            except TimeoutError:
                self._drop(len(self._waiting), "the process ends")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._closed = True
        for _, waiter, _ in self._waiting:
            if waiter is not None and not waiter.done():
                waiter.set_result(False)
        self._waiting.clear()
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                await self._backend.close()
        except TimeoutError:
            # A disk that hangs, or a reader of standard output that has stopped.
            logger.error("an audit backend cannot be closed", extra={"backend": self.name})

    def add(self, event: Event) -> asyncio.Future[bool] | None:
        """Takes an event. Returns what tells whether it was delivered; None where the request does not wait for that."""
        waiter: asyncio.Future[bool] | None = None
        if self._mode != BATCH:
            waiter = asyncio.get_running_loop().create_future()
        if self._closed or len(self._waiting) >= self._pace.buffered or self._bytes >= BUFFER_BYTES_MAX:
            # In the blocking modes, clients that went away while they waited have left theirs.
            self._drop(1, "the process ends" if self._closed else "the buffer is full")
            if waiter is not None:
                waiter.set_result(False)
            return waiter
        size = event.size_bytes
        self._waiting.append((event, waiter, size))
        self._bytes += size
        self._came.set()
        if len(self._waiting) >= self._pace.size or self._bytes >= _BATCH_BYTES_MAX:
            self._full.set()
        return waiter

    @property
    def is_strict(self) -> bool:
        """Whether a request is refused whose event is not delivered."""
        return self._mode == BLOCKING_STRICT

    async def _run(self) -> None:
        while not self._closing:
            await self._came.wait()
            if self._mode == BATCH and self._pace.wait_seconds and not self._full.is_set():
                try:
                    async with asyncio.timeout(self._pace.wait_seconds):
                        await self._full.wait()
                except TimeoutError:
                    pass
            if self._mode == BATCH and self._pace.per_second:
                await self._throttle()
            if not self._closing:
                await self._batch()

    async def _throttle(self) -> None:
        """Waits until another batch may be sent (a token bucket)."""
        pace, loop = self._pace, asyncio.get_running_loop()
        while True:
            now = loop.time()
            self._tokens = min(float(pace.burst), self._tokens + (now - self._refilled) * pace.per_second)
            self._refilled = now
            if self._tokens >= 1:
                self._tokens -= 1
                return
            await asyncio.sleep((1 - self._tokens) / pace.per_second)

    async def _batch(self) -> None:
        """Delivers the events that waited longest."""
        taken: list[tuple[Event, asyncio.Future[bool] | None, int]] = []
        size = 0
        while self._waiting and len(taken) < self._pace.size and (not taken or size < _BATCH_BYTES_MAX):
            entry = self._waiting.popleft()
            size += entry[2]
            taken.append(entry)
        if not self._waiting:
            self._came.clear()
        if len(self._waiting) < self._pace.size and self._bytes - size < _BATCH_BYTES_MAX:
            self._full.clear()
        if not taken:
            return
        delivered = False
        try:
            await self._backend.write([event for event, _, _ in taken])
            delivered = True
        except DeliveryFailed as error:
            self._drop(error.lost, str(error))
        except BaseException:
            self._drop(len(taken), "the delivery was interrupted")
            raise
        finally:
            # Until now they are in memory.
            self._bytes -= size
            for _, waiter, _ in taken:
                if waiter is not None and not waiter.done():
                    waiter.set_result(delivered)

    def _drop(self, number: int, why: str) -> None:
        self.lost += number
        now = asyncio.get_running_loop().time()
        if now - self._told >= _QUIET_SECONDS:
            self._told = now
            logger.error("audit events are lost", extra={"backend": self.name, "events": number, "error": why})

    def __repr__(self) -> str:
        return f"<Delivery to {self.name}, {len(self._waiting)} events waiting, {self.lost} lost>"
