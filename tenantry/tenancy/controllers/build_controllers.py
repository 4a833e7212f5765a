"""Makes the controllers of Kubernetes' own types. Each works on all logical clusters of a shard."""

from __future__ import annotations

from typing import Any

from tenantry.controllers.controller import Controller
from tenantry.storage.cell import Cell
from tenantry.tenancy.catalog_copies import Copies
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.controllers.cluster_role_aggregation import ClusterRoleAggregationController
from tenantry.tenancy.controllers.custom_resource_definitions import CustomResourceDefinitionController
from tenantry.tenancy.controllers.garbage_collector import GarbageCollector
from tenantry.tenancy.controllers.namespace_contents import NamespaceContentsController
from tenantry.tenancy.controllers.namespace_deletion import NamespaceDeletionController
from tenantry.tenancy.controllers.purge import Purge
from tenantry.tenancy.controllers.resource_quotas import ResourceQuotaController
from tenantry.tenancy.controllers.service_account_token_secrets import Issue, ServiceAccountTokenController
from tenantry.tenancy.types import SystemDefinitions


def build(
    *,
    cell: Cell,
    definitions: SystemDefinitions,
    apis: ClusterApis,
    scopes: ClusterScopes,
    copies: Copies,
    ca_certificate: str,
    issue_token: Issue,
) -> list[Controller[Any]]:
    """All of them. `issue_token` signs the tokens of service account token secrets. `ca_certificate`: PEM."""
    purge = Purge(cell=cell, apis=apis, scopes=scopes, copies=copies)
    return [
        NamespaceContentsController(definitions=definitions, scopes=scopes, ca_certificate=ca_certificate),
        NamespaceDeletionController(scopes=scopes, purge=purge),
        GarbageCollector(apis=apis, scopes=scopes),
        CustomResourceDefinitionController(apis=apis, scopes=scopes, purge=purge),
        ClusterRoleAggregationController(scopes=scopes),
        ResourceQuotaController(cell=cell, apis=apis, scopes=scopes),
        ServiceAccountTokenController(issue_token, cell=cell, scopes=scopes, ca_certificate=ca_certificate),
    ]
