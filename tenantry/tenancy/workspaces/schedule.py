"""Choosing the range of a new workspace, and minting its cluster id there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tenantry.kube.objects import Object, annotations_of, labels_of
from tenantry.kube.selectors.labels import from_object
from tenantry.tenancy.directory import ROOT, RangeInfo
from tenantry.tenancy.types.shard import RESOURCE as SHARDS
from tenantry.tenancy.types.shard import UNSCHEDULABLE_ANNOTATION
from tenantry.tenancy.workspaces.identifiers import new_cluster_id

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

NAME_LABEL = "name"


class Unschedulable(Exception):
    """No range fits; the text says why."""


class Scheduler:
    """Places workspaces: among the ranges that the selector allows the one with the fewest tenants, and never above a range's
    capacity as long as a new range can be opened.

    Placements that are not in the catalog yet count too, so that workspaces made at once do not overfill a range.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._placing: Counter[str] = Counter()

    async def place(self, workspace: Object) -> tuple[RangeInfo, str]:
        """The range and a new cluster id in it. Raises Unschedulable. The caller gives the place back with `placed` when the
        workspace is written, or given up."""
        info = self._choose(workspace)
        if info is None:
            info = await self._host.registry.open_range(self._labels_for(workspace))
        self._placing[info.name] += 1
        return info, new_cluster_id(info.start)

    def placed(self, range_name: str) -> None:
        """A placement is written (the directory counts it from now on) or given up."""
        self._placing[range_name] -= 1
        if self._placing[range_name] <= 0:
            del self._placing[range_name]

    def labels(self, info: RangeInfo) -> Mapping[str, str]:
        """The labels of a range's Shard; those of the registry until the Shard is there."""
        shard = self._host.catalog.get(SHARDS, ROOT, info.name)
        return labels_of(shard) if shard is not None else {NAME_LABEL: info.name, **info.labels}

    def _eligible(self, workspace: Object) -> list[RangeInfo]:
        wanted = ((workspace.get("spec") or {}).get("location") or {}).get("selector")
        selector = from_object(wanted) if wanted else None
        found = []
        for info in self._host.registry.ranges():
            shard = self._host.catalog.get(SHARDS, ROOT, info.name)
            if shard is not None and UNSCHEDULABLE_ANNOTATION in annotations_of(shard):
                continue
            if selector is None or selector.matches(self.labels(info)):
                found.append(info)
        if not found:
            raise Unschedulable("No available shards to schedule the workspace")
        return found

    def _choose(self, workspace: Object) -> RangeInfo | None:
        eligible = self._eligible(workspace)
        load = {info.name: self._host.directory.tenants(info.name) + self._placing[info.name] for info in eligible}
        roomy = [info for info in eligible if load[info.name] < info.capacity]
        if roomy:
            return min(roomy, key=lambda info: (load[info.name], info.name))
        wanted = ((workspace.get("spec") or {}).get("location") or {}).get("selector")
        selector = from_object(wanted) if wanted else None
        if selector is not None and not selector.matches({NAME_LABEL: "", **self._labels_for(workspace)}):
            # Chosen by name: a new range would not match, so the wish counts more than the capacity.
            return min(eligible, key=lambda info: (load[info.name], info.name))
        return None

    def _labels_for(self, workspace: Object) -> dict[str, str]:
        """The labels of a range that is opened for this workspace: those of an eligible one, which therefore match."""
        for info in self._eligible(workspace):
            return {k: v for k, v in self.labels(info).items() if k != NAME_LABEL}
        return {}
