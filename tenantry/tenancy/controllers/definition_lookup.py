"""Finds the definition of a storage key, or of a kind, among the APIs of a cluster."""

from __future__ import annotations

from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.resources import API_BINDINGS, CUSTOM_RESOURCE_DEFINITIONS

API_SOURCES = frozenset({CUSTOM_RESOURCE_DEFINITIONS, API_BINDINGS})
"""Resources whose objects define the APIs of a cluster, besides built-in types."""
_MEMO = "controllers.by_storage_key"
_KINDS = "controllers.by_kind"


def definition_of(cluster_apis: ClusterApis, cluster: str, storage_key: str) -> ResourceDefinition | None:
    """The definition with the storage key `<group|core>/<resource>[:<identity>]`; None if the cluster does not serve it.

    If types share storage, the one that the storage key is named after.
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
    """The definition of a stored type by group and kind, in any version; None if there is none."""
    table: dict[tuple[str, str], ResourceDefinition] | None = apis.tables.get(_KINDS)
    if table is None:
        table = {(d.group, d.kind): d for d in apis if d.stored}
        apis.tables[_KINDS] = table
    return table.get((group, kind))
