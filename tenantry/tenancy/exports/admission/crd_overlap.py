"""Admission `apis.kcp.io/CRDNoOverlappingGVR`: a CustomResourceDefinition must not define a bound resource."""

from __future__ import annotations

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, Review
from tenantry.kube.objects import is_deleting, name_of
from tenantry.tenancy.admission.admission_errors import is_main_write, refuse
from tenantry.tenancy.exports.read_bindings import bindings_of, bound_resource


class CrdOverlapAdmission(Plugin):
    def validate(self, review: Review) -> None:
        if not is_main_write(review) or review.object is None or is_deleting(review.object) or review.operation != CREATE:
            return
        spec = review.object.get("spec") or {}
        group, resource = spec.get("group") or "", (spec.get("names") or {}).get("plural") or ""
        for binding in bindings_of(review.scope.range, review.cluster):
            if bound_resource(binding, group, resource) is not None:
                taken = f'for "{name_of(binding)}" APIBinding in "{review.cluster}" logical cluster'
                raise refuse(
                    review,
                    f'cannot create CustomResourceDefinition with "{group}" group and "{resource}" resource '
                    f"because it overlaps with a bound CustomResourceDefinition {taken}",
                )
