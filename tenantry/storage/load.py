"""Loads the objects of a range from the store into memory."""

from __future__ import annotations

from collections.abc import Callable
from sys import intern

from tenantry.base.time_slices import in_slices
from tenantry.storage import resource_version
from tenantry.storage.keys import Key, decode_key, interval
from tenantry.storage.range import Range
from tenantry.storage.record import Head, Record, RecordEvent
from tenantry.storage.store import Batch, KeyValue, Store

ParseHead = Callable[[Key, bytes], Head]

# etcd counts the rest of the interval for every page, so with small pages the cost is quadratic.
PAGE_KEYS = 10_000


async def load_range(store: Store, range_: Range, parse_head: ParseHead) -> int:
    """Fills an empty range with its present objects. Returns their revision. Raises Compacted (the revision was compacted during
    the load), Unavailable, Damaged, ValueError (a key that is not the key of an object)."""
    start, end = interval(range_.start, range_.end)
    revision: int | None = None
    while True:
        page = await store.read(start, end, revision=revision, limit=PAGE_KEYS)
        revision = page.revision
        async for kv in in_slices(page.kvs, 1):
            range_.load((record_of(store.cell, kv, parse_head),))
        if not page.more:
            break
        start = page.kvs[-1].key + b"\0"
    range_.loaded(resource_version.end_of_revision(store.cell, revision))
    return revision


def record_of(cell: int, kv: KeyValue, parse_head: ParseHead, key: Key | None = None) -> Record:
    """The record of a stored object. `key`: its key, if there is a record with it already."""
    if key is None:
        key = decode_key(kv.key)
        key = Key(intern(key.cluster), intern(key.resource), intern(key.namespace), key.name)
    return Record(key, kv.value, resource_version.make(cell, kv.mod_revision, kv.index), parse_head(key, kv.value))


def events_of(
    cell: int, batch: Batch, parse_head: ParseHead, present: Callable[[Key], Record | None] | None = None
) -> list[RecordEvent]:
    """The events of a batch with the versions that the owner gave them, in the order of versions. The watch must
    cover one range.

    `present`: finds the record of a key as it was before the batch, where the watch does not say that. Then each value is decoded
    once, and the previous record of an event takes no memory of its own. Raises ValueError for the deletion of what is not
    there: an event is missing.

    Deletions have the last indexes of the revision, in the order of the watch, as `storage.commit` numbers them.
    """
    found: list[RecordEvent] = []
    index = resource_version.LAST_INDEX - sum(event.deleted for event in batch.events)
    for event in batch.events:
        key: Key | None = None
        previous: Record | None = None
        if present is not None:
            key = decode_key(event.kv.key)
            previous = present(key)
            key = previous.key if previous is not None else None
        elif event.previous is not None:
            previous = record_of(cell, event.previous, parse_head)
        if event.deleted:
            if present is not None and previous is None:
                raise ValueError(f"{event.kv.key!r} was deleted, and is not in memory")
            version = resource_version.make(cell, batch.revision, index)
            index += 1
            found.append(RecordEvent(key or decode_key(event.kv.key), version, None, previous))
        else:
            record = record_of(cell, event.kv, parse_head, key)
            found.append(RecordEvent(record.key, record.version, record, previous))
    if len(found) > 1:
        found.sort(key=lambda event: event.version)
    return found
