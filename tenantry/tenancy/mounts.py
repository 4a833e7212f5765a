"""The mounts of logical clusters and of ranges: `/clusters/<id | path | *>/…` and `/ranges/<name>/…`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import orjson

from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.hidden import HiddenScope, Knows
from tenantry.apiserver.mount import LocalPlace, RemotePlace
from tenantry.apiserver.request import Request
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.storage_errors import check_readable, not_owner
from tenantry.kube.objects import GroupResource, annotations_of
from tenantry.kube.status import StatusError, forbidden, generic_not_found, not_found
from tenantry.placement.paths.locator import Locator
from tenantry.placement.range_map import RangeMap
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.tenancy.authorization.links import NOT_PERMITTED
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.cluster_scope import ONLY_MASTERS, ClusterScope, ClusterScopes, ErrorScope
from tenantry.tenancy.resource_identity import split_identity
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.well_known import INACTIVE_ANNOTATION, ROOT
from tenantry.tenancy.workspaces.home_scope import HOME_PATH, HOME_SUBRESOURCE, HomeScope
from tenantry.tenancy.workspaces.home_workspaces import HomeWorkspaces

WILDCARD = "*"
_INACTIVE = b'kcp.io/inactive":"true"'
_LEGACY_INACTIVE_ANNOTATION = "internal.kcp.io/inactive"
_SERVED_WHILE_INACTIVE = ("/openapi", "/apis/core.kcp.io/v1alpha1/logicalclusters")


@dataclass(frozen=True, slots=True)
class HiddenPlace:
    """A place that does not exist, or that is not in a logical cluster."""

    hidden: HiddenScope
    path: str

    @property
    def cluster(self) -> str | None:
        return self.hidden.cluster

    def scope(self, request: Request) -> tuple[Scope | HiddenScope, str]:
        return self.hidden, self.path


class RangedMount(Protocol):
    """A mount that can be limited to one range, for `/ranges/<name>/…`. `range_name` None: all ranges of this shard."""

    def locate(self, path: str, *, range_name: str | None = None) -> LocalPlace | RemotePlace: ...

    def hidden(self, path: str, error: StatusError) -> LocalPlace:
        """The place of a path in a range that does not exist; `error` says so."""
        ...


def split_first(path: str) -> tuple[str, str]:
    """`a/b/c` or `/a/b/c` → (`a`, `/b/c`)."""
    first, slash, rest = path.lstrip("/").partition("/")
    return first, slash + rest


class ClustersMount:
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

    def locate(self, path: str, *, range_name: str | None = None) -> LocalPlace | RemotePlace:
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
            return RemotePlace(found.range_name, f"/clusters/{found.cluster}{rest}")
        check_readable(found.range)
        return ClusterPlace(self, found.cluster, found.range, rest)

    def hidden(self, path: str, error: StatusError) -> LocalPlace:
        cluster, rest = split_first(path)
        _, _, rest = split_identity(rest)
        if cluster == WILDCARD:
            return HiddenPlace(HiddenScope(error, reason=ONLY_MASTERS, cluster=None), rest)
        return HiddenPlace(HiddenScope(error, self._is_privileged, NOT_PERMITTED, cluster), rest)

    def _wildcard(self, rest: str, range_name: str | None) -> LocalPlace:
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
        return WildcardPlace(self.scopes, range_.name, rest)


@dataclass(frozen=True, slots=True)
class WildcardPlace:
    """All clusters of a range of this shard."""

    scopes: ClusterScopes
    range_name: str
    path: str

    @property
    def cluster(self) -> None:
        return None

    def scope(self, request: Request) -> tuple[Scope | HiddenScope, str]:
        resource, identity, rest = split_identity(self.path)
        return self.scopes.wildcard(self.range_name, resource=resource, identity=identity), rest


@dataclass(frozen=True, slots=True)
class ClusterPlace:
    """A logical cluster in a range of this shard, whether it exists or not."""

    mount: ClustersMount
    cluster: str
    range: Range
    path: str

    def scope(self, request: Request) -> tuple[Scope | HiddenScope, str]:
        scopes, homes = self.mount.scopes, self.mount.homes
        resource, identity, rest = split_identity(self.path)
        why = self._scope_error(rest, resource, identity)
        if why is not None:
            return ErrorScope(scopes, self.cluster, self.range, why), rest
        if rest == HOME_PATH and self.cluster == ROOT and request.method == "GET" and homes is not None:
            return HomeScope(scopes, self.range, homes), f"{rest}/{HOME_SUBRESOURCE}"
        return ClusterScope(scopes, self.cluster, self.range), rest

    def _scope_error(self, path: str, resource: str, identity: str) -> StatusError | None:
        """403 if the logical cluster is inactive and the request is not for its LogicalCluster or OpenAPI. 404 if it does not
        serve the resource with the identity that the path names."""
        if self._is_inactive() and not path.startswith(_SERVED_WHILE_INACTIVE):
            return forbidden(GroupResource("core.kcp.io", "logicalclusters"), self.cluster, "logical cluster is marked inactive")
        if identity:
            definition = self.mount.apis.definition(self.cluster, path.split("/")[2], resource)
            if definition is None or definition.identity != identity:
                return generic_not_found()
        return None

    def _is_inactive(self) -> bool:
        record = self.range.get(Key(self.cluster, LOGICAL_CLUSTERS, "", NAME))
        if record is None or _INACTIVE not in record.value:
            return False
        annotations = annotations_of(orjson.loads(record.value))
        return "true" in (annotations.get(INACTIVE_ANNOTATION), annotations.get(_LEGACY_INACTIVE_ANNOTATION))


class RangesMount:
    """`/ranges/<name>/…`: what a kcp shard serves under its base URL, for one range.

    `mounts`: the next path segment (`clusters`, `services`) → its mount. `ranges`: those of this shard. `is_privileged`: whether
    a user may know which ranges exist.
    """

    def __init__(
        self, range_map: RangeMap, mounts: Mapping[str, RangedMount], *, ranges: Mapping[str, Range], is_privileged: Knows
    ) -> None:
        self._range_map = range_map
        self._mounts = mounts
        self._ranges = ranges
        self._is_privileged = is_privileged

    def locate(self, path: str) -> LocalPlace | RemotePlace:
        name, rest = split_first(path)
        known = self._range_map.named(name)
        first, inner = split_first(rest)
        mount = self._mounts.get(first)
        if known is None:
            error = not_found(GroupResource("core.kcp.io", "shards"), name)
            return mount.hidden(inner, error) if mount is not None else self._hidden(rest, error)
        if known.name not in self._ranges:
            return RemotePlace(name, f"/ranges/{name}{rest}")
        if mount is not None:
            return mount.locate(inner, range_name=name)
        if rest in HEALTH_PATHS:
            # The health of the process that owns the range. Open to all, as it is for ranges that do not exist.
            return HiddenPlace(HiddenScope(generic_not_found(), lambda _: False), rest)
        return self._hidden(rest, generic_not_found())

    def _hidden(self, rest: str, error: StatusError) -> LocalPlace:
        return HiddenPlace(HiddenScope(error, self._is_privileged), rest or "/")
