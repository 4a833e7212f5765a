"""Where every tenant is: maps paths to ids, ids to ranges and ranges to shards (kcp: workspace index)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tenantry.kube.objects import Object
from tenantry.kube.status import not_found, unavailable
from tenantry.placement.catalog import Catalog
from tenantry.placement.map import RangeInfo
from tenantry.placement.paths.cluster_paths import (
    DEPTH_MAX,
    HOME_PREFIX,
    HOMES,
    ROOT,
    SEGMENT,
    WORKSPACE_RESOURCE,
    WORKSPACES,
    home_key,
    invalid_path,
)
from tenantry.placement.range_map import RangeMap
from tenantry.placement.urls import Urls

_SCHEDULING, _UNAVAILABLE = "Scheduling", "Unavailable"
_CLOSED = (_SCHEDULING, _UNAVAILABLE)
"""Phases of a workspace (kcp)."""


class Location(NamedTuple):
    """Where a logical cluster is served. `url`: base URL of its range, without a trailing slash. `generation`: of the range."""

    cluster: str
    range: str
    shard: str
    url: str
    generation: int


class Directory:
    """Resolves tenants in memory, from the catalog's copies of workspaces and homes and from the map of ranges.

    `external_url`: the URL that clients use, without a trailing slash.
    """

    def __init__(self, catalog: Catalog, range_map: RangeMap, external_url: str) -> None:
        self.range_map = range_map
        self.range_of: Callable[[str], RangeInfo | None] = range_map.range_of
        """The range whose interval contains an id; None if there is none. An attribute, because it is called for each request."""
        self._catalog = catalog
        self._urls = Urls(external_url)
        self._parents: dict[str, tuple[str, str]] = {}
        self._homes: dict[str, str] = {}
        self._home_clusters: dict[str, str] = {}
        self._clusters: dict[tuple[str, str], str] = {}
        self._closed: dict[tuple[str, str], str] = {}
        """The phases of workspaces through which no path leads, by their place: one of `_CLOSED`."""
        self._tenants: dict[str, int] = {}
        self._ranges: Sequence[RangeInfo] = ()
        self._stops: list[Callable[[], None]] = []

    def start(self) -> None:
        """Indexes the catalog and follows its changes."""
        self._stops = [
            self._catalog.subscribe(WORKSPACES, self._workspace_changed),
            self._catalog.subscribe(HOMES, self._home_changed),
            self.range_map.subscribe(self._map_changed),
        ]
        self._map_changed()
        for parent, name, copy in self._catalog.each(WORKSPACES):
            self._workspace_changed(WORKSPACES, parent, name, copy)
        for cluster, key, home in self._catalog.each(HOMES):
            self._home_changed(HOMES, cluster, key, home)

    def stop(self) -> None:
        for stop in self._stops:
            stop()
        self._stops = []

    def resolve(self, path_or_id: str) -> Location:
        """The location of a path (`root:org:team`, `<id>:team`, `user:ada:team`) or of an id.

        Raises StatusError: 400 if the text is not a path, 404 if the path does not exist, 503 if its range has no owner. For an
        id, only the range is looked up, as in kcp: authorization refuses clusters that do not exist.
        """
        cluster = self.cluster_of(path_or_id)
        if cluster is None:
            raise not_found(WORKSPACE_RESOURCE, path_or_id)
        return self.locate(cluster, path_or_id)

    def locate(self, cluster: str, shown: str = "") -> Location:
        """The location of a cluster id. Raises StatusError: 404 if it is in no range, 503 if its range has no owner.

        `shown`: the name of the tenant in the error text; by default the id.
        """
        found = self.range_of(cluster)
        if found is None:
            raise not_found(WORKSPACE_RESOURCE, shown or cluster)
        if not found.shard:
            raise unavailable(f"range {found.name} has no owner at the moment")
        return Location(cluster, found.name, found.shard, self._urls.range(found.name), found.generation)

    def cluster_of(self, path: str) -> str | None:
        """The id of a path or id; None if a step of the path does not exist.

        Raises StatusError: 400 if the text is not a path, 503 if a workspace in the path is Unavailable.
        """
        if path in self._parents or path.startswith("system:"):
            return path
        segments = path.split(":")
        found = self._walk(path, segments) if len(segments) <= DEPTH_MAX else None
        if found is None or len(segments) == 1:
            _check(path, segments)
        return found

    def _walk(self, path: str, segments: Sequence[str]) -> str | None:
        """The id of the cluster at the end of a path that may be invalid; the first segment is not looked up."""
        cluster, names = segments[0], segments[1:]
        if cluster == HOME_PREFIX and names:
            home = self.home_of(names[0])
            if home is None:
                return None
            cluster, names = home, names[1:]
        for name in names:
            place = (cluster, name)
            child = self._clusters.get(place)
            if child is None:
                return None
            if place in self._closed:
                if self._closed[place] == _SCHEDULING:
                    return None
                _check(path, segments)
                raise unavailable(f"workspace {path} is not available")
            cluster = child
        return cluster

    def workspace(self, parent: str, name: str) -> Object | None:
        """The catalog's copy of a workspace (see `WORKSPACES`); None if there is none."""
        return self._catalog.get(WORKSPACES, parent, name)

    def home_of(self, user_name: str) -> str | None:
        """The cluster of a user's home workspace; None if the user has none yet."""
        home = self._catalog.get(HOMES, ROOT, home_key(user_name))
        return home["cluster"] if home is not None else None

    def knows(self, cluster: str) -> bool:
        """Whether a cluster belongs to a workspace or is a home. Only these count as tenants of their range."""
        return cluster in self._parents or cluster in self._homes

    def parent_of(self, cluster: str) -> tuple[str, str] | None:
        """(parent cluster, workspace name) of the workspace of a cluster; None for `root` and `system:*`."""
        return self._parents.get(cluster)

    def child_of(self, parent: str, name: str) -> str | None:
        """The cluster of a workspace by its parent cluster and name; None if it is not known. In a subscriber of the catalog that
        was added before `start`, the cluster before the change."""
        return self._clusters.get((parent, name))

    def path_of(self, cluster: str) -> str | None:
        """The canonical path of a cluster; None if it has no workspace and no path begins with it."""
        names: list[str] = []
        for _ in range(DEPTH_MAX):
            parent = self._parents.get(cluster)
            if parent is None:
                user = self._homes.get(cluster)
                if user is not None and SEGMENT.fullmatch(user):
                    return ":".join((HOME_PREFIX, user, *reversed(names)))
                if not names and user is None and cluster != ROOT and not cluster.startswith("system:"):
                    return None
                return ":".join((cluster, *reversed(names)))
            names.append(parent[1])
            cluster = parent[0]
        return None

    def tenants(self, range_name: str) -> int:
        """The number of workspaces and homes in a range."""
        return self._tenants.get(range_name, 0)

    def _workspace_changed(self, _: str, parent: str, name: str, copy: Object | None) -> None:
        place = (parent, name)
        cluster = copy["cluster"] if copy is not None else None
        phase = copy.get("phase") if copy is not None else None
        if phase in _CLOSED:
            self._closed[place] = phase
        else:
            self._closed.pop(place, None)
        former = self._clusters.get(place)
        if former == cluster:
            return
        if former is not None and self._parents.get(former) == place:
            del self._parents[former]
            self._count(former, -1)
        if cluster is None:
            self._clusters.pop(place, None)
            return
        if cluster not in self._parents:
            self._count(cluster, 1)
        self._parents[cluster] = place
        self._clusters[place] = cluster

    def _home_changed(self, _: str, __: str, key: str, home: Object | None) -> None:
        former = self._home_clusters.pop(key, None)
        if former is not None:
            del self._homes[former]
            self._count(former, -1)
        if home is not None:
            self._home_clusters[key] = home["cluster"]
            self._homes[home["cluster"]] = home["user"]
            self._count(home["cluster"], 1)

    def _count(self, cluster: str, by: int) -> None:
        found = self.range_of(cluster)
        if found is not None:
            self._tenants[found.name] = self._tenants.get(found.name, 0) + by

    def _map_changed(self) -> None:
        former, self._ranges = self._ranges, self.range_map.ranges()
        if [(r.name, r.start, r.end) for r in former] == [(r.name, r.start, r.end) for r in self._ranges]:
            # Only owners changed. Tenants stay in their ranges, and counting a million tenants takes a second.
            return
        self._tenants = {}
        for cluster in (*self._parents, *self._homes):
            self._count(cluster, 1)


def _check(path: str, segments: Sequence[str]) -> None:
    """Raises StatusError 400 if the text is not a path."""
    if not all(map(SEGMENT.fullmatch, segments)):
        raise invalid_path(path)
