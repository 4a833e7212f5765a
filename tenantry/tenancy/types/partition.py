"""topology.kcp.io Partition: a choice of Shards by their labels."""

from __future__ import annotations

from tenantry.tenancy.types.kcp_type import AGE, LABEL_SELECTOR, KcpType, KcpVersion, structure

PARTITION = KcpType(
    group="topology.kcp.io",
    plural="partitions",
    singular="partition",
    kind="Partition",
    versions=(
        KcpVersion(
            name="v1alpha1",
            description="Partition chooses a set of shards.",
            spec=structure({"selector": LABEL_SELECTOR}),
            columns=(AGE,),
        ),
    ),
)
