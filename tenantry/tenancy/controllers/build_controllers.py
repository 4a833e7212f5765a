"""Makes the controllers of Kubernetes' own types, and of those of views. Each works on all logical clusters of a shard."""

from __future__ import annotations

from typing import Any

from tenantry.apiserver.authentication.cluster_authority import ClusterAuthority
from tenantry.controllers.controller import Controller
from tenantry.placement.catalog import Catalog
from tenantry.placement.range_map import RangeMap
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.tenancy.catalog_copies import Copies
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.controllers.certificate_signing import CertificateSigningController
from tenantry.tenancy.controllers.cluster_role_aggregation import ClusterRoleAggregationController
from tenantry.tenancy.controllers.custom_resource_definitions import CustomResourceDefinitionController
from tenantry.tenancy.controllers.garbage_collector import GarbageCollector
from tenantry.tenancy.controllers.namespace_contents import NamespaceContentsController
from tenantry.tenancy.controllers.namespace_deletion import NamespaceDeletionController
from tenantry.tenancy.controllers.policy_type_checks import PolicyTypeCheckController
from tenantry.tenancy.controllers.purge import Purge
from tenantry.tenancy.controllers.resource_quotas import ResourceQuotaController
from tenantry.tenancy.controllers.service_account_token_secrets import Issue, ServiceAccountTokenController
from tenantry.tenancy.controllers.storage_version_migrations import StorageVersionMigrationController
from tenantry.tenancy.controllers.view_statuses import ViewStatusController
from tenantry.tenancy.exports.written_statuses import WrittenStatuses
from tenantry.tenancy.flowcontrol.flow_control_controller import FlowControlController
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.types import SystemDefinitions


def build(
    *,
    cell: Cell,
    catalog: Catalog,
    range_map: RangeMap,
    urls: Urls,
    definitions: SystemDefinitions,
    apis: ClusterApis,
    scopes: ClusterScopes,
    copies: Copies,
    changes: Changes,
    written: WrittenStatuses,
    ca_certificate: str,
    issue_token: Issue,
    signer: ClusterAuthority | None,
) -> list[Controller[Any]]:
    """All of them. `issue_token` signs the tokens of service account token secrets, and `signer` certificates of clients, where
    there is one. `ca_certificate`: PEM."""
    purge = Purge(cell=cell, apis=apis, scopes=scopes, copies=copies)
    return [
        NamespaceContentsController(definitions=definitions, scopes=scopes, ca_certificate=ca_certificate),
        NamespaceDeletionController(scopes=scopes, purge=purge),
        GarbageCollector(apis=apis, scopes=scopes),
        CustomResourceDefinitionController(apis=apis, scopes=scopes, purge=purge),
        ClusterRoleAggregationController(scopes=scopes),
        FlowControlController(cell=cell, scopes=scopes),
        ResourceQuotaController(cell=cell, apis=apis, scopes=scopes),
        PolicyTypeCheckController(apis=apis, scopes=scopes),
        ServiceAccountTokenController(issue_token, cell=cell, scopes=scopes, ca_certificate=ca_certificate),
        StorageVersionMigrationController(apis=apis, scopes=scopes),
        *([CertificateSigningController(signer, scopes=scopes)] if signer is not None else ()),
        ViewStatusController(
            cell=cell,
            catalog=catalog,
            definitions=definitions,
            range_map=range_map,
            urls=urls,
            changes=changes,
            written=written,
        ),
    ]
