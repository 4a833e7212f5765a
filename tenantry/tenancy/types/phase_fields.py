"""The schemas of fields that both LogicalCluster and Workspace have, and the phases."""

from __future__ import annotations

from tenantry.kube.objects import Object
from tenantry.tenancy.types.kcp_type import array, string

SCHEDULING, INITIALIZING, READY = "Scheduling", "Initializing", "Ready"
UNAVAILABLE, INACTIVE, TERMINATING, DELETING = "Unavailable", "Inactive", "Terminating", "Deleting"

PHASE: Object = string(
    default=SCHEDULING,
    enum=[SCHEDULING, INITIALIZING, READY, UNAVAILABLE, INACTIVE, TERMINATING, DELETING],
    description="Where the logical cluster is in its life.",
)

_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
IDENTIFIER_PATTERN = rf"^({_NAME}(:{_NAME})*(:{_NAME}))|(system:.+)$"

INITIALIZERS: Object = array(
    string(pattern=IDENTIFIER_PATTERN),
    description="Who has to prepare the cluster before it is Ready: <cluster>:<type> or system:<name>.",
)
TERMINATORS: Object = array(
    string(pattern=IDENTIFIER_PATTERN),
    description="Who has to clean up before the contents are deleted: <cluster>:<type> or system:<name>.",
)
