"""What a shard holds of one cell: the ranges that it owns, in memory, and the one committer that writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record
from tenantry.storage.store import Store


class Stale(Exception):
    """A change's `expected` is not what memory holds, or a write of that key is under way: compute it again."""

    def __init__(self, key: Key) -> None:
        super().__init__(f"{key} was changed meanwhile")
        self.key = key


class NotOwned(Exception):
    """The cluster's range is not held by this shard (any more)."""

    def __init__(self, cluster: str) -> None:
        super().__init__(f"the range of logical cluster {cluster} is not held by this shard")
        self.cluster = cluster


class CellContract(Protocol):
    """API that `Cell` must have (the helper for storage replaces this Protocol by the class)."""

    store: Store
    ranges: Mapping[str, Range]

    def owns(self, cluster: str) -> bool: ...

    def range_of(self, cluster: str) -> Range:
        """Raises NotOwned."""
        ...

    async def settled(self, keys: Iterable[Key]) -> None:
        """Returns when none of the keys has a write under way."""
        ...

    async def commit(self, changes: Sequence[Change]) -> Sequence[Record | None]:
        """All changes in one transaction, over one or several ranges of this shard; the records as committed (None: deleted).

        `expected` is compared with memory synchronously, before the first await. Once submitted, the write is finished even
        when the caller is cancelled. When it returns, memory shows it and subscribers were called.
        Raises Stale, NotOwned, Fenced, Indeterminate, Unavailable, ValueError (too many changes).
        """
        ...


Cell = CellContract
