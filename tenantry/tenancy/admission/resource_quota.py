"""Admission ResourceQuota: the transaction that creates an object also updates the quota's usage, so that the usage is exact.

So does one that changes what an object uses: a Service gets another type, a Pod ends.
"""

from __future__ import annotations

import orjson

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, UPDATE, Review
from tenantry.kube.codec.stored import encode
from tenantry.kube.quota import charge, enforceable, exceeded, lacking, unknown_usage, used_of, wanted_of
from tenantry.kube.status import forbidden
from tenantry.kube.workloads.usage import is_evaluated
from tenantry.storage.record import Change
from tenantry.tenancy.quotas import count, is_cluster_scoped, quotas_of


class ResourceQuotaAdmission(Plugin):
    """Must run last: no later plugin may refuse a write that was charged."""

    def validate(self, review: Review) -> None:
        definition = review.definition
        resource, obj = definition.group_resource, review.object
        built_in = not definition.custom
        creates = review.operation == CREATE and not review.subresource
        changes = review.operation == UPDATE and built_in and is_evaluated(resource)
        if not definition.stored or obj is None or not (creates or changes):
            return
        range_ = review.scope.cell.range_of(review.cluster)
        for record in quotas_of(range_, review.cluster, definition, review.namespace, review.name):
            quota = orjson.loads(record.value)
            if creates and built_in and (refusal := lacking(quota, resource, obj)):
                raise forbidden(resource, review.name, refusal)
            amounts = wanted_of(quota, resource, obj, review.old_object if changes else None, built_in=built_in)
            if not amounts:
                continue
            if not enforceable(quota, amounts):
                if built_in:
                    raise forbidden(resource, review.name, unknown_usage(quota, amounts))
                # The quota was counted before the type existed.
                known = str(count(range_, record.key, definition, whole_cluster=is_cluster_scoped(quota)))
                quota["status"]["used"] = dict.fromkeys(amounts, known) | dict(used_of(quota))
            refusal = exceeded(quota, amounts)
            if refusal:
                raise forbidden(resource, review.name, refusal)
            if not review.dry_run:
                quota["status"]["used"] = charge(quota, amounts)
                review.changes.append(Change(record.key, encode(quota), record.head, record))
