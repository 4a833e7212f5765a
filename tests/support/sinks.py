"""Clients of streams, without a connection."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from tests.support.patience import PATIENCE_SECONDS


class MemorySink:
    """Collects what a stream writes: `chunks` as they come, and the `events` in them."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.chunks: list[bytes] = []
        self.events: list[Any] = []
        self.aborted = False
        self.buffered_bytes = 0
        self.buffer_limit_bytes = 8 << 20
        self._line = b""
        self._arrived = asyncio.Event()

    def send(self, framed: bytes) -> None:
        self.chunks.append(framed)
        while framed:
            size, _, rest = framed.partition(b"\r\n")
            length = int(size, 16)
            assert rest[length : length + 2] == b"\r\n"
            self._line += rest[:length]
            framed = rest[length + 2 :]
        *lines, self._line = self._line.split(b"\n")
        self.events += map(orjson.loads, lines)
        self._arrived.set()

    def abort(self) -> None:
        self.aborted = True
        self.closed.set()

    def end(self) -> None:
        """The stream has ended: whoever waits for events looks again."""
        self._arrived.set()

    @property
    def short(self) -> list[tuple[str, str]]:
        return [(e["type"], e["object"]["metadata"].get("name", "")) for e in self.events]

    async def arrival(self) -> None:
        """Returns when something comes that was not there."""
        self._arrived.clear()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._arrived.wait()

    async def wait(self, count: int) -> list[Any]:
        """Returns when that many events are there."""
        while len(self.events) < count:
            await self.arrival()
        return self.events
