"""The resolver of all views: `/services/<view>/<argument>/…[/clusters/<id or *>]/<Kubernetes path>`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from tenantry.apiserver.hidden_scope import HiddenScope
from tenantry.apiserver.path_resolver import LocalRoute, RemoteRoute, Resolved
from tenantry.apiserver.request import Request
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.storage_errors import check_readable, not_owner
from tenantry.base.tasks import raised
from tenantry.kube.status import PlainError, StatusError, internal, unavailable
from tenantry.placement.paths.directory import Directory
from tenantry.storage.range import Range
from tenantry.tenancy.cluster_scope import ClusterScope, ClusterScopes
from tenantry.tenancy.path_resolvers import WILDCARD, HiddenRoute, split_first
from tenantry.tenancy.well_known import ROOT
from tenantry.virtual.not_found import NotFoundScope
from tenantry.virtual.view import Place, View, ViewContext
from tenantry.virtual.view_scope import ViewScope

_VIEW_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_WRITES = frozenset({"create", "patch", "update"})
NOT_READY_SECONDS = 5
"""After this time, clients try a view again that is not ready."""
_UNUSED_ID_SUFFIX = "-nothing"
"""Makes an id that no logical cluster has: ids have no hyphen."""
_CLUSTER_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?|system:[a-z0-9:-]+")


def load_views(views: Sequence[View], context: ViewContext, classes: Iterable[type[View]]) -> dict[str, View]:
    """Name → view: `views`, and one of each of `classes`.

    Raises ValueError if a name is not a DNS label, if two views have the same name, or if a view shows objects in another form
    and lets clients write them, but does not say what to store.
    """
    named: dict[str, View] = {}
    for view in (*views, *(made_by(context) for made_by in classes)):
        name = view.name
        where = _class_of(view)
        if not _VIEW_NAME.fullmatch(name):
            raise ValueError(f"the view {where} is named {name!r}; `name` must be a lower-case DNS label")
        if name in named:
            raise ValueError(
                f"two views are named {name!r}: {_class_of(named[name])} and {where}; rename one, or uninstall its package"
            )
        if type(view).show is not View.show and type(view).store is View.store and not _WRITES.isdisjoint(view.verbs):
            raise ValueError(f"the view {where} overrides `show` and has verbs that write, so it must override `store` too")
        named[name] = view
    return named


def _class_of(view: View) -> str:
    return f"{type(view).__module__}.{type(view).__qualname__}"


class Elsewhere(Protocol):
    @property
    def names(self) -> frozenset[str]:
        """The names of the views that processes of their own serve now."""
        ...


class _Nowhere:
    names = frozenset[str]()


class ServicesResolver:
    """The resolver of all views. If the URL names no range, a cluster is in its own range, and `*` means the range `root`.

    `views`: by name. `ranges`: those of this shard. `elsewhere`: the views that processes of their own serve. They need not be
    among `views`.
    """

    def __init__(
        self,
        directory: Directory,
        scopes: ClusterScopes,
        views: Mapping[str, View],
        *,
        shard_name: str,
        ranges: Mapping[str, Range],
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._elsewhere = elsewhere or _Nowhere()
        self._directory = directory
        self._scopes = scopes
        self._views = dict(views)
        self._shard_name = shard_name
        self._ranges = ranges

    def locate(self, path: str, *, range_name: str | None = None, here: bool = False) -> LocalRoute | RemoteRoute:
        """`here`: also a view that a process of its own serves is located in this process. Raises StatusError 501 where it is not
        installed."""
        if self._elsewhere.names and (first := split_first(path)[0]) in self._elsewhere.names:
            if not here:
                return self._in_its_process(first, path, range_name)
            if first not in self._views:
                raise _not_installed(first)
        found = self._parse(path)
        if found is None:
            return _no_such_view(path)
        view, arguments, cluster, inner = found
        name = self._range_of(cluster, range_name)
        if name is None:
            return self._not_found(view, arguments, inner, _page_not_found())
        range_ = self._ranges.get(name)
        if range_ is None:
            return RemoteRoute(name, f"/ranges/{name}/services/{path.lstrip('/')}")
        check_readable(range_)
        return ViewRoute(self._scopes, view, Place(arguments, cluster, name), inner)

    def range_name_of(self, path: str, range_name: str | None = None) -> str | None:
        """The name of the range whose objects a path is about. None: there is none, or the path belongs to no view that is
        installed here."""
        found = self._parse(path)
        return self._range_of(found[2], range_name) if found is not None else range_name

    def _in_its_process(self, view: str, path: str, range_name: str | None) -> RemoteRoute:
        prefix = f"/ranges/{range_name}" if range_name is not None else ""
        here = partial(self.locate, path, range_name=range_name, here=True)
        place = self.range_name_of(path, range_name) or ROOT
        return RemoteRoute(place, f"{prefix}/services/{path.lstrip('/')}", view, here)

    def hidden(self, path: str, error: StatusError) -> LocalRoute:
        found = self._parse(path)
        if found is None:
            return _no_such_view(path)
        view, arguments, _, inner = found
        return self._not_found(view, arguments, inner, error)

    def _parse(self, path: str) -> tuple[View, tuple[str, ...], str | None, str] | None:
        """(view, its arguments, cluster id, Kubernetes path). The cluster is None for `*`, and empty if the arguments mean no
        cluster.

        Returns None if the path belongs to no view.
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
            if view.repeats_cluster:
                if not _CLUSTER_NAME.fullmatch(cluster):
                    return None
                word, after = split_first(rest)
                if word == "clusters":
                    wanted, rest = split_first(after)
                    if wanted not in (WILDCARD, cluster):
                        return None
        return view, tuple(arguments), cluster, rest or "/"

    def _cluster_of(self, view: View, arguments: tuple[str, ...]) -> str | None:
        try:
            return view.cluster_of(arguments)
        except StatusError:
            return None
        except Exception:  # a view may raise any error, and the caller is not known yet
            raised(f"the cluster of a place in the view {view.name}")
            raise internal(f"the view {view.name} failed") from None

    def _range_of(self, cluster: str | None, range_name: str | None) -> str | None:
        if cluster is None:
            return range_name or ROOT
        found = self._directory.range_of(cluster)
        if found is None or (range_name is not None and found.name != range_name):
            return None
        return found.name

    def _not_found(self, view: View, arguments: tuple[str, ...], path: str, error: StatusError) -> LocalRoute:
        range_ = self._ranges.get(ROOT) or next(iter(self._ranges.values()), None)
        if range_ is None:
            raise not_owner(f"shard {self._shard_name} owns no range at the moment")
        return NotFoundRoute(
            self._scopes, view, Place(arguments, f"{range_.start}{_UNUSED_ID_SUFFIX}", range_.name), range_, path, error
        )


