"""`core.kcp.io/max-total-objects` of a LogicalCluster: how many objects it may hold (kcp's LogicalClusterObjectCountLimit)."""

from __future__ import annotations

import orjson

from tenantry.apiserver.admission import CREATE, Review
from tenantry.kube.objects import annotations_of
from tenantry.kube.status import forbidden
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.tenancy.admission.plugin import Plugin
from tenantry.tenancy.resources import EVENTS, LOGICAL_CLUSTERS
from tenantry.tenancy.types.lifecycle import READY
from tenantry.tenancy.types.logical_cluster import NAME

ANNOTATION = "core.kcp.io/max-total-objects"
_MARK = f'"{ANNOTATION}"'.encode()


class ObjectCount(Plugin):
    """Only creates are refused, and only once the cluster is Ready; events do not count. Without the annotation it costs a
    look-up: the objects of a cluster are counted in memory when they have to be."""

    def validate(self, review: Review) -> None:
        if review.operation != CREATE or not review.definition.stored or review.definition.storage_key == EVENTS:
            return
        held = review.scope.cell.range_of(review.cluster)
        record = held.get(Key(review.cluster, LOGICAL_CLUSTERS, "", NAME))
        if record is None or _MARK not in record.value:
            return
        logical_cluster = orjson.loads(record.value)
        limit = parse_limit(annotations_of(logical_cluster).get(ANNOTATION, ""))
        if limit is None or (logical_cluster.get("status") or {}).get("phase") != READY:
            return
        count = objects_in(held, review.cluster)
        if count >= limit:
            raise forbidden(
                review.definition.group_resource,
                review.name,
                f"the logical cluster holds {count} objects and may hold {limit} ({ANNOTATION})",
            )


def parse_limit(text: str) -> int | None:
    """None: no limit, as for 0, negative numbers and what is no number."""
    try:
        limit = int(text)
    except ValueError:
        return None
    return limit if limit > 0 else None


def objects_in(held: Range, cluster: str) -> int:
    return sum(held.count(resource, cluster) for resource in held.resources(cluster) if resource != EVENTS)
