"""The ranges that one shard owns, in memory, and the committer that writes them."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from types import MappingProxyType

from tenantry.base.broadcast import Broadcast
from tenantry.base.signal import Signal
from tenantry.storage import resource_version
from tenantry.storage.backfill import Backfills
from tenantry.storage.commit import CommitLimits, Committer
from tenantry.storage.fence import FenceValue, acquire_fence, decode_fence, read_fence
from tenantry.storage.history import HistoryLimits
from tenantry.storage.keys import OBJECTS, Key
from tenantry.storage.load import ParseHead, load_range
from tenantry.storage.pending_growth import PendingGrowth
from tenantry.storage.range import AppliedVersion, Range
from tenantry.storage.read_guard import ReadGuard
from tenantry.storage.record import Change, Head, Record, RecordEvent
from tenantry.storage.store import Compare, Delete, Put, Store, StoreError
from tenantry.storage.transaction import PendingChange, Transaction

logger = logging.getLogger(__name__)

_OBJECTS = OBJECTS.encode()


class Stale(Exception):
    """A change is based on an old record, or a write of its key is in progress. The caller reads again and retries."""

    def __init__(self, key: Key) -> None:
        super().__init__(f"{key} was changed by another write")
        self.key = key


class NotOwned(Exception):
    """This shard does not own the range of a logical cluster, or not any more. `owner`: the value of the fence, None if
    unknown."""

    def __init__(self, cluster: str, owner: FenceValue | None = None) -> None:
        hint = f"; its owner is shard {owner.owner}" if owner else ""
        super().__init__(f"the range of logical cluster {cluster} is not owned by this shard{hint}")
        self.cluster = cluster
        self.owner = owner


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterLimits:
    """The limits of one logical cluster. 0: no limit."""

    objects: int = 0
    size_bytes: int = 0


NO_LIMITS = ClusterLimits()
LimitsOf = Callable[[str], ClusterLimits]
"""Cluster id → its limits."""


def unlimited(cluster: str) -> ClusterLimits:
    return NO_LIMITS


class Cell:
    """The ranges that one shard owns, and their writer.

    `shard_uid`: unique in the store, and new with every start of a process.
    `parse_head(key, value)`: reads the facts that memory keeps of a value. It is called when a range is loaded, and for changes
    without a head.
    `history_revisions`: how many revisions of history are read for a loaded range, so that watches can resume after a restart.

    `commits` sends (revision, changes) when memory shows a commit, before the subscribers of ranges and the writers learn of it.
    `writes` sends (seconds, changes, error) when the store has answered a batch of writes. `error` is None if it succeeded.
    `demotions` sends (range, new value of the fence or None) when a refused commit shows that another shard owns the range.
    """

    def __init__(
        self,
        store: Store,
        shard_uid: str,
        parse_head: ParseHead,
        *,
        guard: ReadGuard | None = None,
        limits: CommitLimits | None = None,
        history_limits: HistoryLimits | None = None,
        history_revisions: int = 2000,
        limits_of: LimitsOf = unlimited,
    ) -> None:
        self.store = store
        self.limits_of = limits_of
        self.marks: Mapping[str, bytes] = {}
        """The ranges that are acquired from now on have these (`Range.marked`)."""
        self.refused_growth = 0
        """How many writes were refused because their cluster had reached its limits."""
        self.shard_uid = shard_uid
        self.guard = guard or ReadGuard()
        self.commits: Broadcast[[int, Sequence[Change]]] = Broadcast("a subscriber of commits")
        self.writes: Broadcast[[float, int, StoreError | None]] = Broadcast("a subscriber of writes")
        self.demotions: Broadcast[[Range, FenceValue | None]] = Broadcast("a subscriber of demotions")
        self._parse_head = parse_head
        self._history_limits = history_limits
        self._history_revisions = history_revisions
        self._backfills = Backfills(store, parse_head, history_revisions)
        self._applied = AppliedVersion()
        self._ranges: dict[str, Range] = {}
        self.ranges: Mapping[str, Range] = MappingProxyType(self._ranges)
        self._ordered: list[Range] = []
        self._starts: list[str] = []
        self._fences: dict[str, Compare] = {}
        self._adopting: dict[str, tuple[str, str]] = {}
        self._adopted: set[str] = set()
        """The names of all ranges that this shard has owned since it started."""
        self._pending: dict[Key, Transaction] = {}
        self._growth = PendingGrowth()
        self._committer = Committer(
            store,
            shard_uid,
            fences=self._fences,
            applied=self._apply,
            fenced=self._demote,
            finished=self._forget,
            measured=self.writes.send,
            limits=limits,
        )
        self.waiting = (self._committer.waiting.operations, self._committer.waiting.bytes)
        """The shares of logical clusters in the writes that wait for the store: operations and bytes."""

    async def acquire(self, name: str, start: str, end: str, *, take: bool = True) -> Range:
        """Acquires the fence of a range, loads the range and serves it. Its earlier history is read later (`Range.backfilled`).

        `take` False: the fence is only read. Use it when the registry has already written this shard into the fence. The caller
        must pass the bounds of the range. Raises ValueError (it overlaps a range that this shard owns), NotOwned, Fenced (another
        shard wrote the fence first), Indeterminate, Unavailable.
        """
        owned = [(range_.name, range_.start, range_.end) for range_ in self._ordered]
        owned += [(other, *bounds) for other, bounds in self._adopting.items()]
        for other, other_start, other_end in owned:
            if name == other or (start < other_end and other_start < end):
                raise ValueError(f"range {name} [{start}, {end}) overlaps {other} [{other_start}, {other_end})")
        self._adopting[name] = (start, end)
        try:
            fence = await (acquire_fence(self.store, name, self.shard_uid) if take else read_fence(self.store, name))
            if fence.value is None or fence.value.owner != self.shard_uid:
                raise NotOwned(start, fence.value)
            range_ = Range(
                name, start, end, applied=self._applied, guard=self.guard, limits=self._history_limits, marks=self.marks
            )
            revision = await load_range(self.store, range_, self._parse_head)
            if fence.mod_revision == fence.create_revision and name not in self._adopted:
                # The range never had an owner, so its history is empty. A watch of the store would only take time to show that.
                range_.backfill((), resource_version.end_of_revision(self.store.cell, max(0, revision - self._history_revisions)))
            else:
                self._backfills.begin(range_, revision, fence.create_revision)
        finally:
            del self._adopting[name]
        self._adopted.add(name)
        self._ranges[name] = range_
        self._fences[name] = fence.condition
        self._arrange()
        return range_

    async def release(self, name: str) -> None:
        """Gives a range up. New writes to it are refused at once; writes in progress are waited for. The fence is not changed.
        Raises KeyError."""
        range_ = self._ranges[name]
        range_.owned = False
        await self.writes_done([key for key in self._pending if key.cluster in range_])
        if self._ranges.get(name) is range_:
            self._drop(name)

    async def close(self) -> None:
        """Commits the waiting writes and accepts no more. The store stays open."""
        await self._committer.close()
        await self._backfills.close()

    async def in_flight_applied(self) -> None:
        """Returns when memory shows every commit of this shard up to any revision that was known before the call."""
        await self._committer.in_flight_applied()

    def owns(self, cluster: str) -> bool:
        return self.owned(cluster) is not None

    def owned(self, cluster: str) -> Range | None:
        """The range of a cluster. None: this shard does not own it."""
        at = bisect_right(self._starts, cluster) - 1
        if at < 0:
            return None
        range_ = self._ordered[at]
        return range_ if cluster < range_.end and range_.owned else None

    def range_of(self, cluster: str) -> Range:
        """The range of a cluster that this shard owns. Raises NotOwned."""
        range_ = self.owned(cluster)
        if range_ is None:
            raise NotOwned(cluster)
        return range_

    def usage(self, cluster: str, *, without: str = "") -> tuple[int, int]:
        """The number of objects of an owned cluster, and the bytes of their values, with what writes in progress will add.

        `without`: a resource whose objects are not counted; its bytes are. Raises NotOwned."""
        range_, growth = self.range_of(cluster), self._growth
        objects, size = range_.usage(cluster)
        if without:
            objects -= range_.count(without, cluster)
        return objects + growth.objects(cluster, without=without), size + growth.size_bytes(cluster)

    def is_writing(self, keys: Iterable[Key]) -> bool:
        """Whether any of the keys has a write in progress, so that `writes_done` waits."""
        return not self._pending.keys().isdisjoint(keys)

    async def writes_done(self, keys: Iterable[Key]) -> None:
        """Returns when none of the keys has a write in progress."""
        keys = tuple(keys)
        while True:
            for key in keys:
                transaction = self._pending.get(key)
                if transaction is not None:
                    # Not the future of the write: cancelling this wait must cancel neither the write nor other waits.
                    if transaction.done is None:
                        transaction.done = Signal()
                    await transaction.done.wait()
                    break
            else:
                return

    async def raise_version(self, range_: Range, key: Key, value: bytes) -> None:
        """Returns when the version of a range is higher than any that it had when this was called. `key`, `value`: a record in
        the range that is no object, which is written for it. Raises StoreError, NotOwned."""
        version = range_.version
        while range_.version == version:
            await self.writes_done((key,))
            if range_.version == version:
                await self.commit([Change(key, value, Head(), range_.get(key))])

    def commit(
        self,
        changes: Sequence[Change],
        puts: Sequence[Put] = (),
        deletes: Sequence[Delete] = (),
        *,
        copies: Sequence[Change] = (),
    ) -> Awaitable[Sequence[Record | None]]:
        """Commits all changes in one transaction, over one or several ranges of this shard. Returns the records (None: deleted).

        `puts` and `deletes` write other keys of the store in the same transaction. They must not be keys of objects.
        `copies`: changes of which only `catalog` is written. The object, which may be missing, stays as it is: it has no new
        version, and watches get no event. No other transaction writes it meanwhile.
        The call itself compares `expected` with memory and submits the write; awaiting the result only waits for the outcome.
        Cancelling the caller does not cancel the write. When the await returns, memory shows the write and subscribers were
        called.

        The call raises Stale, NotOwned, Overdrawn (too many writes of its cluster wait), Unavailable, ValueError (an impossible
        transaction). Awaiting raises NotOwned (another shard acquired the range), Indeterminate, Unavailable.
        """
        places: list[PendingChange] = []
        unwritten: list[PendingChange] = []
        keys: set[Key] = set()
        puts = list(puts)
        deletes = list(deletes)
        if puts or deletes:
            _check_no_object((*(put.key for put in puts), *(delete.key for delete in deletes)))
        for change in changes:
            key = change.key
            range_ = self.range_of(key.cluster)
            current = range_.get(key)
            if key in self._pending or not _as_expected(current, change.expected):
                raise Stale(key)
            if key in keys:
                raise ValueError(f"{key} is written twice in one transaction")
            if change.value is None and current is None:
                raise ValueError(f"{key} cannot be deleted: it does not exist")
            keys.add(key)
            head = change.head
            if head is None and change.value is not None:
                head = self._parse_head(key, change.value)
            places.append(PendingChange(change, range_, current, head))
            if change.catalog:
                _add_copies(change, puts, deletes)
        for change in copies:
            key = change.key
            range_ = self.range_of(key.cluster)
            current = range_.get(key)
            if key in self._pending or not _as_expected(current, change.expected):
                raise Stale(key)
            if key in keys:
                raise ValueError(f"{key} is in one transaction twice")
            keys.add(key)
            unwritten.append(PendingChange(change, range_, current, None))
            _add_copies(change, puts, deletes)
        future: asyncio.Future[Sequence[Record | None]] = asyncio.get_running_loop().create_future()
        transaction = Transaction(places, puts, deletes, future, unwritten)
        if transaction.operations == 0:
            future.set_result(())
            return future
        self._committer.submit(transaction)
        for key in keys:
            self._pending[key] = transaction
        transaction.growth = self._growth.begin(places)
        return future

    def _arrange(self) -> None:
        self._ordered = sorted(self._ranges.values(), key=lambda range_: range_.start)
        self._starts = [range_.start for range_ in self._ordered]

    def _drop(self, name: str) -> Range:
        range_ = self._ranges.pop(name)
        self._fences.pop(name, None)
        range_.freeze()
        self._backfills.end(range_)
        self._arrange()
        return range_

    def _forget(self, transaction: Transaction) -> None:
        for place in transaction.touched:
            self._pending.pop(place.change.key, None)
        self._growth.end(transaction.growth)

    def _demote(self, name: str, value: bytes | None) -> None:
        """Drops a range that another shard owns. Nothing of it may be served or written any more."""
        range_ = self._drop(name)
        try:
            owner = decode_fence(value) if value else None
        except ValueError:
            owner = None
        self._committer.fail_range(name, lambda cluster: NotOwned(cluster, owner))
        logger.warning("range %s was acquired by shard %s", name, owner.owner if owner else "(unknown)")
        self.demotions.send(range_, owner)

    def _apply(self, revision: int, transactions: Sequence[Transaction]) -> None:
        """Makes memory show a committed batch, then calls subscribers."""
        base = resource_version.make(self.store.cell, revision, 0)
        events_of: dict[Range, list[RecordEvent]] = {}
        for transaction in transactions:
            records: list[Record | None] = []
            for place in transaction.places:
                change, current = place.change, place.current
                version = base | place.index
                record: Record | None = None
                if change.value is not None and place.head is not None:
                    key = current.key if current is not None else _interned(change.key)
                    record = Record(key, change.value, version, place.head)
                records.append(record)
                events_of.setdefault(place.range, []).append(RecordEvent(change.key, version, record, current))
            transaction.records = records
        for range_, events in events_of.items():
            events.sort(key=_version)
            range_.apply(events)
        version = resource_version.end_of_revision(self.store.cell, revision)
        if self.guard.alive:
            # No other shard acquires a range from a shard with a live session, so this version is right for all ranges of this
            # one.
            self._applied.value = version
        else:
            for range_ in events_of:
                range_.advance(version)
        changes = [place.change for transaction in transactions for place in transaction.touched]
        # The commit has happened. `Broadcast` catches errors of subscribers, so the writers always get their answer.
        self.commits.send(revision, changes)
        for range_, events in events_of.items():
            range_.dispatch(events)


def _check_no_object(raw_keys: Iterable[bytes]) -> None:
    for raw_key in raw_keys:
        if raw_key.startswith(_OBJECTS):
            raise ValueError(f"objects are written as changes, not as {raw_key!r}")


def _add_copies(change: Change, puts: list[Put], deletes: list[Delete]) -> None:
    for key, value in change.catalog.items():
        if value is None:
            deletes.append(Delete(key))
        else:
            puts.append(Put(key, value))


def _version(event: RecordEvent) -> int:
    return event.version


def _as_expected(current: Record | None, expected: Record | None) -> bool:
    if current is None or expected is None:
        return current is expected
    return current.version == expected.version


def _interned(key: Key) -> Key:
    """The key with interned strings: memory keeps strings that many objects share only once."""
    return Key(intern(key.cluster), intern(key.resource), intern(key.namespace), key.name)
