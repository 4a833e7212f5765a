"""A copy of what a list shows, kept by a watch (client-go: Reflector)."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import NamedTuple

from tenantry.base.backoff import Backoff
from tenantry_sync_agent.api_client import ApiClient, ApiError, Object, Unreachable
from tenantry_sync_agent.metrics import LISTS, WATCH_EVENTS

logger = logging.getLogger(__name__)

WATCH_SECONDS = 300
"""How long the server is asked to keep a watch."""
SILENCE_SECONDS = WATCH_SECONDS + 30
_FIRST_PAUSE_SECONDS = 0.1
_LAST_PAUSE_SECONDS = 15.0
_GONE = 410


class Place(NamedTuple):
    """Where an object is in a list. `cluster`: a logical cluster (id), empty below."""

    cluster: str
    namespace: str
    name: str


Key = Callable[[Object], Place]
Changed = Callable[[Place], Awaitable[None]]


class Reflector:
    """The objects at a URL, by place. It lists once, and again only if the server does not know the version any more (410).

    `key`: the place of an object. `changed`: called for each object that came, changed or went. `query`: a selector.
    """

    def __init__(self, client: ApiClient, url: str, *, key: Key, changed: Changed, **query: str) -> None:
        self.url = url
        self.synced = asyncio.Event()
        """Set after the first list."""
        self.namespaces: Counter[tuple[str, str]] = Counter()
        """How many objects there are in each namespace of each logical cluster."""
        self._client = client
        self._key = key
        self._changed = changed
        self._query = query
        self._objects: dict[Place, Object] = {}
        self._version = ""

    def get(self, place: Place) -> Object | None:
        return self._objects.get(place)

    def objects(self) -> Iterator[Object]:
        return iter(tuple(self._objects.values()))

    def __iter__(self) -> Iterator[Place]:
        return iter(tuple(self._objects))

    def __len__(self) -> int:
        return len(self._objects)

    async def run(self) -> None:
        """Follows until it is cancelled. Errors of the server are logged and retried after growing pauses."""
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS)
        while True:
            before = self._version
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except ApiError as error:
                if error.code == _GONE:
                    logger.info("%s does not know version %s any more: it is listed again", self.url, self._version)
                    self._version = ""
                else:
                    logger.warning("following failed: %s", error)
            except Unreachable as error:
                logger.warning("following failed: %s", error)
            if self._version and self._version != before:
                backoff.reset()
            await backoff.pause()

    async def _list(self) -> None:
        LISTS.inc()
        found, version = await self._client.list(self.url, **self._query)
        objects = {self._key(item): item for item in found}
        places = [place for place in {*self._objects, *objects} if self._objects.get(place) != objects.get(place)]
        self._objects, self._version = objects, version
        self.namespaces = Counter(place[:2] for place in objects)
        self.synced.set()
        for place in places:
            await self._changed(place)

    async def _watch(self) -> None:
        query = {**self._query, "resourceVersion": self._version, "timeoutSeconds": str(WATCH_SECONDS)}
        async with aclosing(self._client.watch(self.url, silence_seconds=SILENCE_SECONDS, **query)) as events:
            async for event in events:
                kind, obj = event["type"], event["object"]
                if kind == "ERROR":
                    raise ApiError(f"WATCH {self.url}", obj.get("code", 0), obj.get("reason", ""), obj.get("message", ""))
                if kind != "BOOKMARK":
                    WATCH_EVENTS.inc()
                    place = self._key(obj)
                    self._store(place, obj if kind != "DELETED" else None)
                    await self._changed(place)
                # Only after the event was handed on, so that a cancelled watch repeats it.
                self._version = obj["metadata"]["resourceVersion"]

    def _store(self, place: Place, obj: Object | None) -> None:
        known = place in self._objects
        if obj is not None:
            self._objects[place] = obj
            if not known:
                self.namespaces[place[:2]] += 1
        elif known:
            del self._objects[place]
            self.namespaces[place[:2]] -= 1
            if not self.namespaces[place[:2]]:
                del self.namespaces[place[:2]]
