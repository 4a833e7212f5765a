"""The interfaces that the controller runtime needs from its shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from tenantry.storage.range import Range


class OwnedRanges(Protocol):
    """The ranges that this shard owns now. `tenantry.storage.cell.Cell` implements it."""

    @property
    def ranges(self) -> Mapping[str, Range]:
        """The owned ranges by name."""
        ...

    def owned(self, cluster: str) -> Range | None:
        """The owned range of a logical cluster; None if another shard owns it."""
        ...


class FollowRanges(Protocol):
    """Follows the ranges that this shard acquires and releases."""

    def __call__(self, acquired: Callable[[Range], Callable[[], None]], /) -> Callable[[], None]:
        """Calls `acquired` for every range that the shard owns, and for every range that it acquires later.

        The function that `acquired` returns is called when the range is released, or when the follower stops. Returns how to
        stop.
        """
        ...
