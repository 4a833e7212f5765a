"""From a storage key back to the type whose objects live there, as a cluster has it now."""

from __future__ import annotations

from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.resources import API_BINDINGS, CUSTOM_RESOURCE_DEFINITIONS

API_SOURCES = frozenset({CUSTOM_RESOURCE_DEFINITIONS, API_BINDINGS})
"""Storage keys of what gives a cluster its APIs beyond the built-in ones."""
_MEMO = "controllers.by_storage_key"
_KINDS = "controllers.by_kind"


def definition_of(cluster_apis: ClusterApis, cluster: str, storage_key: str) -> ResourceDefinition | None:
    """The type behind `<group|core>/<resource>[:<identity>]`; None where the cluster does not have it (any more).

    Of types that share storage, the one whose own place it is.
    """
    apis = cluster_apis.for_cluster(cluster)
    table: dict[str, ResourceDefinition] | None = apis.tables.get(_MEMO)
    if table is None:
        table = {}
        for definition in apis:
            if definition.stored and (definition.storage_group_resource is None or definition.storage_key not in table):
                table[definition.storage_key] = definition
        apis.tables[_MEMO] = table
    return table.get(storage_key)


def definition_of_kind(apis: ApiSet, group: str, kind: str) -> ResourceDefinition | None:
    """The stored type of a kind, in any version."""
    table: dict[tuple[str, str], ResourceDefinition] | None = apis.tables.get(_KINDS)
    if table is None:
        table = {(d.group, d.kind): d for d in apis if d.stored}
        apis.tables[_KINDS] = table
    return table.get((group, kind))
