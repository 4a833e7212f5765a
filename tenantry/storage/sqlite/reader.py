"""Reads the file at a revision, and the history of an interval. Each thread uses a reader of its own, with its own connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from tenantry.storage.sqlite.schema import translated
from tenantry.storage.store import Batch, Compacted, Event, KeyValue, Page

PLACE_BITS = 20
FIRST_REVISION = 1

_CURRENT = (
    "SELECT log.key, log.value, log.id, log.created, log.place FROM current JOIN log ON log.id = current.id"
    " WHERE current.key >= ? AND current.key < ? ORDER BY current.key LIMIT ?"
)
# The first change of each key after a revision refers to the row of the key at that revision.
_UNDO = (
    "SELECT later.key, later.key, old.value, old.id, old.created, old.place"
    " FROM (SELECT key, previous, min(id) FROM log WHERE id >= ? AND key >= ? AND key < ? GROUP BY key) AS later"
    " LEFT JOIN log AS old ON old.id = later.previous"
)
_HISTORY = (
    "SELECT log.id, log.key, log.value, log.created, log.place, old.id, old.value, old.created, old.place"
    " FROM log LEFT JOIN log AS old ON old.id = log.previous"
    " WHERE log.id >= ? AND log.id < ? AND log.key >= ? AND log.key < ? ORDER BY log.id"
)


def first_id(revision: int) -> int:
    """The first id of a revision in the log."""
    return revision << PLACE_BITS


class Reader:
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def state(self) -> tuple[int, int]:
        """The present revision, and the revision of the last compaction."""
        (last,) = self._database.execute("SELECT max(id) FROM log").fetchone()
        (compacted,) = self._database.execute("SELECT value FROM meta WHERE name = 'compacted'").fetchone()
        return max(FIRST_REVISION, (last or 0) >> PLACE_BITS, compacted), compacted

    def cell(self) -> int:
        (cell,) = self._database.execute("SELECT value FROM meta WHERE name = 'cell'").fetchone()
        return int(cell)

    def read(self, start: bytes, end: bytes, revision: int | None, limit: int | None) -> Page:
        """The implementation of `Store.read`."""
        try:
            self._database.execute("BEGIN")
            try:
                return self._read(start, end, revision, limit)
            finally:
                self._database.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise translated(error) from error

    def history(self, start: bytes, end: bytes, since: int, until: int) -> list[Batch]:
        """The batches of an interval from revision `since` to `until`, both included. Raises Compacted."""
        try:
            rows = self._database.execute(_HISTORY, (first_id(since), first_id(until + 1), start, end)).fetchall()
            # Read after the rows: if it shows no compaction, none can have removed rows before they were read.
            _, compacted = self.state()
        except sqlite3.Error as error:
            raise translated(error) from error
        if since < compacted:
            raise Compacted(compacted)
        return list(_batches(rows))

    def _read(self, start: bytes, end: bytes, revision: int | None, limit: int | None) -> Page:
        now, compacted = self.state()
        at = now if revision is None else revision
        if at > now:
            raise ValueError(f"revision {at} is in the future")
        if at < compacted:
            raise Compacted(compacted)
        undone: dict[bytes, KeyValue | None] = {}
        if at < now:
            for key, *row in self._database.execute(_UNDO, (first_id(at + 1), start, end)).fetchall():
                undone[key] = None if row[2] is None else _key_value(*row)
        wanted = -1 if limit is None else limit + 1 + len(undone)
        rows = self._database.execute(_CURRENT, (start, end, wanted)).fetchall()
        found = [_key_value(*row) for row in rows]
        if undone:
            beyond = found[-1].key if len(found) == wanted else None
            found = [kv for kv in found if kv.key not in undone]
            # Keys after the last row were not read, so an undone key after it would have an unknown place among them.
            found += [kv for kv in undone.values() if kv is not None and (beyond is None or kv.key <= beyond)]
            found.sort(key=lambda kv: kv.key)
        cut = found if limit is None else found[:limit]
        return Page(cut, at, len(cut) < len(found))


def _key_value(key: bytes, value: bytes, identifier: int, created: int, place: int) -> KeyValue:
    return KeyValue(key, value, identifier >> PLACE_BITS, created, place)


def _batches(rows: Iterable[tuple[int, bytes, bytes | None, int, int, int | None, bytes, int, int]]) -> Iterable[Batch]:
    revision, events = 0, list[Event]()
    for identifier, key, value, created, place, old, old_value, old_created, old_place in rows:
        if identifier >> PLACE_BITS != revision:
            if events:
                yield Batch(revision, events)
            revision, events = identifier >> PLACE_BITS, []
        previous = None if old is None else _key_value(key, old_value, old, old_created, old_place)
        if value is None:
            events.append(Event(KeyValue(key, b"", revision, 0, place), True, previous))
        else:
            events.append(Event(KeyValue(key, value, revision, created, place), False, previous))
    if events:
        yield Batch(revision, events)
