"""The life of a CustomResourceDefinition: its names are accepted and it is served, until it goes and takes its objects along."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import orjson

from tenantry.apiserver import objects
from tenantry.kube.crd_naming import naming_conditions
from tenantry.kube.objects import Object, finalizers_of, metadata_of, timestamp
from tenantry.kube.status import StatusError
from tenantry.kube.types.custom_resource_definition import DEFINITION, FINALIZER
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, RecordEvent
from tenantry.tenancy.controllers.lookup import definition_of
from tenantry.tenancy.reconcile import Controller

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

CUSTOM_RESOURCE_DEFINITIONS = "apiextensions.k8s.io/customresourcedefinitions"


class CustomResourceDefinitions(Controller):
    name = "custom-resource-definitions"

    def __init__(self, host: Host) -> None:
        self._host = host
        self._terminating: dict[tuple[str, str], Key] = {}

    @property
    def resources(self) -> Sequence[str] | None:
        return None

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        key = event.key
        if key.resource == CUSTOM_RESOURCE_DEFINITIONS:
            if event.record is None and self._host.cell.owns(key.cluster):
                # Its names are free again for others of its group.
                held = self._host.cell.range_of(key.cluster)
                return [record.key for record in held.list(CUSTOM_RESOURCE_DEFINITIONS, key.cluster)]
            return (key,)
        if event.record is None and self._terminating:
            waiting = self._terminating.get((key.cluster, key.resource))
            return (waiting,) if waiting is not None else ()
        return ()

    def initial_keys(self, held: Range) -> Iterable[Key]:
        return (record.key for record in held.list(CUSTOM_RESOURCE_DEFINITIONS))

    async def reconcile(self, held: Range, key: Key) -> None:
        record = held.get(key)
        if record is None:
            return
        crd = orjson.loads(record.value)
        if record.head.deleting:
            await self._terminate(held, key, crd)
            return
        scope = self._host.scope(key.cluster)
        others = [orjson.loads(r.value) for r in held.list(CUSTOM_RESOURCE_DEFINITIONS, key.cluster) if r.key != key]
        wanted = naming_conditions(crd, others)
        if wanted != (crd.get("status") or {}):

            def named(obj: Object) -> Object:
                return {**obj, "status": naming_conditions(obj, others)}

            await objects.update(scope, DEFINITION, "", key.name, named, subresource="status")

    async def _terminate(self, held: Range, key: Key, crd: Object) -> None:
        if FINALIZER not in finalizers_of(crd):
            return
        scope = self._host.scope(key.cluster)
        group, plural = crd["spec"]["group"], crd["spec"]["names"]["plural"]
        resource = f"{group or 'core'}/{plural}"
        self._terminating[(key.cluster, resource)] = key
        await objects.update(scope, DEFINITION, "", key.name, _terminating, subresource="status")
        for record in list(held.list(resource, key.cluster)):
            if record.head.deleting:
                continue
            definition = definition_of(self._host, key.cluster, resource)
            if definition is None:
                await self._host.cell.settled([record.key])
                current = held.get(record.key)
                if current is not None:
                    await self._host.cell.commit([Change(record.key, None, None, current)])
                continue
            try:
                await objects.delete(scope, definition, record.key.namespace, record.key.name)
            except StatusError as error:
                if error.code != 404:
                    raise
        if held.count(resource, key.cluster):
            return
        self._terminating.pop((key.cluster, resource), None)
        await objects.update(scope, DEFINITION, "", key.name, _without_cleanup)


def _without_cleanup(obj: Object) -> Object:
    metadata = metadata_of(obj)
    metadata["finalizers"] = [f for f in metadata.get("finalizers") or () if f != FINALIZER]
    return obj


def _terminating(obj: Object) -> Object | None:
    status = obj.setdefault("status", {})
    conditions = [c for c in status.get("conditions") or () if c["type"] != "Terminating"]
    if len(conditions) != len(status.get("conditions") or ()):
        return None
    conditions.append(
        {
            "type": "Terminating",
            "status": "True",
            "lastTransitionTime": timestamp(),
            "reason": "InstanceDeletionInProgress",
            "message": "CustomResource deletion is in progress",
        }
    )
    status["conditions"] = conditions
    return obj
