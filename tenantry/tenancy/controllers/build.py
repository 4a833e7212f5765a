"""The controllers of plain Kubernetes, each working all clusters of a shard at once."""

from __future__ import annotations

from typing import Any

from tenantry.controllers.controller import Controller
from tenantry.storage.cell import Cell
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.controllers.cluster_role_aggregation import ClusterRoleAggregation
from tenantry.tenancy.controllers.custom_resource_definitions import CustomResourceDefinitions
from tenantry.tenancy.controllers.garbage_collector import GarbageCollector
from tenantry.tenancy.controllers.namespace_contents import NamespaceContents
from tenantry.tenancy.controllers.namespace_deletion import NamespaceDeletion
from tenantry.tenancy.controllers.purge import Purge
from tenantry.tenancy.controllers.resource_quotas import ResourceQuotas
from tenantry.tenancy.controllers.service_account_token_secrets import Issue, ServiceAccountTokenSecrets
from tenantry.tenancy.copies import Copies
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
    """All of them. `issue_token` signs the tokens that are kept in secrets; `ca_certificate`: PEM."""
    purge = Purge(cell=cell, apis=apis, scopes=scopes, copies=copies)
    return [
        NamespaceContents(definitions=definitions, scopes=scopes, ca_certificate=ca_certificate),
        NamespaceDeletion(scopes=scopes, purge=purge),
        GarbageCollector(apis=apis, scopes=scopes),
        CustomResourceDefinitions(apis=apis, scopes=scopes, purge=purge),
        ClusterRoleAggregation(scopes=scopes),
        ResourceQuotas(cell=cell, apis=apis, scopes=scopes),
        ServiceAccountTokenSecrets(issue_token, cell=cell, scopes=scopes, ca_certificate=ca_certificate),
    ]
