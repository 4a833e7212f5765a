"""Admission of exports, bindings and schemas, and of the labels and annotations that follow from them."""

from __future__ import annotations

from tenantry.apiserver.admission.attributes import Admission
from tenantry.apiserver.admission.by_type import ByType
from tenantry.placement.paths.directory import Directory
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.exports.admission.api_binding import ApiBinding
from tenantry.tenancy.exports.admission.api_export import ApiExport
from tenantry.tenancy.exports.admission.api_resource_schema import ApiResourceSchema
from tenantry.tenancy.exports.admission.crd_overlap import NoOverlap
from tenantry.tenancy.exports.admission.endpoint_slice import EndpointSlice
from tenantry.tenancy.exports.admission.path_annotation import PathAnnotation
from tenantry.tenancy.exports.admission.stored_form import StoredForm
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.permission_claims import Claims, PermissionClaims


def plugins(*, directory: Directory, exports: ExportLookup, claims: Claims, authorizer: ClusterAuthorizer) -> list[Admission]:
    """In the order in which they run (kcp's)."""
    by_type = ByType(
        {
            ("apis.kcp.io", "apiresourceschemas"): (ApiResourceSchema(),),
            ("apis.kcp.io", "apiexports"): (StoredForm(), ApiExport()),
            ("apis.kcp.io", "apibindings"): (StoredForm(), ApiBinding(exports=exports, authorizer=authorizer)),
            ("apis.kcp.io", "apiexportendpointslices"): (EndpointSlice(exports=exports, authorizer=authorizer),),
            ("apiextensions.k8s.io", "customresourcedefinitions"): (NoOverlap(),),
        }
    )
    return [by_type, PermissionClaims(claims), PathAnnotation(directory=directory)]
