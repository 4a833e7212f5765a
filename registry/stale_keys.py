"""Deletes the keys that processes left in the store when they were killed. One that stops normally deletes its own."""

from __future__ import annotations

from tenantry.storage.keys import ELECTION, JOURNAL, LOADS, REACH, SESSIONS, prefix_end
from tenantry.storage.store import Compare, CompareFailed, Delete, Store

PAGE = 100


async def delete_journals(store: Store, before: int) -> int:
    """Deletes journals (`tenantry.storage.commit`) that were last written before the revision `before` and whose shards have no
    session.

    Returns their number. A shard that is still alive loses its ranges with its journal, so `before` should be an old revision.
    Raises StoreError.
    """
    deleted = 0
    start, end = JOURNAL.encode(), prefix_end(JOURNAL.encode())
    more = True
    while more:
        page = await store.read(start, end, limit=PAGE)
        more = page.more
        for journal in page.kvs:
            start = journal.key + b"\0"
            session = SESSIONS.encode() + journal.key.removeprefix(JOURNAL.encode())
            if journal.mod_revision >= before:
                continue
            try:
                # The shard must have no session now, and the journal must not have changed.
                await store.commit([Compare(session, 0), Compare(journal.key, journal.mod_revision)], [], [Delete(journal.key)])
            except CompareFailed:
                continue
            deleted += 1
    return deleted


async def forget_processes(store: Store) -> None:
    """Deletes the keys that dead processes left in the store: sessions, loads, reports, elections and journals.

    It deletes the keys of living processes, too, so the caller must be the only process that uses the store. Raises StoreError.
    """
    deletes = [Delete(prefix.encode(), prefix_end(prefix.encode())) for prefix in (SESSIONS, LOADS, REACH, ELECTION, JOURNAL)]
    await store.commit([], [], deletes)
