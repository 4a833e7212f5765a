"""What the controller runtime asks of the shard that it runs in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from tenantry.storage.range import Range


class OwnedRanges(Protocol):
    """The ranges that this shard owns now, such as a `tenantry.storage.cell.Cell`."""

    @property
    def ranges(self) -> Mapping[str, Range]:
        """By name."""
        ...

    def owned(self, cluster: str) -> Range | None:
        """The owned range of a logical cluster; None where another shard owns it."""
        ...


class FollowRanges(Protocol):
    """How to learn of ranges that this shard acquires and releases."""

    def __call__(self, acquired: Callable[[Range], Callable[[], None]], /) -> Callable[[], None]:
        """Calls `acquired` for every range that the shard owns, and for every one that it acquires later. What `acquired` returns
        is called when that range is released, or when the follower stops. Returns how to stop."""
        ...
