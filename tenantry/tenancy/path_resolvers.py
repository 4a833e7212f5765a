"""The resolvers of logical clusters and of ranges: `/clusters/<id | path | *>/…` and `/ranges/<name>/…`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import orjson

from tenantry.apiserver.authorization import NOT_PERMITTED
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.hidden_scope import HiddenScope, Knows
from tenantry.apiserver.path_resolver import LocalRoute, RemoteRoute, Resolved
from tenantry.apiserver.request import Request
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.storage_errors import check_readable, not_owner
from tenantry.kube.objects import GroupResource, annotations_of
from tenantry.kube.status import StatusError, forbidden, generic_not_found, not_found
from tenantry.placement.paths.locator import Locator
from tenantry.placement.range_map import RangeMap
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.cluster_scope import ONLY_MASTERS, ClusterScope, ClusterScopes, ErrorScope
from tenantry.tenancy.resource_identity import split_identity
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.well_known import INACTIVE_ANNOTATION, ROOT
from tenantry.tenancy.workspaces.beyond_capacity_scope import BeyondCapacityScope
from tenantry.tenancy.workspaces.home_scope import HOME_PATH, HOME_SUBRESOURCE, HomeScope
from tenantry.tenancy.workspaces.home_workspaces import HomeWorkspaces

WILDCARD = "*"
_INACTIVE = b'kcp.io/inactive":"true"'
_LEGACY_INACTIVE_ANNOTATION = "internal.kcp.io/inactive"
_SERVED_WHILE_INACTIVE = ("/openapi", "/apis/core.kcp.io/v1alpha1/logicalclusters")


@dataclass(frozen=True, slots=True)
class HiddenRoute:
    """A route that does not exist, or that is not in a logical cluster."""

    hidden: HiddenScope
    path: str

    @property
    def cluster(self) -> str | None:
        return self.hidden.cluster

    def resolve(self, request: Request) -> Resolved:
        return Resolved(self.path, self.hidden.cluster, self.hidden, None)


class RangedResolver(Protocol):
    """A resolver that can be limited to one range, for `/ranges/<name>/…`. `range_name` None: all ranges of this shard."""

    def locate(self, path: str, *, range_name: str | None = None) -> LocalRoute | RemoteRoute: ...

    def hidden(self, path: str, error: StatusError) -> LocalRoute:
        """The route of a path in a range that does not exist; `error` says so."""
        ...


def split_first(path: str) -> tuple[str, str]:
    """`a/b/c` or `/a/b/c` → (`a`, `/b/c`)."""
    first, slash, rest = path.lstrip("/").partition("/")
    return first, slash + rest


class ClustersResolver:
    """`/clusters/<id | path | *>/…`.

    `ranges`: those of this shard. `homes`: None if home workspaces are disabled. `is_privileged`: whether a user may know which
    logical clusters exist. `ready`: whether the catalog is read; before that every request is answered with 503.
    """

    def __init__(
        self,
        locator: Locator,
        scopes: ClusterScopes,
        *,
        shard_name: str,
        ranges: Mapping[str, Range],
        apis: ClusterApis,
        homes: HomeWorkspaces | None,
        is_privileged: Knows,
        ready: Callable[[], bool],
    ) -> None:
        self.scopes = scopes
        self.apis = apis
        self.homes = homes
        self._locator = locator
        self._shard_name = shard_name
        self._ranges = ranges
        self._is_privileged = is_privileged
        self._ready = ready

    def locate(self, path: str, *, range_name: str | None = None) -> LocalRoute | RemoteRoute:
        cluster, rest = split_first(path)
        if not self._ready():
            # Before the catalog is read, paths and APIs seem not to exist, and a client would believe the 404.
            raise not_owner(f"shard {self._shard_name} is starting")
        if cluster == WILDCARD:
            return self._wildcard(rest, range_name)
        try:
            found = self._locator.locate(cluster, range_name=range_name)
        except StatusError as error:
            return self.hidden(path, error)
        if found.range is None:
            return RemoteRoute(found.range_name, f"/clusters/{found.cluster}{rest}")
        check_readable(found.range)
        return ClusterRoute(self, found.cluster, found.range, rest)

    def hidden(self, path: str, error: StatusError) -> LocalRoute:
        cluster, rest = split_first(path)
        _, _, rest = split_identity(rest)
        if cluster == WILDCARD:
            return HiddenRoute(HiddenScope(error, reason=ONLY_MASTERS, cluster=None), rest)
        return HiddenRoute(HiddenScope(error, self._is_privileged, NOT_PERMITTED, cluster), rest)

    def _wildcard(self, rest: str, range_name: str | None) -> LocalRoute:
        if range_name is None:
            owned = list(self._ranges)
            if len(owned) != 1:
                text = "a wildcard spans one range: use /ranges/<name>/clusters/*; the Shard objects in root list the ranges"
                return self.hidden(f"{WILDCARD}{rest}", StatusError(400, "BadRequest", text))
            range_name = owned[0]
        range_ = self._ranges.get(range_name)
        if range_ is None:
            raise not_owner(f"range {range_name} is not owned by shard {self._shard_name}")
        check_readable(range_)
        return WildcardRoute(self.scopes, range_.name, rest)


@dataclass(frozen=True, slots=True)
class WildcardRoute:
    """All clusters of a range of this shard."""

    scopes: ClusterScopes
    range_name: str
    path: str

    @property
    def cluster(self) -> None:
        return None

    def resolve(self, request: Request) -> Resolved:
        resource, identity, rest = split_identity(self.path)
        scope = self.scopes.wildcard(self.range_name, resource=resource, identity=identity)
        return Resolved(rest, None, scope.authorizer, scope)


@dataclass(slots=True, eq=False)
class ClusterRoute:
    """A logical cluster in a range of this shard, whether it exists or not. It is made for each request, and frozen dataclasses
    take three times as long to make."""

    resolver: ClustersResolver
    cluster: str
    range: Range
    path: str

    def resolve(self, request: Request) -> Resolved:
        scopes, homes = self.resolver.scopes, self.resolver.homes
        resource, identity, rest = split_identity(self.path)
        why = self._scope_error(rest, resource, identity)
        scope: Scope
        if why is not None:
            scope = ErrorScope(scopes, self.cluster, self.range, why)
        elif rest == HOME_PATH and self.cluster == ROOT and request.method == "GET" and homes is not None:
            scope, rest = HomeScope(scopes, self.range, homes), f"{rest}/{HOME_SUBRESOURCE}"
        elif request.beyond_capacity:
            scope = BeyondCapacityScope(scopes, self.cluster, self.range)
        else:
            scope = ClusterScope(scopes, self.cluster, self.range)
        return Resolved(rest, self.cluster, scope.authorizer, scope)

    def _scope_error(self, path: str, resource: str, identity: str) -> StatusError | None:
        """403 if the logical cluster is inactive and the request is not for its LogicalCluster or OpenAPI. 404 if it does not
        serve the resource with the identity that the path names."""
        if self._is_inactive() and not path.startswith(_SERVED_WHILE_INACTIVE):
            return forbidden(GroupResource("core.kcp.io", "logicalclusters"), self.cluster, "logical cluster is marked inactive")
        if identity:
            definition = self.resolver.apis.definition(self.cluster, path.split("/")[2], resource)
            if definition is None or definition.identity != identity:
                return generic_not_found()
        return None

    def _is_inactive(self) -> bool:
        record = self.range.get(Key(self.cluster, LOGICAL_CLUSTERS, "", NAME))
        if record is None or _INACTIVE not in record.value:
            return False
        annotations = annotations_of(orjson.loads(record.value))
        return "true" in (annotations.get(INACTIVE_ANNOTATION), annotations.get(_LEGACY_INACTIVE_ANNOTATION))


class RangesResolver:
    """`/ranges/<name>/…`: what a kcp shard serves under its base URL, for one range.

    `resolvers`: the next path segment (`clusters`, `services`) → its resolver. `ranges`: those of this shard. `is_privileged`:
    whether a user may know which ranges exist. `elsewhere(view)`: whether a process of its own serves a view, whichever shard
    owns the range.
    """

    def __init__(
        self,
        range_map: RangeMap,
        resolvers: Mapping[str, RangedResolver],
        *,
        ranges: Mapping[str, Range],
        is_privileged: Knows,
        elsewhere: Callable[[str], bool] = lambda view: False,
    ) -> None:
        self._elsewhere = elsewhere
        self._range_map = range_map
        self._resolvers = resolvers
        self._ranges = ranges
        self._is_privileged = is_privileged

    def locate(self, path: str) -> LocalRoute | RemoteRoute:
        name, rest = split_first(path)
        known = self._range_map.named(name)
        first, inner = split_first(rest)
        resolver = self._resolvers.get(first)
        if known is None:
            error = not_found(GroupResource("core.kcp.io", "shards"), name)
            return resolver.hidden(inner, error) if resolver is not None else self._hidden(rest, error)
        if known.name not in self._ranges and not (first == "services" and self._elsewhere(split_first(inner)[0])):
            return RemoteRoute(name, f"/ranges/{name}{rest}")
        if resolver is not None:
            return resolver.locate(inner, range_name=name)
        if rest in HEALTH_PATHS:
            # The health of the process that owns the range. Open to all, as it is for ranges that do not exist.
            return HiddenRoute(HiddenScope(generic_not_found(), lambda _: False), rest)
        return self._hidden(rest, generic_not_found())

    def _hidden(self, rest: str, error: StatusError) -> LocalRoute:
        return HiddenRoute(HiddenScope(error, self._is_privileged), rest or "/")
