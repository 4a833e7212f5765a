"""Controllers whose keys are objects, or all objects of a namespace or cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from tenantry.base.time_slices import in_slices
from tenantry.controllers.controller import Controller
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent


class ObjectController(Controller[Key]):
    """Base class of controllers whose keys are objects. By default every object of `resources` is a key."""

    def cluster_of(self, key: Key) -> str:
        return key.cluster

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        return (event.key,)

    def fallback_keys(self, key: Key) -> Iterable[Key]:
        return (key,)

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        for resource in self.resources or ():
            for record in range_.each(resource):
                yield record.key


class ObjectCollection(NamedTuple):
    """A key for all objects of a controller in a namespace, or in the whole logical cluster if `namespace` is empty.

    So an event that concerns all of them needs only one key.
    """

    cluster: str
    namespace: str = ""


class CollectionController(Controller[Key | ObjectCollection]):
    """Base class of controllers whose keys are objects and collections of objects.

    `reconcile` of a collection adds the objects that are concerned (`enqueue_where`).
    """

    def cluster_of(self, key: Key | ObjectCollection) -> str:
        return key.cluster

    def fallback_keys(self, key: Key) -> Iterable[Key | ObjectCollection]:
        return (key,)


async def enqueue_where(
    enqueue: Callable[[Key], None], records: Iterable[Record], concerned: Callable[[Record], bool], *, piece: int | None = None
) -> None:
    """Calls `enqueue` for the objects for which `concerned` is true. It iterates in slices. `piece`: see `in_slices`."""
    async for record in in_slices(records, piece):
        if concerned(record):
            enqueue(record.key)
