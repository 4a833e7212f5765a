"""Kubernetes' garbage collector: deletes dependents after their owners, with background, foreground and orphan deletion.

One collector works on all logical clusters of a shard. It keeps only the keys of objects with owners. Owner references do not
cross logical clusters, so owners are searched in the dependent's own cluster. An owner may have as many dependents as a cluster
has objects: they are processed in slices, and dependents that are added meanwhile are processed too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from tenantry.apiserver import local_client
from tenantry.apiserver.verbs import options as policies
from tenantry.apiserver.verbs.options import DeleteOptions
from tenantry.base.time_slices import in_slices
from tenantry.controllers.controller import Retry
from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.finalizers import FOREGROUND, ORPHAN
from tenantry.kube.objects import Object, finalizers_of, metadata_of, split_api_version
from tenantry.kube.status import StatusError
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.controllers.definition_lookup import API_SOURCES, definition_of, definition_of_kind

_MARKS = (b'"foregroundDeletion"', b'"orphan"')

_FEW = 64
"""The most dependents that the event of their owner's deletion enqueues directly."""


class _OwnerStates(NamedTuple):
    """The owner references of an object, by the state of the owners.

    `living`: they exist. `waiting`: in foreground deletion. `gone`: they do not exist. `unknown`: the type of an owner cannot
    be resolved yet, so that nothing is decided. `impossible`: a cluster-scoped object has a namespaced owner, which is invalid.
    """

    living: list[dict[str, Any]]
    waiting: list[dict[str, Any]]
    gone: list[dict[str, Any]]
    unknown: bool = False
    impossible: bool = False


class _Blocked:
    """An owner in foreground deletion that waits for dependents. `queued`: all its dependents were enqueued once. `joined`: an
    object became its dependent after they were last examined."""

    __slots__ = ("joined", "key", "queued")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.queued = False
        self.joined = False


