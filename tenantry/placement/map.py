"""What the map shows: ranges and shards. `range_map` follows it in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeInfo:
    """A range as the map shows it: the interval `[start, end)` of cluster ids and the shard that owns it.

    `shard` is the owner's name, empty while nobody alive owns the range; `owner` is the uid in the range's fence, `target` that
    of the shard to which it moves, empty where it does not. `capacity` is the number of tenants at which the scheduler stops
    placing new ones here; `labels` are those that it was opened with.
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
        return self.start <= cluster < self.end


class ShardInfo(NamedTuple):
    """A living shard process. `uid` is new with each of its starts; `url` is where its peers and gateways reach it.

    `draining`: it gets no more ranges, and those that it has go to others.
    """

    name: str
    uid: str
    url: str
    draining: bool = False
