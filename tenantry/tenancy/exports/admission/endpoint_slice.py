"""Admission `apis.kcp.io/APIExportEndpointSlice`."""

from __future__ import annotations

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, Review
from tenantry.tenancy.admission.admission_errors import is_main_write
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.exports.admission.api_binding import check_bind
from tenantry.tenancy.exports.export_lookup import ExportLookup


class EndpointSliceAdmission(Plugin):
    """Requires that the export of a new slice exists and that the creator may bind it."""

    def __init__(self, *, exports: ExportLookup, authorizer: ClusterAuthorizer) -> None:
        self._exports = exports
        self._authorizer = authorizer

    def validate(self, review: Review) -> None:
        if is_main_write(review) and review.operation == CREATE:
            check_bind(self._exports, self._authorizer, review, "APIExportEndpointSlice")
