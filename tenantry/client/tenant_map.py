"""The map of ranges in a client. It is immutable: each update makes a new one."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tenantry._proto.tenantry.gateway.v1 import gateway_pb2 as pb


class Gap(Exception):
    """An update does not follow the present map: updates are missing."""


class Shard(NamedTuple):
    """A living shard process. `uid`: new for each start. `url`: where gateways and other shards reach it.

    `draining`: it gets no ranges, and its ranges move to other shards. `ranges`, `tenants`: the names of its ranges and its
    number of tenants when `shards()` was called; in a map they are empty and 0.
    """

    name: str
    uid: str
    url: str
    draining: bool = False
    ranges: tuple[str, ...] = ()
    tenants: int = 0


class Range(NamedTuple):
    """An interval `[start, end)` of cluster ids.

    `shard`: the owner's name, empty while no living shard owns it. `owner`: its uid. `tenants`: the number of tenants when
    `ranges()` was called; 0 in a map. `url`: the base URL of the range's Shard object (kcp).
    """

    name: str
    start: str
    end: str
    shard: str
    owner: str
    generation: int
    capacity: int
    url: str
    labels: Mapping[str, str]
    tenants: int = 0


class Location(NamedTuple):
    """Where a tenant is. `url`: the base URL of its API (append `/api/v1/…`). `shard_url`: the URL of its shard process.

    `path`: set only by `Client.ask` and by `Client.resolve` when it asks a gateway; else empty.
    """

    cluster: str
    range: str
    shard: str
    generation: int
    url: str
    shard_url: str
    path: str = ""


class TenantMap:
    """All ranges and shards at one version. It is immutable, so it is thread-safe."""

    __slots__ = ("_ends", "_places", "_starts", "cell", "ranges", "shards", "url_prefix", "version")

    def __init__(self, version: int, cell: int, url_prefix: str, ranges: Sequence[Range], shards: Mapping[str, Shard]) -> None:
        """`ranges`: sorted by `start`. `shards`: by uid. `cell`: the number of the store."""
        self.version = version
        self.cell = cell
        self.url_prefix = url_prefix
        self.ranges = tuple(ranges)
        self.shards = shards
        self._starts = [r.start for r in self.ranges]
        self._ends = [r.end for r in self.ranges]
        self._places = [(r.name, r.shard, r.generation, _url(shards, r.owner)) for r in self.ranges]

    def __repr__(self) -> str:
        return f"<TenantMap version={self.version} ranges={len(self.ranges)} shards={len(self.shards)}>"

    def locate(self, cluster: str) -> Location | None:
        """The location of a cluster id; None if it is in no range. It does not check whether the tenant exists.

        `shard` is empty while no living shard owns the range.
        """
        at = bisect_right(self._starts, cluster) - 1
        if at < 0 or cluster >= self._ends[at]:
            return None
        name, shard, generation, shard_url = self._places[at]
        return Location(cluster, name, shard, generation, self.url_prefix + cluster, shard_url)

    def range_of(self, cluster: str) -> Range | None:
        """The range whose interval contains an id; None if there is none."""
        at = bisect_right(self._starts, cluster) - 1
        return self.ranges[at] if at >= 0 and cluster < self._ends[at] else None

    def applied(self, update: pb.MapUpdate) -> TenantMap:
        """The map after an update that is not full. Raises Gap if the update does not follow this map."""
        if update.from_version != self.version or update.cell != self.cell:
            raise Gap(f"an update from version {update.from_version} does not follow version {self.version}")
        if not (update.ranges or update.removed_ranges or update.shards or update.removed_shards):
            return self._at(update.version)
        if self._same_intervals(update):
            return self._with_owners(update)
        shards = self._shards_after(update)
        by_name = {r.name: r for r in self.ranges}
        for name in update.removed_ranges:
            by_name.pop(name, None)
        for message in update.ranges:
            by_name[message.name] = range_from(message)
        return TenantMap(update.version, self.cell, self.url_prefix, _ordered(by_name.values()), shards)

    def _same_intervals(self, update: pb.MapUpdate) -> bool:
        if update.removed_ranges or update.shards or update.removed_shards:
            return False
        for message in update.ranges:
            at = bisect_left(self._starts, message.start)
            if at == len(self._starts) or self.ranges[at].name != message.name or self.ranges[at].end != message.end:
                return False
        return True

    def _with_owners(self, update: pb.MapUpdate) -> TenantMap:
        """The frequent case, in which only owners changed: it copies two lists and keeps the rest."""
        after = self._at(update.version)
        ranges, after._places = list(self.ranges), list(self._places)
        for message in update.ranges:
            at = bisect_left(self._starts, message.start)
            ranges[at] = found = range_from(message)
            after._places[at] = (found.name, found.shard, found.generation, _url(self.shards, found.owner))
        after.ranges = tuple(ranges)
        return after

    def _at(self, version: int) -> TenantMap:
        after = TenantMap.__new__(TenantMap)
        after.version, after.cell, after.url_prefix = version, self.cell, self.url_prefix
        after.ranges, after.shards = self.ranges, self.shards
        after._starts, after._ends, after._places = self._starts, self._ends, self._places
        return after

    def _shards_after(self, update: pb.MapUpdate) -> dict[str, Shard]:
        shards = dict(self.shards)
        for uid in update.removed_shards:
            shards.pop(uid, None)
        for message in update.shards:
            shards[message.uid] = shard_from(message)
        return shards


def whole(update: pb.MapUpdate) -> TenantMap:
    """The map of a full update."""
    shards = {message.uid: shard_from(message) for message in update.shards}
    return TenantMap(update.version, update.cell, update.url_prefix, _ordered(map(range_from, update.ranges)), shards)


def range_from(message: Any) -> Range:
    return Range(
        message.name,
        message.start,
        message.end,
        message.shard,
        message.owner,
        message.generation,
        message.capacity,
        message.url,
        dict(message.labels),
        message.tenants,
    )


def shard_from(message: Any) -> Shard:
    return Shard(message.name, message.uid, message.url, message.draining, tuple(message.ranges), message.tenants)


def _ordered(ranges: Iterable[Range]) -> list[Range]:
    return sorted(ranges, key=lambda r: r.start)


def _url(shards: Mapping[str, Shard], uid: str) -> str:
    found = shards.get(uid)
    return found.url if found is not None else ""
