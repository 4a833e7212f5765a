"""Admission `kcp.io/ReservedCRDGroups` and `apis.kcp.io/ReservedCRDAnnotations` (kcp)."""

from __future__ import annotations

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, UPDATE, Review
from tenantry.kube.field_errors import invalid
from tenantry.kube.objects import GroupResource, annotations_of
from tenantry.kube.status import FieldError, forbidden
from tenantry.tenancy.types import SystemDefinitions

CUSTOM_RESOURCE_DEFINITIONS = GroupResource("apiextensions.k8s.io", "customresourcedefinitions")
GROUPS = frozenset({"apis.kcp.io", "core.kcp.io"})
"""API groups whose types every logical cluster serves."""
BOUND_CRD_ANNOTATION = "apis.kcp.io/bound-crd"


class ReservedCrdAdmission(Plugin):
    """Refuses CustomResourceDefinitions with a reserved API group, of a type of a view, or with the annotation of bound
    definitions."""

    groups = (CUSTOM_RESOURCE_DEFINITIONS.group,)

    def __init__(self, *, definitions: SystemDefinitions) -> None:
        self._added = frozenset(each.definition.group_resource for each in definitions.added)

    def validate(self, review: Review) -> None:
        resource = review.definition.group_resource
        if resource != CUSTOM_RESOURCE_DEFINITIONS or review.object is None or review.subresource:
            return
        if review.operation not in (CREATE, UPDATE):
            return
        bound = annotations_of(review.object).get(BOUND_CRD_ANNOTATION)
        if bound is not None:
            error = invalid(f"metadata.annotations[{BOUND_CRD_ANNOTATION}]", bound, "must not be set")
            raise forbidden(resource, review.name, _text(error))
        spec = review.object.get("spec") or {}
        group = spec.get("group") or ""
        if review.operation == CREATE and group in GROUPS:
            raise forbidden(resource, review.name, _text(invalid("spec.group", group, "group is reserved")))
        plural = (spec.get("names") or {}).get("plural") or ""
        if review.operation == CREATE and GroupResource(group, plural) in self._added:
            error = invalid("spec.names.plural", plural, "every logical cluster has this type, from an installed view")
            raise forbidden(resource, review.name, _text(error))


def _text(error: FieldError) -> str:
    return f"{error.field}: {error.text}"
