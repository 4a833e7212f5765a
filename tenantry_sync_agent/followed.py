"""What is followed on both servers: reflectors that run, each in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from tenantry.base.tasks import restarting
from tenantry_sync_agent.discovery import Type
from tenantry_sync_agent.reflector import Reflector
from tenantry_sync_agent.steps import Stale

TypeName = tuple[str, str]
"""(group, plural) of a type."""


class Followed(NamedTuple):
    """A reflector and the task that runs it."""

    reflector: Reflector
    task: asyncio.Task[None]


class BothSides:
    """The types that are followed: above at each URL of a view, and below.

    `above` and `below` make the reflector of a type, `above` that at a URL.
    """

    def __init__(self, above: Callable[[str, TypeName, Type], Reflector], below: Callable[[TypeName, Type], Reflector]) -> None:
        self.urls: tuple[str, ...] = ()
        self.types: dict[TypeName, Type] = {}
        self.up: dict[tuple[str, TypeName], Followed] = {}
        self.down: dict[TypeName, Followed] = {}
        self._above = above
        self._below = below

    async def update(self, urls: Iterable[str], types: Mapping[TypeName, Type]) -> None:
        """Follows these URLs and these types from now on."""
        self.urls = tuple(urls)
        gone = [one for one in self.up if one[0] not in self.urls or types.get(one[1]) != self.types.get(one[1])]
        gone_types = [name for name, kind in self.types.items() if types.get(name) != kind]
        ended = [self.up.pop(one) for one in gone] + [self.down.pop(name) for name in gone_types]
        await cancelled([one.task for one in ended])
        self.types = dict(types)
        for name, kind in types.items():
            for url in self.urls:
                if (url, name) not in self.up:
                    self.up[url, name] = _follow(self._above(url, name, kind))
            if name not in self.down:
                self.down[name] = _follow(self._below(name, kind))

    async def stop(self) -> None:
        await cancelled([one.task for one in (*self.up.values(), *self.down.values())])
        self.up.clear()
        self.down.clear()

    @property
    def reflectors(self) -> Iterator[Reflector]:
        yield from (one.reflector for one in (*self.up.values(), *self.down.values()))

    @property
    def synced(self) -> bool:
        """Whether everything was listed."""
        return bool(self.urls) and bool(self.down) and all(copy.synced.is_set() for copy in self.reflectors)

    def copies(self, name: TypeName) -> tuple[dict[str, Reflector], Reflector]:
        """The objects of a type, above by URL and below. Raises Stale while they were not all listed."""
        down = self.down.get(name)
        up = {url: one.reflector for url in self.urls if (one := self.up.get((url, name))) is not None}
        # While `update` runs, not everything is followed.
        if down is None or not up or len(up) < len(self.urls):
            raise Stale
        if not all(copy.synced.is_set() for copy in (down.reflector, *up.values())):
            raise Stale
        return up, down.reflector


def _follow(reflector: Reflector) -> Followed:
    return Followed(reflector, restarting(reflector.run, name=reflector.url))


async def cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancels tasks, and returns when they have ended."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
