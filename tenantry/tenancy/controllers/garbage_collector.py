"""Dependents go when their owners are gone (upstream's garbage collector): background, foreground and orphan deletion.

One collector works all clusters of a shard. It keeps nothing but the keys of objects that have owners; owner references never
cross logical clusters, so a uid is only ever looked for in the dependent's own cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from tenantry.apiserver import objects
from tenantry.apiserver.verbs.options import DeleteOptions
from tenantry.kube.objects import Object, finalizers_of, metadata_of, split_api_version
from tenantry.kube.status import StatusError
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.controllers.lookup import definition_of, definition_of_kind
from tenantry.tenancy.reconcile import Controller

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
FOREGROUND_POLICY = "Foreground"
_MARKS = (b'"foregroundDeletion"', b'"orphan"')


class _Owners(NamedTuple):
    """What became of an object's owners. `unknown`: their type cannot be resolved, so nothing is concluded from them."""

    living: list[dict[str, Any]]
    waiting: list[dict[str, Any]]
    gone: list[dict[str, Any]]
    unknown: bool


class GarbageCollector(Controller):
    name = "garbage-collector"
    workers = 8

    def __init__(self, host: Host) -> None:
        self._host = host
        self._dependents: dict[tuple[str, str], set[Key]] = {}
        self._waiting: dict[tuple[str, str], Key] = {}
        """Owners in foreground deletion that have dependents in their way."""

    @property
    def resources(self) -> Sequence[str] | None:
        return None

    def initial_keys(self, held: Range) -> Iterable[Key]:
        found: list[Key] = []
        for resource in {r for cluster in list(held.clusters()) for r in held.resources(cluster)}:
            for record in held.list(resource):
                self._index(record.key, None, record)
                if record.head.owner_uids or _has_mark(record):
                    found.append(record.key)
        return found

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        record, previous = event.record, event.previous
        if (record is not None and record.head.owner_uids) or (previous is not None and previous.head.owner_uids):
            self._index(event.key, previous, record)
        if record is None:
            if previous is None:
                return ()
            found = list(self._dependents.get((event.key.cluster, previous.head.uid), ()))
            # An owner that is deleted in the foreground may have waited for this one.
            found.extend(key for uid in previous.head.owner_uids if (key := self._waiting_owner(event.key.cluster, uid)))
            return found
        if record.head.deleting:
            return (event.key,) if _has_mark(record) else ()
        if record.head.owner_uids and (previous is None or previous.head.owner_uids != record.head.owner_uids):
            return (event.key,)
        return ()

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
            return
        if record.head.owner_uids:
            await self._collect(held, record, obj)

    async def _collect(self, held: Range, record: Record, obj: Object) -> None:
        owners = self._owners(held, record.key, obj)
        if owners.unknown or (not owners.gone and not owners.waiting):
            return
        if owners.living:
            dangling = {ref["uid"] for ref in (*owners.gone, *owners.waiting)}
            await self._update(record.key, lambda o: _without_owners(o, dangling))
            return
        policy = "Background"
        if owners.waiting and self._dependents.get((record.key.cluster, record.head.uid)):
            policy = FOREGROUND_POLICY
        await self._delete(record, policy)

    async def _foreground(self, held: Range, record: Record) -> None:
        blocking = False
        for key in list(self._dependents.get((record.key.cluster, record.head.uid), ())):
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
        else:
            self._waiting[(record.key.cluster, record.head.uid)] = record.key

    async def _orphan(self, held: Range, record: Record) -> None:
        for key in list(self._dependents.get((record.key.cluster, record.head.uid), ())):
            await self._update(key, lambda o: _without_owners(o, {record.head.uid}))
        await self._update(record.key, lambda o: _without_finalizer(o, ORPHAN))

    def _owners(self, held: Range, key: Key, obj: Object) -> _Owners:
        living, waiting, gone = [], [], []
        apis = self._host.apis.for_cluster(key.cluster)
        for ref in metadata_of(obj).get("ownerReferences") or ():
            group, _ = split_api_version(ref.get("apiVersion") or "")
            definition = definition_of_kind(apis, group, ref.get("kind") or "")
            if definition is None or (definition.namespaced and not key.namespace):
                return _Owners([], [], [], True)
            place = Key(
                key.cluster, definition.storage_key, key.namespace if definition.namespaced else "", ref.get("name") or ""
            )
            owner = held.get(place)
            if owner is None or owner.head.uid != ref.get("uid"):
                gone.append(ref)
            elif owner.head.deleting and ref.get("blockOwnerDeletion") and _MARKS[0] in owner.value:
                waiting.append(ref)
            else:
                living.append(ref)
        return _Owners(living, waiting, gone, False)

    async def _update(self, key: Key, change: Callable[[Object], Object | None]) -> None:
        definition = definition_of(self._host, key.cluster, key.resource)
        if definition is not None:
            await objects.update(self._host.scope(key.cluster), definition, key.namespace, key.name, change)

    async def _delete(self, record: Record, policy: str) -> None:
        key = record.key
        definition = definition_of(self._host, key.cluster, key.resource)
        if definition is None:
            return
        options = DeleteOptions(propagation=policy, uid=record.head.uid)
        try:
            await objects.delete(self._host.scope(key.cluster), definition, key.namespace, key.name, options=options)
        except StatusError as error:
            # Gone meanwhile, or another object of that name.
            if error.code not in (404, 409):
                raise

    def _waiting_owner(self, cluster: str, uid: str) -> Key | None:
        return self._waiting.pop((cluster, uid), None)

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


def _without_finalizer(obj: Object, finalizer: str) -> Object | None:
    metadata = metadata_of(obj)
    if finalizer not in (metadata.get("finalizers") or ()):
        return None
    metadata["finalizers"] = [f for f in metadata["finalizers"] if f != finalizer]
    return obj
