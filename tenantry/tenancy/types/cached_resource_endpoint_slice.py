"""cache.kcp.io ClusterCachedResourceEndpointSlice, and CachedResourceEndpointSlice as it was called before: the URLs under which
the consumers of an export read its replicated objects."""

from __future__ import annotations

from tenantry.kube.objects import Object
from tenantry.tenancy.types.api_export_endpoint_slice import ENDPOINT_SLICE_STATUS
from tenantry.tenancy.types.cached_resource_names import BOTH, GROUP, CachedResourceNames
from tenantry.tenancy.types.kcp_type import AGE, PATH_PATTERN, KcpType, KcpVersion, rule, string, structure


def _reference(kind: str) -> Object:
    unchanged = rule("self == oldSelf", f"{kind} reference must not be changed")
    place = structure({"name": string(min_length=1), "path": string(pattern=PATH_PATTERN)}, "name")
    return place | {"x-kubernetes-validations": [unchanged]}


def _endpoint_slice(names: CachedResourceNames) -> KcpType:
    return KcpType(
        group=GROUP,
        plural=names.slice_plural,
        singular=names.slice_kind.lower(),
        kind=names.slice_kind,
        versions=(
            KcpVersion(
                name="v1alpha1",
                description=f"{names.slice_kind} lists the URLs of replicated objects, one for each range that has a consumer.",
                spec=structure(
                    {
                        names.field: _reference(names.kind),
                        "export": _reference("APIExport"),
                        "partition": string(description="The name of a Partition in the same workspace."),
                    },
                    names.field,
                    "export",
                ),
                status=ENDPOINT_SLICE_STATUS,
                required=("spec",),
                columns=(AGE,),
            ),
        ),
    )


CLUSTER_CACHED_RESOURCE_ENDPOINT_SLICE, CACHED_RESOURCE_ENDPOINT_SLICE = map(_endpoint_slice, BOTH)
