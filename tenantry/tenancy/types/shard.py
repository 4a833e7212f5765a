"""core.kcp.io Shard: in tenantry, a range and its URLs."""

from __future__ import annotations

from tenantry.kube.objects import Object
from tenantry.tenancy.types.kcp_type import AGE, CONDITIONS, KcpType, KcpVersion, mapping, string, structure

UNSCHEDULABLE_ANNOTATION = "experimental.core.kcp.io/unschedulable"
"""A Shard with this annotation gets no new workspaces."""

_NUMBER = r"([0-9]+(\.[0-9]*)?)|(\.[0-9]+)"
_QUANTITY: Object = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
    "pattern": rf"^(\+|-)?({_NUMBER})(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?({_NUMBER})))?$",
}

SHARD = KcpType(
    group="core.kcp.io",
    plural="shards",
    singular="shard",
    kind="Shard",
    versions=(
        KcpVersion(
            name="v1alpha1",
            description="Shard is a place where logical clusters live; in tenantry a range of them.",
            spec=structure(
                {
                    "baseURL": string(format="uri", min_length=1, description="Where the logical clusters are served."),
                    "externalURL": string(format="uri", description="What clients see; default: baseURL."),
                    "virtualWorkspaceURL": string(format="uri", description="Base of the virtual workspaces; default: baseURL."),
                },
                "baseURL",
            ),
            status=structure({"capacity": mapping(_QUANTITY), "conditions": CONDITIONS}),
            columns=(
                ("Region", "string", ".metadata.labels['region']"),
                ("URL", "string", ".spec.baseURL"),
                ("External URL", "string", ".spec.externalURL"),
                AGE,
            ),
        ),
    ),
)
