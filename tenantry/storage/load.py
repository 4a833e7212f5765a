"""How a range comes into memory from the store: its objects, and the recent past for watches that resume."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from sys import intern

from tenantry.base.slices import in_slices, turns
from tenantry.storage import versions
from tenantry.storage.history import History
from tenantry.storage.keys import Key, decode_key, interval
from tenantry.storage.range import Range
from tenantry.storage.record import Head, Record, RecordEvent
from tenantry.storage.store import Batch, Compacted, KeyValue, Store

ParseHead = Callable[[Key, bytes], Head]

# etcd counts the rest of the interval for every page, so small pages cost the square.
PAGE_KEYS = 10_000


async def load_range(store: Store, range_: Range, parse_head: ParseHead) -> int:
    """Fills an empty range as it is now; the revision. Raises Compacted (loading took longer than the store keeps history),
    Unavailable, Damaged, ValueError (a key that is not an object's)."""
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
    range_.loaded(versions.end_of_revision(store.cell, revision))
    return revision


async def seed_range(store: Store, range_: Range, parse_head: ParseHead, revision: int, revisions: int, first: int = 1) -> None:
    """Gives a range that was loaded at `revision` the history of up to so many revisions before, as far as the store has it.

    `first`: nothing of the range is older. The store reads all that was written since, whosever it is, so a range that has just
    been opened must not ask for what was before.
    """
    since = max(1, revision - revisions + 1)
    try:
        past = await _history(store, range_, parse_head, max(since, first), revision)
    except Compacted as compacted:
        since = compacted.revision
        if since > revision:
            return
        try:
            past = await _history(store, range_, parse_head, since, revision)
        except Compacted:
            # The store forgets faster than we read. A watch that resumes in the past lists again; nothing else suffers.
            return
    oldest = versions.end_of_revision(store.cell, since - 1)
    async for resource in in_slices(tuple(past), 1):
        range_.seed_resource(resource, past[resource])
    range_.seeded(past, oldest)


async def _history(store: Store, range_: Range, parse_head: ParseHead, since: int, until: int) -> dict[str, History]:
    """By resource, each within the bounds of a history."""
    found: dict[str, History] = {}
    oldest = versions.end_of_revision(store.cell, since - 1)
    start, end = interval(range_.start, range_.end)
    # A watch reports progress when it has shown all that there was, so this ends in a quiet range too.
    async with aclosing(store.watch(start, end, from_revision=since)) as watch:
        async for batch in watch:
            if batch.revision <= until:
                for event in events_of(store.cell, batch, parse_head):
                    range_.append_past(found, event, oldest)
                await turns.rest()
            if batch.revision >= until:
                break
    return found


def record_of(cell: int, kv: KeyValue, parse_head: ParseHead) -> Record:
    """The record of a stored object."""
    key = decode_key(kv.key)
    key = Key(intern(key.cluster), intern(key.resource), intern(key.namespace), key.name)
    return Record(key, kv.value, versions.make(cell, kv.mod_revision, kv.index), parse_head(key, kv.value))


def events_of(cell: int, batch: Batch, parse_head: ParseHead) -> list[RecordEvent]:
    """A batch of a watch over one range's whole interval as its owner applied it, in the order of versions.

    Deletions have the last indexes of the revision in the order of the watch, as `storage.commit` numbers them.
    """
    found: list[RecordEvent] = []
    index = versions.LAST_INDEX - sum(event.deleted for event in batch.events)
    for event in batch.events:
        previous = record_of(cell, event.previous, parse_head) if event.previous is not None else None
        if event.deleted:
            version = versions.make(cell, batch.revision, index)
            index += 1
            found.append(RecordEvent(decode_key(event.kv.key), version, None, previous))
        else:
            record = record_of(cell, event.kv, parse_head)
            found.append(RecordEvent(record.key, record.version, record, previous))
    found.sort(key=lambda event: event.version)
    return found
