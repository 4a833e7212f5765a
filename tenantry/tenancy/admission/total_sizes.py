"""Bounds what a logical cluster has of objects that many of its requests are compared with: flow control, and policies."""

from __future__ import annotations

from typing import NamedTuple

import orjson

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import DELETE, Review
from tenantry.kube.status import forbidden
from tenantry.tenancy.resources import (
    FLOW_SCHEMAS,
    MUTATING_ADMISSION_POLICIES,
    PRIORITY_LEVELS,
    VALIDATING_ADMISSION_POLICIES,
)


class TotalSize(NamedTuple):
    """The most objects of some resources, and bytes of their JSON, in one logical cluster. `what`: they are."""

    resources: tuple[str, ...]
    objects_max: int
    bytes_max: int
    what: str


FLOW_CONTROL = TotalSize((FLOW_SCHEMAS, PRIORITY_LEVELS), 256, 256 << 10, "FlowSchemas and priority levels")
"""A request's level is found among them on the event loop. The standard ones take 20 KB."""
POLICIES = TotalSize((VALIDATING_ADMISSION_POLICIES, MUTATING_ADMISSION_POLICIES), 1_000, 512 << 10, "admission policies")
"""What is compiled of so many fits into its cache (`cel_expressions`): a character of an expression takes 10 µs and up to 70
bytes. Larger ones would be compiled for each write."""
_BY_RESOURCE = {resource: each for each in (FLOW_CONTROL, POLICIES) for resource in each.resources}


class TotalSizesAdmission(Plugin):
    """Refuses an object that makes a cluster have too many, or too large ones. Kubernetes has no such limit: its administrators
    are those of the server."""

    def validate(self, review: Review) -> None:
        written = review.definition.storage_key
        limit = _BY_RESOURCE.get(written)
        if limit is None or review.operation == DELETE or review.subresource or review.object is None:
            return
        new = len(orjson.dumps(review.object))
        count, size = 0, 0
        for resource in limit.resources:
            for record in review.scope.range.each(resource, review.cluster):
                if resource == written and record.key.name == review.name:
                    if review.old_object is not None and new <= len(record.value):
                        return
                    continue
                count, size = count + 1, size + len(record.value)
        if count >= limit.objects_max or size + new > limit.bytes_max:
            raise forbidden(
                review.definition.group_resource,
                review.name,
                f"a logical cluster may have {limit.objects_max} {limit.what}, of {limit.bytes_max} bytes in all",
            )
