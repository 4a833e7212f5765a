"""The views of this package: those that kcp has too, and those that VirtualWorkspaces declare."""

from __future__ import annotations

from tenantry.placement.catalog import Catalog
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.replication.replication_lookup import ReplicationLookup
from tenantry.virtual.apiexport.api_export_view import ApiExportView
from tenantry.virtual.apiresourceschema.api_resource_schema_view import ApiResourceSchemaView
from tenantry.virtual.declared.declared_view import DeclaredView
from tenantry.virtual.lifecycle.initializing_workspaces import InitializingWorkspaces
from tenantry.virtual.lifecycle.terminating_workspaces import TerminatingWorkspaces
from tenantry.virtual.replication.replication_view import ReplicationView
from tenantry.virtual.view import View, ViewContext


def builtin_views(
    context: ViewContext, *, catalog: Catalog, exports: ExportLookup, apis: ClusterApis, replication: ReplicationLookup
) -> list[View]:
    """All of them. Unlike views of service teams, they use the catalog, exports and APIs directly."""
    exported = ApiExportView(context, catalog=catalog, exports=exports, apis=apis)
    return [
        exported,
        DeclaredView(context, catalog=catalog, exports=exports, domains=exported.domains),
        ApiResourceSchemaView(context),
        InitializingWorkspaces(context, catalog),
        ReplicationView(context, exports=exports, apis=apis, lookup=replication),
        TerminatingWorkspaces(context, catalog),
    ]
