"""Which ResourceQuotas count an object: those of its namespace or, for cluster-scoped objects, those with an annotation (kcp)."""

from __future__ import annotations

from collections.abc import Sequence

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import GroupResource, Object, annotations_of
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record
from tenantry.tenancy.resources import RESOURCE_QUOTAS

CLUSTER_SCOPED_ANNOTATION = "experimental.quota.kcp.io/cluster-scoped"
"""With the value `true`, the quota counts the cluster-scoped objects of its logical cluster too."""

MARKS = {RESOURCE_QUOTAS: f'"{CLUSTER_SCOPED_ANNOTATION}":"true"'.encode()}
"""In the values of quotas that may be `is_cluster_scoped`, for `Range.marked`: a text of a label or spec may be the same."""
_UNCOUNTED = frozenset(
    {
        (GroupResource("core.kcp.io", "logicalclusters"), "cluster"),
        (GroupResource("rbac.authorization.k8s.io", "clusterrolebindings"), "workspace-admin"),
    }
)
"""Objects that every workspace is created with. They are not counted."""


def is_cluster_scoped(quota: Object) -> bool:
    """Whether a quota counts the objects of its logical cluster that are in no namespace, too."""
    return annotations_of(quota).get(CLUSTER_SCOPED_ANNOTATION) == "true"


def quotas_of(range_: Range, cluster: str, definition: ResourceDefinition, namespace: str, name: str = "") -> Sequence[Record]:
    """The quotas that count an object of a type, in `namespace` where the type has namespaces."""
    if definition.namespaced:
        return range_.list(RESOURCE_QUOTAS, cluster, namespace)
    if (definition.group_resource, name) in _UNCOUNTED:
        return ()
    return cluster_scoped(range_, cluster)


def cluster_scoped(range_: Range, cluster: str) -> Sequence[Record]:
    return range_.marked(RESOURCE_QUOTAS, cluster)


def count(range_: Range, quota: Key, definition: ResourceDefinition, *, whole_cluster: bool) -> int:
    """How many objects of a type a quota counts. `whole_cluster`: whether it counts cluster-scoped objects."""
    if definition.namespaced:
        return range_.count(definition.storage_key, quota.cluster, quota.namespace)
    if not whole_cluster:
        return 0
    spared = sum(
        range_.get(Key(quota.cluster, definition.storage_key, "", name)) is not None
        for resource, name in _UNCOUNTED
        if resource == definition.group_resource
    )
    return range_.count(definition.storage_key, quota.cluster) - spared
