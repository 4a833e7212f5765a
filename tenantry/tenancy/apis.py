"""Which APIs each logical cluster serves: built-ins, kcp's own, its CustomResourceDefinitions, and what it bound.

Clusters with the same APIs share one `ApiSet`, and with it discovery and OpenAPI documents; a cluster costs a pointer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import orjson

from tenantry.kube.api_set import ApiSet
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


class ClusterApis:
    """Computed when first asked for; forgotten when a CRD, a binding or a schema changes."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._base = (*BUILTINS, *SYSTEM_DEFINITIONS)
        self._taken = frozenset(d.group_resource for d in self._base)
        self._sets: dict[str, ApiSet] = {}
        self._interned: WeakValueDictionary[tuple[int, ...], ApiSet] = WeakValueDictionary()
        self._crds: dict[tuple[str, str], tuple[str, ResourceDefinition]] = {}
        self._bound: dict[tuple[str, str], ResourceDefinition] = {}
        self._terminating: WeakValueDictionary[int, ResourceDefinition] = WeakValueDictionary()
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
        found = self._sets.get(cluster)
        if found is None:
            found = self._sets[cluster] = self._compute(cluster)
        return found

    def for_wildcard(self, resource: str, identity: str) -> ApiSet:
        """What is the same in every cluster and, with an identity, the one resource that bears it."""
        extra = [d for d in self._by_identity(resource, identity) if d.group_resource not in self._taken] if identity else []
        return self._intern((*self._base, *extra))

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
            for cluster in [c for c in self._sets if held.start <= c < held.end]:
                del self._sets[cluster]

        return stop

    def _changed(self, events: Sequence[RecordEvent]) -> None:
        for event in events:
            if event.record is None:
                self._crds.pop((event.key.cluster, event.key.name), None)
        self._forget({event.key.cluster for event in events})

    def _ended(self, events: Sequence[RecordEvent]) -> None:
        """A cluster that is gone serves nothing: its watches end, and nothing of it is kept."""
        for event in events:
            if event.record is None:
                self._sets[event.key.cluster] = ApiSet(())
                for callback in tuple(self._subscribers.get(event.key.cluster, ())):
                    callback()
                self._sets.pop(event.key.cluster, None)

    def _schema_changed(self, resource: str, cluster: str, name: str, obj: Object | None) -> None:
        if obj is not None and self._incomplete:
            waiting, self._incomplete = self._incomplete, set()
            self._forget(waiting)

    def _forget(self, clusters: Iterable[str]) -> None:
        for cluster in clusters:
            self._sets.pop(cluster, None)
            for callback in tuple(self._subscribers.get(cluster, ())):
                callback()

    def _intern(self, definitions: Iterable[ResourceDefinition]) -> ApiSet:
        chosen = tuple(definitions)
        key = tuple(map(id, chosen))
        found = self._interned.get(key)
        if found is None:
            found = self._interned[key] = ApiSet(chosen)
        return found

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
        return self._intern((*self._base, *(extra[k] for k in sorted(extra) if k not in self._taken)))

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
        place = (cluster, metadata["name"])
        known = self._crds.get(place)
        if known is None or known[0] != print_of:
            known = self._crds[place] = (print_of, definition_from_crd(crd))
        deleting = is_deleting(crd) or conditions.get("Terminating") == "True"
        return self._as_terminating(known[1]) if deleting else known[1]

    def _as_terminating(self, definition: ResourceDefinition) -> ResourceDefinition:
        found = self._terminating.get(id(definition))
        if found is None:
            found = self._terminating[id(definition)] = replace(definition, terminating=True)
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
