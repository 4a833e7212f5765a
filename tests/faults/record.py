"""What etcd itself recorded: every write of a round with the shard that made it, and every owner that a range had."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import orjson

from tenantry.placement.map_rows import RangeRow, decode
from tenantry.storage import resource_version
from tenantry.storage.fence import decode_fence
from tenantry.storage.keys import FENCES, JOURNAL, OBJECTS, RANGES, Key, decode_key, prefix_end
from tenantry.storage.store import Batch, Event, Store
from tests.faults.client import value_of
from tests.faults.log import Entry, Owned, Stored

ALL = (b"/", prefix_end(b"/"))
RESOURCE, NAMESPACE = "core/configmaps", "default"


async def present_revision(store: Store) -> int:
    return (await store.read(*ALL, limit=1)).revision


async def recorded(store: Store, since: int, prefix: str) -> AsyncIterator[Entry]:
    """What happened after a revision up to now, and the owners of then. `prefix`: of the names that belong to the round.

    Raises Unavailable, Compacted.
    """
    intervals = {}
    for kv in (await store.read(RANGES.encode(), prefix_end(RANGES.encode()))).kvs:
        row = decode(kv.value, RangeRow)
        intervals[kv.key.decode().removeprefix(RANGES)] = (row.start, row.end)
    for kv in (await store.read(FENCES.encode(), prefix_end(FENCES.encode()), revision=since)).kvs:
        yield _owned(kv.key, kv.value, kv.mod_revision, intervals)
    until = await present_revision(store)
    async with aclosing(store.watch(*ALL, from_revision=since + 1)) as watch:
        async for batch in watch:
            for event in batch.events:
                if event.kv.key.startswith(FENCES.encode()) and not event.deleted:
                    yield _owned(event.kv.key, event.kv.value, batch.revision, intervals)
            for stored in _stored(store.cell, batch, prefix, intervals):
                yield stored
            if batch.revision >= until:
                return


def _stored(cell: int, batch: Batch, prefix: str, intervals: dict[str, tuple[str, str]]) -> Sequence[Stored]:
    journals = [
        event.kv.key.decode().removeprefix(JOURNAL) for event in batch.events if event.kv.key.startswith(JOURNAL.encode())
    ]
    writer = journals[0] if len(journals) == 1 else ""
    found = []
    deletions: dict[str, list[Key]] = {}
    for event in batch.events:
        if not event.kv.key.startswith(OBJECTS.encode()):
            continue
        key = decode_key(event.kv.key)
        if event.deleted:
            deletions.setdefault(_range_of(key.cluster, intervals), []).append(key)
        elif _wanted(key, prefix):
            value, whole = value_of(_data(event))
            version = resource_version.make(cell, batch.revision, event.kv.index)
            found.append(Stored(batch.revision, version, key.cluster, key.name, value, writer, not whole))
    for keys in deletions.values():
        # etcd keeps nothing beside a deletion: those of one range have the last indexes, in order.
        for index, key in enumerate(keys, resource_version.LAST_INDEX - len(keys)):
            if _wanted(key, prefix):
                version = resource_version.make(cell, batch.revision, index)
                found.append(Stored(batch.revision, version, key.cluster, key.name, None, writer))
    return found


def _wanted(key: Key, prefix: str) -> bool:
    return key.resource == RESOURCE and key.namespace == NAMESPACE and key.name.startswith(prefix)


def _range_of(cluster: str, intervals: dict[str, tuple[str, str]]) -> str:
    return next((name for name, (start, end) in intervals.items() if start <= cluster < end), "")


def _owned(key: bytes, value: bytes, revision: int, intervals: dict[str, tuple[str, str]]) -> Owned:
    name = key.decode().removeprefix(FENCES)
    fence = decode_fence(value)
    return Owned(revision, name, *intervals[name], fence.owner, fence.generation)


def _data(event: Event) -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads(event.kv.value).get("data", {})
    return data
