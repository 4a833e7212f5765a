"""Admission LogicalClusterObjectCountLimit (kcp): the most objects of a logical cluster, by the annotation
`core.kcp.io/max-total-objects` of its LogicalCluster."""

from __future__ import annotations

import orjson

from tenantry.apiserver.admission.attributes import CREATE, Review
from tenantry.apiserver.admission.plugin import Plugin
from tenantry.kube.objects import annotations_of
from tenantry.kube.status import forbidden
from tenantry.storage.keys import Key
from tenantry.tenancy.resources import EVENTS, LOGICAL_CLUSTERS
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.types.phase_fields import READY

ANNOTATION = "core.kcp.io/max-total-objects"
_MARK = f'"{ANNOTATION}"'.encode()


class ObjectCount(Plugin):
    """Refuses creates in a Ready cluster that has as many objects as it may have. Events do not count; objects that are being
    written do.

    Without the annotation, the limit is --max-cluster-objects. The annotation `0` means no limit.
    """

    def validate(self, review: Review) -> None:
        if review.operation != CREATE or not review.definition.stored or review.definition.storage_key == EVENTS:
            return
        range_ = review.scope.cell.range_of(review.cluster)
        record = range_.get(Key(review.cluster, LOGICAL_CLUSTERS, "", NAME))
        if record is None:
            return
        limit: int | None = review.scope.cell.limits_of(review.cluster).objects or None
        if _MARK not in record.value:
            if limit is None or review.scope.cell.usage(review.cluster)[0] < limit:
                return
            logical_cluster = orjson.loads(record.value)
        else:
            logical_cluster = orjson.loads(record.value)
            limit = parse_limit(annotations_of(logical_cluster).get(ANNOTATION, ""), limit)
        if limit is None or (logical_cluster.get("status") or {}).get("phase") != READY:
            return
        count, _ = review.scope.cell.usage(review.cluster, without=EVENTS)
        if count >= limit:
            review.scope.cell.refused_growth += 1
            raise forbidden(
                review.definition.group_resource,
                review.name,
                f"the logical cluster holds {count} objects and may hold {limit} ({ANNOTATION})",
            )


def parse_limit(text: str, otherwise: int | None = None) -> int | None:
    """The limit in an annotation; None for no limit (0 and negative numbers), `otherwise` if it is not a number."""
    try:
        limit = int(text)
    except ValueError:
        return otherwise
    return limit if limit > 0 else None
