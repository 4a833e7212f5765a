"""Admission LimitRanger: Pods get the defaults of the LimitRanges of their namespace, and stay in their bounds (Kubernetes)."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, UPDATE, Review
from tenantry.kube.objects import Object
from tenantry.kube.status import forbidden
from tenantry.kube.workloads.limits import refusals, set_defaults
from tenantry.kube.workloads.usage import CLAIMS, PODS
from tenantry.tenancy.resources import LIMIT_RANGES


class LimitRangerAdmission(Plugin):
    """It is about the workload types alone, and not about types of tenants with their names."""

    def mutate(self, review: Review) -> None:
        obj = review.object
        if review.operation != CREATE or review.definition.group_resource != PODS or not _is_meant(review) or obj is None:
            return
        for limit_range in _limit_ranges(review):
            set_defaults(limit_range, obj)

    def validate(self, review: Review) -> None:
        resource, obj = review.definition.group_resource, review.object
        if resource not in (PODS, CLAIMS) or not _is_meant(review) or obj is None:
            return
        if review.operation != CREATE and not (review.operation == UPDATE and resource == CLAIMS):
            return
        for limit_range in _limit_ranges(review):
            texts = refusals(limit_range, resource, obj)
            if texts:
                raise forbidden(resource, review.name, texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")


def _is_meant(review: Review) -> bool:
    return not review.definition.custom and not review.subresource


def _limit_ranges(review: Review) -> Iterator[Object]:
    range_ = review.scope.cell.range_of(review.cluster)
    for record in range_.list(LIMIT_RANGES, review.cluster, review.namespace):
        yield orjson.loads(record.value)
