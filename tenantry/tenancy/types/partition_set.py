"""topology.kcp.io PartitionSet: one Partition for each combination of values of some labels."""

from __future__ import annotations

from tenantry.tenancy.types.kcp_type import (
    AGE,
    CONDITIONS,
    KcpType,
    KcpVersion,
    array,
    integer,
    mapping,
    rule,
    string,
    structure,
)

_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"

_SELECTOR = structure(
    {
        "matchExpressions": array(
            structure(
                {
                    "key": string(max_length=316),
                    "operator": string(enum=["In", "NotIn", "Exists", "DoesNotExist"]),
                    "values": array(string(max_length=63), max_items=10),
                },
                "key",
                "operator",
            ),
            max_items=10,
        ),
        "matchLabels": mapping(string(max_length=63), max_properties=10)
        | {
            "x-kubernetes-validations": [
                rule("self.all(key, size(key) > 0 && size(key) <= 317)", "keys must be label keys"),
                rule(f"self.all(key, self[key].matches('{_VALUE}'))", "values must be label values"),
            ]
        },
    }
)

PARTITION_SET = KcpType(
    group="topology.kcp.io",
    plural="partitionsets",
    singular="partitionset",
    kind="PartitionSet",
    versions=(
        KcpVersion(
            name="v1alpha1",
            description="PartitionSet makes one Partition for each combination of values of its dimensions.",
            spec=structure({"dimensions": array(string()), "shardSelector": _SELECTOR}),
            status=structure({"conditions": CONDITIONS, "count": integer()}),
            columns=(("Count", "integer", ".status.count"), AGE),
        ),
    ),
)
