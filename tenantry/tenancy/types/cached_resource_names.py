"""The names of kcp's types of replicated resources. kcp renamed them; both sets of names mean the same here."""

from __future__ import annotations

from typing import NamedTuple

GROUP = "cache.kcp.io"


class CachedResourceNames(NamedTuple):
    """`kind`, `plural`: the type that says what is replicated. `slice_kind`, `slice_plural`: its endpoint slice. `field`: the
    field of the slice that refers to it."""

    kind: str
    plural: str
    slice_kind: str
    slice_plural: str
    field: str

    @property
    def resource(self) -> str:
        """The resource in storage keys and in the catalog."""
        return f"{GROUP}/{self.plural}"

    @property
    def slice_resource(self) -> str:
        """The same of the endpoint slice."""
        return f"{GROUP}/{self.slice_plural}"

    @property
    def finalizer(self) -> str:
        """The finalizer that keeps an object until its copies are removed."""
        return f"{GROUP}/{self.kind.lower()}"


CLUSTER_CACHED = CachedResourceNames(
    "ClusterCachedResource",
    "clustercachedresources",
    "ClusterCachedResourceEndpointSlice",
    "clustercachedresourceendpointslices",
    "clusterCachedResource",
)
CACHED = CachedResourceNames(
    "CachedResource",
    "cachedresources",
    "CachedResourceEndpointSlice",
    "cachedresourceendpointslices",
    "cachedResource",
)
"""The names before kcp renamed the types."""
BOTH = (CLUSTER_CACHED, CACHED)
