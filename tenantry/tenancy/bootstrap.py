"""Installs the objects of `root` and `system:admin`, on the shard that owns `root`; on every shard, binds the types of root's
exports.

It takes a few transactions on an empty store. Later starts write only what is missing. What an administrator changed is not
reverted. The names of APIResourceSchemas are made from their content, so a newer version of a type adds a schema and changes
its export.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

import orjson

from tenantry.base.backoff import Backoff
from tenantry.base.tasks import restarting
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, timestamp
from tenantry.kube.rbac.default_roles import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from tenantry.kube.types.namespace import living
from tenantry.placement.catalog import Catalog
from tenantry.placement.range_map import RangeMap
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell, NotOwned, Stale
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change
from tenantry.storage.store import StoreError
from tenantry.tenancy import bootstrap_objects as root
from tenantry.tenancy.exports.binding_controller import bound_binding
from tenantry.tenancy.exports.conditions import mark_true
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.identity_secrets import IDENTITY_NAMESPACE, hash_of_secret, identity_secret, new_identity_key
from tenantry.tenancy.exports.resource_locks import LOCKS_ANNOTATION, locks_annotation
from tenantry.tenancy.local_ranges import LocalRanges
from tenantry.tenancy.object_changes import OPERATIONS, Changes
from tenantry.tenancy.resources import API_EXPORTS, API_RESOURCE_SCHEMAS
from tenantry.tenancy.types import EXPORTED_TYPES, OFFERED_TYPES, SystemDefinitions
from tenantry.tenancy.types.kcp_type import KcpType
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.types.workload_type import WorkloadType
from tenantry.tenancy.well_known import OWNER_ANNOTATION, PATH_ANNOTATION, PHASE_LABEL, ROOT, SHARD_ANNOTATION, SYSTEM_ADMIN
from tenantry.tenancy.workspaces.initial_contents import base_contents
from tenantry.tenancy.workspaces.shard_controller import shard_object

logger = logging.getLogger(__name__)

_WITH_POLICY = frozenset({"tenancy.kcp.io", "topology.kcp.io"})
"""Exports with a maximal permission policy: ClusterRoles in root limit what consumers may do."""
_FIRST_RETRY_SECONDS = 0.05
_LAST_RETRY_SECONDS = 1.0
_BOOTSTRAPPER = {"username": "system:kcp-bootstrapper", "groups": ["system:kcp:tenancy:workspace-bootstrapper"]}


class Bootstrap:
    """Installs root at the start of a shard (`run`), and each time the shard acquires the range of `root` (`follow`): the
    previous owner may have stopped in the middle.

    `ca_certificate`: PEM. `home_creator_groups`: groups whose users may create a home workspace.
    """

    def __init__(
        self,
        *,
        cell: Cell,
        catalog: Catalog,
        range_map: RangeMap,
        urls: Urls,
        local_ranges: LocalRanges,
        definitions: SystemDefinitions,
        changes: Changes,
        exports: ExportLookup,
        ca_certificate: str,
        home_creator_groups: Sequence[str],
    ) -> None:
        self._cell = cell
        self._catalog = catalog
        self._range_map = range_map
        self._urls = urls
        self._local_ranges = local_ranges
        self._definitions = definitions
        self._changes = changes
        self._exports_lookup = exports
        self._ca_certificate = ca_certificate
        self._home_creator_groups = home_creator_groups
        self._task: asyncio.Task[None] | None = None
        self._stop: Callable[[], None] = lambda: None

    def follow(self) -> None:
        stops = (
            self._local_ranges.follow(self._acquired),
            # A shard that starts before a newer version installs them learns of them here.
            *(self._catalog.subscribe(resource, self._offer_changed) for resource in (API_EXPORTS, API_RESOURCE_SCHEMAS)),
        )

        def stop() -> None:
            for each in stops:
                each()

        self._stop = stop
        self._offer_definitions()

    async def stop(self) -> None:
        self._stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _acquired(self, range_: Range) -> Callable[[], None]:
        if ROOT not in range_:
            return lambda: None
        task = self._task = restarting(self.run, name="install root", ends=True)

        def released() -> None:
            task.cancel()

        return released

    async def run(self) -> None:
        """Idempotent. Returns when everything is installed or, on a shard that does not own `root`, when root's exports are
        known."""
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
        while True:
            if not self._cell.owns(ROOT):
                await self._definitions_bound()
                if not self._cell.owns(ROOT):
                    return
            try:
                await self._install()
                return
            except (Stale, NotOwned):
                # A controller wrote first, or the range was released: its next owner continues.
                pass
            except StoreError as error:
                logger.warning("root cannot be installed; trying again", extra={"error": str(error)})
            await backoff.pause()

    async def _install(self) -> None:
        range_ = self._cell.range_of(ROOT)
        await self._write([*self._exports(range_), *self._system_admin(range_)])
        self._bind_definitions()
        await self._write(self._root(range_))

    async def _definitions_bound(self) -> None:
        """Waits until root's exports are in the catalog, or this shard owns `root`."""
        done = asyncio.Event()

        def look(*_: object) -> None:
            self._bind_definitions()
            if self._definitions.complete:
                done.set()

        def acquired(range_: Range) -> Callable[[], None]:
            if ROOT in range_:
                done.set()
            return lambda: None

        stops = (self._catalog.subscribe(None, look), self._local_ranges.follow(acquired))
        try:
            look()
            await done.wait()
        finally:
            for stop in stops:
                stop()

    def _bind_definitions(self) -> None:
        """Binds the definitions of the types that root exports, as soon as their schemas and identities are known."""
        for export, types in EXPORTED_TYPES.items():
            found = self._identity(export, types)
            if found is not None:
                self._definitions.bind(export, *found)
        self._offer_definitions()

    def _offer_changed(self, resource: str, cluster: str, name: str, obj: Object | None) -> None:
        if cluster == ROOT:
            self._offer_definitions()

    def _offer_definitions(self) -> None:
        """Makes known what root offers, as soon as it is installed."""
        for export, types in OFFERED_TYPES.items():
            found = self._identity(export, types)
            if found is not None:
                self._definitions.offer(export, *found)

    def _identity(self, export: str, types: Iterable[KcpType | WorkloadType]) -> tuple[str, dict[str, str]] | None:
        """The identity hash of an export of root, and plural → uid of its schemas. None before it is installed."""
        copy = self._catalog.get(API_EXPORTS, ROOT, export)
        schemas = {each.plural: self._catalog.get(API_RESOURCE_SCHEMAS, ROOT, each.schema_name) for each in types}
        identity = (copy.get("status") or {}).get("identityHash") if copy is not None else ""
        if not identity or not all(schemas.values()):
            return None
        return identity, {plural: schema["metadata"]["uid"] for plural, schema in schemas.items() if schema is not None}

    async def _write(self, changes: Iterable[Change]) -> None:
        batch: list[Change] = []
        size = 0
        for change in changes:
            weight = 1 + len(change.catalog)
            if size + weight > OPERATIONS:
                await self._cell.commit(batch)
                batch, size = [], 0
            batch.append(change)
            size += weight
        if batch:
            await self._cell.commit(batch)

    def _missing(
        self, range_: Range, cluster: str, definition: ResourceDefinition, objects: Iterable[Object], now: str
    ) -> Iterable[Change]:
        for obj in objects:
            metadata = obj["metadata"]
            if range_.get(Key(cluster, definition.storage_key, metadata.get("namespace", ""), metadata["name"])) is None:
                yield self._changes.created(definition, cluster, orjson.loads(orjson.dumps(obj)), now=now)

    def _exports(self, range_: Range) -> Iterable[Change]:
        """Namespace and secrets of the identities, the schemas and the exports."""
        definitions = self._definitions
        now = timestamp()
        yield from self._missing(range_, ROOT, definitions.namespaces, [living(IDENTITY_NAMESPACE)], now)
        for export, types in _installed():
            secret_record = range_.get(Key(ROOT, definitions.secrets.storage_key, IDENTITY_NAMESPACE, export))
            if secret_record is None:
                secret = identity_secret(export, new_identity_key())
                yield self._changes.created(definitions.secrets, ROOT, secret, now=now)
            else:
                secret = orjson.loads(secret_record.value)
            schemas = [{"metadata": {"name": t.schema_name}, "spec": _schema_spec(t)} for t in types]
            yield from self._missing(range_, ROOT, definitions.api_resource_schemas, schemas, now)
            resources = [{"name": t.plural, "group": t.group, "schema": t.schema_name, "storage": {"crd": {}}} for t in types]
            record = range_.get(Key(ROOT, definitions.api_exports.storage_key, "", export))
            if record is None:
                yield self._changes.created(
                    definitions.api_exports, ROOT, _export(export, resources, hash_of_secret(secret), now), now=now
                )
                continue
            present = orjson.loads(record.value)
            if present["spec"].get("resources") != resources:
                present["spec"]["resources"] = resources
                present["metadata"]["generation"] = present["metadata"].get("generation", 1) + 1
                yield self._changes.updated(definitions.api_exports, record, present)

    def _system_admin(self, range_: Range) -> Iterable[Change]:
        """The RBAC of `system:admin`, which applies in every cluster."""
        now = timestamp()
        roles = (*CLUSTER_ROLES, *root.SYSTEM_ROLES)
        bindings = (*CLUSTER_ROLE_BINDINGS, *root.SYSTEM_BINDINGS)
        yield from self._missing(range_, SYSTEM_ADMIN, self._definitions.cluster_roles, map(_without_type, roles), now)
        yield from self._missing(range_, SYSTEM_ADMIN, self._definitions.cluster_role_bindings, map(_without_type, bindings), now)

    def _root(self, range_: Range) -> Iterable[Change]:
        """The logical cluster `root` and its contents, which need the exports."""
        definitions = self._definitions
        now = timestamp()
        yield from self._missing(range_, ROOT, definitions.cluster_roles, root.ROOT_ROLES, now)
        yield from self._missing(range_, ROOT, definitions.cluster_role_bindings, root.ROOT_BINDINGS, now)
        yield from self._home_creators(range_, now)
        yield from self._missing(range_, ROOT, definitions.workspace_types, root.WORKSPACE_TYPES, now)
        shards = [shard_object(self._urls, info) for info in self._range_map.ranges()]
        yield from self._missing(range_, ROOT, definitions.shards, shards, now)
        fresh = range_.get(Key(ROOT, definitions.logical_clusters.storage_key, "", NAME)) is None
        if fresh:
            bindings = [
                _without_type(
                    bound_binding(
                        self._exports_lookup, ROOT, name, binding_name=name, cluster=ROOT, accept_claims=False, path=ROOT
                    )
                )
                for name in EXPORTED_TYPES
            ]
            for binding in bindings:
                yield self._changes.created(definitions.api_bindings, ROOT, binding, now=now)
            yield self._changes.created(definitions.logical_clusters, ROOT, self._root_cluster(range_, bindings, now), now=now)
            yield from base_contents(self._definitions, self._ca_certificate, ROOT, now)

    def _home_creators(self, range_: Range, now: str) -> Iterable[Change]:
        """The binding of home creators. Unlike other objects it is updated at every start, because it follows a setting."""
        definition = self._definitions.cluster_role_bindings
        wanted = root.home_binding(self._home_creator_groups)
        record = range_.get(Key(ROOT, definition.storage_key, "", root.HOME_ROLE))
        if record is None:
            yield self._changes.created(definition, ROOT, wanted, now=now)
            return
        present = orjson.loads(record.value)
        if (present.get("subjects") or []) != wanted["subjects"]:
            yield self._changes.updated(definition, record, {**present, "subjects": wanted["subjects"]})

    def _root_cluster(self, range_: Range, bindings: list[Object], now: str) -> Object:
        status: Object = {"phase": "Ready", "URL": self._urls.cluster(ROOT)}
        mark_true(status, "WorkspaceInitialized", now)
        return {
            "metadata": {
                "name": NAME,
                "labels": {PHASE_LABEL: "Ready"},
                "annotations": {
                    PATH_ANNOTATION: ROOT,
                    "internal.tenancy.kcp.io/type": "root:root",
                    SHARD_ANNOTATION: range_.name,
                    OWNER_ANNOTATION: orjson.dumps(_BOOTSTRAPPER).decode(),
                    LOCKS_ANNOTATION: locks_annotation(bindings),
                },
            },
            "spec": {"createdBy": _BOOTSTRAPPER},
            "status": status,
        }


def _installed() -> Iterable[tuple[str, tuple[KcpType | WorkloadType, ...]]]:
    yield from EXPORTED_TYPES.items()
    yield from OFFERED_TYPES.items()


def _schema_spec(its_type: KcpType | WorkloadType) -> Object:
    return {**its_type.schema_spec(), "nameValidation": "DNS1123Subdomain"}


def _export(name: str, resources: list[Object], identity: str, now: str) -> Object:
    spec: Object = {
        "resources": resources,
        "identity": {"secretRef": {"namespace": IDENTITY_NAMESPACE, "name": name}},
    }
    if name in _WITH_POLICY:
        spec["maximalPermissionPolicy"] = {"local": {}}
    status: Object = {"identityHash": identity}
    mark_true(status, "IdentityValid", now)
    return {"metadata": {"name": name, "annotations": {PATH_ANNOTATION: ROOT}}, "spec": spec, "status": status}


def _without_type(obj: Object) -> Object:
    return {k: v for k, v in obj.items() if k not in ("apiVersion", "kind")}
