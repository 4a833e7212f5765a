"""Admission ResourceQuota: the transaction that creates an object also updates the quota's usage, so that the usage is exact."""

from __future__ import annotations

import orjson

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, Review
from tenantry.kube.codec.stored import encode
from tenantry.kube.quota import charge, counted_keys, enforceable, exceeded, hard_of, has_scopes, unknown_usage
from tenantry.kube.status import forbidden
from tenantry.storage.record import Change
from tenantry.tenancy.quotas import quotas_of


class ResourceQuotaAdmission(Plugin):
    """Must run last: no later plugin may refuse a write that was charged."""

    def validate(self, review: Review) -> None:
        definition = review.definition
        if review.operation != CREATE or review.subresource or not definition.stored:
            return
        resource = definition.group_resource
        range_ = review.scope.cell.range_of(review.cluster)
        for record in quotas_of(range_, review.cluster, definition, review.namespace, review.name):
            quota = orjson.loads(record.value)
            keys = counted_keys(hard_of(quota), resource)
            if not keys or has_scopes(quota):
                continue
            if not enforceable(quota, keys):
                raise forbidden(resource, review.name, unknown_usage(quota, keys))
            refusal = exceeded(quota, keys)
            if refusal:
                raise forbidden(resource, review.name, refusal)
            if not review.dry_run:
                quota["status"]["used"] = charge(quota, keys)
                review.changes.append(Change(record.key, encode(quota), record.head, record))
