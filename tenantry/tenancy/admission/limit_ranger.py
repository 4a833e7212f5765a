"""Admission LimitRanger: Pods get the defaults of the LimitRanges of their namespace, and stay in their bounds (Kubernetes)."""

from __future__ import annotations

import orjson

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, UPDATE, Review
from tenantry.kube.objects import Object
from tenantry.kube.status import forbidden
from tenantry.kube.workloads.limits import refusals, set_defaults, steps
from tenantry.kube.workloads.usage import CLAIMS, PODS
from tenantry.tenancy.resources import LIMIT_RANGES

_BYTES = 64 << 10
"""How long the LimitRanges of a namespace may be together, where an object is held against them."""
_STEPS = 2000
"""How many of their amounts may be set in one object, or compared with it: some 10 ms, all in one turn of the loop."""


class LimitRangerAdmission(Plugin):
    """It is about the workload types alone, and not about types of tenants with their names."""

    types = frozenset({PODS, CLAIMS})

    def mutate(self, review: Review) -> None:
        obj = review.object
        if review.operation != CREATE or review.definition.group_resource != PODS or not _is_meant(review) or obj is None:
            return
        for limit_range in _limit_ranges(review, obj):
            set_defaults(limit_range, obj)

    def validate(self, review: Review) -> None:
        resource, obj = review.definition.group_resource, review.object
        if resource not in (PODS, CLAIMS) or not _is_meant(review) or obj is None:
            return
        if review.operation != CREATE and not (review.operation == UPDATE and resource == CLAIMS):
            return
        texts = refusals(_limit_ranges(review, obj), resource, obj)
        if texts:
            raise forbidden(resource, review.name, texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")


def _is_meant(review: Review) -> bool:
    return not review.definition.custom and not review.subresource


def _limit_ranges(review: Review, obj: Object) -> list[Object]:
    """The LimitRanges of the namespace. Raises StatusError 403 where it would take too long to hold the object against them."""
    range_ = review.scope.cell.range_of(review.cluster)
    records = range_.list(LIMIT_RANGES, review.cluster, review.namespace)
    if not records:
        return []
    resource = review.definition.group_resource
    size = 0
    for record in records:
        size += len(record.value)
        if size > _BYTES:
            raise forbidden(resource, review.name, f"the LimitRanges of the namespace have more than {_BYTES} bytes")
    found: list[Object] = [orjson.loads(record.value) for record in records]
    if steps(found, resource, obj) > _STEPS:
        raise forbidden(resource, review.name, f"it takes more than {_STEPS} steps to apply the LimitRanges of the namespace")
    return found
