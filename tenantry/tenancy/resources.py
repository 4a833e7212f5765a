"""Where kinds of objects live: `<group|core>/<plural>`, the resource part of storage keys and the name of catalog copies.

Resources of root's exports (workspaces, workspace types, shards, partitions) have an identity too in the keys of originals
(`ResourceDefinition.storage_key`); the catalog's names never have one.
"""

from __future__ import annotations

from tenantry.placement import paths

CONFIG_MAPS = "core/configmaps"
EVENTS = "core/events"
NAMESPACES = "core/namespaces"
RESOURCE_QUOTAS = "core/resourcequotas"
SECRETS = "core/secrets"
SERVICE_ACCOUNTS = "core/serviceaccounts"

CUSTOM_RESOURCE_DEFINITIONS = "apiextensions.k8s.io/customresourcedefinitions"

CLUSTER_ROLES = "rbac.authorization.k8s.io/clusterroles"
CLUSTER_ROLE_BINDINGS = "rbac.authorization.k8s.io/clusterrolebindings"
ROLES = "rbac.authorization.k8s.io/roles"
ROLE_BINDINGS = "rbac.authorization.k8s.io/rolebindings"

LOGICAL_CLUSTERS = "core.kcp.io/logicalclusters"
SHARDS = "core.kcp.io/shards"

WORKSPACES = paths.WORKSPACES
"""Its catalog copies are the path index: parent cluster and name → {cluster, uid, type, and phase where that is Unavailable or
Scheduling}. In phase Scheduling the cluster has an id, so that its place counts, and does not exist yet."""
WORKSPACE_TYPES = "tenancy.kcp.io/workspacetypes"
WORKSPACE_AUTHENTICATION_CONFIGURATIONS = "tenancy.kcp.io/workspaceauthenticationconfigurations"

PARTITIONS = "topology.kcp.io/partitions"

API_BINDINGS = "apis.kcp.io/apibindings"
API_CONVERSIONS = "apis.kcp.io/apiconversions"
API_EXPORTS = "apis.kcp.io/apiexports"
API_EXPORT_ENDPOINT_SLICES = "apis.kcp.io/apiexportendpointslices"
API_RESOURCE_SCHEMAS = "apis.kcp.io/apiresourceschemas"
