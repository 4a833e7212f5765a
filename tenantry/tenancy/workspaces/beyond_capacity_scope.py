"""The scope of another shard that places a logical cluster in a range, whatever room it has."""

from __future__ import annotations

from tenantry.tenancy.cluster_scope import ClusterScope


class BeyondCapacityScope(ClusterScope):
    """A logical cluster whose LogicalCluster may be created although its range is full: its Workspace named the range by
    `spec.location`. Only a request of another shard has it (`Request.beyond_capacity`)."""

    __slots__ = ()
