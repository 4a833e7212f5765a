"""Home workspaces: one for each user, created at the first `GET …/clusters/root/…/workspaces/~` of the user (kcp).

A home has no Workspace object. Instead, it has an entry in the path index, user name → cluster id. The entry's original is a
record in root's range. It is written once, so concurrent first requests get the same id. The scheduler chooses the range, as
for any workspace. (kcp makes the id from a hash of the user name. Here that id could be outside of all ranges, or in a full
one.)

If this shard owns the chosen range, one transaction writes the record and the cluster. Otherwise the record is written first,
and the cluster is created after that, by the same request or the next one.
"""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from tenantry.apiserver.authorization import NOT_PERMITTED, Attributes
from tenantry.apiserver.deferred import decided
from tenantry.apiserver.forbidden import forbidden_request
from tenantry.apiserver.storage_errors import range_of
from tenantry.apiserver.user import User, home_of, is_service_account
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, annotations_of, timestamp
from tenantry.kube.status import StatusError, internal, too_many_requests, unavailable
from tenantry.placement.map import RangeInfo
from tenantry.placement.paths.cluster_paths import HOME_PREFIX, HOMES, home_key
from tenantry.placement.paths.directory import Directory
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key, catalog_key
from tenantry.storage.record import Change, Head, Record
from tenantry.storage.retry_on_conflict import Attempts
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.authorization.effective_users import effective_users
from tenantry.tenancy.authorization.stored_user import globally_named
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.types.phase_fields import INITIALIZING, SCHEDULING
from tenantry.tenancy.well_known import OWNER_ANNOTATION, ROOT
from tenantry.tenancy.workspaces.new_logical_cluster import ClusterContents, unowned_logical_cluster
from tenantry.tenancy.workspaces.owner_annotation import owner_user
from tenantry.tenancy.workspaces.remote_objects import RemoteObjects
from tenantry.tenancy.workspaces.scheduler import Scheduler, Unschedulable
from tenantry.tenancy.workspaces.workspace_types import HOME_TYPE, DefaultBinding, TypeUnresolved, WorkspaceTypes

HOME_NAME = "~"
"""The name by which users ask for their home."""
LONGEST_SECONDS = 60.0
"""A home that is not Ready after this time is answered with 500 instead of 429 (kcp)."""