@dataclass(frozen=True, slots=True)
class ViewRoute:
    """A route into a view, whose range this shard owns."""

    scopes: ClusterScopes
    view: View
    place: Place
    path: str

    @property
    def cluster(self) -> str | None:
        return self.place.cluster

    def resolve(self, request: Request) -> Resolved:
        place, view = self.place, self.view
        request.view = view.name
        if type(view).ready is not View.ready and view.ready() is not None:
            raise unavailable(f"the view {view.name} is not ready", NOT_READY_SECONDS)
        base = self.scopes.wildcard(place.range) if place.cluster is None else self.scopes.cluster(place.cluster)
        scope = _scope_of(self.view, place, base, self.path)
        if isinstance(scope, ViewScope) and self.path in ("/api", "/apis"):
            request.headers = _without_accept(request.headers)
        return Resolved(self.path, place.cluster, scope.authorizer, scope)


@dataclass(frozen=True, slots=True)
class NotFoundRoute:
    """A route into a view that does not exist. Its requests are authorized as in a logical cluster that never exists, and then
    get `error`."""

    scopes: ClusterScopes
    view: View
    place: Place
    range: Range
    path: str
    error: StatusError

    @property
    def cluster(self) -> str | None:
        return self.place.cluster

    def resolve(self, request: Request) -> Resolved:
        request.view = self.view.name
        base = ClusterScope(self.scopes, self.place.cluster or "", self.range)
        scope = _scope_of(self.view, self.place, base, self.path)
        hidden = NotFoundScope(self.view, scope, self.error, shown=not self.view.per_cluster)
        return Resolved(self.path, self.place.cluster, hidden, hidden)


def _scope_of(view: View, place: Place, base: ClusterScope, path: str) -> Scope:
    return view.scope(place, base, path) or ViewScope(view, place, base)


def _no_such_view(path: str) -> LocalRoute:
    """The answer to a path that belongs to no view."""
    return HiddenRoute(HiddenScope(_page_not_found()), f"/services/{path.lstrip('/')}")


def _not_installed(name: str) -> StatusError:
    text = f"writes through the view {name} are done by shards, and shard processes do not have it: install its package there too"
    return StatusError(501, "NotImplemented", text)


def _page_not_found() -> StatusError:
    return PlainError(404, "404 page not found")


def _without_accept(headers: Mapping[str, str]) -> dict[str, str]:
    """Views do not serve aggregated discovery, whatever the client accepts; client-go then reads each group version (kcp)."""
    return {**{name.lower(): value for name, value in headers.items()}, "accept": "application/json"}
