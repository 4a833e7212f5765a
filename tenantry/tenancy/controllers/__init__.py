"""The controllers of plain Kubernetes, each working all clusters of a shard at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenantry.controllers.controller import Controller
from tenantry.tenancy.controllers.cluster_role_aggregation import ClusterRoleAggregation
from tenantry.tenancy.controllers.custom_resource_definitions import CustomResourceDefinitions
from tenantry.tenancy.controllers.garbage_collector import GarbageCollector
from tenantry.tenancy.controllers.namespace_contents import NamespaceContents
from tenantry.tenancy.controllers.namespaces import NamespaceDeletion
from tenantry.tenancy.controllers.resource_quotas import ResourceQuotas
from tenantry.tenancy.controllers.service_account_token_secrets import Issue, ServiceAccountTokenSecrets

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host


def build(host: Host, issue_token: Issue) -> list[Controller[Any]]:
    """All of them; `issue_token` signs the tokens that are kept in secrets."""
    return [
        NamespaceContents(host),
        NamespaceDeletion(host),
        GarbageCollector(host),
        CustomResourceDefinitions(host),
        ClusterRoleAggregation(host),
        ResourceQuotas(host),
        ServiceAccountTokenSecrets(host, issue_token),
    ]
