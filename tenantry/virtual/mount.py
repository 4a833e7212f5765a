"""How views become paths: `/services/<view>/<argument>/…[/clusters/<id or *>]/<Kubernetes path>`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from tenantry.apiserver.hidden import Hidden
from tenantry.apiserver.request import Request
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.storage_errors import check_readable, not_owner
from tenantry.http.messages import Reply
from tenantry.kube.status import PlainError, StatusError
from tenantry.tenancy.scopes import WILDCARD, Resolved, split_first
from tenantry.tenancy.well_known import ROOT
from tenantry.virtual.apiexport.view import ApiExportView
from tenantry.virtual.initializing.initializing import InitializingWorkspaces
from tenantry.virtual.initializing.terminating import TerminatingWorkspaces
from tenantry.virtual.not_found import NothingScope
from tenantry.virtual.view import Place, View
from tenantry.virtual.view_scope import ViewScope

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

ENTRY_POINT_GROUP = "tenantry.virtual_workspaces"
_VIEW_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NEVER_AN_ID = "-nothing"
"""Ids of logical clusters have no hyphen."""
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

    async def resolve(self, request: Request, path: str, *, range_name: str | None = None) -> Resolved | Reply:
        found = self._parse(path)
        if found is None:
            return _nowhere(path)
        view, arguments, cluster, inner = found
        range_ = self._range_of(cluster, range_name)
        if range_ is None:
            return self._nothing(view, arguments, inner, _page_not_found())
        if range_ not in self._host.cell.ranges:
            moved = replace(request, path=f"/ranges/{range_}/services/{path.lstrip('/')}")
            return await self._host.peers.call(range_, moved)
        check_readable(self._host.cell.ranges[range_])
        scope = view.scope(Place(arguments, cluster, range_), inner)
        if isinstance(scope, ViewScope) and inner in ("/api", "/apis"):
            request.headers = _without_accept(request.headers)
        return scope, inner

    def hidden(self, path: str, error: StatusError) -> Resolved:
        found = self._parse(path)
        if found is None:
            return _nowhere(path)
        view, arguments, _, inner = found
        return self._nothing(view, arguments, inner, error)

    def _parse(self, path: str) -> tuple[View, tuple[str, ...], str | None, str] | None:
        """The view, its arguments, the cluster (None: `*`, empty: there is none), and the path inside.

        None where no view has such paths.
        """
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
            cluster = self._cluster_of(view, tuple(arguments)) or ""
        return view, tuple(arguments), cluster, rest or "/"

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

    def _nothing(self, view: View, arguments: tuple[str, ...], path: str, error: StatusError) -> Resolved:
        ranges = self._host.cell.ranges
        range_ = ranges.get(ROOT) or next(iter(ranges.values()), None)
        if range_ is None:
            raise not_owner(f"shard {self._host.name} holds no range at the moment")
        scope = view.scope(Place(arguments, f"{range_.start}{_NEVER_AN_ID}", range_.name), path)
        return cast("Scope", NothingScope(view, scope, error, shown=not view.per_cluster)), path


def _nowhere(path: str) -> Resolved:
    """No view has such paths, whatever there is."""
    return Hidden(_page_not_found()), f"/services/{path.lstrip('/')}"


def _page_not_found() -> StatusError:
    return PlainError(404, "404 page not found")


def _without_accept(headers: Mapping[str, str]) -> dict[str, str]:
    """Views answer discovery one by one whatever a client would like: client-go then walks group by group (kcp)."""
    return {**{name.lower(): value for name, value in headers.items()}, "accept": "application/json"}
