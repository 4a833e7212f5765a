"""Admission LogicalClusterExists: no creates in a logical cluster that is not there."""

from __future__ import annotations

import orjson

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, Review
from tenantry.apiserver.storage_errors import range_of
from tenantry.kube.objects import GroupResource
from tenantry.kube.status import forbidden
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.types.phase_fields import DELETING

_LOGICAL_CLUSTERS = GroupResource("core.kcp.io", "logicalclusters")


class LogicalClusterExistsAdmission(Plugin):
    """Refuses creates in a logical cluster that does not exist, or whose contents are being deleted: the object would
    never be deleted."""

    def __init__(self, *, cell: Cell) -> None:
        self._cell = cell

    def mutate(self, review: Review) -> None:
        if review.operation != CREATE or not review.definition.stored or review.cluster.startswith("system:"):
            return
        resource = review.definition.group_resource
        if resource == _LOGICAL_CLUSTERS:
            return
        record = range_of(self._cell, review.cluster).get(Key(review.cluster, LOGICAL_CLUSTERS, "", NAME))
        if record is None:
            raise forbidden(resource, review.name, "the logical cluster does not exist")
        if record.head.deleting and (orjson.loads(record.value).get("status") or {}).get("phase") == DELETING:
            raise forbidden(resource, review.name, "the logical cluster is being deleted")
