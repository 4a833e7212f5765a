"""The store contract: an ordered map of bytes with revisions, watches, fences and leases. One suite tests every engine.

Modelled on etcd (and nothing that etcd cannot do): one counter of revisions for the whole store, one revision for each
commit, watches that resume at a revision until it is compacted.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

import msgspec


class StoreError(Exception):
    """Base of all that a store raises on purpose."""


class Indeterminate(StoreError):
    """The answer to a commit was lost: it happened or it did not. The journal key shows which."""


class Compacted(StoreError):
    """The wanted revision is gone; `revision` is the oldest that can still be read."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"history before revision {revision} was compacted; read again and watch from there")
        self.revision = revision


class Unavailable(StoreError):
    """The store did not answer, or cannot take writes now (disk full). Nothing was changed."""


class Overdrawn(Unavailable):
    """The writer's tenant has as much waiting for the store as its share allows. Nothing was changed."""


class TooLarge(StoreError):
    """The commit has more bytes than the engine takes in one. Nothing was changed."""


class Unencodable(StoreError):
    """A write that no transaction of the store can hold, for what it is; nothing was sent."""


class Damaged(StoreError):
    """The data on disk is not a whole store. Nothing was changed."""


class Fenced(StoreError):
    """A fence did not have the expected revision: somebody else owns that range now. Nothing was changed.

    `name` is that of the first fence, in the order given, that did not match (`keys.fence_name`); `value` what it holds now.
    """

    def __init__(self, name: str, value: bytes | None) -> None:
        super().__init__(f"range {name} is fenced: another owner holds it now")
        self.name = name
        self.value = value


class LeaseGone(StoreError):
    """The lease expired, was revoked, or never was."""

    def __init__(self, lease: int) -> None:
        super().__init__(f"lease {lease} is gone")
        self.lease = lease


class KeyValue(msgspec.Struct, frozen=True, gc=False):
    """`index` is the place of the put in its commit: with `mod_revision` it makes the resourceVersion."""

    key: bytes
    value: bytes
    mod_revision: int
    create_revision: int
    index: int = 0


class Page(msgspec.Struct, frozen=True):
    """`revision` is the store's revision at which the page was read; `more` says that `limit` cut it."""

    kvs: list[KeyValue]
    revision: int
    more: bool


class Put(msgspec.Struct, frozen=True, gc=False):
    """A write of one key in a commit. `lease` ties the key's life to a lease; `index` is stored beside the value."""

    key: bytes
    value: bytes
    index: int = 0
    lease: int = 0


class Delete(msgspec.Struct, frozen=True, gc=False):
    """A removal of one key, or of the interval `[key, end)` where `end` is given. `index` is delivered with its watch event
    by engines that can; `storage.commit` does not rely on it."""

    key: bytes
    end: bytes = b""
    index: int = 0


class Fence(msgspec.Struct, frozen=True, gc=False):
    """A precondition: `key` was last written at `mod_revision` (0: does not exist)."""

    key: bytes
    mod_revision: int


class Event(msgspec.Struct, frozen=True, gc=False):
    """One change: `kv` is the new state, or for a deletion the key with an empty value and the deletion's revision."""

    kv: KeyValue
    deleted: bool
    previous: KeyValue | None


class Batch(msgspec.Struct, frozen=True):
    """The events of one revision in the watched interval (at least), in order. Never split over batches. No events: progress."""

    revision: int
    events: list[Event]


class Store(Protocol):
    """What a storage engine gives.

    All methods are safe to cancel; each waits at most its engine's deadline, then raises Unavailable.
    """

    @property
    def cell(self) -> int:
        """The number of this cell, kept in the store itself."""
        ...

    async def read(self, start: bytes, end: bytes, *, revision: int | None = None, limit: int | None = None) -> Page:
        """The keys in `[start, end)` in order, at `revision` or now.

        Raises Compacted, Unavailable, ValueError (a revision in the future).
        """
        ...

    async def commit(self, fences: Sequence[Fence], puts: Sequence[Put], deletes: Sequence[Delete]) -> int:
        """Everything or nothing, as one revision, which is returned. At most 128 operations, each key once.

        What changes nothing (no puts, and deletes of nothing) is no revision: the present one is returned. A put without a lease
        frees the key from the lease it had. Raises Fenced, LeaseGone (a put names one), Indeterminate, Unavailable,
        TooLarge, ValueError (against the rules above). An acknowledged commit survives a power cut.
        """
        ...

    def watch(self, start: bytes, end: bytes, *, from_revision: int) -> AsyncGenerator[Batch, None]:
        """Batches with `revision >= from_revision`, with no gap and no repetition, for ever; end it with `aclose`.

        When it has shown all that there was at its beginning, and perhaps later, it reports progress: a batch without events,
        whose revision it has reached. Raises Compacted, Unavailable.
        """
        ...

    async def grant_lease(self, ttl_seconds: float) -> int:
        """A new lease, which is never 0. When it ends, the keys put with it are deleted in one revision. Raises Unavailable."""
        ...

    async def keep_alive(self, lease: int) -> float:
        """Renews; the seconds left. Raises LeaseGone, Unavailable."""
        ...

    async def revoke_lease(self, lease: int) -> None:
        """Ends a lease now. One that is gone is no error. Raises Unavailable."""
        ...

    async def compact(self, revision: int) -> None:
        """Forgets history: reads before `revision` and watches from before it are refused. Raises ValueError (in the future)."""
        ...

    async def close(self) -> None: ...
