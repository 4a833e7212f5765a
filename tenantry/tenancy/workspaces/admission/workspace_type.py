"""Admission tenancy.kcp.io/WorkspaceType: reserved names, labels, and the permission to bind the default APIBindings."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.apiserver.admission.attributes import CREATE, UPDATE, Review
from tenantry.apiserver.authorization import Attributes
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError, forbidden
from tenantry.placement.paths.directory import Directory
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.reserved_keys import LABELS, is_privileged, is_reserved
from tenantry.tenancy.well_known import ROOT
from tenantry.tenancy.workspaces.workspace_types import WORKSPACES

RESERVED_NAMES = frozenset({"any", "system"})


class WorkspaceTypeRules:
    """Users need the verb `bind` on the exports of `defaultAPIBindings`, because every workspace of the type will be bound to
    them."""

    def __init__(self, *, directory: Directory, authorizer: ClusterAuthorizer) -> None:
        self._directory = directory
        self._authorizer = authorizer

    def validate(self, review: Review) -> None:
        if review.object is None or review.operation not in (CREATE, UPDATE) or review.subresource:
            return
        if review.name in RESERVED_NAMES or (review.name == ROOT and review.cluster != ROOT):
            raise self._refuse(review, f'the name "{review.name}" is reserved')
        spec = review.object.get("spec") or {}
        child = spec.get("defaultChildWorkspaceType")
        if child and not child.get("path"):
            raise self._refuse(review, "spec.defaultChildWorkspaceType.path must be set")
        earlier = (review.old_object or {}).get("spec") or {}
        self._check_labels(review, spec.get("additionalWorkspaceLabels") or {}, earlier.get("additionalWorkspaceLabels") or {})
        before = earlier.get("defaultAPIBindings") or []
        for reference in spec.get("defaultAPIBindings") or ():
            if reference not in before and not self._may_bind(review, reference):
                path = reference.get("path") or "this workspace"
                raise self._refuse(
                    review,
                    f"no permission to bind to export {path}:{reference['export']}: missing verb='bind' permission on apiexports",
                )

    def _check_labels(self, review: Review, labels: Mapping[str, str], before: Mapping[str, str]) -> None:
        """Raises StatusError 403 for reserved labels: the platform sets these labels on workspaces without another check."""
        for key, value in labels.items():
            if (
                before.get(key) != value
                and is_reserved(LABELS, key, WORKSPACES)
                and not is_privileged(review.user, review.cluster)
            ):
                raise self._refuse(review, f"spec.additionalWorkspaceLabels[{key}]: Forbidden: is written by the platform alone")

    def _may_bind(self, review: Review, reference: Object) -> bool:
        try:
            cluster = self._directory.cluster_of(reference["path"]) if reference.get("path") else review.cluster
        except StatusError:
            return False
        return cluster is not None and self._authorizer.allows_deep(
            Attributes(
                user=review.user,
                verb="bind",
                cluster=cluster,
                group="apis.kcp.io",
                version="v1alpha2",
                resource="apiexports",
                name=reference["export"],
            )
        )

    @staticmethod
    def _refuse(review: Review, why: str) -> StatusError:
        return forbidden(review.definition.group_resource, review.name, why)
