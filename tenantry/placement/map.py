"""What the map of ranges shows: its values. `range_map.py` follows them in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeInfo:
    """A range in the map: the interval `[start, end)` of cluster ids and the shard that owns it.

    `shard`: the owner's name, empty while no living shard owns the range. `owner`: the uid in the range's fence. `target`: the
    uid of the shard to which the range moves, empty if it does not move. `generation`: the number of owners so far.
    `capacity`: the number of tenants from which on the scheduler places no new ones here. `labels`: given when it was
    opened.
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
