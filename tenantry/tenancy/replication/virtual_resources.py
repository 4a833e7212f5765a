"""Serves the types with virtual storage: the replicated objects of the provider, in a consumer's workspace."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from tenantry.apiserver.scope import Call, Connector, Scope
from tenantry.apiserver.user import User
from tenantry.apiserver.verbs.get import get
from tenantry.apiserver.verbs.list import list_objects
from tenantry.apiserver.verbs.watch import watch
from tenantry.http.messages import Reply
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import CLUSTER_ANNOTATION, Object
from tenantry.kube.status import StatusError, bad_request
from tenantry.placement.catalog import Entry
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.tenancy.computed.collections import Collections
from tenantry.tenancy.computed.computed_record import ComputedRecord
from tenantry.tenancy.computed.sources import Sources
from tenantry.tenancy.replication.publications import REPLICATED
from tenantry.tenancy.replication.replication_lookup import Replicated, ReplicationLookup, Served, unresolved

_TABLE = __name__
"""The name of the table of a set's types with virtual storage."""
_VERBS = {"get": get, "list": list_objects, "watch": watch}
_NOTHING = ApiSet(())
_COLLECTION = "replicated"
"""The name of these collections among those of views. No view has it: it is in no URL."""


class VirtualResources:
    """Answers get, list and watch. One collection serves all consumers of a range, and shares the bytes of the catalog."""

    def __init__(self, collections: Collections, lookup: ReplicationLookup) -> None:
        self._collections = collections
        self._lookup = lookup

    def connector(self, definition: ResourceDefinition, base: ClusterScope, shown: Scope) -> Connector:
        """The connector for a type with virtual storage. `base`: the consumer. `shown`: what the client sees: the consumer, or a
        view of it. Raises StatusError 400 for a wildcard."""
        export, consumer = definition.virtual_storage, base.cluster
        if consumer is None:
            raise bad_request("Wildcard request not supported")
        if export is None:
            raise ValueError(f"{definition.group_resource} has no virtual storage")
        served = Served(export, definition.group_resource)

        async def answer(call: Call) -> Reply:
            replicated, range_ = await self._objects(base.range, served, definition)
            scope = _ReplicatedScope(base, shown, range_, consumer, lookup=self._lookup, served=served, replicated=replicated)
            return await _VERBS[call.verb](replace(call, scope=scope))

        return answer

    def unlisted(self, apis: ApiSet) -> Collection[ResourceDefinition]:
        virtual = apis.tables.get(_TABLE)
        if virtual is None:
            virtual = apis.tables[_TABLE] = tuple(each for each in apis if each.virtual_storage is not None)
        return [each for each in virtual if not self._lookup.has_slice(Served(each.virtual_storage, each.group_resource))]

    async def _objects(self, base: Range, served: Served, definition: ResourceDefinition) -> tuple[Replicated, Range]:
        """The replicated objects as this shard knows them now. Raises StatusError."""
        replicated = self._lookup.served(served)
        shape = definition.versions.get(replicated.version)
        if shape is None or not shape.served:
            raise unresolved(served.resource)
        place = (replicated.id, definition.uid, definition.identity)
        replicas = _Replicas(definition, replicated.id)
        collection = self._collections.of(
            base, _COLLECTION, place, replicated.id, replicas.compute, at_once=True, some=replicas.compute_some
        )
        base.requests += 1
        if not collection.is_current:
            await collection.ready()
        return replicated, collection.range


class _Replicas:
    """Computes the objects of a collection. It keeps the records of copies that have not changed, so that a change of one copy
    decodes one."""

    def __init__(self, definition: ResourceDefinition, publication: str) -> None:
        self._definition = definition
        self._publication = publication
        self._known: dict[str, tuple[Entry, ComputedRecord]] = {}

    def compute(self, sources: Sources) -> Iterator[ComputedRecord | None]:
        known: dict[str, tuple[Entry, ComputedRecord]] = {}
        for name, copy in sources.group(REPLICATED, self._publication):
            found = self._known.get(name)
            if found is None or found[0] is not copy:
                found = (copy, self._record(copy))
            known[name] = found
            yield found[1]
        self._known = known

    def compute_some(self, sources: Sources, names: Iterable[str]) -> Iterator[tuple[Key, ComputedRecord | None]]:
        for name, copy in sources.some_of_group(REPLICATED, self._publication, names):
            key = Key(self._publication, self._definition.storage_key, "", name)
            if copy is None:
                self._known.pop(name, None)
                yield key, None
            else:
                found = self._known[name] = (copy, self._record(copy))
                yield key, found[1]

    def _record(self, copy: Entry) -> ComputedRecord:
        # The provider's schema has pruned and defaulted it, not the one that consumers see. The decoded copies of one provider
        # would push those that every request needs out of the cache.
        return ComputedRecord.of_copy(self._definition, copy, copy.revision, normalised=False, kept=False)


class _ReplicatedScope(ClusterScope):
    """The replicated objects of one type, as a consumer sees them. Its `cluster` is the one in the keys of the collection."""

    __slots__ = ("_consumer", "_lookup", "_replicated", "_served", "_shown")

    def __init__(
        self,
        base: ClusterScope,
        shown: Scope,
        range_: Range,
        consumer: str,
        *,
        lookup: ReplicationLookup,
        served: Served,
        replicated: Replicated,
    ) -> None:
        super().__init__(base.scopes, replicated.id, range_)
        self._lookup = lookup
        self._served = served
        self._replicated = replicated
        self._shown = shown
        self._consumer = consumer

    def apis(self) -> ApiSet:
        """The consumer's, while the same objects are served; else none: watches end, and clients list again."""
        try:
            same = self._lookup.served(self._served) == self._replicated
        except StatusError:
            same = False
        return self._shown.apis() if same else _NOTHING

    def watch_apis(self, changed: Callable[[], None]) -> Callable[[], None]:
        stops = (self._shown.watch_apis(changed), self._lookup.subscribe(self._served, changed))

        def stop() -> None:
            for each in stops:
                each()

        return stop

    def present(self, definition: ResourceDefinition, user: User) -> Callable[[Object], Object]:
        return _Presented(self._consumer)


@dataclass(frozen=True, slots=True)
class _Presented:
    """Shows an object as one of the consumer's workspace. Equal values show the same."""

    consumer: str

    def __call__(self, obj: Object) -> Object:
        metadata = obj["metadata"]
        metadata["annotations"] = {**(metadata.get("annotations") or {}), CLUSTER_ANNOTATION: self.consumer}
        return obj
