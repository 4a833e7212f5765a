"""The names of resources in storage keys and in the catalog: `<group|core>/<plural>`.

The storage keys of root's exported resources (workspaces, workspace types, shards, partitions) have an identity too
(`ResourceDefinition.storage_key`). Names in the catalog never have one.
"""

from __future__ import annotations

from tenantry.placement.paths import cluster_paths

CONFIG_MAPS = "core/configmaps"
EVENTS = "core/events"
LIMIT_RANGES = "core/limitranges"
NAMESPACES = "core/namespaces"
RESOURCE_QUOTAS = "core/resourcequotas"
SECRETS = "core/secrets"
SERVICE_ACCOUNTS = "core/serviceaccounts"

CUSTOM_RESOURCE_DEFINITIONS = "apiextensions.k8s.io/customresourcedefinitions"

CERTIFICATE_SIGNING_REQUESTS = "certificates.k8s.io/certificatesigningrequests"
STORAGE_VERSION_MIGRATIONS = "storagemigration.k8s.io/storageversionmigrations"
FLOW_SCHEMAS = "flowcontrol.apiserver.k8s.io/flowschemas"
PRIORITY_LEVELS = "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations"

VALIDATING_WEBHOOK_CONFIGURATIONS = "admissionregistration.k8s.io/validatingwebhookconfigurations"
MUTATING_WEBHOOK_CONFIGURATIONS = "admissionregistration.k8s.io/mutatingwebhookconfigurations"
VALIDATING_ADMISSION_POLICIES = "admissionregistration.k8s.io/validatingadmissionpolicies"
VALIDATING_ADMISSION_POLICY_BINDINGS = "admissionregistration.k8s.io/validatingadmissionpolicybindings"
MUTATING_ADMISSION_POLICIES = "admissionregistration.k8s.io/mutatingadmissionpolicies"
MUTATING_ADMISSION_POLICY_BINDINGS = "admissionregistration.k8s.io/mutatingadmissionpolicybindings"
ADMISSION_CONFIGURATIONS = (
    VALIDATING_WEBHOOK_CONFIGURATIONS,
    MUTATING_WEBHOOK_CONFIGURATIONS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
)
"""The configurations of a provider are in effect for the objects of its API, wherever these are."""

CLUSTER_ROLES = "rbac.authorization.k8s.io/clusterroles"
CLUSTER_ROLE_BINDINGS = "rbac.authorization.k8s.io/clusterrolebindings"
ROLES = "rbac.authorization.k8s.io/roles"
ROLE_BINDINGS = "rbac.authorization.k8s.io/rolebindings"

LOGICAL_CLUSTERS = "core.kcp.io/logicalclusters"
SHARDS = "core.kcp.io/shards"

WORKSPACES = cluster_paths.WORKSPACES
"""The catalog copies of Workspaces are the path index: see `tenantry.tenancy.catalog_copies.project_workspace`."""
WORKSPACE_TYPES = "tenancy.kcp.io/workspacetypes"
WORKSPACE_AUTHENTICATION_CONFIGURATIONS = "tenancy.kcp.io/workspaceauthenticationconfigurations"

PARTITIONS = "topology.kcp.io/partitions"

API_BINDINGS = "apis.kcp.io/apibindings"
API_CONVERSIONS = "apis.kcp.io/apiconversions"
API_EXPORTS = "apis.kcp.io/apiexports"
API_EXPORT_ENDPOINT_SLICES = "apis.kcp.io/apiexportendpointslices"
API_RESOURCE_SCHEMAS = "apis.kcp.io/apiresourceschemas"

VIRTUAL_WORKSPACES = "views.tenantry.dev/virtualworkspaces"
