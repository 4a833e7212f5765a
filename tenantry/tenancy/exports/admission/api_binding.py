"""Admission `apis.kcp.io/APIBinding`."""

from __future__ import annotations

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import UPDATE, Review
from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.user import User
from tenantry.kube.objects import labels_of, metadata_of
from tenantry.tenancy.admission.admission_errors import is_main_write, refuse
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.exports.admission.api_export import claim_problems
from tenantry.tenancy.exports.admission.stored_form import stored_form
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.hashing import EXPORT_LABEL, export_hash
from tenantry.tenancy.exports.read_bindings import GROUP, reference_of


class ApiBindingAdmission(Plugin):
    """Sets the label of the export, and requires the verb `bind` on the export in the provider's cluster."""

    def __init__(self, *, exports: ExportLookup, authorizer: ClusterAuthorizer) -> None:
        self._exports = exports
        self._authorizer = authorizer

    def mutate(self, review: Review) -> None:
        if not is_main_write(review) or review.object is None:
            return
        path, name = reference_of(review.object)
        home = self._exports.resolve_cluster(review.cluster, path)
        if home is not None and name:
            labels = metadata_of(review.object).setdefault("labels", {})
            labels[EXPORT_LABEL] = export_hash(home, name)

    def validate(self, review: Review) -> None:
        if review.object is None:
            return
        if review.subresource == "status":
            self._validate_phase(review)
            return
        if not is_main_write(review):
            return
        spec = stored_form(review, review.object).get("spec") or {}
        problems = list(claim_problems(spec.get("permissionClaims") or ()))
        if problems:
            raise refuse(review, *problems)
        label = labels_of(review.object).get(EXPORT_LABEL)
        reference = reference_of(review.object)
        old = review.old_object
        if old is not None and reference_of(old) == reference and labels_of(old).get(EXPORT_LABEL) == label:
            return
        home = check_bind(self._exports, self._authorizer, review, "APIBinding")
        if label != export_hash(home, reference[1]):
            key = f"metadata.labels[{EXPORT_LABEL}]"
            raise refuse(review, f'{key}: Invalid value: "{label or ""}": must be set to "{export_hash(home, reference[1])}"')

    def _validate_phase(self, review: Review) -> None:
        before = ((review.old_object or {}).get("status") or {}).get("phase")
        now = ((review.object or {}).get("status") or {}).get("phase")
        if before and not now:
            raise refuse(review, f'status.phase: Invalid value: "": cannot transition from "{before}" to ""')


def check_bind(exports: ExportLookup, authorizer: ClusterAuthorizer, review: Review, kind: str) -> str:
    """The cluster id of the export to which the object refers.

    Raises StatusError 403 if the caller may not bind it or it does not exist, with the same message.
    """
    assert review.object is not None
    path, name = reference_of(review.object)
    export = exports.find(review.cluster, path, name)
    if export is None or not may_bind(authorizer, review.user, export.cluster, name):
        action = "update" if review.operation == UPDATE else "create"
        raise refuse(review, f"unable to {action} {kind}: no permission to bind to export {path or review.cluster}:{name}")
    return export.cluster


def may_bind(authorizer: ClusterAuthorizer, user: User, cluster: str, name: str) -> bool:
    """Whether the RBAC of the export's cluster gives the verb `bind` on it. Access to the provider's workspace is not needed."""
    return authorizer.allows_deep(
        Attributes(user, "bind", cluster, group=GROUP, version="v1alpha2", resource="apiexports", name=name)
    )
