"""Which APIs each logical cluster serves: built-ins, kcp's own, its CustomResourceDefinitions, and what it bound.

Clusters with the same APIs share one `ApiSet`, and with it discovery and OpenAPI documents; a cluster costs a pointer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import orjson

from tenantry.cache import Cache
from tenantry.kube.api_set import ApiSet, ApiSets
from tenantry.kube.custom import definition_from_api_resource_schema, definition_from_crd
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, is_deleting
from tenantry.kube.types import BUILTINS
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.resources import (
    API_BINDINGS,
    API_EXPORTS,
    API_RESOURCE_SCHEMAS,
    CUSTOM_RESOURCE_DEFINITIONS,
    LOGICAL_CLUSTERS,
)
from tenantry.tenancy.retained_schemas import retained_schema
from tenantry.tenancy.types import SYSTEM_DEFINITIONS

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host


_CLUSTERS_BYTES_MAX = 16 << 20
_SETS_BYTES_MAX = 256 << 20
"""Of which all but a few types of tenants' own use little: sets that are alike are one."""


class ClusterApis:
    """Computed when first asked for; forgotten when a CRD, a binding or a schema changes."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._base = (*BUILTINS, *SYSTEM_DEFINITIONS)
        self._taken = frozenset(d.group_resource for d in self._base)
        self._clusters: Cache[str, int] = Cache("cluster_apis", bytes_max=_CLUSTERS_BYTES_MAX)
        """Cluster → the number of its set."""
        self._sets = ApiSets("api_sets", bytes_max=_SETS_BYTES_MAX)
        self._nothing = ApiSet(())
        # Definitions are kept by the sets that they are in, by views, and by who watches.
        self._crds: WeakValueDictionary[str, ResourceDefinition] = WeakValueDictionary()
        self._bound: WeakValueDictionary[tuple[str, str], ResourceDefinition] = WeakValueDictionary()
        self._ending: set[str] = set()
        self._incomplete: set[str] = set()
        self._subscribers: dict[str, list[Callable[[], None]]] = {}
        self._stops: list[Callable[[], None]] = []

    def start(self) -> None:
        self._stops = [
            self._host.follow_ranges(self._follow),
            self._host.catalog.subscribe(API_RESOURCE_SCHEMAS, self._schema_changed),
        ]

    def stop(self) -> None:
        for stop in self._stops:
            stop()
        self._stops = []

    def for_cluster(self, cluster: str) -> ApiSet:
        """The APIs of a cluster that this shard owns. Raises NotOwned."""
        number = self._clusters.get(cluster)
        found = self._sets.numbered(number) if number is not None else None
        if found is None:
            if cluster in self._ending:
                return self._nothing
            found = self._compute(cluster)
            self._clusters.put(cluster, found.number)
        return found

    def for_wildcard(self, resource: str, identity: str) -> ApiSet:
        """What is the same in every cluster and, with an identity, the one resource that bears it."""
        extra = [d for d in self._by_identity(resource, identity) if d.group_resource not in self._taken] if identity else []
        return self._sets.of((*self._base, *extra))

    def subscribe(self, cluster: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back when the cluster's APIs may have changed; returns how to stop."""
        callbacks = self._subscribers.setdefault(cluster, [])
        callbacks.append(callback)

        def stop() -> None:
            if callback in callbacks:
                callbacks.remove(callback)
            if not callbacks and self._subscribers.get(cluster) is callbacks:
                del self._subscribers[cluster]

        return stop

    def bound_definition(self, schema: Object, identity: str) -> ResourceDefinition:
        """The one definition of an APIResourceSchema under an identity, shared by all who bind it.

        Raises StatusError or ValueError where the schema is none.
        """
        key = (schema["metadata"]["uid"], identity)
        found = self._bound.get(key)
        if found is None:
            names = schema["spec"]
            own = self._host.definitions.bound(names["group"], names["names"]["plural"])
            if own is not None and own.identity == identity:
                found = own
            else:
                found = definition_from_api_resource_schema(schema, identity=identity)
            self._bound[key] = found
        return found

    def definition(self, cluster: str, group: str, resource: str) -> ResourceDefinition | None:
        """The definition that a cluster serves for a group and resource, None where it has none."""
        for definition in self.for_cluster(cluster):
            if definition.plural == resource and definition.group == group:
                return definition
        return None

    def _follow(self, held: Range) -> Callable[[], None]:
        stops = [
            held.subscribe(self._changed, CUSTOM_RESOURCE_DEFINITIONS),
            held.subscribe(self._changed, API_BINDINGS),
            held.subscribe(self._ended, LOGICAL_CLUSTERS),
        ]

        def stop() -> None:
            for each in stops:
                each()
            for cluster in [cluster for cluster in self._clusters if cluster in held]:
                self._clusters.pop(cluster)
            self._incomplete = {cluster for cluster in self._incomplete if cluster not in held}

        return stop

    def _changed(self, events: Sequence[RecordEvent]) -> None:
        self._forget({event.key.cluster for event in events})

    def _ended(self, events: Sequence[RecordEvent]) -> None:
        """A cluster that is gone serves nothing: its watches end, and nothing of it is kept."""
        for event in events:
            if event.record is None:
                self._incomplete.discard(event.key.cluster)
                self._ending.add(event.key.cluster)
                self._forget((event.key.cluster,))
                self._ending.discard(event.key.cluster)

    def _schema_changed(self, resource: str, cluster: str, name: str, obj: Object | None) -> None:
        if obj is not None and self._incomplete:
            waiting, self._incomplete = self._incomplete, set()
            self._forget(waiting)

    def _forget(self, clusters: Iterable[str]) -> None:
        for cluster in clusters:
            self._clusters.pop(cluster)
            for callback in tuple(self._subscribers.get(cluster, ())):
                callback()

    def _compute(self, cluster: str) -> ApiSet:
        held = self._host.cell.range_of(cluster)
        extra: dict[tuple[str, str], ResourceDefinition] = {}
        for record in held.list(API_BINDINGS, cluster):
            for definition in self._of_binding(cluster, orjson.loads(record.value)):
                extra.setdefault(definition.group_resource, definition)
        for record in held.list(CUSTOM_RESOURCE_DEFINITIONS, cluster):
            found = self._of_crd(cluster, record)
            if found is not None:
                extra.setdefault(found.group_resource, found)
        return self._sets.of((*self._base, *(extra[k] for k in sorted(extra) if k not in self._taken)))

    def _of_binding(self, cluster: str, binding: Object) -> Iterable[ResourceDefinition]:
        status = binding.get("status") or {}
        provider = status.get("apiExportClusterName", "")
        deleting = is_deleting(binding)
        for bound in status.get("boundResources") or ():
            schema = bound["schema"]
            definition = self._bound.get((schema["UID"], schema["identityHash"]))
            if definition is None:
                copy = self._host.catalog.get(API_RESOURCE_SCHEMAS, provider, schema["name"])
                if copy is None or copy["metadata"]["uid"] != schema["UID"]:
                    copy = retained_schema(self._host.cell.range_of(cluster), schema["UID"])
                if copy is None:
                    self._incomplete.add(cluster)
                    continue
                definition = self.bound_definition(copy, schema["identityHash"])
            yield self._as_terminating(definition) if deleting else definition

    def _of_crd(self, cluster: str, record: Record) -> ResourceDefinition | None:
        crd: Object = orjson.loads(record.value)
        conditions = {c["type"]: c["status"] for c in (crd.get("status") or {}).get("conditions") or ()}
        if conditions.get("Established") != "True":
            return None
        metadata = crd["metadata"]
        print_of = f"{metadata['uid']}/{metadata.get('generation')}/{crd['status'].get('acceptedNames')}"
        known = self._crds.get(print_of)
        if known is None:
            known = self._crds[print_of] = definition_from_crd(crd)
        deleting = is_deleting(crd) or conditions.get("Terminating") == "True"
        return self._as_terminating(known) if deleting else known

    def _as_terminating(self, definition: ResourceDefinition) -> ResourceDefinition:
        memo = definition.versions[definition.storage_version].memo
        key = ("tenancy.terminating", definition.identity)
        found: ResourceDefinition | None = memo.get(key)
        if found is None:
            found = memo[key] = replace(definition, terminating=True, origin=definition)
        return found

    def _by_identity(self, resource: str, identity: str) -> Iterable[ResourceDefinition]:
        for definition in self._host.definitions.all_bound():
            if definition.plural == resource and definition.identity == identity:
                return (definition,)
        for cluster, _, export in self._host.catalog.list(API_EXPORTS):
            if (export.get("status") or {}).get("identityHash") != identity:
                continue
            for entry in (export.get("spec") or {}).get("resources") or ():
                if entry.get("name") == resource:
                    schema = self._host.catalog.get(API_RESOURCE_SCHEMAS, cluster, entry["schema"])
                    if schema is not None:
                        return (self.bound_definition(schema, identity),)
        return ()
