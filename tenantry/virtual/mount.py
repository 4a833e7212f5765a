"""How views become paths: `/services/<view>/<argument>/…[/clusters/<id or *>]/<Kubernetes path>`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from tenantry.apiserver.http import Reply, Request
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.storage_errors import check_readable, not_owner
from tenantry.kube.status import StatusError
from tenantry.tenancy.scopes import WILDCARD, split_first
from tenantry.tenancy.well_known import ROOT
from tenantry.virtual.apiexport.view import ApiExportView
from tenantry.virtual.initializing.initializing import InitializingWorkspaces
from tenantry.virtual.initializing.terminating import TerminatingWorkspaces
from tenantry.virtual.nowhere import NowhereScope
from tenantry.virtual.view import Place, View
from tenantry.virtual.view_scope import ViewScope

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

ENTRY_POINT_GROUP = "tenantry.virtual_workspaces"
_VIEW_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_CLUSTER_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?|system:[a-z0-9:-]+")


def stock_views() -> list[type[View]]:
    """The views that come with this package."""
    return [ApiExportView, InitializingWorkspaces, TerminatingWorkspaces]


def installed_views() -> list[type[View]]:
    """The views of installed packages, by entry points of the group `tenantry.virtual_workspaces`.

    Raises TypeError for an entry point that is no view.
    """
    found: list[type[View]] = []
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        loaded = point.load()
        if not (isinstance(loaded, type) and issubclass(loaded, View)):
            raise TypeError(f"entry point {point.name} = {point.value} is no View; name a subclass of tenantry.virtual.view.View")
        found.append(loaded)
    return found


def load_views(host: Host, classes: Iterable[type[View]] | None = None) -> dict[str, View]:
    """Makes the views: name → view. By default the stock ones and those of installed packages.

    Raises ValueError where a name is missing, is no path segment, or is used twice.
    """
    views: dict[str, View] = {}
    for made_by in [*stock_views(), *installed_views()] if classes is None else classes:
        name = made_by.name
        where = f"{made_by.__module__}.{made_by.__qualname__}"
        if not _VIEW_NAME.fullmatch(name):
            raise ValueError(f"the view {where} is named {name!r}; `name` must be a lower-case DNS label")
        if name in views:
            other = type(views[name])
            first = f"{other.__module__}.{other.__qualname__}"
            raise ValueError(f"two views are named {name!r}: {first} and {where}; rename one, or uninstall its package")
        views[name] = made_by(host)
    return views


class ServicesMount:
    """The mount of all views. Without a range in the URL, a cluster is looked for in its own, and `*` means the range `root`."""

    def __init__(self, host: Host, views: Mapping[str, View]) -> None:
        self._host = host
        self._views = dict(views)

    async def resolve(self, request: Request, path: str, *, range_name: str | None = None) -> tuple[Scope, str] | Reply:
        found = self._parse(path, range_name)
        if found is None:
            return self._nowhere(), f"/services/{path.lstrip('/')}"
        view, place, inner = found
        if place.range not in self._host.cell.ranges:
            moved = replace(request, path=f"/ranges/{place.range}/services/{path.lstrip('/')}")
            return await self._host.peers.call(place.range, moved)
        check_readable(self._host.cell.ranges[place.range])
        scope = view.scope(place, inner)
        if isinstance(scope, ViewScope) and inner in ("/api", "/apis"):
            request.headers = _without_accept(request.headers)
        return scope, inner

    def _parse(self, path: str, range_name: str | None) -> tuple[View, Place, str] | None:
        """None where no view accepts the path."""
        name, rest = split_first(path)
        view = self._views.get(name)
        if view is None:
            return None
        arguments: list[str] = []
        for _ in view.arguments:
            value, rest = split_first(rest)
            if not value:
                return None
            arguments.append(value)
        cluster: str | None
        if view.per_cluster:
            word, rest = split_first(rest)
            wanted, rest = split_first(rest)
            if word != "clusters" or not (wanted == WILDCARD or _CLUSTER_NAME.fullmatch(wanted)):
                return None
            cluster = None if wanted == WILDCARD else wanted
        else:
            cluster = self._cluster_of(view, tuple(arguments))
            if cluster is None:
                return None
        held = self._range_of(cluster, range_name)
        return (view, Place(tuple(arguments), cluster, held), rest or "/") if held is not None else None

    def _cluster_of(self, view: View, arguments: tuple[str, ...]) -> str | None:
        try:
            return view.cluster_of(arguments)
        except StatusError:
            return None

    def _range_of(self, cluster: str | None, range_name: str | None) -> str | None:
        if cluster is None:
            return range_name or ROOT
        found = self._host.directory.range_of(cluster)
        if found is None or (range_name is not None and found.name != range_name):
            return None
        return found.name

    def _nowhere(self) -> NowhereScope:
        held = next(iter(self._host.cell.ranges.values()), None)
        if held is None:
            raise not_owner(f"shard {self._host.name} holds no range at the moment")
        return NowhereScope(self._host, held.start, held)


def _without_accept(headers: Mapping[str, str]) -> dict[str, str]:
    """Views answer discovery one by one whatever a client would like: client-go then walks group by group (kcp)."""
    return {**{name.lower(): value for name, value in headers.items()}, "accept": "application/json"}
