"""The interface of the map of ranges and its values. `range_map.py` implements it on the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeInfo:
    """A range in the map: the interval `[start, end)` of cluster ids and the shard that owns it.

    `shard`: the owner's name, empty while no living shard owns the range. `owner`: the uid in the range's fence. `target`: the
    uid of the shard to which the range moves, empty if it does not move. `generation`: the number of owners so far.
    `capacity`: the number of tenants from which on the scheduler places no new ones here. `labels`: the initial labels of the
    range's Shard object.
    """

    name: str
    start: str
    end: str
    shard: str
    capacity: int = 1000
    tenants: int = 0
    generation: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    target: str = ""

    def holds(self, cluster: str) -> bool:
        """Whether an id is in the interval."""
        return self.start <= cluster < self.end


class ShardInfo(NamedTuple):
    """A living shard process. `uid`: new for each start. `url`: where other shards and gateways reach it.

    `draining`: it gets no ranges, and its ranges move to other shards.
    """

    name: str
    uid: str
    url: str
    draining: bool = False


class Map(Protocol):
    """The map of ranges. Look-ups read memory and do not block."""

    def ranges(self) -> Sequence[RangeInfo]:
        """All ranges, sorted by `start`. Returns the same object until the map changes."""
        ...

    def range_of(self, cluster: str) -> RangeInfo | None:
        """The range whose interval contains an id; None if there is none."""
        ...

    def named(self, name: str) -> RangeInfo | None:
        """The range with a name; None if there is none."""
        ...

    def shards(self) -> Sequence[ShardInfo]:
        """The living shards, sorted by name."""
        ...

    async def open_range(self, labels: Mapping[str, str]) -> RangeInfo:
        """Opens a range over unused ids, on the least loaded shard. `labels`: of the range."""
        ...

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls `callback` after each change of the map. Returns how to unsubscribe."""
        ...
