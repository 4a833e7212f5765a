"""A map of ranges and shards that a test changes at will, without a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tenantry.base.broadcast import Broadcast
from tenantry.placement.map import RangeInfo, ShardInfo


class MapInMemory:
    """`tenantry.placement.map.Map`, as the test says."""

    def __init__(self, ranges: Sequence[RangeInfo], shards: Sequence[ShardInfo] = ()) -> None:
        self._ranges = tuple(sorted(ranges, key=lambda info: info.start))
        self._shards = tuple(shards)
        self._subscribers: Broadcast[[]] = Broadcast("a subscriber of the map")

    def ranges(self) -> Sequence[RangeInfo]:
        return self._ranges

    def range_of(self, cluster: str) -> RangeInfo | None:
        return next((info for info in self._ranges if info.holds(cluster)), None)

    def named(self, name: str) -> RangeInfo | None:
        return next((info for info in self._ranges if info.name == name), None)

    def shards(self) -> Sequence[ShardInfo]:
        return self._shards

    async def open_range(self, labels: Mapping[str, str]) -> RangeInfo:
        raise AssertionError("no test opens a range here")

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        return self._subscribers.subscribe(callback)

    def put(self, info: RangeInfo) -> None:
        """Adds a range, or changes the one of its name."""
        others = [known for known in self._ranges if known.name != info.name]
        self._ranges = tuple(sorted((*others, info), key=lambda known: known.start))
        self._subscribers.send()

    def relabel(self, name: str, labels: Mapping[str, str]) -> None:
        """Changes the labels of a range, of which nobody is told."""
        self._ranges = tuple(replace(info, labels=labels) if info.name == name else info for info in self._ranges)

    def add_shard(self, shard: ShardInfo) -> None:
        self._shards = (*self._shards, shard)
        self._subscribers.send()

    def remove_shard(self, uid: str) -> None:
        gone = next(s for s in self._shards if s.uid == uid)
        self._shards = tuple(s for s in self._shards if s.uid != uid)
        self._ranges = tuple(replace(r, shard="") if r.owner == gone.uid else r for r in self._ranges)
        self._subscribers.send()

    def give(self, range_name: str, uid: str) -> None:
        name = next((s.name for s in self._shards if s.uid == uid), "")
        self._ranges = tuple(
            replace(r, shard=name, owner=uid, generation=r.generation + 1) if r.name == range_name else r for r in self._ranges
        )
        self._subscribers.send()
