"""Admission `apis.kcp.io/ReservedNames` (kcp): names that a Workspace must not have, because paths begin with them."""

from __future__ import annotations

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, Review
from tenantry.kube.field_errors import invalid
from tenantry.kube.status import forbidden

RESERVED_NAMES = frozenset({"root", "system"})


class WorkspaceNameAdmission(Plugin):
    """Reserved names of WorkspaceTypes are in `tenantry.tenancy.workspaces.admission.workspace_type`."""

    def validate(self, review: Review) -> None:
        if review.object is None or review.subresource or review.operation != CREATE or review.name not in RESERVED_NAMES:
            return
        error = invalid("metadata.name", review.name, "name is reserved")
        raise forbidden(review.definition.group_resource, review.name, f"{error.field}: {error.text}")
