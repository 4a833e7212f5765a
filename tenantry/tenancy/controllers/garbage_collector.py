"""Dependents go when their owners are gone (upstream's garbage collector): background, foreground and orphan deletion.

One collector works all clusters of a shard. It keeps nothing but the keys of objects that have owners; owner references never
cross logical clusters, so a uid is only ever looked for in the dependent's own cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from tenantry.apiserver import objects
from tenantry.apiserver.verbs import options as policies
from tenantry.apiserver.verbs.options import DeleteOptions
from tenantry.kube.finalizers import FOREGROUND, ORPHAN
from tenantry.kube.objects import Object, finalizers_of, metadata_of, split_api_version
from tenantry.kube.status import StatusError
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.controllers.lookup import API_SOURCES, definition_of, definition_of_kind
from tenantry.tenancy.reconcile import Controller, Retry

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

_MARKS = (b'"foregroundDeletion"', b'"orphan"')

Place = tuple[str, str]
"""(cluster, uid of an owner)."""


class _Owners(NamedTuple):
    """What became of an object's owners. `waiting`: are deleted in the foreground. `unknown`: a type cannot be resolved (yet), so
    nothing is concluded. `impossible`: a cluster-scoped object names a namespaced owner, which never means anything."""

    living: list[dict[str, Any]]
    waiting: list[dict[str, Any]]
    gone: list[dict[str, Any]]
    unknown: bool = False
    impossible: bool = False


class GarbageCollector(Controller):
    name = "garbage-collector"
    workers = 8

    def __init__(self, host: Host) -> None:
        self._host = host
        self._dependents: dict[Place, set[Key]] = {}
        self._waiting: dict[Place, Key] = {}
        """Owners in foreground deletion that have dependents in their way."""
        self._unresolved: dict[str, set[Key]] = {}
        """Cluster → dependents whose own type or whose owner's type it does not have."""

    @property
    def resources(self) -> Sequence[str] | None:
        return None

    def initial_keys(self, held: Range) -> Iterable[Key]:
        found: list[Key] = []
        for resource in {r for cluster in list(held.clusters()) for r in held.resources(cluster)}:
            for record in held.list(resource):
                if record.head.owner_uids:
                    self._index(record.key, None, record)
                    found.append(record.key)
                elif _has_mark(record):
                    found.append(record.key)
        return found

    def lost(self, held: Range) -> None:
        for table in (self._dependents, self._waiting):
            for place in [place for place in table if place[0] in held]:
                del table[place]
        for cluster in [cluster for cluster in self._unresolved if cluster in held]:
            del self._unresolved[cluster]

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        key, record, previous = event.key, event.record, event.previous
        owners = record.head.owner_uids if record is not None else ()
        owners_before = previous.head.owner_uids if previous is not None else ()
        found: list[Key] = []
        if owners or owners_before:
            if owners != owners_before:
                self._index(key, previous, record)
            if self._waiting:
                # An owner that is deleted in the foreground may have waited for this.
                found.extend(owner for uid in owners_before if (owner := self._waiting.get((key.cluster, uid))))
        if record is None:
            self._resolved(key)
            if previous is not None:
                place = (key.cluster, previous.head.uid)
                self._waiting.pop(place, None)
                found.extend(self._dependents.get(place, ()))
        elif record.head.deleting:
            if _has_mark(record):
                found.append(key)
        elif owners and owners != owners_before:
            found.append(key)
        if self._unresolved and key.resource in API_SOURCES and record is not None:
            found.extend(self._unresolved.pop(key.cluster, ()))
        return found

    def _resolved(self, key: Key) -> None:
        """Nothing is waited for on account of an object that is gone."""
        waiting = self._unresolved.get(key.cluster)
        if waiting is not None:
            waiting.discard(key)
            if not waiting:
                del self._unresolved[key.cluster]

    async def reconcile(self, held: Range, key: Key) -> None:
        record = held.get(key)
        if record is None:
            return
        obj = orjson.loads(record.value)
        if record.head.deleting:
            finalizers = finalizers_of(obj)
            if ORPHAN in finalizers:
                await self._orphan(held, record)
            elif FOREGROUND in finalizers:
                await self._foreground(held, record)
        elif record.head.owner_uids:
            await self._collect(held, record, obj)

    async def _collect(self, held: Range, record: Record, obj: Object) -> None:
        owners = self._owners(held, record.key, obj)
        if owners.unknown:
            self._unresolved.setdefault(record.key.cluster, set()).add(record.key)
            return
        if owners.impossible or not (owners.gone or owners.waiting):
            return
        if owners.living:
            dangling = {ref["uid"] for ref in (*owners.gone, *owners.waiting)}
            await self._update(record.key, lambda o: _without_owners(o, dangling))
            return
        dependents = self._dependents.get((record.key.cluster, record.head.uid), ())
        if owners.waiting and dependents:
            if any((other := held.get(dependent)) is not None and _in_foreground(other) for dependent in dependents):
                # A circle: it would wait for itself.
                await self._update(record.key, _unblocking)
                record = held.get(record.key) or record
            await self._delete(record, policies.FOREGROUND)
        else:
            finalizers = finalizers_of(obj)
            chosen = {ORPHAN: policies.ORPHAN, FOREGROUND: policies.FOREGROUND}
            policy = next((chosen[f] for f in (ORPHAN, FOREGROUND) if f in finalizers), policies.BACKGROUND)
            await self._delete(record, policy)

    async def _foreground(self, held: Range, record: Record) -> None:
        place = (record.key.cluster, record.head.uid)
        self._waiting[place] = record.key
        blocking = False
        for key in list(self._dependents.get(place, ())):
            dependent = held.get(key)
            if dependent is None:
                continue
            refs = metadata_of(orjson.loads(dependent.value)).get("ownerReferences") or ()
            if any(ref.get("uid") == record.head.uid and ref.get("blockOwnerDeletion") for ref in refs):
                blocking = True
            if not dependent.head.deleting:
                self.enqueue(key)
        if not blocking:
            await self._update(record.key, lambda o: _without_finalizer(o, FOREGROUND))
            self._waiting.pop(place, None)

    async def _orphan(self, held: Range, record: Record) -> None:
        for key in list(self._dependents.get((record.key.cluster, record.head.uid), ())):
            await self._update(key, lambda o: _without_owners(o, {record.head.uid}))
        await self._update(record.key, lambda o: _without_finalizer(o, ORPHAN))

    def _owners(self, held: Range, key: Key, obj: Object) -> _Owners:
        owners = _Owners([], [], [])
        apis = self._host.apis.for_cluster(key.cluster)
        for ref in metadata_of(obj).get("ownerReferences") or ():
            group, _ = split_api_version(ref.get("apiVersion") or "")
            definition = definition_of_kind(apis, group, ref.get("kind") or "")
            if definition is None:
                return _Owners([], [], [], unknown=True)
            if definition.namespaced and not key.namespace:
                return _Owners([], [], [], impossible=True)
            namespace = key.namespace if definition.namespaced else ""
            owner = held.get(Key(key.cluster, definition.storage_key, namespace, ref.get("name") or ""))
            if owner is None or owner.head.uid != ref.get("uid"):
                owners.gone.append(ref)
            elif _in_foreground(owner):
                owners.waiting.append(ref)
            else:
                owners.living.append(ref)
        return owners

    async def _update(self, key: Key, change: Callable[[Object], Object | None]) -> None:
        definition = definition_of(self._host, key.cluster, key.resource)
        if definition is not None:
            await objects.update(self._host.scope(key.cluster), definition, key.namespace, key.name, change)

    async def _delete(self, record: Record, policy: str) -> None:
        """Deletes what was looked at and nothing newer: it may have been given an owner meanwhile."""
        key = record.key
        definition = definition_of(self._host, key.cluster, key.resource)
        if definition is None:
            self._unresolved.setdefault(key.cluster, set()).add(key)
            return
        options = DeleteOptions(propagation=policy, uid=record.head.uid, resource_version=str(record.version))
        try:
            await objects.delete(self._host.scope(key.cluster), definition, key.namespace, key.name, options=options)
        except StatusError as error:
            if error.code == 409:
                raise Retry(why=error.message) from error
            raise

    def _index(self, key: Key, previous: Record | None, record: Record | None) -> None:
        for uid in previous.head.owner_uids if previous is not None else ():
            known = self._dependents.get((key.cluster, uid))
            if known is not None:
                known.discard(key)
                if not known:
                    del self._dependents[(key.cluster, uid)]
        for uid in record.head.owner_uids if record is not None else ():
            self._dependents.setdefault((key.cluster, uid), set()).add(key)


def _has_mark(record: Record) -> bool:
    return record.head.deleting and any(mark in record.value for mark in _MARKS)


def _in_foreground(owner: Record) -> bool:
    return owner.head.deleting and _MARKS[0] in owner.value and FOREGROUND in finalizers_of(orjson.loads(owner.value))


def _without_owners(obj: Object, uids: set[str]) -> Object | None:
    metadata = metadata_of(obj)
    kept = [ref for ref in metadata.get("ownerReferences") or () if ref.get("uid") not in uids]
    if len(kept) == len(metadata.get("ownerReferences") or ()):
        return None
    if kept:
        metadata["ownerReferences"] = kept
    else:
        metadata.pop("ownerReferences", None)
    return obj


def _unblocking(obj: Object) -> Object:
    for ref in metadata_of(obj).get("ownerReferences") or ():
        if ref.get("blockOwnerDeletion"):
            ref["blockOwnerDeletion"] = False
    return obj


def _without_finalizer(obj: Object, finalizer: str) -> Object | None:
    metadata = metadata_of(obj)
    if finalizer not in (metadata.get("finalizers") or ()):
        return None
    metadata["finalizers"] = [f for f in metadata["finalizers"] if f != finalizer]
    return obj
