"""cache.kcp.io ClusterCachedResource, and CachedResource as it was called before: a resource whose objects are replicated to all
shards, so that exports can serve them to consumers."""

from __future__ import annotations

from tenantry.tenancy.types.cached_resource_names import BOTH, GROUP, CachedResourceNames
from tenantry.tenancy.types.kcp_type import (
    AGE,
    CONDITIONS,
    LABEL_SELECTOR,
    KcpType,
    KcpVersion,
    integer,
    string,
    structure,
)

SCHEDULING, INITIALIZING, READY, DELETING, DELETED = "Scheduling", "Initializing", "Ready", "Deleting", "Deleted"


def _cached_resource(names: CachedResourceNames) -> KcpType:
    return KcpType(
        group=GROUP,
        plural=names.plural,
        singular=names.kind.lower(),
        kind=names.kind,
        versions=(
            KcpVersion(
                name="v1alpha1",
                description=f"{names.kind} names a cluster-scoped resource of the workspace that is replicated to all shards.",
                spec=structure(
                    {
                        "group": string(default="", description="The API group, empty for the core one."),
                        "version": string(min_length=1),
                        "resource": string(min_length=1, description="The plural name of the resource."),
                        "identity": structure(
                            {
                                "secretRef": structure({"name": string(), "namespace": string()})
                                | {"x-kubernetes-map-type": "atomic"}
                            },
                            description="The secret whose key makes the identity of the replicated objects.",
                        ),
                        "labelSelector": LABEL_SELECTOR | {"description": "Which objects are replicated; empty for all."},
                    },
                    "resource",
                    "version",
                ),
                status=structure(
                    {
                        "conditions": CONDITIONS,
                        "identityHash": string(),
                        "phase": string(enum=[SCHEDULING, INITIALIZING, READY, DELETING, DELETED]),
                        "resourceCounts": structure(
                            {
                                "cache": integer(format="int64", description="How many objects are replicated."),
                                "local": integer(format="int64", description="How many objects the selector selects."),
                            },
                            "cache",
                            "local",
                        ),
                    }
                ),
                required=("spec",),
                columns=(("Resource", "string", ".spec.resource"), ("Phase", "string", ".status.phase"), AGE),
            ),
        ),
    )


CLUSTER_CACHED_RESOURCE, CACHED_RESOURCE = map(_cached_resource, BOTH)
