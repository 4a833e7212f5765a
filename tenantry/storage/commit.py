"""Group commit: all waiting writes go into one transaction of the store.

One batch is in flight at a time, so memory sees revisions in order. A batch compares the fences of the ranges that it writes and
the journal key of the shard, and puts its number into the journal. If the answer to a batch is lost, the committer reads the
journal. If the journal does not show the batch, the committer sends it again. At most one of the attempts can succeed: each
compares the old revision of the journal, and the first that succeeds changes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import msgspec

from tenantry.base.backoff import Backoff
from tenantry.base.shares import LARGEST_SHARE
from tenantry.base.signal import Signal
from tenantry.base.tasks import essential
from tenantry.storage.commit_queue import CommitQueue
from tenantry.storage.keys import JOURNAL, fence_name
from tenantry.storage.range import Range
from tenantry.storage.resource_version import LAST_INDEX
from tenantry.storage.store import (
    Compare,
    CompareFailed,
    Delete,
    Indeterminate,
    Put,
    Store,
    StoreError,
    Unavailable,
    Unencodable,
)
from tenantry.storage.transaction import PendingChange, Transaction

logger = logging.getLogger(__name__)

_FAILED_IN_A_TURN = 32


class CommitLimits(msgspec.Struct, frozen=True):
    """The limits of a committer.

    `batch_operations`, `batch_bytes`: the size of one transaction of the store. etcd's own limits are 128 operations and 1.5 MiB.
    `transaction_operations`: the size of a caller's transaction. It is never split, so it must fit into etcd's 128 with the
    journal.
    `waiting_operations`, `waiting_bytes`: how much may wait or be in flight, of all clusters together. A cluster that exceeds its
    share gets Overdrawn. `largest_share`: the largest share of one cluster, a fraction (`Shares`).
    `answer_seconds`: how long a writer waits for the outcome of a batch whose answer was lost.
    `first_retry_seconds`, `last_retry_seconds`: the pause before such a batch is sent again, doubled each time.
    """

    batch_operations: int = 100
    batch_bytes: int = 1 << 20
    transaction_operations: int = 120
    waiting_operations: int = 10_000
    waiting_bytes: int = 64 << 20
    largest_share: float = LARGEST_SHARE
    answer_seconds: float = 10.0
    first_retry_seconds: float = 0.01
    last_retry_seconds: float = 1.0


class Committer:
    """The only writer of a shard's ranges.

    `applied(revision, transactions)`: called after a successful commit. It updates memory and notifies subscribers; after it the
    writers get their records.
    `fenced(name, value)`: called when another shard has written the fence of a range. It removes the range from `fences` and
    calls
    `fail_range`.
    `finished(transaction)`: called for every transaction, before its writer gets the outcome.
    `measured(seconds, changes, error)`: called for every batch that was sent. `seconds`: how long the store took. `error`: None
    if it succeeded.
    """

    def __init__(
        self,
        store: Store,
        shard_uid: str,
        *,
        fences: Mapping[str, Compare],
        applied: Callable[[int, Sequence[Transaction]], None],
        fenced: Callable[[str, bytes | None], None],
        finished: Callable[[Transaction], None],
        measured: Callable[[float, int, StoreError | None], None] = lambda *_: None,
        limits: CommitLimits | None = None,
    ) -> None:
        self._store = store
        self._journal_key = f"{JOURNAL}{shard_uid}".encode()
        self._journal_revision = 0
        self._batch_number = 0
        self._fences = fences
        self._applied = applied
        self._fenced = fenced
        self._finished = finished
        self._measured = measured
        self._limits = limits or CommitLimits()
        self.waiting = CommitQueue(
            self._limits.waiting_operations,
            self._limits.waiting_bytes,
            largest=self._limits.largest_share,
            operation_bytes=self._limits.batch_bytes // self._limits.batch_operations,
        )
        self._in_flight: list[Transaction] = []
        self._task: asyncio.Task[None] | None = None
        self._failing: deque[tuple[Transaction, Callable[[Transaction], Exception]]] = deque()
        """Transactions that failed but whose writers do not have the error yet. They still count as waiting."""
        self._failing_task: asyncio.Task[None] | None = None
        self._stalled = False
        self._closed = False

    def submit(self, transaction: Transaction) -> None:
        """Queues a transaction; its future gets the outcome. Raises Overdrawn (too many writes of its cluster wait), Unavailable,
        ValueError (too large)."""
        limits = self._limits
        if transaction.operations > limits.transaction_operations:
            raise ValueError(
                f"a transaction has at most {limits.transaction_operations} operations, not {transaction.operations}"
            )
        if self._closed:
            raise Unavailable("this shard is shutting down and accepts no writes")
        if self._stalled:
            raise Unavailable("the store does not answer; writes are refused until it does")
        self.waiting.push(transaction)
        if self._task is None:
            self._task = essential(self._drain(), name="storage-committer", ends=True)

    def fail_range(self, name: str, error_for: Callable[[str], Exception]) -> None:
        """Fails every waiting transaction that writes to a range. `error_for(cluster)` makes the error."""

        def error_of(transaction: Transaction) -> Exception:
            return error_for(next(place.change.key.cluster for place in transaction.touched if place.range.name == name))

        self._fail_all(self.waiting.take_range(name), error_of)

    async def idle(self) -> None:
        """Returns when no write waits and none is in flight."""
        while task := self._task or self._failing_task:
            await asyncio.wait([task])

    async def in_flight_applied(self) -> None:
        """Returns when the batch that is in flight now has its outcome, which memory then shows. Only one is in flight at a
        time, so memory then has all writes of this shard up to any revision that was known before the call."""
        if self._in_flight:
            first = self._in_flight[0]
            # Not the future of the write, which its writer may cancel.
            if first.done is None:
                first.done = Signal()
            await first.done.wait()

    async def close(self) -> None:
        """Commits the waiting writes and accepts no more. Does not wait for a store that does not answer."""
        self._closed = True
        if self._stalled and self._task is not None:
            self._task.cancel()
        await self.idle()
        if self._journal_revision:
            journal = Compare(self._journal_key, self._journal_revision)
            self._journal_revision = 0
            with contextlib.suppress(StoreError):  # a journal that is left behind is one small key
                await self._store.commit([journal], [], [Delete(self._journal_key)])

    async def _drain(self) -> None:
        try:
            while self.waiting:
                await self._commit(self._take())
        finally:
            self._task = None
            left = [*self._in_flight, *self.waiting.clear()]
            self._in_flight = []
            for transaction in left:
                self._fail(transaction, Indeterminate("this shard stopped before the store answered"))

    def _take(self) -> list[Transaction]:
        limits = self._limits
        batch: list[Transaction] = []
        operations = size = 0
        raw_keys: set[bytes] = set()
        while (transaction := self.waiting.pop()) is not None:
            operations += transaction.operations
            size += transaction.size
            full = operations > limits.batch_operations or size > limits.batch_bytes
            if batch and (full or not raw_keys.isdisjoint(transaction.raw_keys)):
                self.waiting.put_back(transaction)
                break
            raw_keys.update(transaction.raw_keys)
            batch.append(transaction)
        return batch

    async def _commit(self, batch: list[Transaction]) -> None:
        self._in_flight = batch
        self._batch_number += 1
        ranges = {name for transaction in batch for name in transaction.ranges}
        compares = [Compare(self._journal_key, self._journal_revision), *(self._fences[name] for name in sorted(ranges))]
        puts, deletes = _operations(batch)
        puts.append(Put(self._journal_key, str(self._batch_number).encode(), len(puts)))
        changes = sum(len(transaction.places) for transaction in batch)
        started = time.perf_counter()
        try:
            revision = await self._write(compares, puts, deletes)
        except CompareFailed as refused:
            self._refuse(batch, refused)
        except StoreError as error:
            self._measured(time.perf_counter() - started, changes, error)
            self._in_flight = []
            for transaction in batch:
                self._fail(transaction, error)
        except Exception as error:  # a write that cannot be sent must not fail the others of its batch
            logger.exception("cannot send a batch of writes")
            if len(batch) == 1:
                self._in_flight = []
                self._fail(batch[0], Unencodable(f"cannot send the write: {type(error).__name__}: {error}"))
            for transaction in batch if len(batch) > 1 else ():
                await self._commit([transaction])
        else:
            self._measured(time.perf_counter() - started, changes, None)
            self._journal_revision = revision
            self._applied(revision, batch)
            self._in_flight = []
            for transaction in batch:
                self._finish(transaction)
                if not transaction.future.done():
                    transaction.future.set_result(transaction.records)

    async def _write(self, compares: Sequence[Compare], puts: Sequence[Put], deletes: Sequence[Delete]) -> int:
        """Writes the batch and returns its revision. Does not return before the outcome is known.

        Raises CompareFailed, and the errors of `Store.commit` if the batch certainly had no effect."""
        loop = asyncio.get_running_loop()
        backoff: Backoff | None = None
        deadline: float | None = None
        try:
            while True:
                try:
                    return await self._store.commit(compares, puts, deletes)
                except CompareFailed as refused:
                    # The journal is compared first. If it matched, no earlier attempt succeeded, and none can: the fence is lost.
                    if refused.name != fence_name(self._journal_key):
                        raise
                    revision = await self._journaled(moved=True)
                    if revision is not None:
                        return revision
                except Indeterminate:
                    deadline = deadline or loop.time() + self._limits.answer_seconds
                    # An etcd that has reached its quota refuses transactions but still answers reads.
                    revision = await self._journaled(moved=False)
                    if revision is not None:
                        return revision
                except StoreError:
                    if deadline is None:
                        raise
                if deadline is not None and loop.time() >= deadline and not self._stalled:
                    self._stall()
                if self._stalled and self._closed:
                    raise Indeterminate("this shard stopped before the store answered")
                if backoff is None:
                    limits = self._limits
                    backoff = Backoff(limits.first_retry_seconds, limits.last_retry_seconds, jitter=0.0)
                await backoff.pause()
        finally:
            self._stalled = False

    async def _journaled(self, *, moved: bool) -> int | None:
        """Reads the journal. Returns the revision of the batch in flight, None if it is not known yet.

        `moved`: the journal is known to have changed. Raises CompareFailed if another process wrote or deleted it.
        """
        try:
            page = await self._store.read(self._journal_key, self._journal_key + b"\0")
        except StoreError:
            return None
        if not moved and (page.kvs[0].mod_revision if page.kvs else 0) == self._journal_revision:
            return None
        if not page.kvs:
            # The registry deleted the journal: this shard had no session for longer than the retention. Earlier attempts compare
            # the old revision of the journal, so they fail.
            self._journal_revision = 0
            raise CompareFailed("", None)
        if page.kvs and page.kvs[0].value == str(self._batch_number).encode():
            return page.kvs[0].mod_revision
        # Another process writes with our uid. We cannot trust that we own any of our ranges.
        raise CompareFailed("", None)

    def _stall(self) -> None:
        """Fails the writers with an unknown outcome. The batch stays in flight, because memory must learn the outcome."""
        self._stalled = True
        for transaction in self._in_flight:
            if not transaction.future.done():
                transaction.future.set_exception(
                    Indeterminate("the store did not answer; the write may or may not have happened")
                )
                transaction.future.exception()
        self._fail_all(self.waiting.clear(), lambda _: Unavailable("the store does not answer"))

    def _refuse(self, batch: list[Transaction], refused: CompareFailed) -> None:
        """Drops the range whose fence is lost, and queues the transactions on other ranges again, in front of the queue."""
        lost = {refused.name} & set(self._fences) or {name for transaction in batch for name in transaction.ranges}
        self._in_flight = []
        if not lost:
            for transaction in batch:
                self._fail(transaction, refused)
        for transaction in reversed(batch if lost else []):
            self.waiting.put_back(transaction)
        for name in lost:
            self._fenced(name, refused.value)

    def _fail_all(self, transactions: Sequence[Transaction], error_of: Callable[[Transaction], Exception]) -> None:
        """Fails transactions, a few in each turn of the loop, because each failure wakes a writer in the next turn."""
        self._failing.extend((transaction, error_of) for transaction in transactions)
        if self._failing and self._failing_task is None:
            self._fail_some()
            if self._failing:
                self._failing_task = essential(self._fail_rest(), name="storage-committer-failures", ends=True)

    async def _fail_rest(self) -> None:
        try:
            while self._failing:
                await asyncio.sleep(0)
                self._fail_some()
        finally:
            self._failing_task = None

    def _fail_some(self) -> None:
        for _ in range(min(_FAILED_IN_A_TURN, len(self._failing))):
            transaction, error_of = self._failing.popleft()
            self._fail(transaction, error_of(transaction))

    def _fail(self, transaction: Transaction, error: Exception) -> None:
        self._finish(transaction)
        if not transaction.future.done():
            transaction.future.set_exception(error)
            # Marks the error as retrieved: a cancelled writer does not retrieve it, and asyncio would log that as a bug.
            transaction.future.exception()

    def _finish(self, transaction: Transaction) -> None:
        self.waiting.finish(transaction)
        self._finished(transaction)
        if transaction.done is not None:
            transaction.done.close()


def _operations(batch: Sequence[Transaction]) -> tuple[list[Put], list[Delete]]:
    """The operations of a batch with their indexes.

    etcd stores no value with a deletion, so the index of a deletion cannot be stored. The deletions of one range get the last
    indexes of the revision instead, in the order in which a watch shows them. A reader of the store's history computes the same
    ones.
    """
    puts: list[Put] = []
    deletions: dict[Range, list[PendingChange]] = {}
    for transaction in batch:
        for place in transaction.places:
            if place.change.value is None:
                deletions.setdefault(place.range, []).append(place)
            else:
                place.index = len(puts)
                puts.append(Put(place.raw_key, place.change.value, place.index))
    deletes: list[Delete] = []
    for places in deletions.values():
        for index, place in enumerate(places, LAST_INDEX - len(places)):
            place.index = index
            deletes.append(Delete(place.raw_key, b"", index))
    for transaction in batch:
        if transaction.raw_keys:
            puts.extend(Put(put.key, put.value, index, put.lease) for index, put in enumerate(transaction.puts, len(puts)))
            deletes.extend(transaction.deletes)
    return puts, deletes
