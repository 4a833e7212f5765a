"""Makes the controllers of exports and bindings."""

from __future__ import annotations

from typing import Any

from tenantry.controllers.controller import Controller
from tenantry.placement.catalog import Catalog
from tenantry.placement.range_map import RangeMap
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.exports.binding_controller import BindingController
from tenantry.tenancy.exports.binding_deletion_controller import BindingDeletionController
from tenantry.tenancy.exports.binding_index import BindingIndex
from tenantry.tenancy.exports.claim_label_controller import ClaimLabelController
from tenantry.tenancy.exports.consumers import ConsumersController
from tenantry.tenancy.exports.endpoint_slice_controllers import DefaultEndpointSliceController, EndpointSliceController
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.identity_controller import IdentityController
from tenantry.tenancy.exports.permission_claims import Claims
from tenantry.tenancy.exports.published_ranges import PublishedRangesController, publishing_types
from tenantry.tenancy.exports.virtual_workspace_controller import VirtualWorkspaceController
from tenantry.tenancy.exports.written_statuses import WrittenStatuses
from tenantry.tenancy.local_ranges import LocalRanges
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.retained_schemas import RetainedSchemasController
from tenantry.tenancy.types import SystemDefinitions


def build(
    *,
    cell: Cell,
    catalog: Catalog,
    range_map: RangeMap,
    urls: Urls,
    local_ranges: LocalRanges,
    definitions: SystemDefinitions,
    apis: ClusterApis,
    changes: Changes,
    exports: ExportLookup,
    claims: Claims,
    written: WrittenStatuses,
    publish_on_exports: bool = False,
) -> list[Controller[Any]]:
    """All of them. `publish_on_exports`: fill the deprecated `APIExport.status.virtualWorkspaces`."""
    index = BindingIndex(local_ranges=local_ranges)
    return [
        IdentityController(
            cell=cell,
            definitions=definitions,
            range_map=range_map,
            urls=urls,
            changes=changes,
            publish_on_exports=publish_on_exports,
        ),
        DefaultEndpointSliceController(cell=cell, definitions=definitions, changes=changes),
        ConsumersController(
            index, cell=cell, catalog=catalog, others_publish=publish_on_exports or bool(publishing_types(definitions))
        ),
        EndpointSliceController(
            cell=cell,
            catalog=catalog,
            definitions=definitions,
            range_map=range_map,
            urls=urls,
            changes=changes,
            exports=exports,
            written=written,
        ),
        VirtualWorkspaceController(
            cell=cell,
            catalog=catalog,
            definitions=definitions,
            urls=urls,
            changes=changes,
            exports=exports,
            written=written,
        ),
        PublishedRangesController(
            written,
            cell=cell,
            catalog=catalog,
            definitions=definitions,
            urls=urls,
            publish_on_exports=publish_on_exports,
        ),
        BindingController(index, cell=cell, catalog=catalog, definitions=definitions, changes=changes, exports=exports),
        BindingDeletionController(cell=cell, definitions=definitions, apis=apis, changes=changes, exports=exports),
        ClaimLabelController(
            claims,
            index,
            cell=cell,
            catalog=catalog,
            definitions=definitions,
            apis=apis,
            changes=changes,
            exports=exports,
        ),
        RetainedSchemasController(index, cell=cell, catalog=catalog),
    ]
