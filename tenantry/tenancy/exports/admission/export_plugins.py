"""Admission of exports, bindings and schemas, and of the labels that follow from them."""

from __future__ import annotations

from tenantry.apiserver.admission.by_type import ByType
from tenantry.apiserver.admission.review import Admission
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.exports.admission.api_binding import ApiBindingAdmission
from tenantry.tenancy.exports.admission.api_export import ApiExportAdmission
from tenantry.tenancy.exports.admission.api_resource_schema import ApiResourceSchemaAdmission
from tenantry.tenancy.exports.admission.crd_overlap import CrdOverlapAdmission
from tenantry.tenancy.exports.admission.endpoint_slice import EndpointSliceAdmission
from tenantry.tenancy.exports.admission.permission_claim_labels import PermissionClaimLabelsAdmission
from tenantry.tenancy.exports.admission.stored_form import StoredFormAdmission
from tenantry.tenancy.exports.admission.virtual_workspace import VirtualWorkspaceAdmission
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.permission_claims import Claims


def plugins(*, exports: ExportLookup, claims: Claims, authorizer: ClusterAuthorizer) -> list[Admission]:
    """In the order in which they run (kcp's)."""
    by_type = ByType(
        {
            ("apis.kcp.io", "apiresourceschemas"): (ApiResourceSchemaAdmission(),),
            ("apis.kcp.io", "apiexports"): (StoredFormAdmission(), ApiExportAdmission()),
            ("apis.kcp.io", "apibindings"): (StoredFormAdmission(), ApiBindingAdmission(exports=exports, authorizer=authorizer)),
            ("apis.kcp.io", "apiexportendpointslices"): (EndpointSliceAdmission(exports=exports, authorizer=authorizer),),
            ("views.tenantry.dev", "virtualworkspaces"): (VirtualWorkspaceAdmission(authorizer),),
            ("apiextensions.k8s.io", "customresourcedefinitions"): (CrdOverlapAdmission(),),
        }
    )
    return [by_type, PermissionClaimLabelsAdmission(claims)]
