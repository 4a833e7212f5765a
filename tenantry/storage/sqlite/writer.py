"""Writes the file: commits, leases, compaction. Only the writer thread uses it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain

import msgspec

from tenantry.storage.keys import fence_name
from tenantry.storage.sqlite.reader import PLACE_BITS, Reader, first_id
from tenantry.storage.sqlite.schema import translated
from tenantry.storage.store import Batch, Compare, CompareFailed, Delete, LeaseGone, Put, StoreError

Interval = tuple[bytes, bytes]
Operation = tuple[bytes, bytes | None, int, int]
# The largest number of rows of one statement. A commit has few statements, because each one releases the GIL and has to wait for
# it when the event loop is busy. Statements have a few sizes, padded with empty rows, so that few of them are prepared.
STATEMENT_ROWS = 128


class Committed(msgspec.Struct, frozen=True):
    """A committed revision. `seen`: (number of a watch, its batch); None if the batch could not be read, so that the watch has to
    read the log. `value_bytes`: bytes of the written values."""

    revision: int
    seen: Sequence[tuple[int, Batch | None]] = ()
    value_bytes: int = 0


class Writer:
    """The writer of the file. Only the writer thread changes `watches`, so that a watch sees exactly the commits after its
    start."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._reader = Reader(database)
        self.watches: dict[int, Interval] = {}
        self.revision, self.compacted = self._reader.state()

    def commit(self, compares: Sequence[Compare], puts: Sequence[Put], deletes: Sequence[Delete]) -> Committed:
        """The implementation of `Store.commit`."""
        operations: list[Operation] = [(put.key, put.value, put.index, put.lease) for put in puts]
        at_once = len(puts) + len(deletes) <= STATEMENT_ROWS and not any(delete.end for delete in deletes)
        if at_once and not any(put.lease for put in puts):
            whole = [*operations, *((delete.key, None, delete.index, 0) for delete in deletes)]
            if self._append_if(compares, whole):
                return self._committed(whole)
            # A compare does not match, or there is nothing to delete. The transaction finds out which.
        with self._transaction():
            self._check_compares(compares)
            for put in puts:
                if put.lease:
                    self._check_lease(put.lease)
            for delete in deletes:
                if delete.end:
                    keys = self._database.execute("SELECT key FROM current WHERE key >= ? AND key < ?", (delete.key, delete.end))
                    operations.extend((key, None, delete.index, 0) for (key,) in keys.fetchall())
                else:
                    operations.append((delete.key, None, delete.index, 0))
            changed = self._append(operations)
        return self._committed(operations) if changed else Committed(self.revision)

    def grant_lease(self, ttl_seconds: float) -> int:
        with self._transaction():
            cursor = self._database.execute("INSERT INTO leases (ttl_seconds) VALUES (?)", (ttl_seconds,))
        return cursor.lastrowid or 0

    def revoke_lease(self, lease: int) -> Committed:
        """Ends the lease and deletes its keys, in one revision."""
        with self._transaction():
            self._database.execute("DELETE FROM leases WHERE id = ?", (lease,))
            keys = self._database.execute("SELECT key FROM current WHERE lease = ?", (lease,)).fetchall()
            operations: list[Operation] = [(key, None, 0, 0) for (key,) in keys]
            changed = self._append(operations)
        return self._committed(operations) if changed else Committed(self.revision)

    def leases(self) -> list[tuple[int, float]]:
        """All leases, with their time to live in seconds."""
        try:
            return self._database.execute("SELECT id, ttl_seconds FROM leases").fetchall()
        except sqlite3.Error as error:
            raise translated(error) from error

    def compact(self, revision: int) -> int:
        """Deletes history before a revision. Returns the revision of the last compaction. Raises ValueError (in the future)."""
        if revision > self.revision:
            raise ValueError(f"revision {revision} is in the future")
        if revision <= self.compacted:
            return self.compacted
        bounds = (first_id(self.compacted), first_id(revision))
        with self._transaction():
            self._database.execute(
                "DELETE FROM log WHERE id IN (SELECT previous FROM log WHERE id >= ? AND id < ? AND previous > 0)", bounds
            )
            self._database.execute("DELETE FROM log WHERE id >= ? AND id < ? AND value IS NULL", bounds)
            self._database.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (revision,))
        self.compacted = revision
        return revision

    def start_watch(self, number: int, start: bytes, end: bytes) -> int:
        """Starts a watch and returns the present revision. The watch gets the commits after it."""
        self.watches[number] = (start, end)
        return self.revision

    def end_watch(self, number: int) -> None:
        self.watches.pop(number, None)

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # the data is safe in the write-ahead log even if closing fails
            self._database.close()

    def _check_compares(self, compares: Sequence[Compare]) -> None:
        if not compares:
            return
        values = list(chain.from_iterable((compare.key, compare.mod_revision) for compare in compares))
        (wrong,) = self._database.execute(_compare_statement(len(compares)), values).fetchone()
        if not wrong:
            return
        for compare in compares:
            row = self._database.execute(
                "SELECT log.id, log.value FROM current JOIN log ON log.id = current.id WHERE current.key = ?", (compare.key,)
            ).fetchone()
            if (row[0] >> PLACE_BITS if row else 0) != compare.mod_revision:
                raise CompareFailed(fence_name(compare.key), row[1] if row else None)

    def _check_lease(self, lease: int) -> None:
        if self._database.execute("SELECT 1 FROM leases WHERE id = ?", (lease,)).fetchone() is None:
            raise LeaseGone(lease)

    def _append_if(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> bool:
        """Writes operations with the next revision if all compares match, in one statement without a transaction around it.
        False: nothing was changed."""
        if not operations:
            return False
        size, values = self._rows(operations, 0)
        compare_rows = _padded(len(compares))
        for compare in compares:
            values += (compare.key, compare.mod_revision)
        values += [None] * (2 * (compare_rows - len(compares)))
        try:
            return self._database.execute(_append_statement(size, compare_rows), values).rowcount > 0
        except sqlite3.Error as error:
            self._roll_back()
            raise translated(error) from error

    def _append(self, operations: Sequence[Operation]) -> bool:
        """Writes operations into the log with the next revision. False: there was nothing to change."""
        rows = 0
        for at in range(0, len(operations), STATEMENT_ROWS):
            size, values = self._rows(operations[at : at + STATEMENT_ROWS], at)
            rows += self._database.execute(_append_statement(size, 0), values).rowcount
        return rows > 0

    def _rows(self, operations: Sequence[Operation], at: int) -> tuple[int, list[object]]:
        """The number of rows of a statement, and its values. `at`: the index in the commit of the first operation."""
        size = _padded(len(operations))
        values: list[object] = []
        for identifier, (key, value, place, lease) in enumerate(operations, first_id(self.revision + 1) + at):
            values += (identifier, key, value, place, lease)
        values += [None] * (5 * (size - len(operations)))
        return size, values

    def _committed(self, operations: Sequence[Operation]) -> Committed:
        self.revision += 1
        seen: list[tuple[int, Batch | None]] = []
        for number, (start, end) in self.watches.items():
            if any(start <= operation[0] < end for operation in operations):
                try:
                    batches = self._reader.history(start, end, self.revision, self.revision)
                except StoreError:
                    seen.append((number, None))
                else:
                    seen.extend((number, batch) for batch in batches)
        return Committed(self.revision, seen, sum(len(value) for _, value, _, _ in operations if value is not None))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise translated(error) from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._database.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself; report the first error
                self._database.execute("ROLLBACK")


def _padded(rows: int) -> int:
    return 1 << max(0, rows - 1).bit_length()


@cache
def _append_statement(rows: int, compares: int) -> str:
    """An INSERT of operations. With compares (rows may be empty) it changes nothing unless all of them match."""
    values = ", ".join(["(?, ?, ?, ?, ?)"] * rows)
    fenced = f", compares (key, revision) AS (VALUES {', '.join(['(?, ?)'] * compares)})" if compares else ""
    held = (
        " AND NOT EXISTS (SELECT 1 FROM compares LEFT JOIN current AS held ON held.key = compares.key"
        f" WHERE coalesce(held.id >> {PLACE_BITS}, 0) <> compares.revision)"
    )
    return (
        "INSERT INTO log (id, key, value, created, place, previous, lease)"
        f" WITH wanted (id, key, value, place, lease) AS (VALUES {values}){fenced}"
        f" SELECT wanted.id, wanted.key, wanted.value, coalesce(current.created, wanted.id >> {PLACE_BITS}), wanted.place,"
        " coalesce(current.id, 0), wanted.lease"
        " FROM wanted LEFT JOIN current ON current.key = wanted.key"
        f" WHERE (wanted.value IS NOT NULL OR current.id IS NOT NULL){held if compares else ''}"
    )


@cache
def _compare_statement(compares: int) -> str:
    values = ", ".join(["(?, ?)"] * compares)
    return (
        f"WITH wanted (key, revision) AS (VALUES {values})"
        " SELECT count(*) FROM wanted LEFT JOIN current ON current.key = wanted.key"
        f" WHERE coalesce(current.id >> {PLACE_BITS}, 0) <> wanted.revision"
    )
