"""Reserved names: names of Workspaces, API groups of CustomResourceDefinitions, and the annotation of bound definitions.

Admission `apis.kcp.io/ReservedNames`, `kcp.io/ReservedCRDGroups` and `apis.kcp.io/ReservedCRDAnnotations` of kcp. Reserved
names of WorkspaceTypes are in `tenantry.tenancy.workspaces.admission.workspace_type`.
"""

from __future__ import annotations

from tenantry.apiserver.admission.attributes import CREATE, UPDATE, Review
from tenantry.apiserver.admission.plugin import Plugin
from tenantry.kube.field_errors import invalid
from tenantry.kube.objects import GroupResource, annotations_of
from tenantry.kube.status import FieldError, forbidden
from tenantry.tenancy.types import SystemDefinitions

CUSTOM_RESOURCE_DEFINITIONS = GroupResource("apiextensions.k8s.io", "customresourcedefinitions")
WORKSPACES = GroupResource("tenancy.kcp.io", "workspaces")
WORKSPACE_NAMES = frozenset({"root", "system"})
GROUPS = frozenset({"apis.kcp.io", "core.kcp.io"})
"""API groups whose types every logical cluster serves."""
BOUND_CRD_ANNOTATION = "apis.kcp.io/bound-crd"


class Reserved(Plugin):
    def __init__(self, *, definitions: SystemDefinitions) -> None:
        self._definitions = definitions

    def validate(self, review: Review) -> None:
        resource = review.definition.group_resource
        if review.object is None or review.subresource or review.operation not in (CREATE, UPDATE):
            return
        if resource == CUSTOM_RESOURCE_DEFINITIONS:
            self._check_definition(review)
        elif resource == WORKSPACES and review.operation == CREATE and review.name in WORKSPACE_NAMES:
            own = self._definitions.find(*WORKSPACES)
            if own is not None and own.identity == review.definition.identity:
                raise forbidden(resource, review.name, _text(invalid("metadata.name", review.name, "name is reserved")))

    @staticmethod
    def _check_definition(review: Review) -> None:
        assert review.object is not None
        bound = annotations_of(review.object).get(BOUND_CRD_ANNOTATION)
        if bound is not None:
            error = invalid(f"metadata.annotations[{BOUND_CRD_ANNOTATION}]", bound, "must not be set")
            raise forbidden(CUSTOM_RESOURCE_DEFINITIONS, review.name, _text(error))
        group = (review.object.get("spec") or {}).get("group") or ""
        if review.operation == CREATE and group in GROUPS:
            raise forbidden(CUSTOM_RESOURCE_DEFINITIONS, review.name, _text(invalid("spec.group", group, "group is reserved")))


def _text(error: FieldError) -> str:
    return f"{error.field}: {error.text}"
