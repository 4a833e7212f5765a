"""The SQLite engine: a writer thread, a reader thread, and watches that get their events from the writer."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tenantry.base.broadcast import Broadcast
from tenantry.base.tasks import restarting
from tenantry.storage.commit_checks import check_commit
from tenantry.storage.local_leases import Leases
from tenantry.storage.sqlite import schema
from tenantry.storage.sqlite.lock import DirectoryLock
from tenantry.storage.sqlite.reader import Reader
from tenantry.storage.sqlite.retention import Retention
from tenantry.storage.sqlite.worker import Worker
from tenantry.storage.sqlite.writer import Committed, Writer
from tenantry.storage.store import Batch, Compare, Delete, LeaseGone, Page, Put, StoreError, Unavailable
from tenantry.storage.watch_buffer import WatchBuffer

T = TypeVar("T")


class SqliteStore:
    """A store on an SQLite file. Create it with `open`. One process at a time may have a directory open."""

    def __init__(self, lock: DirectoryLock, path: Path, clock: Callable[[], float], retention: Retention) -> None:
        self._lock = lock
        self._path = path
        self._retention = retention
        self._write_thread = Worker("sqlite-writer")
        self._read_thread = Worker("sqlite-reader")
        self._buffers: dict[int, WatchBuffer] = {}
        self._last_watch = 0
        self._shown = 0
        """The last revision that watches were given, 0 before the first commit of this process."""
        self._leases = Leases(clock)
        self._expiry: asyncio.Task[None] | None = None
        self._compaction: asyncio.Future[int] | None = None
        self._compacted = 0
        self._closed = False
        self._cell = 0
        self._writer: Writer
        self._reader: Reader
        self._read_connection: sqlite3.Connection

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        cell: int = 1,
        clock: Callable[[], float] = time.monotonic,
        retain_revisions: int = 10_000,
        retain_bytes: int = 64 << 20,
    ) -> SqliteStore:
        """Opens the store in a directory. Creates both if they do not exist.

        `cell`: the number of a new store, from 0 to 127; an existing store keeps its own. `clock`: seconds, monotonic, for
        leases.
        `retain_revisions`, `retain_bytes` (of values): how much history is kept, whichever is less. A watch that resumes from
        before has to read again.
        Raises AlreadyOpen (another process uses it), Damaged (nothing was changed), Unavailable, ValueError (`cell`).
        """
        if not 0 <= cell < 128:
            raise ValueError(f"a cell's number is from 0 to 127, not {cell}")
        store = cls(DirectoryLock(directory), directory / schema.STORE_FILE, clock, Retention(retain_revisions, retain_bytes))
        try:
            await store._write_thread.call(store._open_files, cell)
        except BaseException:
            await store.close()
            raise
        if store._leases.seconds_to_next() is not None:
            store._start_expiry()
        return store

    @property
    def cell(self) -> int:
        return self._cell

    async def read(self, start: bytes, end: bytes, *, revision: int | None = None, limit: int | None = None) -> Page:
        return await self._call(self._read_thread, self._reader.read, start, end, revision, limit)

    async def commit(self, compares: Sequence[Compare], puts: Sequence[Put], deletes: Sequence[Delete]) -> int:
        check_commit(puts, deletes)
        for put in puts:
            if put.lease and put.lease not in self._leases:
                raise LeaseGone(put.lease)
        committed = await self._call(self._write_thread, self._writer.commit, compares, puts, deletes, then=self._show)
        return committed.revision

    async def watch(
        self, start: bytes, end: bytes, *, from_revision: int, asked: Broadcast[[]] | None = None, previous: bool = True
    ) -> AsyncGenerator[Batch, None]:
        self._last_watch += 1
        number = self._last_watch
        buffer = self._buffers[number] = WatchBuffer()
        stop = asked.subscribe(lambda: buffer.push(Batch(self._shown, []))) if asked is not None else None
        try:
            until = await self._call(self._write_thread, self._writer.start_watch, number, start, end)
            history = partial(self._call, self._read_thread, self._reader.history, start, end)
            async with aclosing(buffer.follow(history, from_revision, until)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            if stop is not None:
                stop()
            del self._buffers[number]
            if not self._closed:
                self._write_thread.call(self._writer.end_watch, number)

    async def grant_lease(self, ttl_seconds: float) -> int:
        lease = await self._call(self._write_thread, self._writer.grant_lease, ttl_seconds)
        self._leases.add(lease, ttl_seconds)
        self._start_expiry()
        return lease

    async def keep_alive(self, lease: int) -> float:
        if self._closed:
            raise Unavailable("the store is closed")
        return self._leases.renew(lease)

    async def revoke_lease(self, lease: int) -> None:
        await self._call(self._write_thread, self._writer.revoke_lease, lease, then=self._show)
        self._leases.remove(lease)

    async def expire_leases(self) -> None:
        """Ends the leases whose deadline has passed. The store also does this itself, some milliseconds after a deadline."""
        for lease in self._leases.expired():
            await self.revoke_lease(lease)

    async def compact(self, revision: int) -> None:
        self._compacted = await self._call(self._write_thread, self._writer.compact, revision)

    async def close(self) -> None:
        """Finishes the submitted calls and closes the file."""
        if self._closed:
            return
        self._closed = True
        if self._expiry is not None:
            self._expiry.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._expiry
        for buffer in self._buffers.values():
            buffer.close()
        await self._read_thread.call(self._close_reader)
        await self._write_thread.call(self._close_writer)
        self._read_thread.stop()
        self._write_thread.stop()
        self._lock.release()

    def _open_files(self, cell: int) -> None:
        if self._path.exists():
            schema.check(self._path)
        else:
            schema.create(self._path.parent, cell)
        self._read_connection = schema.connect(self._path, read_only=True)
        self._reader = Reader(self._read_connection)
        self._writer = Writer(schema.connect(self._path, read_only=False))
        self._cell = self._reader.cell()
        self._compacted = self._writer.compacted
        for lease, ttl_seconds in self._writer.leases():
            self._leases.add(lease, ttl_seconds)

    def _close_reader(self) -> None:
        if hasattr(self, "_read_connection"):
            self._read_connection.close()

    def _close_writer(self) -> None:
        if hasattr(self, "_writer"):
            self._writer.close()

    async def _call(self, worker: Worker, function: Callable[..., T], *args: Any, then: Callable[[T], None] | None = None) -> T:
        if self._closed:
            raise Unavailable("the store is closed")
        return await worker.call(function, *args, then=then)

    def _show(self, committed: Committed) -> None:
        """Gives a commit to the watches, before its caller continues. Starts a compaction when one is due."""
        self._shown = committed.revision
        for number, batch in committed.seen:
            buffer = self._buffers.get(number)
            if buffer is None:
                continue
            if batch is None:
                buffer.drop(committed.revision)
            else:
                buffer.push(batch)
        self._retention.note(committed.revision, committed.value_bytes)
        if self._closed or not (self._compaction is None or self._compaction.done()):
            return
        due = self._retention.due(committed.revision, self._compacted)
        if due is not None:
            self._compaction = self._write_thread.call(self._writer.compact, due, then=self._forgot)
            self._compaction.add_done_callback(_seen)

    def _forgot(self, compacted: int) -> None:
        self._compacted = compacted

    def _start_expiry(self) -> None:
        if self._expiry is None or self._expiry.done():
            self._expiry = restarting(self._expire, name="sqlite-leases", ends=True)

    async def _expire(self) -> None:
        while (seconds := self._leases.seconds_to_next()) is not None:
            # A lease that is granted during the sleep may end first, so the sleep is short.
            await asyncio.sleep(min(max(seconds, 0.02), 0.25))
            with contextlib.suppress(StoreError):  # the disk is full: the lease ends when there is space
                await self.expire_leases()


def _seen(compaction: asyncio.Future[int]) -> None:
    # Marks the error as retrieved. A failed compaction (a full disk) is repeated after a later commit, which reports the error.
    if not compaction.cancelled():
        compaction.exception()
