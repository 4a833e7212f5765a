"""A transaction that waits for its commit, and its changes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from tenantry.base.signal import Signal
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Head, Record
from tenantry.storage.store import Delete, Put


class PendingChange:
    """A change that is not committed yet. `range`: where it writes. `current`: the record in memory. `head`: the head of the new
    record, None for a deletion. `index`: its index in the batch."""

    __slots__ = ("change", "current", "head", "index", "range", "raw_key")

    def __init__(self, change: Change, range_: Range, current: Record | None, head: Head | None) -> None:
        self.change = change
        self.range = range_
        self.current = current
        self.head = head
        self.raw_key = change.key.encode()
        self.index = 0


class Transaction:
    """The changes of one caller. Either all of them are committed or none.

    `places`: the objects that are written. `unwritten`: those of which only the copies are written; they count as `touched` too,
    so that no other transaction writes them meanwhile.
    """

    __slots__ = (
        "deletes",
        "done",
        "future",
        "growth",
        "operations",
        "owners",
        "places",
        "puts",
        "ranges",
        "raw_keys",
        "records",
        "size",
        "touched",
    )

    def __init__(
        self,
        places: Sequence[PendingChange],
        puts: Sequence[Put],
        deletes: Sequence[Delete],
        future: asyncio.Future[Sequence[Record | None]],
        unwritten: Sequence[PendingChange] = (),
    ) -> None:
        self.places = places
        self.touched = touched = (*places, *unwritten) if unwritten else places
        self.puts = puts
        self.deletes = deletes
        self.future = future
        self.owners = (touched[0].change.key.cluster if touched else "",)
        """The cluster whose share it uses: that of its first change."""
        self.ranges = {place.range.name for place in touched}
        self.raw_keys: Collection[bytes] = ()
        """The keys beside those of objects."""
        self.operations = len(places) + len(puts) + len(deletes)
        size = 0
        for place in places:
            size += len(place.raw_key) + len(place.change.value or b"")
        if puts or deletes:
            self.raw_keys = {*(put.key for put in puts), *(delete.key for delete in deletes)}
            size += sum(len(put.key) + len(put.value) for put in puts) + sum(len(delete.key) for delete in deletes)
        self.size = size
        self.records: Sequence[Record | None] = ()
        self.done: Signal | None = None
        """Closed when its outcome is known; made by the first waiter, as few transactions have one."""
        self.growth: Sequence[tuple[str, str, int, int]] = ()
        """The result of `growth.PendingGrowth.begin`."""
