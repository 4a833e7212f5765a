"""A map of ranges and shards that a test changes at will, without a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tenantry.placement.map import RangeInfo, ShardInfo
from tenantry.placement.range_map import RangeMap
from tenantry.storage.memory import MemoryStore


class MapInMemory(RangeMap):
    """As the test says."""

    def __init__(self, ranges: Sequence[RangeInfo], shards: Sequence[ShardInfo] = ()) -> None:
        super().__init__(MemoryStore())
        self._ranges = tuple(sorted(ranges, key=lambda info: info.start))
        self._living = tuple(shards)

    def ranges(self) -> Sequence[RangeInfo]:
        return self._ranges

    def range_of(self, cluster: str) -> RangeInfo | None:
        return next((info for info in self._ranges if info.holds(cluster)), None)

    def named(self, name: str) -> RangeInfo | None:
        return next((info for info in self._ranges if info.name == name), None)

    def shards(self) -> Sequence[ShardInfo]:
        return self._living

    def put(self, info: RangeInfo) -> None:
        """Adds a range, or changes the one of its name."""
        others = [known for known in self._ranges if known.name != info.name]
        self._ranges = tuple(sorted((*others, info), key=lambda known: known.start))
        self._notify()

    def relabel(self, name: str, labels: Mapping[str, str]) -> None:
        """Changes the labels of a range, of which nobody is told."""
        self._ranges = tuple(replace(info, labels=labels) if info.name == name else info for info in self._ranges)

    def add_shard(self, shard: ShardInfo) -> None:
        self._living = (*self._living, shard)
        self._notify()

    def remove_shard(self, uid: str) -> None:
        gone = next(s for s in self._living if s.uid == uid)
        self._living = tuple(s for s in self._living if s.uid != uid)
        self._ranges = tuple(replace(r, shard="") if r.owner == gone.uid else r for r in self._ranges)
        self._notify()

    def give(self, range_name: str, uid: str) -> None:
        name = next((s.name for s in self._living if s.uid == uid), "")
        self._ranges = tuple(
            replace(r, shard=name, owner=uid, generation=r.generation + 1) if r.name == range_name else r for r in self._ranges
        )
        self._notify()

    def _notify(self) -> None:
        self._changes.send()
