"""Bounds the flow control objects of a logical cluster: a request's level is found among them on the event loop."""

from __future__ import annotations

import orjson

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import DELETE, Review
from tenantry.kube.status import forbidden
from tenantry.tenancy.resources import FLOW_SCHEMAS, PRIORITY_LEVELS

OBJECTS_MAX = 256
BYTES_MAX = 256 << 10
"""The most that the objects of a logical cluster may take. The standard ones take 20 KB."""


class FlowControlSizeAdmission(Plugin):
    """Refuses an object that makes a cluster have too many, or too large ones. Kubernetes has no such limit: its administrators
    are those of the server."""

    def validate(self, review: Review) -> None:
        if not review.definition.made_when_used or review.operation == DELETE or review.subresource or review.object is None:
            return
        count, size = 0, 0
        for resource in (FLOW_SCHEMAS, PRIORITY_LEVELS):
            for record in review.scope.range.each(resource, review.cluster):
                if record.key.resource == review.definition.storage_key and record.key.name == review.name:
                    if review.old_object is not None and len(orjson.dumps(review.object)) <= len(record.value):
                        return
                    continue
                count, size = count + 1, size + len(record.value)
        size += len(orjson.dumps(review.object))
        if count >= OBJECTS_MAX or size > BYTES_MAX:
            raise forbidden(
                review.definition.group_resource,
                review.name,
                f"a logical cluster may have {OBJECTS_MAX} FlowSchemas and priority levels, of {BYTES_MAX} bytes in all",
            )
