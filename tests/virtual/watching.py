"""A client of a watch, without a connection."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from tenantry.apiserver.request import Request
from tenantry.apiserver.user import User
from tenantry.http.messages import Stream
from tests.support.patience import PATIENCE_SECONDS
from tests.tenancy.exports_world import World


class Watch:
    """`async with Watch(world, path, user) as watch: await watch.next()`."""

    def __init__(self, world: World, path: str, who: User, query: str = "watch=true") -> None:
        self._world = world
        self._request = Request("GET", path, query, {}, user=who)
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._buffer = b""
        self.seen = 0
        """How many events came that are no bookmarks."""
        self.closed = asyncio.Event()
        self.buffered_bytes = 0
        self.buffer_limit_bytes = 8 << 20

    async def __aenter__(self) -> Watch:
        reply = await self._world.pipeline(self._request)
        assert isinstance(reply, Stream), reply
        self._task = asyncio.create_task(self._run(reply))
        return self

    async def _run(self, stream: Stream) -> None:
        await stream.run(self)
        self._events.put_nowait(None)

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def send(self, framed: bytes) -> None:
        while framed:
            size, _, rest = framed.partition(b"\r\n")
            length = int(size, 16)
            self._buffer += rest[:length]
            framed = rest[length + 2 :]
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            event = orjson.loads(line)
            self.seen += event["type"] != "BOOKMARK"
            self._events.put_nowait(event)

    def abort(self) -> None:
        self.closed.set()

    async def next(self) -> tuple[str, str]:
        """(type, cluster or name) of the next event that is no bookmark; `END` when the server ended the watch."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                event = await self._events.get()
                if event is None:
                    return "END", ""
                if event["type"] != "BOOKMARK":
                    metadata = event["object"]["metadata"]
                    return event["type"], metadata["name"]
