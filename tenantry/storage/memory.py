"""The store contract in memory: the model for the other engines, and the fast store of tests. It is not persistent."""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from tenantry.base.broadcast import Broadcast
from tenantry.storage.commit_checks import check_commit
from tenantry.storage.keys import fence_name
from tenantry.storage.local_leases import Leases
from tenantry.storage.store import (
    Batch,
    Compacted,
    Compare,
    CompareFailed,
    Delete,
    Event,
    KeyValue,
    LeaseGone,
    Page,
    Put,
    Unavailable,
)
from tenantry.storage.watch_buffer import WatchBuffer


class MemoryStore:
    """A store in memory. `clock`: seconds, monotonic. Leases end only when `expire_leases` is called."""

    def __init__(self, cell: int = 1, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cell = cell
        self._revision = 1
        self._compacted = 0
        self._kvs: dict[bytes, KeyValue] = {}
        self._keys: list[bytes] = []
        self._log: list[Batch] = []
        self._watches: dict[WatchBuffer, tuple[bytes, bytes]] = {}
        self._leases = Leases(clock)
        self._last_lease = 0
        self._lease_of: dict[bytes, int] = {}
        self._closed = False

    @property
    def cell(self) -> int:
        return self._cell

    async def read(self, start: bytes, end: bytes, *, revision: int | None = None, limit: int | None = None) -> Page:
        self._check_open()
        at = self._revision if revision is None else revision
        if at > self._revision:
            raise ValueError(f"revision {at} is in the future")
        if at < self._compacted:
            raise Compacted(self._compacted)
        keys = self._keys[bisect_left(self._keys, start) : bisect_left(self._keys, end)]
        found = [self._kvs[key] for key in keys]
        if at < self._revision:
            state = {kv.key: kv for kv in found}
            for batch in reversed(self._log[self._position(at + 1) :]):
                for event in reversed(batch.events):
                    if start <= event.kv.key < end:
                        if event.previous is None:
                            state.pop(event.kv.key, None)
                        else:
                            state[event.kv.key] = event.previous
            found = [state[key] for key in sorted(state)]
        cut = found if limit is None else found[:limit]
        return Page(cut, at, len(cut) < len(found))

    async def commit(self, compares: Sequence[Compare], puts: Sequence[Put], deletes: Sequence[Delete]) -> int:
        self._check_open()
        check_commit(puts, deletes)
        for compare in compares:
            kv = self._kvs.get(compare.key)
            if (kv.mod_revision if kv else 0) != compare.mod_revision:
                raise CompareFailed(fence_name(compare.key), kv.value if kv else None)
        for put in puts:
            if put.lease and put.lease not in self._leases:
                raise LeaseGone(put.lease)
        return self._write(puts, deletes)

    def _write(self, puts: Sequence[Put], deletes: Sequence[Delete]) -> int:
        revision = self._revision + 1
        events = [self._put(put, revision) for put in puts]
        for delete in deletes:
            events.extend(self._delete(delete, revision))
        if events:
            self._revision = revision
            self._log.append(Batch(revision, events))
            for buffer, (start, end) in self._watches.items():
                if batch := _inside(self._log[-1], start, end):
                    buffer.push(batch)
        return self._revision

    async def watch(
        self, start: bytes, end: bytes, *, from_revision: int, asked: Broadcast[[]] | None = None, previous: bool = True
    ) -> AsyncGenerator[Batch, None]:
        self._check_open()
        buffer = WatchBuffer()
        self._watches[buffer] = (start, end)
        stop = asked.subscribe(lambda: buffer.push(Batch(self._revision, []))) if asked is not None else None

        async def history(since: int, until: int) -> list[Batch]:
            if since < self._compacted:
                raise Compacted(self._compacted)
            log = self._log[self._position(since) : self._position(until + 1)]
            return [found for batch in log if (found := _inside(batch, start, end))]

        try:
            async with aclosing(buffer.follow(history, from_revision, self._revision)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            if stop is not None:
                stop()
            del self._watches[buffer]

    async def grant_lease(self, ttl_seconds: float) -> int:
        self._check_open()
        self._last_lease += 1
        self._leases.add(self._last_lease, ttl_seconds)
        return self._last_lease

    async def keep_alive(self, lease: int) -> float:
        self._check_open()
        return self._leases.renew(lease)

    async def revoke_lease(self, lease: int) -> None:
        self._check_open()
        self._leases.remove(lease)
        keys = [key for key, holder in self._lease_of.items() if holder == lease]
        self._write([], [Delete(key) for key in keys])

    async def expire_leases(self) -> None:
        """Ends the leases whose deadline has passed."""
        for lease in self._leases.expired():
            await self.revoke_lease(lease)

    async def compact(self, revision: int) -> None:
        self._check_open()
        if revision > self._revision:
            raise ValueError(f"revision {revision} is in the future")
        if revision > self._compacted:
            del self._log[: self._position(revision)]
            self._compacted = revision

    async def close(self) -> None:
        self._closed = True
        for buffer in self._watches:
            buffer.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")

    def _position(self, revision: int) -> int:
        """The index in the log of the first batch at or after a revision."""
        return bisect_left(self._log, revision, key=lambda batch: batch.revision)

    def _put(self, put: Put, revision: int) -> Event:
        previous = self._kvs.get(put.key)
        if previous is None:
            insort(self._keys, put.key)
        kv = KeyValue(put.key, put.value, revision, previous.create_revision if previous else revision, put.index)
        self._kvs[put.key] = kv
        self._lease_of.pop(put.key, None)
        if put.lease:
            self._lease_of[put.key] = put.lease
        return Event(kv, False, previous)

    def _delete(self, delete: Delete, revision: int) -> list[Event]:
        end = delete.end or delete.key + b"\0"
        low, high = bisect_left(self._keys, delete.key), bisect_left(self._keys, end)
        keys = self._keys[low:high]
        del self._keys[low:high]
        for key in keys:
            self._lease_of.pop(key, None)
        return [Event(KeyValue(key, b"", revision, 0, delete.index), True, self._kvs.pop(key)) for key in keys]


def _inside(batch: Batch, start: bytes, end: bytes) -> Batch | None:
    """The part of a batch in an interval."""
    events = [event for event in batch.events if start <= event.kv.key < end]
    return Batch(batch.revision, events) if events else None
