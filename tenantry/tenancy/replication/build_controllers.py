"""Makes the controllers of replicated resources."""

from __future__ import annotations

from typing import Any

from tenantry.controllers.controller import Controller
from tenantry.placement.catalog import Catalog
from tenantry.placement.range_map import RangeMap
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.tenancy.catalog_copies import Copies
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.written_statuses import WrittenStatuses
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.replication.cached_resource_controller import CachedResourceController
from tenantry.tenancy.replication.publications import Publications
from tenantry.tenancy.replication.replicated_copies import ReplicatedCopies
from tenantry.tenancy.replication.replication_lookup import ReplicationLookup
from tenantry.tenancy.replication.replication_slice_controller import ReplicationSliceController
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.cached_resource_names import BOTH


def build(
    *,
    cell: Cell,
    catalog: Catalog,
    range_map: RangeMap,
    urls: Urls,
    definitions: SystemDefinitions,
    apis: ClusterApis,
    copies: Copies,
    changes: Changes,
    exports: ExportLookup,
    publications: Publications,
    lookup: ReplicationLookup,
    written: WrittenStatuses,
) -> list[Controller[Any]]:
    """All of them."""
    replicated = ReplicatedCopies(cell=cell, catalog=catalog, copies=copies)
    return [
        *(
            CachedResourceController(
                names,
                cell=cell,
                catalog=catalog,
                definitions=definitions,
                apis=apis,
                changes=changes,
                publications=publications,
                replicated=replicated,
            )
            for names in BOTH
        ),
        *(
            ReplicationSliceController(
                names,
                lookup,
                cell=cell,
                catalog=catalog,
                definitions=definitions,
                range_map=range_map,
                urls=urls,
                changes=changes,
                exports=exports,
                written=written,
            )
            for names in BOTH
        ),
    ]
