"""Choosing the range of a new workspace, and minting its cluster id there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tenantry.kube.objects import Object, annotations_of, labels_of
from tenantry.kube.selectors.labels import from_object
from tenantry.kube.status import too_many_requests
from tenantry.placement.catalog import Catalog
from tenantry.placement.directory import Directory
from tenantry.placement.map import Map, RangeInfo
from tenantry.placement.paths import HOMES
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.tenancy.resources import LOGICAL_CLUSTERS, SHARDS, WORKSPACES
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.types.shard import UNSCHEDULABLE_ANNOTATION
from tenantry.tenancy.well_known import ROOT
from tenantry.tenancy.workspaces.identifiers import new_cluster_id

NAME_LABEL = "name"
OPEN_ATTEMPTS = 100
"""How many ranges are opened for one workspace: that many times others were quicker, or a range has room for nobody."""
INCOMING_SECONDS = 60.0
"""How long a cluster that another shard asked for counts if its Workspace does not become known: a request lives no longer."""
REFUSED_SECONDS = 5.0
"""How long a range counts as full after its owner said so, whatever is known of it here: a shard that knows less than the owner
would choose the same range again and again."""


class Unschedulable(Exception):
    """No range fits; the text says why."""


class Scheduler:
    """Places workspaces: among the ranges that the selector allows the one with the fewest tenants, and never above a range's
    capacity as long as a new range can be opened.

    Who lives where is known from the path index, which every shard follows. What is not in it yet counts too: what this shard
    is placing at the moment, and the clusters that other shards asked this one for. So workspaces made at once do not overfill
    a range, and where two shards choose its last place at once, its owner refuses one of them (`admit`), which looks elsewhere
    (`refused`).
    """

    def __init__(
        self,
        *,
        cell: Cell,
        catalog: Catalog,
        directory: Directory,
        range_map: Map,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cell = cell
        self._catalog = catalog
        self._directory = directory
        self._range_map = range_map
        self._clock = clock
        self._placing: dict[str, str] = {}
        self._incoming: dict[str, float] = {}
        self._refused: dict[str, float] = {}
        self._open: tuple[Sequence[RangeInfo], list[RangeInfo]] | None = None
        self._catalog.subscribe(SHARDS, self._shards_changed)
        self._catalog.subscribe(WORKSPACES, self._cluster_known)
        self._catalog.subscribe(HOMES, self._cluster_known)

    async def place(self, location: Object | None) -> tuple[RangeInfo, str]:
        """The range and a new cluster id in it. `location` is a Workspace's `spec.location`. Raises Unschedulable.

        The caller gives the place back with `placed` when its choice is written, or given up.
        """
        for _ in range(OPEN_ATTEMPTS):
            info = self._choose(location)
            if info is not None:
                break
            # Others wait for the same new range, and may fill it first.
            await self._range_map.open_range(self._labels_for(location))
        else:
            raise Unschedulable("every range that was opened for the workspace was full at once")
        cluster = new_cluster_id(info.start)
        self._placing[cluster] = info.name
        return info, cluster

    def placed(self, cluster: str) -> None:
        """A placement is written (the directory counts it from now on) or given up."""
        self._placing.pop(cluster, None)

    def refused(self, range_name: str) -> None:
        """A range's owner said that it is full."""
        self._refused[range_name] = self._clock() + REFUSED_SECONDS

    def admit(self, cluster: str) -> None:
        """Lets another shard make a cluster in a range that is held here. Raises StatusError 429 where the range is full: the
        other shard places its workspace anew."""
        info = self._directory.range_of(cluster)
        if info is None or cluster in self._incoming:
            return
        if self._cell.range_of(cluster).get(Key(cluster, LOGICAL_CLUSTERS, "", NAME)) is not None:
            return
        itself = 1 if self._directory.knows(cluster) else 0
        if self._load(info, self._pending()) - itself >= info.capacity:
            raise too_many_requests(f"range {info.name} is full")
        if not itself:
            self._incoming[cluster] = self._clock() + INCOMING_SECONDS

    def is_by_name(self, location: Object | None) -> bool:
        """Whether a selector fits ranges that there are, and would not fit one that is opened for it: then the wish counts more
        than a range's capacity."""
        wanted = (location or {}).get("selector")
        try:
            fitting = self._fitting(location) if wanted else []
        except Unschedulable:
            return False
        return bool(fitting) and not from_object(wanted).matches({NAME_LABEL: "", **self._inherited(fitting[0])})

    def labels(self, info: RangeInfo) -> Mapping[str, str]:
        """The labels of a range's Shard; those of the registry until the Shard is there."""
        shard = self._catalog.get(SHARDS, ROOT, info.name)
        return labels_of(shard) if shard is not None else {NAME_LABEL: info.name, **info.labels}

    def _load(self, info: RangeInfo, pending: Mapping[str, int]) -> int:
        return self._directory.tenants(info.name) + pending.get(info.name, 0)

    def _pending(self) -> Counter[str]:
        """How many clusters are on their way into ranges, by the ranges' names."""
        directory = self._directory
        self._incoming = _unexpired(self._incoming, self._clock())
        # A cluster is known before the placement is given back, and counts once.
        found = Counter(name for cluster, name in self._placing.items() if not directory.knows(cluster))
        found.update(info.name for cluster in self._incoming if (info := directory.range_of(cluster)) is not None)
        return found

    def _fitting(self, location: Object | None) -> list[RangeInfo]:
        wanted = (location or {}).get("selector")
        if not wanted:
            return self._schedulable()
        try:
            selector = from_object(wanted)
        except ValueError as error:
            raise Unschedulable(f"spec.location.selector: {error}") from error
        return [info for info in self._schedulable() if selector.matches(self.labels(info))]

    def _schedulable(self) -> list[RangeInfo]:
        """Every workspace asks, and the answer changes with the map and with Shards alone."""
        ranges = self._range_map.ranges()
        if self._open is None or self._open[0] is not ranges:
            self._open = ranges, [info for info in ranges if not self._is_unschedulable(info)]
        return self._open[1]

    def _is_unschedulable(self, info: RangeInfo) -> bool:
        shard = self._catalog.get(SHARDS, ROOT, info.name)
        return shard is not None and UNSCHEDULABLE_ANNOTATION in annotations_of(shard)

    def _shards_changed(self, *_: object) -> None:
        self._open = None

    def _cluster_known(self, _: str, __: str, ___: str, entry: Object | None) -> None:
        """The directory counts a cluster from now on. It may forget it before anybody asks here: too late to look it up."""
        if entry is not None:
            self._incoming.pop(entry["cluster"], None)

    def _choose(self, location: Object | None) -> RangeInfo | None:
        eligible = self._fitting(location)
        if not eligible:
            raise Unschedulable("No available shards to schedule the workspace")
        pending = self._pending()
        load = {info.name: self._load(info, pending) for info in eligible}
        self._refused = _unexpired(self._refused, self._clock())
        with_room = [info for info in eligible if load[info.name] < info.capacity and info.name not in self._refused]
        if with_room:
            return min(with_room, key=lambda info: (load[info.name], info.name))
        if self.is_by_name(location):
            return min(eligible, key=lambda info: (load[info.name], info.name))
        return None

    def _labels_for(self, location: Object | None) -> dict[str, str]:
        """The labels of a range that is opened for this workspace: those of one that fits, which therefore match."""
        for info in self._fitting(location):
            return self._inherited(info)
        return {}

    def _inherited(self, info: RangeInfo) -> dict[str, str]:
        return {k: v for k, v in self.labels(info).items() if k != NAME_LABEL}


def _unexpired(due: dict[str, float], now: float) -> dict[str, float]:
    return {name: at for name, at in due.items() if at > now} if due else due
