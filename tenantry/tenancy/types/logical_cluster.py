"""core.kcp.io LogicalCluster: the object `cluster` in every logical cluster, which describes it."""

from __future__ import annotations

from tenantry.kube.definition import Strategy
from tenantry.kube.objects import Object
from tenantry.tenancy.types.kcp_type import AGE, CONDITIONS, KcpType, KcpVersion, array, boolean, mapping, rule, string, structure
from tenantry.tenancy.types.phase_fields import INITIALIZERS, PHASE, TERMINATORS
from tenantry.tenancy.types.strategy import TypeStrategy

NAME = "cluster"
"""The only name that a LogicalCluster may have."""

_OWNER = structure(
    {
        "apiVersion": string(pattern=r"^([^/]+/)?[^/]+$"),
        "cluster": string(min_length=1),
        "name": string(min_length=1),
        "namespace": string(),
        "resource": string(min_length=1),
        "uid": string(),
    },
    "apiVersion",
    "cluster",
    "name",
    "resource",
    "uid",
    description="The object that controls the life of the cluster, usually a Workspace.",
)

_CREATED_BY = structure(
    {"extra": mapping(array(string())), "groups": array(string()), "uid": string(), "username": string()},
    description="Who made the workspace.",
)


class LogicalClusterStrategy(TypeStrategy):
    """A deleted LogicalCluster is kept until the system removes it, in one transaction with its last contents and its
    Workspace. So it stays even without finalizers."""

    def begin_deletion(self, obj: Object) -> None:
        super().begin_deletion(obj)
        obj["metadata"]["deletionGracePeriodSeconds"] = 0

    def holds(self, obj: Object) -> bool:
        return True


def _strategy(inner: Strategy) -> Strategy:
    return LogicalClusterStrategy(inner)


LOGICAL_CLUSTER = KcpType(
    group="core.kcp.io",
    plural="logicalclusters",
    singular="logicalcluster",
    kind="LogicalCluster",
    strategy=_strategy,
    versions=(
        KcpVersion(
            name="v1alpha1",
            description="LogicalCluster describes the logical cluster that it is in.",
            spec=structure(
                {
                    "createdBy": _CREATED_BY,
                    "directlyDeletable": boolean(default=False, description="Whether users may delete it from inside."),
                    "initializers": INITIALIZERS,
                    "owner": _OWNER,
                    "terminators": TERMINATORS,
                }
            ),
            status=structure(
                {
                    "URL": string(),
                    "conditions": CONDITIONS,
                    "initializers": INITIALIZERS,
                    "phase": PHASE,
                    "terminators": TERMINATORS,
                }
            )
            | {"default": {}},
            rules=(rule(f"self.metadata.name == '{NAME}'", f"a logical cluster must be called {NAME}"),),
            columns=(("Phase", "string", ".status.phase"), ("URL", "string", ".status.URL"), AGE),
        ),
    ),
)
