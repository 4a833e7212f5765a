"""A client of a watch, without a connection."""

from __future__ import annotations

import asyncio
from typing import Any

from tenantry.apiserver.request import Request
from tenantry.apiserver.user import User
from tenantry.http.messages import Stream
from tests.support.protobuf import ProtobufSink
from tests.support.sinks import MemorySink
from tests.support.tenancies import ServedShard


class Watch:
    """`async with Watch(shard, path, user) as watch: await watch.next()`. `accept`: nothing for JSON, or protobuf."""

    def __init__(self, shard: ServedShard, path: str, who: User, query: str = "watch=true", accept: str = "") -> None:
        self._shard = shard
        self._request = Request("GET", path, query, {"accept": accept}, user=who)
        self._sink = ProtobufSink() if accept else MemorySink()
        self._read = 0
        self._ended = False

    async def __aenter__(self) -> Watch:
        reply = await self._shard.pipeline(self._request)
        assert isinstance(reply, Stream), reply
        self._task = asyncio.create_task(self._run(reply))
        return self

    async def _run(self, stream: Stream) -> None:
        await stream.run(self._sink)
        self._ended = True
        self._sink.end()

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def seen(self) -> int:
        """How many events came that are no bookmarks."""
        return sum(event["type"] != "BOOKMARK" for event in self._sink.events)

    @property
    def bookmarks(self) -> list[Any]:
        """The bookmarks that came."""
        return [event for event in self._sink.events if event["type"] == "BOOKMARK"]

    @property
    def events(self) -> list[Any]:
        """All events that came, bookmarks included."""
        return self._sink.events

    async def next(self) -> tuple[str, str]:
        """(type, cluster or name) of the next event that is no bookmark; `END` when the server ended the watch."""
        event = await self._event()
        return ("END", "") if event is None else (event["type"], event["object"]["metadata"]["name"])

    async def error(self) -> int:
        """The code of the error that is the next event."""
        event = await self._event()
        assert event is not None and event["type"] == "ERROR", event
        return int(event["object"]["code"])

    async def _event(self) -> Any:
        """The next event that is no bookmark; None when the server ended the watch."""
        while True:
            while self._read == len(self._sink.events):
                if self._ended:
                    return None
                await self._sink.arrival()
            event = self._sink.events[self._read]
            self._read += 1
            if event["type"] != "BOOKMARK":
                return event
