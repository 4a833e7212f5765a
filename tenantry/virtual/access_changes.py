"""Notifies subscribers when the users who may access a workspace may have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from tenantry.apiserver.visibility import Changed
from tenantry.base.broadcast import KeyedBroadcast
from tenantry.kube.objects import Object
from tenantry.placement.catalog import Catalog
from tenantry.placement.paths.directory import Directory
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent
from tenantry.tenancy.local_ranges import LocalRanges
from tenantry.tenancy.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, LOGICAL_CLUSTERS, WORKSPACES
from tenantry.tenancy.well_known import SYSTEM_ADMIN

_RBAC = (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS)


class AccessChanges:
    """One subscription to RBAC, LogicalClusters and Workspaces for all subscribers. Each is notified of workspaces under its own
    parent only."""

    def __init__(self, catalog: Catalog, directory: Directory, local_ranges: LocalRanges) -> None:
        self._directory = directory
        self._subscribers: KeyedBroadcast[str, [Collection[str] | None]] = KeyedBroadcast("a subscriber of changes of access")
        self._changed: dict[str, set[str]] = {}
        """Parent → names of workspaces."""
        self._everywhere = False
        self._scheduled = False
        local_ranges.follow(self._follow)
        for resource in (*_RBAC, LOGICAL_CLUSTERS):
            catalog.subscribe(resource, self._copied)
        catalog.subscribe(WORKSPACES, self._workspace_copied)

    def subscribe(self, parent: str, changed: Changed) -> Callable[[], None]:
        """Calls `changed` with the names of the workspaces under `parent` (a logical cluster id) whose RBAC, phase or cluster
        changed, or with None: any of them. Returns a function that ends this."""
        return self._subscribers.subscribe(parent, changed)

    def _follow(self, range_: Range) -> Callable[[], None]:
        stops = [range_.subscribe(self._events, resource) for resource in (*_RBAC, LOGICAL_CLUSTERS)]
        # From now on the range's objects decide, and not their copies, which may be of an earlier time.
        self._note(SYSTEM_ADMIN)

        def stop() -> None:
            for each in stops:
                each()
            self._note(SYSTEM_ADMIN)

        return stop

    def _events(self, events: Sequence[RecordEvent]) -> None:
        for event in events:
            self._note(event.key.cluster)

    def _copied(self, _: str, cluster: str, name: str, obj: Object | None) -> None:
        self._note(cluster)

    def _workspace_copied(self, _: str, parent: str, name: str, copy: Object | None) -> None:
        """A copy says whose workspace a cluster is, and has the phase of a cluster of another shard. The owner of the parent may
        have the Workspace before its copy arrives."""
        if self._subscribers:
            self._schedule()
            self._changed.setdefault(parent, set()).add(name)

    def _note(self, cluster: str) -> None:
        if not self._subscribers:
            return
        self._schedule()
        if cluster == SYSTEM_ADMIN:
            self._everywhere = True
            return
        parent = self._directory.parent_of(cluster)
        if parent is not None:
            self._changed.setdefault(parent[0], set()).add(parent[1])

    def _schedule(self) -> None:
        """Subscribers are called in the next turn of the event loop: by then the authorizer has processed the change too."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._publish)

    def _publish(self) -> None:
        changed, everywhere = self._changed, self._everywhere
        self._changed, self._everywhere, self._scheduled = {}, False, False
        if everywhere:
            for parent in self._subscribers:
                self._subscribers.send(parent, None)
            return
        for parent, names in changed.items():
            self._subscribers.send(parent, names)