class HomeWorkspaces:
    """Finds and creates home workspaces, on the shard that owns `root`."""

    def __init__(
        self,
        *,
        cell: Cell,
        directory: Directory,
        definitions: SystemDefinitions,
        authorizer: ClusterAuthorizer,
        workspace_types: WorkspaceTypes,
        scheduler: Scheduler,
        urls: Urls,
        changes: Changes,
        remote: RemoteObjects,
        contents: ClusterContents,
    ) -> None:
        self._contents = contents
        self._cell = cell
        self._directory = directory
        self._definitions = definitions
        self._authorizer = authorizer
        self._workspace_types = workspace_types
        self._scheduler = scheduler
        self._urls = urls
        self._changes = changes
        self._remote = remote

    @property
    def definition(self) -> ResourceDefinition:
        """The definition of the type as which a home is shown: Workspaces."""
        return self._definitions.workspaces

    async def get(self, user: User) -> Object:
        """The home of a user as a Workspace (v1alpha1).

        Raises StatusError: 429 with Retry-After until it is Ready, 403 if the user may not have one, 500 if it does not become
        Ready.
        """
        self._require_person(user)
        cluster = self._directory.home_of(user.name)
        if cluster is None:
            await self._require_permission(user)
            cluster = await self._draw(user)
        found = await self._read(cluster)
        if found is None:
            await self._require_permission(user)
            found = await self._make(user, cluster)
        if owner_user(annotations_of(found)).get("username") != user.name:
            raise forbidden_request(_attributes(user, "get"), NOT_PERMITTED)
        phase = (found.get("status") or {}).get("phase") or SCHEDULING
        if phase in (SCHEDULING, INITIALIZING):
            if _age_seconds(found) > LONGEST_SECONDS:
                raise internal(f"home workspace {cluster} is still in phase {phase}")
            raise too_many_requests("creating the home workspace")
        return _as_workspace(found, cluster)

    def _require_person(self, user: User) -> None:
        """Raises StatusError 403 for service accounts, whose names are the same in all workspaces, and for users who are not
        users of root."""
        if is_service_account(user) or home_of(user) or user not in effective_users(user, ROOT):
            raise forbidden_request(_attributes(user, "create"), NOT_PERMITTED)

    async def _require_permission(self, user: User) -> None:
        if not (await decided(lambda: self._authorizer.authorize(_attributes(user, "create")))).allowed:
            raise forbidden_request(_attributes(user, "create"), NOT_PERMITTED)

    async def _draw(self, user: User) -> str:
        """Chooses and writes the id of a user's home, and creates the home if this shard owns its range. Returns the id."""
        key = Key(ROOT, HOMES, "", home_key(user.name))
        async for attempt in Attempts(self._cell, (key,)):
            record = range_of(self._cell, ROOT).get(key)
            if record is not None:
                return str(orjson.loads(record.value)["cluster"])
            try:
                info, cluster = await self._scheduler.place(None)
            except Unschedulable as error:
                raise unavailable(str(error)) from error
            changes = [_entry(key, user.name, cluster)]
            with attempt:
                try:
                    if self._cell.owns(cluster):
                        now = timestamp()
                        logical_cluster, bindings = self._new(user, cluster, info)
                        if self._workspace_types.unpublished(logical_cluster["spec"], info.name):
                            raise unavailable("the URLs of a new range are not published yet")
                        changes += self._contents.fill(cluster, logical_cluster, bindings, now)
                        changes.append(
                            self._changes.created(self._definitions.logical_clusters, cluster, logical_cluster, now=now)
                        )
                    await self._cell.commit(changes)
                    return cluster
                finally:
                    self._scheduler.placed(cluster)
        raise AssertionError("the last attempt raises")

    async def _make(self, user: User, cluster: str) -> Object:
        """Creates the logical cluster of a home that already has an id, by a call to the shard that owns its range."""
        info = self._directory.range_of(cluster)
        if info is None:
            raise unavailable(f"the range of cluster {cluster} is not known")
        logical_cluster, _ = self._new(user, cluster, info)
        logical_cluster.pop("status")
        try:
            return await self._remote.create_logical_cluster(cluster, logical_cluster)
        except StatusError as error:
            if error.reason == "TooManyRequests":
                # The range is full: the next request chooses another id.
                self._scheduler.refused(info.name)
                await self._forget(user, cluster)
            raise

    async def _forget(self, user: User, cluster: str) -> None:
        key = Key(ROOT, HOMES, "", home_key(user.name))
        await self._cell.writes_done((key,))
        record = range_of(self._cell, ROOT).get(key)
        if record is not None and orjson.loads(record.value)["cluster"] == cluster:
            await self._cell.commit([Change(key, None, None, record, {catalog_key(HOMES, ROOT, key.name): None})])

    async def _read(self, cluster: str) -> Object | None:
        definition = self._definitions.logical_clusters
        if not self._cell.owns(cluster):
            return await self._remote.get_logical_cluster(cluster)
        key = Key(cluster, definition.storage_key, "", NAME)
        await self._cell.writes_done((key,))
        record = range_of(self._cell, cluster).get(key)
        return _with_version(record) if record is not None else None

    def _new(self, user: User, cluster: str, info: RangeInfo) -> tuple[Object, tuple[DefaultBinding, ...]]:
        try:
            resolved = self._workspace_types.resolve(*HOME_TYPE)
        except TypeUnresolved as error:
            raise internal(str(error)) from error
        owner = orjson.dumps(globally_named(user, ROOT).to_user_info()).decode()
        path = f"{HOME_PREFIX}:{user.name}"
        url = self._urls.cluster(cluster)
        made = unowned_logical_cluster({OWNER_ANNOTATION: owner}, resolved, {}, path=path, range_name=info.name, url=url)
        return made, resolved.bindings


def _entry(key: Key, user_name: str, cluster: str) -> Change:
    entry = {"metadata": {"name": key.name}, "user": user_name, "cluster": cluster}
    copy = orjson.dumps({"user": user_name, "cluster": cluster})
    return Change(key, orjson.dumps(entry), Head(), None, {catalog_key(HOMES, ROOT, key.name): copy})


def _with_version(record: Record) -> Object:
    obj: Object = orjson.loads(record.value)
    obj["metadata"]["resourceVersion"] = str(record.version)
    return obj


def _as_workspace(logical_cluster: Object, cluster: str) -> Object:
    """A LogicalCluster as the Workspace that would own it. As in kcp, the name is that of the LogicalCluster."""
    metadata = {k: v for k, v in logical_cluster["metadata"].items() if k not in ("managedFields", "finalizers")}
    source = logical_cluster.get("status") or {}
    return {
        "apiVersion": "tenancy.kcp.io/v1alpha1",
        "kind": "Workspace",
        "metadata": metadata,
        "spec": {"type": HOME_TYPE._asdict(), "cluster": cluster, "URL": source.get("URL", "")},
        "status": {field: source[field] for field in ("phase", "conditions", "initializers", "terminators") if field in source},
    }


def _attributes(user: User, verb: str) -> Attributes:
    return Attributes(user, verb, ROOT, "tenancy.kcp.io", "v1alpha1", "workspaces", "", "", HOME_NAME)


def _age_seconds(obj: Object) -> float:
    made = datetime.fromisoformat(obj["metadata"]["creationTimestamp"])
    return (datetime.now(UTC) - made).total_seconds()
