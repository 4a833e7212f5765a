"""Chooses the range of a new workspace, and generates its cluster id."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tenantry.kube.objects import Object, annotations_of, labels_of
from tenantry.kube.selectors.labels import from_object
from tenantry.kube.status import too_many_requests
from tenantry.placement.catalog import Catalog
from tenantry.placement.map import RangeInfo
from tenantry.placement.paths.cluster_paths import HOMES
from tenantry.placement.paths.directory import Directory
from tenantry.placement.range_map import RangeMap
from tenantry.placement.range_opening import RangeOpening
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.tenancy.resources import LOGICAL_CLUSTERS, SHARDS, WORKSPACES
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.types.shard import UNSCHEDULABLE_ANNOTATION
from tenantry.tenancy.well_known import ROOT
from tenantry.tenancy.workspaces.identifiers import new_cluster_id

NAME_LABEL = "name"
OPEN_ATTEMPTS = 100
"""How many ranges are opened for one workspace, at most. More than one is needed if other workspaces fill a new range first."""
INCOMING_SECONDS = 60.0
"""How long a cluster that another shard asked for counts for the capacity while its Workspace is not in the path index. No
request takes longer."""
REFUSED_SECONDS = 5.0
"""How long a range counts as full after its owner refused a cluster. Without it, a shard that knows less than the owner would
choose the same range repeatedly."""


class Unschedulable(Exception):
    """No range can take the workspace. The message says why."""


class Scheduler:
    """Chooses the range with the fewest tenants among those that match the selector. It does not exceed the capacity of a range
    while a new range can be opened.

    The number of tenants of a range is that in the path index, which every shard follows. Added to it are clusters that are not
    in the index yet: those that this shard is placing, and those that other shards asked this one for. So concurrent workspaces
    do not exceed the capacity. If two shards use the last place of a range at the same time, its owner refuses one (`admit`),
    and that shard chooses another range (`refused`).
    """

    def __init__(
        self,
        *,
        cell: Cell,
        catalog: Catalog,
        directory: Directory,
        range_map: RangeMap,
        opening: RangeOpening,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cell = cell
        self._catalog = catalog
        self._directory = directory
        self._range_map = range_map
        self._opening = opening
        self._clock = clock
        self._placing: dict[str, str] = {}
        self._incoming: dict[str, float] = {}
        self._refused: dict[str, float] = {}
        self._open: tuple[Sequence[RangeInfo], list[RangeInfo]] | None = None
        self._catalog.subscribe(SHARDS, self._shards_changed)
        self._catalog.subscribe(WORKSPACES, self._cluster_known)
        self._catalog.subscribe(HOMES, self._cluster_known)

    async def place(self, location: Object | None) -> tuple[RangeInfo, str]:
        """The chosen range and a new cluster id in it. `location`: `spec.location` of the Workspace. Raises Unschedulable.

        The caller must call `placed` after it has written the choice, or has given up.
        """
        for _ in range(OPEN_ATTEMPTS):
            info = self._choose(location)
            if info is not None:
                break
            # Other workspaces wait for the same new range, and may fill it first.
            await self._opening.open(self._labels_for(location))
        else:
            raise Unschedulable("every range that was opened for the workspace was full at once")
        cluster = new_cluster_id(info.start)
        self._placing[cluster] = info.name
        return info, cluster

    def placed(self, cluster: str) -> None:
        """The choice of `place` is written, so that the directory counts it from now on, or given up."""
        self._placing.pop(cluster, None)

    def refused(self, range_name: str) -> None:
        """The owner of a range has refused a cluster, because the range is full."""
        self._refused[range_name] = self._clock() + REFUSED_SECONDS

    def admit(self, cluster: str) -> None:
        """Checks that a range of this shard has room for a cluster that another shard asks for. Raises StatusError 429 if it is
        full; the other shard then schedules its workspace again."""
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
        """Whether the selector of `location` matches existing ranges but could match no new one, for example because it names a
        range. Then it counts more than the capacity."""
        wanted = (location or {}).get("selector")
        try:
            fitting = self._fitting(location) if wanted else []
        except Unschedulable:
            return False
        return bool(fitting) and not from_object(wanted).matches({NAME_LABEL: "", **self._inherited(fitting[0])})

    def labels(self, info: RangeInfo) -> Mapping[str, str]:
        """The labels of a range: those of its Shard object, or those of the map until that exists."""
        shard = self._catalog.get(SHARDS, ROOT, info.name)
        return labels_of(shard) if shard is not None else {NAME_LABEL: info.name, **info.labels}

    def _load(self, info: RangeInfo, pending: Mapping[str, int]) -> int:
        return self._directory.tenants(info.name) + pending.get(info.name, 0)

    def _pending(self) -> Counter[str]:
        """Range name → number of clusters that are not in the path index yet."""
        directory = self._directory
        self._incoming = _unexpired(self._incoming, self._clock())
        # A cluster may be in the index before `placed` is called; it counts once.
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
        """The ranges whose Shards are schedulable. Cached until the map or a Shard changes."""
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
        """The directory counts a cluster from now on, so it no longer counts as incoming."""
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
        """The labels for a new range for this workspace: those of a range that matches the selector."""
        for info in self._fitting(location):
            return self._inherited(info)
        return {}

    def _inherited(self, info: RangeInfo) -> dict[str, str]:
        return {k: v for k, v in self.labels(info).items() if k != NAME_LABEL}


def _unexpired(due: dict[str, float], now: float) -> dict[str, float]:
    return {name: at for name, at in due.items() if at > now} if due else due
