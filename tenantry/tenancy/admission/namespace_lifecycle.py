"""Admission WorkspaceNamespaceLifecycle (kcp): no creates in missing or terminating namespaces, and no deletion of protected
ones."""

from __future__ import annotations

from tenantry.apiserver.admission.attributes import CREATE, DELETE, Review
from tenantry.apiserver.admission.plugin import Plugin
from tenantry.kube.objects import GroupResource
from tenantry.kube.status import Cause, forbidden, not_found
from tenantry.kube.types.namespace import PROTECTED
from tenantry.storage.keys import Key
from tenantry.tenancy.resources import LOGICAL_CLUSTERS, NAMESPACES
from tenantry.tenancy.types.logical_cluster import NAME

NAMESPACE = GroupResource("", "namespaces")


class NamespaceLifecycle(Plugin):
    def mutate(self, review: Review) -> None:
        # Before validation: Kubernetes answers 404 for the namespace even if the body is invalid.
        if review.operation == CREATE and review.namespace and not review.subresource and review.definition.stored:
            self._check_namespace(review)

    def validate(self, review: Review) -> None:
        if review.operation == DELETE and review.definition.group_resource == NAMESPACE and review.name in PROTECTED:
            self._check_protected(review)

    @staticmethod
    def _check_namespace(review: Review) -> None:
        record = review.scope.cell.range_of(review.cluster).get(Key(review.cluster, NAMESPACES, "", review.namespace))
        if record is None:
            raise not_found(NAMESPACE, review.namespace)
        if record.head.deleting:
            raise forbidden(
                review.definition.group_resource,
                review.name,
                f"unable to create new content in namespace {review.namespace} because it is being terminated",
                causes=[Cause("NamespaceTerminating", f"namespace {review.namespace} is being terminated", "metadata.namespace")],
            )

    @staticmethod
    def _check_protected(review: Review) -> None:
        """Raises StatusError 403, unless the logical cluster is being deleted."""
        range_ = review.scope.cell.range_of(review.cluster)
        logical_cluster = range_.get(Key(review.cluster, LOGICAL_CLUSTERS, "", NAME))
        if logical_cluster is None or not logical_cluster.head.deleting:
            raise forbidden(NAMESPACE, review.name, "this namespace may not be deleted")
