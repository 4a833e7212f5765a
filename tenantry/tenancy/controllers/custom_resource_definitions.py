"""The controller of CustomResourceDefinitions: it accepts their names, and deletes their objects with them (Kubernetes)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from weakref import WeakValueDictionary

import orjson

from tenantry.apiserver import local_client
from tenantry.base.time_slices import in_slices
from tenantry.controllers.object_controller import CollectionController, ObjectCollection, enqueue_where
from tenantry.kube.crd_approval import approval_condition
from tenantry.kube.crd_naming import ESTABLISHED, NAMES_ACCEPTED, TakenNames, is_condition_true, named_status
from tenantry.kube.objects import Object, finalizers_of, metadata_of, timestamp
from tenantry.kube.status import StatusError
from tenantry.kube.types.custom_resource_definition import DEFINITION, FINALIZER
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.controllers.definition_lookup import definition_of
from tenantry.tenancy.controllers.purge import Purge
from tenantry.tenancy.resources import CUSTOM_RESOURCE_DEFINITIONS


class CustomResourceDefinitionController(CollectionController):
    """An `ObjectCollection` means the definitions of a cluster whose names are not all accepted."""

    name = "custom-resource-definitions"

    def __init__(self, *, apis: ClusterApis, scopes: ClusterScopes, purge: Purge) -> None:
        self._apis = apis
        self._scopes = scopes
        self._purge = purge
        self._terminating: dict[tuple[str, str], Key] = {}
        """(cluster, storage key of its objects) → the definition that waits for the deletion of its objects."""
        self._naming: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Cluster → lock: names of one cluster are accepted one after the other, so that two definitions do not get the same."""

    @property
    def resources(self) -> Sequence[str] | None:
        return None

    def keys(self, event: RecordEvent) -> Iterable[Key | ObjectCollection]:
        key = event.key
        if key.resource == CUSTOM_RESOURCE_DEFINITIONS:
            if event.record is None and event.previous is not None:
                self._terminating.pop((key.cluster, _resource(orjson.loads(event.previous.value))), None)
                return (ObjectCollection(key.cluster),)
            return (key,)
        if event.record is None and self._terminating:
            waiting = self._terminating.get((key.cluster, key.resource))
            return (waiting,) if waiting is not None else ()
        return ()

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (record.key for record in range_.each(CUSTOM_RESOURCE_DEFINITIONS))

    def released(self, range_: Range) -> None:
        self._terminating = {place: key for place, key in self._terminating.items() if place[0] not in range_}

    async def reconcile(self, range_: Range, key: Key | ObjectCollection) -> None:
        if isinstance(key, ObjectCollection):
            await enqueue_where(
                self.enqueue, range_.each(CUSTOM_RESOURCE_DEFINITIONS, key.cluster), _has_unaccepted_names, piece=1
            )
            return
        record = range_.get(key)
        if record is None:
            return
        if record.head.deleting:
            await self._terminate(range_, key, orjson.loads(record.value))
            return
        lock = self._naming.setdefault(key.cluster, asyncio.Lock())
        async with lock:
            changed = await self._name(range_, key, orjson.loads(record.value))
        if changed:
            # It may have released a short name that another definition needs.
            self.enqueue(ObjectCollection(key.cluster))

    async def _name(self, range_: Range, key: Key, crd: Object) -> bool:
        """Updates the status. Returns whether the accepted names changed."""
        before: Object = {}
        # The lock of the cluster is held, so accepted names do not change meanwhile.
        taken = TakenNames(crd)
        async for each in in_slices(range_.each(CUSTOM_RESOURCE_DEFINITIONS, key.cluster), 1):
            if each.key != key:
                taken.add(orjson.loads(each.value))

        def named(obj: Object) -> Object | None:
            nonlocal before
            before = obj.get("status") or {}
            wanted = _with_condition(named_status(obj, taken), approval_condition(obj))
            return {**obj, "status": wanted} if wanted != before else None

        after = await local_client.update(
            self._scopes.cluster(key.cluster), DEFINITION, "", key.name, named, subresource="status"
        )
        return after is not None and (after.get("status") or {}).get("acceptedNames") != before.get("acceptedNames")

    async def _terminate(self, range_: Range, key: Key, crd: Object) -> None:
        if FINALIZER not in finalizers_of(crd):
            return
        scope = self._scopes.cluster(key.cluster)
        resource = _resource(crd)
        await self._apis.read(key.cluster)
        if self._has_objects(key.cluster, crd, resource):
            self._terminating[(key.cluster, resource)] = key
            await local_client.update(scope, DEFINITION, "", key.name, _terminating, subresource="status")
            failures = await self._purge(range_, range_.each(resource, key.cluster))
            if range_.count(resource, key.cluster):
                if failures:
                    raise StatusError(500, "InternalError", f"{key.name} cannot be emptied: {failures[0]}")
                return
            self._terminating.pop((key.cluster, resource), None)
        await local_client.update(scope, DEFINITION, "", key.name, _without_cleanup)

    def _has_objects(self, cluster: str, crd: Object, resource: str) -> bool:
        """Whether the objects with its storage key belong to it. A definition that was never served, or that has the name of a
        built-in type, has no objects, and must not delete those of another type."""
        if not is_condition_true(crd, ESTABLISHED):
            return False
        definition = definition_of(self._apis, cluster, resource)
        return definition is None or definition.crd == metadata_of(crd)["name"]


def _has_unaccepted_names(crd: Record) -> bool:
    return not is_condition_true(orjson.loads(crd.value), NAMES_ACCEPTED)


def _resource(crd: Object) -> str:
    """The storage key of its objects."""
    return f"{crd['spec'].get('group') or 'core'}/{crd['spec']['names']['plural']}"


def _with_condition(status: Object, condition: Object | None) -> Object:
    if condition is None:
        return status
    others = [c for c in status.get("conditions") or () if c.get("type") != condition["type"]]
    return {**status, "conditions": [*others, condition]}


def _without_cleanup(obj: Object) -> Object:
    metadata = metadata_of(obj)
    metadata["finalizers"] = [f for f in metadata.get("finalizers") or () if f != FINALIZER]
    return obj


def _terminating(obj: Object) -> Object | None:
    status = obj.setdefault("status", {})
    if any(c.get("type") == "Terminating" for c in status.get("conditions") or ()):
        return None
    condition = {
        "type": "Terminating",
        "status": "True",
        "lastTransitionTime": timestamp(),
        "reason": "InstanceDeletionInProgress",
        "message": "CustomResource deletion is in progress",
    }
    return {**obj, "status": {**status, "conditions": [*(status.get("conditions") or ()), condition]}}
