"""Scopes of tenancy: one logical cluster, and all clusters of a range for privileged callers; and where they are in URLs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import orjson

from tenantry.apiserver.admission.attributes import Admission
from tenantry.apiserver.authorization import Attributes, Authorizer, Decision, Verdict
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.hidden import Hidden
from tenantry.apiserver.scope import Call as Connected
from tenantry.apiserver.scope import Connector, Scope, Visibility
from tenantry.apiserver.storage_errors import check_readable, not_owner
from tenantry.apiserver.user import User
from tenantry.apiserver.verbs.call import Call
from tenantry.apiserver.verbs.respond import object_response, representation_of
from tenantry.http.messages import Reply, Request
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import GroupResource, Object, annotations_of
from tenantry.kube.status import StatusError, forbidden, generic_not_found, internal, method_not_allowed, not_found
from tenantry.placement.paths import WORKSPACE_RESOURCE
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.tenancy.authorization.links import NOT_PERMITTED
from tenantry.tenancy.copies import copies
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.well_known import INACTIVE_ANNOTATION, ROOT
from tenantry.tenancy.workspaces.homes import HOME_NAME, HomeWorkspaces

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

WILDCARD = "*"
_ONLY_MASTERS = "only privileged callers may work across logical clusters"
_INACTIVE = b'kcp.io/inactive":"true"'
_LEGACY_INACTIVE_ANNOTATION = "internal.kcp.io/inactive"
_SERVED_WHILE_INACTIVE = ("/openapi", "/apis/core.kcp.io/v1alpha1/logicalclusters")
_HOME_PATH = f"/apis/tenancy.kcp.io/v1alpha1/workspaces/{HOME_NAME}"
_HOME = "home"
"""How the answer for `~` is asked for behind the mount: as a subresource, so that it has a connector of its own."""


class ClusterScope:
    """One logical cluster, all of it. Made for each request, so it holds references only."""

    __slots__ = ("cluster", "host", "range")

    def __init__(self, host: Host, cluster: str, range_: Range) -> None:
        self.host = host
        self.cluster: str | None = cluster
        self.range = range_

    @property
    def cell(self) -> Cell:
        return self.host.cell

    @property
    def authorizer(self) -> Authorizer:
        return self.host.authorizer

    @property
    def admission(self) -> Admission:
        return self.host.admission

    def apis(self) -> ApiSet:
        assert self.cluster is not None
        return self.host.apis.for_cluster(self.cluster)

    def watch_apis(self, changed: Callable[[], None]) -> Callable[[], None]:
        assert self.cluster is not None
        return self.host.apis.subscribe(self.cluster, changed)

    def visibility(self, definition: ResourceDefinition, user: User, verb: str) -> Visibility | None:
        return None

    def acting_user(self, user: User, attributes: Attributes) -> User:
        return user

    def present(self, definition: ResourceDefinition, user: User) -> Callable[[Object], Object] | None:
        return None

    def catalog(self, definition: ResourceDefinition, key: Key, obj: Object | None) -> Mapping[bytes, bytes | None]:
        return copies(self.host, definition, key, obj)

    def connector(self, definition: ResourceDefinition, subresource: str) -> Connector | None:
        return self.host.connectors.get((definition.group, definition.plural, subresource))


class WildcardScope(ClusterScope):
    """Every cluster of a range: list and watch, for system:masters (kcp's `/clusters/*` on a shard).

    Types that are not the same in every cluster are there only by `resource:identity`, as in kcp.
    """

    __slots__ = ("_identity", "_resource")

    def __init__(self, host: Host, range_: Range, *, resource: str = "", identity: str = "") -> None:
        self.host = host
        self.cluster = None
        self.range = range_
        self._resource = resource
        self._identity = identity

    @property
    def authorizer(self) -> Authorizer:
        return MASTERS_READ

    def apis(self) -> ApiSet:
        return self.host.apis.for_wildcard(self._resource, self._identity)

    def watch_apis(self, changed: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


class _MastersRead:
    """Who may use a wildcard, and for what."""

    def authorize(self, attributes: Attributes) -> Decision:
        if not attributes.user.is_master:
            return Decision(Verdict.DENY, _ONLY_MASTERS)
        if attributes.is_resource and attributes.verb not in ("list", "watch"):
            refused = method_not_allowed(GroupResource(attributes.group, attributes.resource), attributes.verb)
            raise StatusError(
                refused.code, refused.reason, f"{refused.message} in the `*` logical cluster", details=refused.details
            )
        return Decision(Verdict.ALLOW, "system:masters")


MASTERS_READ = _MastersRead()


class HomeScope(ClusterScope):
    """`root`, for the one request that asks for the caller's home workspace.

    Whether somebody may have a home is decided where it is looked up, so authorization lets that request pass (kcp's handler is
    in front of it). Everything else is root's, the right to impersonate included.
    """

    __slots__ = ("_homes",)

    def __init__(self, host: Host, range_: Range, homes: HomeWorkspaces) -> None:
        super().__init__(host, ROOT, range_)
        self._homes = homes

    def apis(self) -> ApiSet:
        return _with_home(self.host.definitions.workspaces)

    @property
    def authorizer(self) -> Authorizer:
        return self

    def authorize(self, attributes: Attributes) -> Decision:
        if attributes.subresource == _HOME and attributes.name == HOME_NAME:
            return Decision(Verdict.ALLOW, "everybody may ask for a home")
        return self.host.authorizer.authorize(attributes)

    def connector(self, definition: ResourceDefinition, subresource: str) -> Connector | None:
        return self._answer if subresource == _HOME else super().connector(definition, subresource)

    async def _answer(self, call: Connected) -> Reply:
        assert isinstance(call, Call)
        representation = representation_of(call)
        return object_response(call, representation, await self._homes.get(call.user))


def _with_home(workspaces: ResourceDefinition) -> ApiSet:
    """Workspaces with the subresource that a home is asked for by."""
    memo = workspaces.versions[workspaces.storage_version].memo
    found: ApiSet | None = memo.get(_HOME)
    if found is None:
        versions = {
            name: replace(version, subresources=version.subresources | {_HOME}, memo={})
            for name, version in workspaces.versions.items()
        }
        found = memo[_HOME] = ApiSet((replace(workspaces, versions=versions),))
    return found


class ClosedScope(ClusterScope):
    """A logical cluster in which the request cannot be served, which is told to those who may know."""

    __slots__ = ("_error",)

    def __init__(self, host: Host, cluster: str, range_: Range, error: StatusError) -> None:
        super().__init__(host, cluster, range_)
        self._error = error

    @property
    def authorizer(self) -> Authorizer:
        return self

    def authorize(self, attributes: Attributes) -> Decision:
        decision = self.host.authorizer.authorize(attributes)
        if decision.allowed and attributes.verb != "impersonate":
            raise copy(self._error)
        return decision


Resolved = tuple[Scope | Hidden, str]


class RangedMount(Protocol):
    """A mount that can be confined to one range, which `/ranges/<name>/…` does. `range_name` None: all that this shard owns."""

    async def resolve(self, request: Request, path: str, *, range_name: str | None = None) -> Resolved | Reply: ...

    def hidden(self, path: str, error: StatusError) -> Resolved:
        """What `resolve` gives where there is no such range; `error` says so."""
        ...


def split_first(path: str) -> tuple[str, str]:
    """`a/b/c` or `/a/b/c` → (`a`, `/b/c`)."""
    first, slash, rest = path.lstrip("/").partition("/")
    return first, slash + rest


class ClustersMount:
    """`/clusters/<id | path | *>/…`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._homes = HomeWorkspaces(host)

    async def resolve(self, request: Request, path: str, *, range_name: str | None = None) -> Resolved | Reply:
        cluster, rest = split_first(path)
        if not self._host.ready.is_set():
            # Before the catalog is read every path and every API seems not to exist, and callers believe a 404.
            raise not_owner(f"shard {self._host.name} is starting")
        if cluster == WILDCARD:
            return self._wildcard(rest, range_name)
        try:
            found = self._host.directory.cluster_of(cluster)
        except StatusError as error:
            return self.hidden(path, error)
        # The fence decides, of which the map may be behind.
        range_ = self._host.cell.owned(found) if found is not None else None
        if found is None or range_ is None or range_name not in (None, range_.name):
            place = self._host.directory.range_of(found) if found is not None else None
            if found is None or place is None or range_name not in (None, place.name):
                return self.hidden(path, not_found(WORKSPACE_RESOURCE, cluster))
            if range_ is None:
                return await self._host.peers.call(place.name, replace(request, path=f"/clusters/{found}{rest}"))
        scope = ClusterScope(self._host, found, range_)
        check_readable(range_)
        resource, identity, rest = split_identity(rest)
        why = self._why_closed(scope, rest, resource, identity)
        if why is not None:
            return ClosedScope(self._host, found, scope.range, why), rest
        if rest == _HOME_PATH and found == ROOT and request.method == "GET" and self._host.home_workspaces:
            return HomeScope(self._host, scope.range, self._homes), f"{rest}/{_HOME}"
        return scope, rest

    def hidden(self, path: str, error: StatusError) -> Resolved:
        cluster, rest = split_first(path)
        _, _, rest = split_identity(rest)
        if cluster == WILDCARD:
            return Hidden(error, reason=_ONLY_MASTERS, cluster=None), rest
        return Hidden(error, self._host.authorizer.is_privileged, NOT_PERMITTED, cluster), rest

    def _why_closed(self, scope: ClusterScope, path: str, resource: str, identity: str) -> StatusError | None:
        """403 where the logical cluster was made inactive: only its own object stays within reach. 404 where it serves the
        resource with another identity, or not at all."""
        assert scope.cluster is not None
        if self._is_inactive(scope, scope.cluster) and not path.startswith(_SERVED_WHILE_INACTIVE):
            return forbidden(GroupResource("core.kcp.io", "logicalclusters"), scope.cluster, "logical cluster is marked inactive")
        if identity:
            definition = self._host.apis.definition(scope.cluster, path.split("/")[2], resource)
            if definition is None or definition.identity != identity:
                return generic_not_found()
        return None

    @staticmethod
    def _is_inactive(scope: ClusterScope, cluster: str) -> bool:
        record = scope.range.get(Key(cluster, LOGICAL_CLUSTERS, "", NAME))
        if record is None or _INACTIVE not in record.value:
            return False
        annotations = annotations_of(orjson.loads(record.value))
        return "true" in (annotations.get(INACTIVE_ANNOTATION), annotations.get(_LEGACY_INACTIVE_ANNOTATION))

    def _wildcard(self, rest: str, range_name: str | None) -> Resolved:
        if range_name is None:
            owned = list(self._host.cell.ranges)
            if len(owned) != 1:
                text = "a wildcard spans one range: use /ranges/<name>/clusters/*; the Shard objects in root list the ranges"
                return self.hidden(f"{WILDCARD}{rest}", StatusError(400, "BadRequest", text))
            range_name = owned[0]
        resource, identity, rest = split_identity(rest)
        scope = self._host.wildcard(range_name, resource=resource, identity=identity)
        check_readable(scope.range)
        return scope, rest


def split_identity(path: str) -> tuple[str, str, str]:
    """Takes `:identity` off the resource segment of `/apis/<group>/<version>/[namespaces/<name>/]<resource>:<identity>/…`.

    Returns (resource, identity, path without it); the first two are empty where there is none. Raises StatusError 500 for an
    empty identity, as kcp does.
    """
    if ":" not in path:
        return "", "", path
    segments = path.split("/")
    index = 4 if len(segments) > 4 and segments[1] == "apis" else 3
    if len(segments) > index and segments[index] == "watch":
        index += 1
    if len(segments) > index + 2 and segments[index] == "namespaces":
        index += 2
    if len(segments) <= index or ":" not in segments[index]:
        return "", "", path
    resource, _, identity = segments[index].partition(":")
    if not identity:
        raise internal("invalid resource: the identity after the colon is empty")
    segments[index] = resource
    return resource, identity, "/".join(segments)


class RangesMount:
    """`/ranges/<name>/…`: what a kcp shard serves under its base URL, for one range."""

    def __init__(self, host: Host, mounts: Mapping[str, RangedMount]) -> None:
        """`mounts`: first path segment (`clusters`, `services`) → its mount."""
        self._host = host
        self._mounts = mounts

    async def resolve(self, request: Request, path: str) -> Resolved | Reply:
        name, rest = split_first(path)
        known = self._host.registry.named(name)
        first, inner = split_first(rest)
        mount = self._mounts.get(first)
        if known is None:
            error = not_found(GroupResource("core.kcp.io", "shards"), name)
            return mount.hidden(inner, error) if mount is not None else self._hidden(rest, error)
        if known.name not in self._host.cell.ranges:
            return await self._host.peers.call(name, replace(request, path=f"/ranges/{name}{rest}"))
        if mount is not None:
            return await mount.resolve(request, inner, range_name=name)
        if rest in HEALTH_PATHS:
            # That of the process which holds the range, and as open as it is of ranges that there are not.
            return Hidden(generic_not_found(), lambda _: False), rest
        return self._hidden(rest, generic_not_found())

    def _hidden(self, rest: str, error: StatusError) -> Resolved:
        return Hidden(error, self._host.authorizer.is_privileged), rest or "/"
