"""Checks of watches: what their events make of the objects is what a list shows, also after a watch that resumes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from urllib.parse import quote

from tenantry.cli.view_check.server import Answer, Events, eventually
from tenantry.cli.view_check.tried_place import (
    Failed,
    ObjectPlace,
    Resource,
    Skipped,
    Tried,
    by_place,
    difference,
    message_of,
    place_of,
)
from tenantry.kube.objects import Object

SECONDS = 3.0
"""How long events may take to come."""


class Followed:
    """The objects that the events of a watch make of those that were listed before."""

    def __init__(self, events: Events, before: Sequence[Object] = ()) -> None:
        self.watch = events
        self.objects = by_place(before)
        self._read = 0

    def read(self) -> None:
        """Follows the events that came. Raises Failed for an event that does not fit the ones before it."""
        events = self.watch.events
        while self._read < len(events):
            event = events[self._read]
            self._read += 1
            if event["type"] != "BOOKMARK":
                apply(self.objects, event)


def apply(objects: dict[ObjectPlace, Object], event: Object) -> None:
    """Changes the objects as an event says. Raises Failed for an event that does not fit them."""
    kind, obj = event["type"], event["object"]
    if kind == "ERROR":
        raise Failed(f"a watch sends an error: {obj.get('message')}")
    place = place_of(obj)
    if (kind == "ADDED") is (place in objects):
        raise Failed(f"a watch sends {kind} for {place[2]}, which it {'has' if place in objects else 'has not'} sent before")
    if kind == "DELETED":
        del objects[place]
    else:
        objects |= by_place([obj])


async def watches(tried: Tried) -> None:
    """The events of a watch from the start make what a list shows, after each change."""
    await _after_changes(tried, lambda resource: "")


async def label_selectors(tried: Tried) -> None:
    """The same for a watch with a label selector."""
    selector = f"labelSelector={quote('!tenantry.check')}"
    await _after_changes(tried, lambda resource: selector)


async def field_selectors(tried: Tried) -> None:
    """The same for a watch of one name."""
    names = {given.obj.get("kind"): given.obj["metadata"]["name"] for given in await tried.later()}

    def query(resource: Resource) -> str:
        return f"fieldSelector={quote('metadata.name=' + names.get(resource.kind, 'nothing'))}"

    await _after_changes(tried, query)


async def _after_changes(tried: Tried, query_of: Callable[[Resource], str]) -> None:
    watched: list[tuple[str, str, Followed]] = []
    try:
        for resource in await tried.listed():
            for place in tried.places:
                path, query = place + resource.collection(), query_of(resource)
                watched.append((path, query, Followed(await _started(tried, path, query))))
        for step, change in await _changes(tried):
            await change()
            for path, query, followed in watched:
                await _same(tried, path, query, followed, step)
    finally:
        for _, _, followed in watched:
            await followed.watch.stop()


async def resumes(tried: Tried) -> None:
    """A watch from each version that a list or an event had gives the events after it."""
    for resource in await tried.listed():
        for place in tried.places:
            await _resumes(tried, place + resource.collection())


async def _resumes(tried: Tried, path: str) -> None:
    listed = await tried.get(path)
    if listed.status != 200:
        raise Failed(f"GET {path} is answered with {listed.status}: {message_of(listed)}")
    version = listed.body["metadata"]["resourceVersion"]
    query = f"resourceVersion={version}&allowWatchBookmarks=true"
    first = Followed(await _started(tried, path, query), listed.body["items"])
    try:
        for step, change in await _changes(tried):
            await change()
            await _same(tried, path, "", first, step)
        states = [(version, by_place(listed.body["items"]))]
        for event in first.watch.events:
            objects = dict(states[-1][1])
            if event["type"] != "BOOKMARK":
                apply(objects, event)
            elif len(states) > 1:
                # An object that came into sight has the version of its last write, and the bookmark after it the present one.
                states.pop()
            states.append((event["object"]["metadata"]["resourceVersion"], objects))
    finally:
        await first.watch.stop()
    # Of events of one version, the last one has all of them.
    for version, objects in dict(states).items():
        followed = Followed(await _started(tried, path, f"resourceVersion={version}"))
        followed.objects = dict(objects)
        try:
            await _same(tried, path, "", followed, f"a resumed watch from version {version}")
        finally:
            await followed.watch.stop()


async def _changes(tried: Tried) -> list[tuple[str, Callable[[], Awaitable[object]]]]:
    """What happens to objects while watches run, each with its name. Raises Skipped if the fixture has none for it."""
    later = await tried.later()
    if not later:
        raise Skipped("the fixture has no `later`, and no object of a type that the view serves")
    steps: list[tuple[str, Callable[[], Awaitable[object]]]] = []
    for given in later:
        steps.append(("the creation of an object", partial(tried.create, given)))
        steps.append(("a change of an object", partial(tried.change, given, "changed")))
    steps += [("the deletion of an object", partial(tried.delete, given)) for given in reversed(later)]
    return steps


async def _started(tried: Tried, path: str, query: str) -> Events:
    started = await tried.server.watch(path, tried.user, query=query)
    if isinstance(started, Answer):
        raise Failed(f"a watch of {path} is answered with {started.status}: {message_of(started)}")
    return started


async def _same(tried: Tried, path: str, query: str, followed: Followed, step: str) -> None:
    """Raises Failed if the watch does not have what a list shows, within SECONDS."""
    wrong = ""

    async def same() -> bool:
        nonlocal wrong
        followed.read()
        wrong = difference(by_place(await tried.items(path, query=query)), followed.objects)
        return not wrong or followed.watch.ended

    if not await eventually(same, SECONDS) or wrong:
        raise Failed(f"after {step}, a watch does not have what a list has: {wrong}")