class GarbageCollector(ObjectController):
    name = "garbage-collector"
    workers = 8

    def __init__(self, *, apis: ClusterApis, scopes: ClusterScopes) -> None:
        self._apis = apis
        self._scopes = scopes
        self._dependents: dict[str, dict[str, set[Key]]] = {}
        """By cluster and uid of their owner."""
        self._waiting: dict[str, dict[str, _Blocked]] = {}
        """By cluster and uid."""
        self._gone: dict[Key, set[str]] = {}
        """Deleted owners with more than `_FEW` dependents → their uids."""
        self._unresolved: dict[str, set[Key]] = {}
        """Cluster → dependents whose type, or whose owner's type, the cluster does not serve."""

    @property
    def resources(self) -> Sequence[str] | None:
        return None

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        for record in range_.each():
            if record.head.owner_uids:
                self._index(record.key, None, record)
                yield record.key
            else:
                yield record.key if _has_mark(record) else None

    def released(self, range_: Range) -> None:
        tables: tuple[dict[str, Any], ...] = (self._dependents, self._waiting, self._unresolved)
        for table in tables:
            for cluster in [cluster for cluster in table if cluster in range_]:
                del table[cluster]
        self._gone = {key: uids for key, uids in self._gone.items() if key.cluster not in range_}

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        key, record, previous = event.key, event.record, event.previous
        owners = record.head.owner_uids if record is not None else ()
        owners_before = previous.head.owner_uids if previous is not None else ()
        found: list[Key] = []
        if owners or owners_before:
            if owners != owners_before:
                self._index(key, previous, record)
            if self._waiting:
                # An owner in foreground deletion may have waited for this object.
                waiting = self._waiting.get(key.cluster, {})
                found.extend(blocked.key for uid in owners_before if (blocked := waiting.get(uid)) is not None)
        if record is None:
            self._resolved(key)
            if previous is not None:
                uid = previous.head.uid
                self._stop_waiting(key.cluster, uid)
                dependents = self._dependents_of(key.cluster, uid)
                if len(dependents) <= _FEW:
                    found.extend(dependents)
                else:
                    self._gone.setdefault(key, set()).add(uid)
                    found.append(key)
        elif record.head.deleting:
            if _has_mark(record):
                found.append(key)
        elif owners and owners != owners_before:
            found.append(key)
        if key.cluster in self._unresolved and key.resource in API_SOURCES and record is not None:
            self.enqueue_all(("apis", key.cluster), lambda: self._unresolved.pop(key.cluster, ()))
        return found

    def _dependents_of(self, cluster: str, uid: str) -> Collection[Key]:
        return self._dependents.get(cluster, {}).get(uid, ())

    def _stop_waiting(self, cluster: str, uid: str) -> None:
        waiting = self._waiting.get(cluster)
        if waiting is not None:
            waiting.pop(uid, None)
            if not waiting:
                del self._waiting[cluster]

    def _resolved(self, key: Key) -> None:
        """A deleted object no longer waits for a type."""
        waiting = self._unresolved.get(key.cluster)
        if waiting is not None:
            waiting.discard(key)
            if not waiting:
                del self._unresolved[key.cluster]

    async def reconcile(self, range_: Range, key: Key) -> None:
        for uid in self._gone.pop(key, ()):
            async for dependent in in_slices(tuple(self._dependents_of(key.cluster, uid))):
                self.enqueue(dependent)
        if range_.get(key) is not None:
            await self._apis.read(key.cluster)
        record = range_.get(key)
        if record is None:
            return
        obj = orjson.loads(record.value)
        if record.head.deleting:
            finalizers = finalizers_of(obj)
            if ORPHAN in finalizers:
                await self._orphan(range_, record)
            elif FOREGROUND in finalizers:
                await self._foreground(range_, record)
        elif record.head.owner_uids:
            await self._collect(range_, record, obj)

    async def _collect(self, range_: Range, record: Record, obj: Object) -> None:
        owners = self._owners(range_, record.key, obj)
        if owners.unknown:
            self._unresolved.setdefault(record.key.cluster, set()).add(record.key)
            return
        if owners.impossible or not (owners.gone or owners.waiting):
            return
        if owners.living:
            dangling = {ref["uid"] for ref in (*owners.gone, *owners.waiting)}
            await self._update(record.key, lambda o: _without_owners(o, dangling))
            return
        dependents = tuple(self._dependents_of(record.key.cluster, record.head.uid))
        if owners.waiting and dependents:
            if await _any_in_foreground(range_, dependents):
                # A cycle: the owner would wait for itself.
                await self._update(record.key, _without_blocking)
                record = range_.get(record.key) or record
            await self._delete(record, policies.FOREGROUND)
        else:
            finalizers = finalizers_of(obj)
            chosen = {ORPHAN: policies.ORPHAN, FOREGROUND: policies.FOREGROUND}
            policy = next((chosen[f] for f in (ORPHAN, FOREGROUND) if f in finalizers), policies.BACKGROUND)
            await self._delete(record, policy)

    async def _foreground(self, range_: Range, record: Record) -> None:
        cluster, uid = record.key.cluster, record.head.uid
        blocked = self._waiting.setdefault(cluster, {}).setdefault(uid, _Blocked(record.key))
        blocked.joined = False
        blocking = False
        async for key in in_slices(tuple(self._dependents_of(cluster, uid)), 1):
            dependent = range_.get(key)
            if dependent is None:
                continue
            blocking = blocking or _blocks(dependent, uid)
            if blocking and blocked.queued:
                # The deletion of that dependent enqueues the owner again; the others were enqueued before.
                return
            if not blocked.queued and not dependent.head.deleting:
                self.enqueue(key)
        blocked.queued = True
        if blocking:
            return
        if blocked.joined:
            raise Retry(0.0, "another object became a dependent meanwhile")
        await self._update(record.key, lambda o: _without_finalizer(o, FOREGROUND))
        self._stop_waiting(cluster, uid)

    async def _orphan(self, range_: Range, record: Record) -> None:
        async for key in in_slices(tuple(self._dependents_of(record.key.cluster, record.head.uid)), 1):
            await self._update(key, lambda o: _without_owners(o, {record.head.uid}))
        await self._update(record.key, lambda o: _without_finalizer(o, ORPHAN))

    def _owners(self, range_: Range, key: Key, obj: Object) -> _OwnerStates:
        owners = _OwnerStates([], [], [])
        apis = self._apis.for_cluster(key.cluster)
        for ref in metadata_of(obj).get("ownerReferences") or ():
            group, _ = split_api_version(ref.get("apiVersion") or "")
            definition = definition_of_kind(apis, group, ref.get("kind") or "")
            if definition is None:
                return _OwnerStates([], [], [], unknown=True)
            if definition.namespaced and not key.namespace:
                return _OwnerStates([], [], [], impossible=True)
            namespace = key.namespace if definition.namespaced else ""
            owner = range_.get(Key(key.cluster, definition.storage_key, namespace, ref.get("name") or ""))
            if owner is None or owner.head.uid != ref.get("uid"):
                owners.gone.append(ref)
            elif _in_foreground(owner):
                owners.waiting.append(ref)
            else:
                owners.living.append(ref)
        return owners

    async def _update(self, key: Key, change: Callable[[Object], Object | None]) -> None:
        definition = definition_of(self._apis, key.cluster, key.resource)
        if definition is not None:
            await local_client.update(self._scopes.cluster(key.cluster), definition, key.namespace, key.name, change)

    async def _delete(self, record: Record, policy: str) -> None:
        """Deletes the object if it is unchanged: it may have got an owner meanwhile."""
        key = record.key
        definition = definition_of(self._apis, key.cluster, key.resource)
        if definition is None:
            self._unresolved.setdefault(key.cluster, set()).add(key)
            return
        options = DeleteOptions(propagation=policy, uid=record.head.uid, resource_version=str(record.version))
        try:
            await local_client.delete(self._scopes.cluster(key.cluster), definition, key.namespace, key.name, options=options)
        except StatusError as error:
            if error.code == 409:
                raise Retry(why=error.message) from error
            raise

    def _index(self, key: Key, previous: Record | None, record: Record | None) -> None:
        owned = self._dependents.setdefault(key.cluster, {})
        for uid in previous.head.owner_uids if previous is not None else ():
            known = owned.get(uid)
            if known is not None:
                known.discard(key)
                if not known:
                    del owned[uid]
        waiting = self._waiting.get(key.cluster, {})
        for uid in record.head.owner_uids if record is not None else ():
            owned.setdefault(uid, set()).add(key)
            if uid in waiting:
                waiting[uid].joined = True
        if not owned:
            del self._dependents[key.cluster]


def _has_mark(record: Record) -> bool:
    return record.head.deleting and any(mark in record.value for mark in _MARKS)


async def _any_in_foreground(range_: Range, keys: Sequence[Key]) -> bool:
    async for key in in_slices(keys, 1):
        record = range_.get(key)
        if record is not None and _in_foreground(record):
            return True
    return False


def _blocks(dependent: Record, uid: str) -> bool:
    if b'"blockOwnerDeletion":true' not in dependent.value:
        return False
    refs = metadata_of(orjson.loads(dependent.value)).get("ownerReferences") or ()
    return any(ref.get("uid") == uid and ref.get("blockOwnerDeletion") for ref in refs)


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


def _without_blocking(obj: Object) -> Object:
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
