"""The controller of ClusterCachedResources: their identity, the copies of objects that were there before, and their status.

A write of an object writes its copy (`replicas.py`). This controller writes the copies that are missing after a
ClusterCachedResource came, changed its selector, or had no room, and removes those that are too many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from tenantry.apiserver import records
from tenantry.controllers.controller import Retry
from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, annotations_of, finalizers_of, name_of, timestamp
from tenantry.placement.catalog import Catalog
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record, RecordEvent
from tenantry.storage.resource_version import revision_of
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.exports.conditions import INFO, is_true, mark_false, mark_true, remove
from tenantry.tenancy.exports.identity_secrets import IDENTITY_VALID, IdentitySecrets, secret_reference, set_identity
from tenantry.tenancy.exports.read_bindings import decoded
from tenantry.tenancy.exports.update_object import revise
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.replication.publications import (
    BYTES_MAX,
    OBJECT_BYTES_MAX,
    OBJECTS_MAX,
    REPLICATED,
    Publication,
    Publications,
    group_resource_of,
    gvr_of,
)
from tenantry.tenancy.replication.replicated_copies import Found, ReplicatedCopies
from tenantry.tenancy.replication.replication_lookup import REPLICATED_ANNOTATION, REPLICATION_STARTED
from tenantry.tenancy.resources import SECRETS
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.cached_resource import DELETED, DELETING, INITIALIZING, READY
from tenantry.tenancy.types.cached_resource_names import GROUP, CachedResourceNames

KIND_ANNOTATION = "cache.kcp.io/resource-kind"
SCOPE_ANNOTATION = "cache.kcp.io/resource-scope"
RESOURCE_VALID = "ResourceValid"
COMPLETE = "ReplicationComplete"
"""A condition of ours: False while objects have no room. It is not there otherwise."""
RECOUNT_SECONDS = 1.0
"""The least time between two looks at the objects, unless the spec changes."""
RECOUNT_SHARE = 20
"""The least time after a look that changed nothing, or found objects that have no room, as a multiple of how long it took: with
many of these, each look tries all of them."""


class _Source:
    """The objects that one ClusterCachedResource replicates, while this shard owns them."""

    def __init__(self, publication: Publication, storage_key: str) -> None:
        self.publication = publication
        self.storage_key = storage_key
        self.stops: list[Callable[[], None]] = []
        self.is_complete = False
        """Whether every object that should have a copy has one, and no other."""
        self.next_look = 0.0
        """When they may be counted again, on the clock of the event loop."""

    def is_of(self, publication: Publication, storage_key: str) -> bool:
        mine = self.publication
        return (mine.id, mine.selector, self.storage_key) == (publication.id, publication.selector, storage_key)

    def stop(self) -> None:
        for each in self.stops:
            each()


class CachedResourceController(ObjectController):
    """One of these for each set of names of the types."""

    def __init__(
        self,
        names: CachedResourceNames,
        *,
        cell: Cell,
        catalog: Catalog,
        definitions: SystemDefinitions,
        apis: ClusterApis,
        changes: Changes,
        publications: Publications,
        replicated: ReplicatedCopies,
    ) -> None:
        self.name = names.kind.lower()
        self._names = names
        self._cell = cell
        self._catalog = catalog
        self._definitions = definitions
        self._apis = apis
        self._changes = changes
        self._publications = publications
        self._identities = IdentitySecrets(definitions, changes)
        self._replicated = replicated
        self._sources: dict[Key, _Source] = {}

    @property
    def resources(self) -> Sequence[str]:
        return (self._names.resource, SECRETS)

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        key = event.key
        # `reconcile` finds the objects that refer to a Secret.
        return (key,) if key.resource != SECRETS or key.cluster in self._publications.by_cluster else ()

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (record.key for record in range_.each(self._names.resource))

    def released(self, range_: Range) -> None:
        for key in [key for key in self._sources if key.cluster in range_]:
            self._forget(key)

    async def reconcile(self, range_: Range, key: Key) -> None:
        if key.resource == SECRETS:
            self._enqueue_users(range_, key)
            return
        record = range_.get(key)
        if record is None:
            self._forget(key)
        elif record.head.deleting:
            self._forget(key)
            await self._delete(key, record)
        else:
            await self._replicate(range_, key, record)

    def _enqueue_users(self, range_: Range, secret: Key) -> None:
        reference = {"namespace": secret.namespace, "name": secret.name}
        for record in range_.each(self._names.resource, secret.cluster):
            if secret_reference(decoded(record), record.key.name) == reference:
                self.enqueue(record.key)

    async def _replicate(self, range_: Range, key: Key, record: Record) -> None:
        spec = decoded(record).get("spec") or {}
        publication = Publication(record.head.uid, spec)
        definition, reason, problem = await self._resolve(key.cluster, spec)
        source = self._follow(range_, key, publication, definition)
        await transact(self._cell, (key,), lambda: self._identified(range_, key, definition))
        identified = range_.get(key)
        if identified is not None:
            # The identity is in the spec. Other changes of it cause another reconciliation.
            spec = {**spec, "identity": (decoded(identified).get("spec") or {}).get("identity")}
        loop = asyncio.get_running_loop()
        began = loop.time()
        if began < source.next_look:
            raise Retry(source.next_look - began, "its objects were counted a moment ago")
        for other in self._publications.groups_of(record.head.uid):
            if other != publication.id:
                await self._replicated.evict(key, other, partial(self._publications.has, key.cluster, other))
            elif definition is None:
                await self._replicated.evict(key, other)
        found = await self._look(range_, key, source, definition) if definition is not None else Found(0, 0, 0)
        ended = loop.time()
        in_vain = found.refused or not found.written
        source.next_look = ended + max(RECOUNT_SECONDS, RECOUNT_SHARE * (ended - began) if in_vain else 0.0)
        cached = self._catalog.tally(REPLICATED, publication.id).objects

        def change(obj: Object) -> bool:
            if (obj.get("spec") or {}) != spec:
                # Another reconciliation follows, with the new spec.
                return False
            before = obj.get("status") or {}
            status = obj["status"] = dict(before)
            self._report(status, problem, reason, found)
            if definition is not None:
                status["resourceCounts"] = {"cache": cached, "local": found.local}
            else:
                status.pop("resourceCounts", None)
            annotations = annotations_of(obj)
            wanted = publication.id if definition is not None else None
            if wanted is None and annotations.get(REPLICATED_ANNOTATION) is None:
                return bool(status != before)
            same = annotations.get(REPLICATED_ANNOTATION) == wanted
            left = {name: value for name, value in annotations.items() if name != REPLICATED_ANNOTATION}
            obj["metadata"]["annotations"] = left if wanted is None else {**left, REPLICATED_ANNOTATION: wanted}
            return status != before or not same

        await revise(self._cell, self._changes, self._definition, key, change)

    async def _look(self, range_: Range, key: Key, source: _Source, definition: ResourceDefinition) -> Found:
        """Brings the copies in order, and counts the objects."""
        # Before, because a write meanwhile may find that they are not.
        complete, source.is_complete = source.is_complete, True
        refused = 1
        try:
            found = await self._replicated.run(range_, key.cluster, source.publication, definition, complete=complete)
            refused = found.refused
        finally:
            if refused:
                source.is_complete = False
        return found

    def _report(self, status: Object, problem: str, reason: str, found: Found) -> None:
        now = timestamp()
        if problem:
            mark_false(status, RESOURCE_VALID, reason, problem, now)
            mark_false(status, REPLICATION_STARTED, "ResourceInvalid", problem, now)
            remove(status, COMPLETE)
        else:
            mark_true(status, RESOURCE_VALID, now)
            mark_true(status, REPLICATION_STARTED, now)
        if found.refused:
            message = (
                f"{found.refused} objects are not replicated: a workspace has at most {OBJECTS_MAX} replicated objects of "
                f"{BYTES_MAX >> 20} MiB in total, each of at most {OBJECT_BYTES_MAX >> 10} KiB; select fewer by label"
            )
            mark_false(status, COMPLETE, "LimitExceeded", message, now)
        else:
            remove(status, COMPLETE)
        ready = not problem and is_true(status, IDENTITY_VALID)
        status["phase"] = READY if ready else INITIALIZING

    async def _resolve(self, cluster: str, spec: Object) -> tuple[ResourceDefinition | None, str, str]:
        """The definition of the resource; or None, with the reason and the message of a condition."""
        await self._apis.read(cluster)
        wanted = group_resource_of(spec)
        definition = self._apis.definition(cluster, *wanted)
        shape = definition.versions.get(spec.get("version") or "") if definition is not None else None
        if definition is None or shape is None or not shape.served or not definition.stored:
            return None, "NoResources", f"Resource {gvr_of(spec)} has no objects in this workspace: it does not serve the type"
        if definition.namespaced:
            return None, "ResourceNotClusterScoped", f"Resource {wanted} is not cluster-scoped"
        return definition, "", ""

    def _identified(self, range_: Range, key: Key, source: ResourceDefinition | None) -> list[Change]:
        """Sets what kcp's controller sets first: the finalizer, the annotations, and the identity with its Secret."""
        record = range_.get(key)
        if record is None or record.head.deleting:
            return []
        obj = records.decode(record, self._definition, self._definition.storage_version)
        metadata, spec, status = obj["metadata"], obj.setdefault("spec", {}), dict(obj.get("status") or {})
        if self._names.finalizer not in finalizers_of(obj):
            metadata["finalizers"] = [*finalizers_of(obj), self._names.finalizer]
        if source is not None:
            metadata["annotations"] = {**annotations_of(obj), KIND_ANNOTATION: source.kind, SCOPE_ANNOTATION: "Cluster"}
        reference = secret_reference(obj, name_of(obj))
        if not (spec.get("identity") or {}).get("secretRef"):
            spec["identity"] = {"secretRef": reference}
        changes, secret = self._identities.secret(range_, key.cluster, reference, new=not status.get("identityHash"))
        set_identity(status, secret, reference)
        obj["status"] = status
        update = self._changes.updated(self._definition, record, obj)
        return [*changes, update] if changes or update.value != record.value else []

    async def _delete(self, key: Key, record: Record) -> None:
        if self._names.finalizer not in finalizers_of(decoded(record)):
            return

        def begin(obj: Object) -> bool:
            status = obj["status"] = dict(obj.get("status") or {})
            if status.get("phase") == DELETING:
                return False
            status["phase"] = DELETING
            mark_false(status, RESOURCE_VALID, "Deleting", "Published resource deleting", timestamp(), severity=INFO)
            return True

        def end(obj: Object) -> bool:
            obj["status"] = {**(obj.get("status") or {}), "phase": DELETED}
            left = [each for each in finalizers_of(obj) if each != self._names.finalizer]
            obj["metadata"]["finalizers"] = left
            if not left:
                del obj["metadata"]["finalizers"]
            return True

        # A write of an object that was submitted before the deletion is committed before this one, with its copy.
        await revise(self._cell, self._changes, self._definition, key, begin)
        for group in self._publications.groups_of(record.head.uid):
            await self._replicated.evict(key, group)
        await revise(self._cell, self._changes, self._definition, key, end)

    @property
    def _definition(self) -> ResourceDefinition:
        return self._definitions.get(GROUP, self._names.plural)

    def _follow(self, range_: Range, key: Key, publication: Publication, definition: ResourceDefinition | None) -> _Source:
        storage_key = definition.storage_key if definition is not None else ""
        source = self._sources.get(key)
        if source is not None and source.is_of(publication, storage_key):
            return source
        self._forget(key)
        source = self._sources[key] = _Source(publication, storage_key)
        source.stops.append(self._apis.subscribe(key.cluster, partial(self.enqueue, key)))
        if definition is not None:
            source.stops.append(range_.subscribe(partial(self._changed, key, source), storage_key, key.cluster))
        return source

    def _forget(self, key: Key) -> None:
        source = self._sources.pop(key, None)
        if source is not None:
            source.stop()

    def _changed(self, key: Key, source: _Source, events: Sequence[RecordEvent]) -> None:
        """Objects have changed: the counts may, and an object that was written while the spec changed may lack its copy, or have
        an old one."""
        matches = source.publication.selector.matches
        for event in events:
            selected = event.record is not None and matches(event.record.head.labels)
            before = event.previous is not None and matches(event.previous.head.labels)
            copy = self._catalog.entry(REPLICATED, source.publication.id, event.key.name)
            right = (copy is not None and copy.revision >= revision_of(event.version)) if selected else copy is None
            if not right:
                source.is_complete = False
            if not right or selected != before:
                self.enqueue(key)
