"""The queue of writes that wait for the store. Logical clusters share it; the cluster that has written least is next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from tenantry.base.fair_queue import FairQueue, Owners
from tenantry.base.shares import Shares
from tenantry.storage.store import Overdrawn
from tenantry.storage.transaction import Transaction


class CommitQueue:
    """A fair queue of transactions.

    Transactions of one cluster keep their order, and so do transactions that write the same other keys (`Transaction.raw_keys`).

    `operations`, `size_bytes`: how much may be in progress together, from `push` to `finish`. `largest`: the largest share of one
    cluster (`Shares`). `operation_bytes`: how many bytes cost the store as much as one operation.
    """

    def __init__(self, operations: int, size_bytes: int, *, largest: float, operation_bytes: int) -> None:
        self.operations = Shares("waiting_operations", operations, largest=largest)
        self.bytes = Shares("waiting_bytes", size_bytes, largest=largest)
        self._operation_bytes = operation_bytes
        self._queue: FairQueue[Transaction] = FairQueue()
        self._writers: dict[bytes, deque[Transaction]] = {}

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[Transaction]:
        """The waiting transactions, unordered."""
        return iter(self._queue)

    def push(self, transaction: Transaction) -> None:
        """Adds a transaction. Raises Overdrawn if the cluster has reached its share."""
        owners = transaction.owners
        if not self.operations.take(owners, transaction.operations):
            count = self.operations.held(owners[0])
            raise Overdrawn(f"this logical cluster has too many writes in progress ({count} operations); try again later")
        if not self.bytes.take(owners, transaction.size):
            self.operations.give(owners, transaction.operations)
            count = self.bytes.held(owners[0])
            raise Overdrawn(f"this logical cluster has too many writes in progress ({count} bytes); try again later")
        self._queue.push(owners, transaction)
        for key in transaction.raw_keys:
            self._writers.setdefault(key, deque()).append(transaction)

    def pop(self) -> Transaction | None:
        """Takes the next transaction. None: the queue is empty."""
        # The oldest transaction of all is the first of its cluster and of its keys, so one is always allowed to go.
        taken = self._queue.pop(self._is_next, cost=0)
        if taken is None:
            return None
        owners, transaction = taken
        self._queue.charge(owners, self._cost(transaction))
        for key in transaction.raw_keys:
            writers = self._writers[key]
            writers.popleft()
            if not writers:
                del self._writers[key]
        return transaction

    def put_back(self, transaction: Transaction) -> None:
        """Puts a transaction in front of the queue. To put several back, start with the last one."""
        self._queue.charge(transaction.owners, -self._cost(transaction))
        self._queue.push_first(transaction.owners, transaction)
        for key in transaction.raw_keys:
            self._writers.setdefault(key, deque()).appendleft(transaction)

    def take_range(self, name: str) -> list[Transaction]:
        """Removes and returns the transactions that write to a range."""
        taken = self._queue.take(lambda transaction: name in transaction.ranges)
        gone = set(map(id, taken))
        for key in {key for transaction in taken for key in transaction.raw_keys}:
            writers = deque(writer for writer in self._writers[key] if id(writer) not in gone)
            if writers:
                self._writers[key] = writers
            else:
                del self._writers[key]
        return taken

    def clear(self) -> list[Transaction]:
        """Removes and returns all transactions, unordered."""
        self._writers.clear()
        return self._queue.clear()

    def finish(self, transaction: Transaction) -> None:
        """Releases the shares of a finished transaction."""
        self.operations.give(transaction.owners, transaction.operations)
        self.bytes.give(transaction.owners, transaction.size)

    def _is_next(self, _: Owners, transaction: Transaction) -> bool:
        raw_keys = transaction.raw_keys
        return not raw_keys or all(self._writers[key][0] is transaction for key in raw_keys)

    def _cost(self, transaction: Transaction) -> float:
        return transaction.operations + transaction.size / self._operation_bytes
