"""Keeps the standard flow control objects of clusters as Kubernetes does, and says which FlowSchemas lack their level."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tenantry.apiserver import local_client
from tenantry.base.time_slices import in_slices
from tenantry.controllers.object_controller import CollectionController, ObjectCollection
from tenantry.kube.decode import of_its_type
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.flowcontrol.standard_objects import (
    AUTO_UPDATE,
    MANDATORY_LEVELS,
    MANDATORY_SCHEMAS,
    parse_bool,
    revised,
)
from tenantry.kube.objects import Object, annotations_of, timestamp
from tenantry.kube.types import flow_schema
from tenantry.kube.types.flow_schema import DANGLING
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, RecordEvent
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.flowcontrol.standard_contents import PRODUCER, TYPES, condition, is_living, missing, with_consumer
from tenantry.tenancy.resources import FLOW_SCHEMAS, PRIORITY_LEVELS

_MANDATORY = {FLOW_SCHEMAS: MANDATORY_SCHEMAS, PRIORITY_LEVELS: MANDATORY_LEVELS}


class FlowControlController(CollectionController):
    """An `ObjectCollection` means all flow control objects of a cluster; a key one of them.

    What is missing is created again. The specs of mandatory objects, and of suggested ones that no client changed, are kept as
    they are in this version of the server (the annotation `apf.kubernetes.io/autoupdate-spec`), and what an earlier version had
    is deleted.
    """

    name = "flow-control"

    def __init__(self, *, cell: Cell, scopes: ClusterScopes) -> None:
        self._cell = cell
        self._scopes = scopes

    @property
    def resources(self) -> Sequence[str] | None:
        return FLOW_SCHEMAS, PRIORITY_LEVELS

    def keys(self, event: RecordEvent) -> Iterable[Key | ObjectCollection]:
        key = event.key
        came_or_went = event.record is None or event.previous is None
        if key.resource == PRIORITY_LEVELS and came_or_went:
            return (key, ObjectCollection(key.cluster))
        return (ObjectCollection(key.cluster),) if event.record is None else (key,)

    def initial_keys(self, range_: Range) -> Iterable[Key | ObjectCollection | None]:
        for cluster in list(range_.clusters(FLOW_SCHEMAS)):
            yield ObjectCollection(cluster)

    async def reconcile(self, range_: Range, key: Key | ObjectCollection) -> None:
        if not is_living(range_, key.cluster):
            return
        if isinstance(key, ObjectCollection):
            await self._all(range_, key.cluster)
        elif range_.get(key) is not None:
            await self._one(range_, key)

    async def _all(self, range_: Range, cluster: str) -> None:
        if not any(range_.has_any(resource, cluster) for resource in TYPES):
            return

        def wanted() -> list[Change]:
            return list(missing(range_, cluster)) if is_living(range_, cluster) else []

        keys = [Key(cluster, resource, "", name) for resource, (_, specs) in TYPES.items() for name in specs]
        await transact(self._cell, keys, wanted)
        for resource in TYPES:
            async for record in in_slices(range_.each(resource, cluster), 1):
                self.enqueue(record.key)

    async def _one(self, range_: Range, key: Key) -> None:
        definition, specs = TYPES[key.resource]
        record = range_.get(key)
        if record is None or record.head.deleting:
            return
        obj = of_its_type(record.value, definition)
        if obj is None:
            return
        spec = specs.get(key.name)
        if spec is None:
            if parse_bool(annotations_of(obj).get(AUTO_UPDATE)):
                await local_client.delete(self._scopes.cluster(key.cluster), definition, "", key.name)
                return
        else:
            mandatory = key.name in _MANDATORY[key.resource]
            if revised(obj, spec, mandatory=mandatory) is not None:
                await self._update(definition, key, lambda found: revised(found, spec, mandatory=mandatory), PRODUCER)
        if definition is flow_schema.DEFINITION:
            await self._update(definition, key, lambda found: _judged(found, range_, key.cluster), "", "status")

    async def _update(
        self, definition: ResourceDefinition, key: Key, change: local_client.ChangeObject, manager: str, subresource: str = ""
    ) -> None:
        scope = self._scopes.cluster(key.cluster)
        await local_client.update(scope, definition, "", key.name, change, subresource=subresource, manager=manager)


def _judged(schema: Object, range_: Range, cluster: str) -> Object | None:
    """A FlowSchema with its condition, None where that is right already."""
    level = ((schema.get("spec") or {}).get("priorityLevelConfiguration") or {}).get("name") or ""
    wanted = condition(level, range_.get(Key(cluster, PRIORITY_LEVELS, "", level)) is not None, timestamp())
    conditions = list((schema.get("status") or {}).get("conditions") or ())
    for index, found in enumerate(conditions):
        if found.get("type") == DANGLING:
            if all(found.get(part) == wanted[part] for part in ("status", "reason", "message")):
                return None
            if found.get("status") == wanted["status"]:
                wanted["lastTransitionTime"] = found.get("lastTransitionTime")
            conditions[index] = wanted
            break
    else:
        conditions.append(wanted)
    metadata = schema["metadata"]
    managed = with_consumer(metadata.get("managedFields") or [], timestamp())
    return {
        **schema,
        "metadata": {**metadata, "managedFields": managed},
        "status": {**(schema.get("status") or {}), "conditions": conditions},
    }
