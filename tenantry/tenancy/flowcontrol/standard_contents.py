"""The standard FlowSchemas and PriorityLevelConfigurations of a logical cluster, as objects.

They are in no cluster's memory until it asks for one of these types: all have the same ones, which are compiled once
(`kube.flowcontrol.plan.standard_plan`). The first request for an object of one of the types has them created, with the uids that
answers named before. From then on the cluster's own objects count.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from functools import lru_cache

from tenantry.apiserver.request import Request
from tenantry.apiserver.request_info import RequestInfo
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.storage_errors import check_readable, to_status
from tenantry.apiserver.user import User
from tenantry.apiserver.verbs.serve import serve
from tenantry.http.messages import Reply
from tenantry.kube.apply.managed_fields import record_update
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.flowcontrol.plan import standard_uid
from tenantry.kube.flowcontrol.standard_objects import AUTO_UPDATE, EXEMPT, STANDARD_LEVELS, STANDARD_SCHEMAS
from tenantry.kube.objects import Object, timestamp
from tenantry.kube.types import flow_schema, priority_level_configuration
from tenantry.kube.types.flow_schema import DANGLING
from tenantry.storage.cell import Cell, NotOwned
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change
from tenantry.storage.retry_on_conflict import transact
from tenantry.storage.store import StoreError
from tenantry.tenancy.object_changes import Template
from tenantry.tenancy.resources import FLOW_SCHEMAS, LOGICAL_CLUSTERS, PRIORITY_LEVELS
from tenantry.tenancy.types.logical_cluster import NAME

PRODUCER = "api-priority-and-fairness-config-producer-v1"
CONSUMER = "api-priority-and-fairness-config-consumer-v1"
"""Upstream's field managers of specs, and of conditions."""
TYPES = {
    FLOW_SCHEMAS: (flow_schema.DEFINITION, STANDARD_SCHEMAS),
    PRIORITY_LEVELS: (priority_level_configuration.DEFINITION, STANDARD_LEVELS),
}
"""Resource → its definition, and the specs of the standard objects by name."""
_NOW = "%now%"
_CONDITION_FIELDS: Object = {f"f:{name}": {} for name in ("lastTransitionTime", "message", "reason", "status", "type")}
_STATUS_FIELDS: Object = {"f:status": {"f:conditions": {f'k:{{"type":"{DANGLING}"}}': {".": {}} | _CONDITION_FIELDS}}}


def condition(level: str, exists: bool, now: str) -> Object:
    """The condition of a FlowSchema that says whether its level exists, in kube-apiserver's words."""
    found = "and it exists" if exists else "but there is no such object"
    return {
        "type": DANGLING,
        "status": "False" if exists else "True",
        "lastTransitionTime": now,
        "reason": "Found" if exists else "NotFound",
        "message": f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" {found}',
    }


def standard_object(definition: ResourceDefinition, name: str, spec: Object, *, judged: bool) -> Object:
    """A standard object, with marks for `Template`. `judged`: its status is there, too."""
    annotations = {AUTO_UPDATE: "true"}
    obj: Object = {"metadata": {"name": name, "annotations": annotations}, "spec": spec, "status": {}}
    record_update(
        obj,
        None,
        manager=PRODUCER,
        api_version=definition.api_version("v1"),
        schema=definition.versions["v1"].schema,
        now=_NOW,
        reset_fields=(("status",),),
    )
    if judged and definition is flow_schema.DEFINITION:
        obj["status"] = {"conditions": [condition(spec["priorityLevelConfiguration"]["name"], True, _NOW)]}
        obj["metadata"]["managedFields"] = with_consumer(obj["metadata"]["managedFields"], _NOW)
    return obj


def with_consumer(entries: list[Object], now: str) -> list[Object]:
    """The managedFields of a FlowSchema, with the entry of who applied its condition. It is behind those of other appliers."""
    entry = {
        "manager": CONSUMER,
        "operation": "Apply",
        "apiVersion": flow_schema.DEFINITION.api_version("v1"),
        "time": now,
        "fieldsType": "FieldsV1",
        "fieldsV1": _STATUS_FIELDS,
        "subresource": "status",
    }
    others = [each for each in entries if each.get("manager") != CONSUMER]
    applied = [each for each in others if each.get("operation") == "Apply"]
    return [*applied, entry, *(each for each in others if each.get("operation") != "Apply")]


@lru_cache(maxsize=1)
def _templates() -> tuple[tuple[str, str, str, Template], ...]:
    """(resource, name, uid, template) of each standard object."""
    return tuple(
        (
            resource,
            name,
            standard_uid(definition.kind, name),
            Template(definition, standard_object(definition, name, spec, judged=True)),
        )
        for resource, (definition, specs) in TYPES.items()
        for name, spec in specs.items()
    )


def has_own(range_: Range, cluster: str) -> bool:
    """Whether a cluster has its standard objects: the mandatory one is never missing for long."""
    return range_.get(Key(cluster, FLOW_SCHEMAS, "", EXEMPT)) is not None or range_.has_any(FLOW_SCHEMAS, cluster)


def is_living(range_: Range, cluster: str) -> bool:
    """Whether objects may be added to a cluster: it exists, and is not being deleted."""
    record = range_.get(Key(cluster, LOGICAL_CLUSTERS, "", NAME))
    return record is not None and not record.head.deleting


def missing(range_: Range, cluster: str) -> Iterator[Change]:
    """The creation of every standard object that a cluster lacks. In one that has none yet, they have the uids that all clusters
    have."""
    first, now = not has_own(range_, cluster), timestamp()
    for resource, name, uid, template in _templates():
        if range_.get(Key(cluster, resource, "", name)) is None:
            yield template.change(cluster, now, uid=uid if first else "")


class StandardContents:
    """Serves requests for flow control objects after the cluster has got its standard ones."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def serve(
        self, request: Request, scope: Scope, user: User, info: RequestInfo, definition: ResourceDefinition, version: Version
    ) -> Awaitable[Reply]:
        """As `verbs.serve`."""
        if definition.made_when_used and scope.cluster is not None and not has_own(scope.range, scope.cluster):
            return self._made_first(request, scope, user, info, definition, version)
        return serve(request, scope, user, info, definition, version)

    async def _made_first(
        self, request: Request, scope: Scope, user: User, info: RequestInfo, definition: ResourceDefinition, version: Version
    ) -> Reply:
        assert scope.cluster is not None
        check_readable(scope.range)
        await self.make(scope.range, scope.cluster)
        return await serve(request, scope, user, info, definition, version)

    async def make(self, range_: Range, cluster: str) -> None:
        """Creates the standard objects, unless the cluster has some or is being deleted. Raises StatusError."""

        def wanted() -> list[Change]:
            return list(missing(range_, cluster)) if is_living(range_, cluster) and not has_own(range_, cluster) else []

        keys = [Key(cluster, resource, "", name) for resource, name, _, _ in _templates()]
        try:
            await transact(self._cell, keys, wanted)
        except (StoreError, NotOwned) as error:
            raise to_status(error) from error
