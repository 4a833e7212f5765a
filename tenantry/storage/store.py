"""The store contract: an ordered map of bytes with revisions, watches, fences and leases. One suite tests every engine.

The contract is a subset of etcd: one counter of revisions for the whole store, one revision for each commit, and watches that
resume from a revision until it is compacted.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

import msgspec

from tenantry.base.broadcast import Broadcast


class StoreError(Exception):
    """The base class of all errors of a store."""


class Indeterminate(StoreError):
    """The answer to a commit was lost, so its outcome is unknown. The journal key shows the outcome."""


class Compacted(StoreError):
    """The requested revision was compacted. `revision`: the oldest revision that can be read."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"history before revision {revision} was compacted; read again and watch from there")
        self.revision = revision


class Unavailable(StoreError):
    """The store did not answer, or refuses writes for now (disk full). Nothing was changed."""


class Overdrawn(Unavailable):
    """The waiting writes of a tenant have reached its share. Nothing was changed."""


class TooLarge(StoreError):
    """The commit has more bytes than the engine accepts. Nothing was changed."""


class Unencodable(StoreError):
    """A write that cannot be encoded as a transaction of the store. Nothing was sent."""


class Damaged(StoreError):
    """The data of the store is damaged or incomplete. Nothing was changed."""


class CompareFailed(StoreError):
    """A fence did not have the expected revision: another shard owns that range now. Nothing was changed.

    `name`: the first fence, in the given order, that did not match (`keys.fence_name`). `value`: its present value, None if the
    key does not exist.
    """

    def __init__(self, name: str, value: bytes | None) -> None:
        super().__init__(f"range {name} is fenced: another shard owns it now")
        self.name = name
        self.value = value


class LeaseGone(StoreError):
    """The lease expired, was revoked, or never existed."""

    def __init__(self, lease: int) -> None:
        super().__init__(f"lease {lease} does not exist any more")
        self.lease = lease


class KeyValue(msgspec.Struct, frozen=True, gc=False):
    """A key with its value. `index`: the index of the put in its commit. With `mod_revision` it makes the resourceVersion."""

    key: bytes
    value: bytes
    mod_revision: int
    create_revision: int
    index: int = 0


class Page(msgspec.Struct, frozen=True):
    """The result of a read. `revision`: the revision of the store at which it was read. `more`: whether `limit` left keys out."""

    kvs: list[KeyValue]
    revision: int
    more: bool


class Put(msgspec.Struct, frozen=True, gc=False):
    """A write of one key in a commit. `lease`: the key is deleted when this lease ends, 0 for none. `index` is stored with the
    value."""

    key: bytes
    value: bytes
    index: int = 0
    lease: int = 0


class Delete(msgspec.Struct, frozen=True, gc=False):
    """A deletion of one key, or of the interval `[key, end)` if `end` is given. Engines that can deliver `index` with the watch
    event; `storage.commit` does not rely on it."""

    key: bytes
    end: bytes = b""
    index: int = 0


class Compare(msgspec.Struct, frozen=True, gc=False):
    """A precondition of a commit: `key` was last written at `mod_revision` (0: the key does not exist)."""

    key: bytes
    mod_revision: int


class Event(msgspec.Struct, frozen=True, gc=False):
    """One change of a key. `kv`: the new state; for a deletion, the key with an empty value and the revision of the deletion.
    `previous`: the state before, None if there was none, or if the watch does not want it."""

    kv: KeyValue
    deleted: bool
    previous: KeyValue | None


class Batch(msgspec.Struct, frozen=True):
    """The events of one revision in the watched interval, in order. A revision is never split over batches. No events:
    progress."""

    revision: int
    events: list[Event]


class Store(Protocol):
    """A storage engine.

    All methods are safe to cancel. Each waits at most the deadline of its engine, then raises Unavailable.
    """

    @property
    def cell(self) -> int:
        """The number of this cell, from 0 to 127. It is kept in the store itself."""
        ...

    async def read(self, start: bytes, end: bytes, *, revision: int | None = None, limit: int | None = None) -> Page:
        """Reads the keys in `[start, end)` in order, at `revision` (None: the present one).

        Raises Compacted, Unavailable, ValueError (a revision in the future).
        """
        ...

    async def commit(self, compares: Sequence[Compare], puts: Sequence[Put], deletes: Sequence[Delete]) -> int:
        """Writes all operations in one transaction, if all compares match. Returns its revision.

        A commit has at most 128 operations, each key once. A commit that changes nothing (no puts, and deletions of keys that do
        not exist) makes no revision: the present one is returned. A put without a lease detaches the key from its old lease. An
        acknowledged commit survives a power failure.

        Raises CompareFailed, LeaseGone (the lease of a put), Indeterminate, Unavailable, TooLarge, ValueError (too many
        operations, or a key twice).
        """
        ...

    def watch(
        self, start: bytes, end: bytes, *, from_revision: int, asked: Broadcast[[]] | None = None, previous: bool = True
    ) -> AsyncGenerator[Batch, None]:
        """Yields batches with `revision >= from_revision`, without gaps and repetitions, until it is closed with `aclose`.

        `previous`: whether events need the state before them. Without it they may be cheaper: etcd reads that state for each
        event, and sends it.

        It reports progress with a batch without events: the watch has shown everything up to that revision. It does so when it
        has shown all that existed when it began, and perhaps later: soon after each `asked.send()`, where `asked` is given. A
        request that comes before the watch has begun is not answered. Raises Compacted, Unavailable.
        """
        ...

    async def grant_lease(self, ttl_seconds: float) -> int:
        """Creates a lease; its id is never 0. When it ends, the keys put with it are deleted in one revision. Raises
        Unavailable."""
        ...

    async def keep_alive(self, lease: int) -> float:
        """Renews a lease. Returns the seconds left. Raises LeaseGone, Unavailable."""
        ...

    async def revoke_lease(self, lease: int) -> None:
        """Ends a lease now. It is no error if the lease does not exist. Raises Unavailable."""
        ...

    async def compact(self, revision: int) -> None:
        """Deletes history: from now on reads and watches from before `revision` raise Compacted. Raises ValueError (in the
        future)."""
        ...

    async def close(self) -> None: ...
