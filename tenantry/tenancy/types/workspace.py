"""tenancy.kcp.io Workspace: the object in a parent that owns a logical cluster."""

from __future__ import annotations

from tenantry.kube.definition import Strategy
from tenantry.kube.names import dns1123_label_errors
from tenantry.kube.objects import Object
from tenantry.tenancy.types.kcp_type import (
    CONDITIONS,
    LABEL_SELECTOR,
    PATH_PATTERN,
    KcpType,
    KcpVersion,
    rule,
    string,
    structure,
)
from tenantry.tenancy.types.phase_fields import INITIALIZERS, PHASE, SCHEDULING, TERMINATORS
from tenantry.tenancy.types.strategy import TypeStrategy

CLUSTER_ANNOTATION = "internal.tenancy.kcp.io/cluster"
"""The id that was chosen for the Workspace's cluster. spec.cluster is set when the cluster exists. Only the system sets it."""
TYPE_NAME_PATTERN = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?"

TYPE_REFERENCE: Object = structure(
    {
        "name": string(pattern=TYPE_NAME_PATTERN, description="The name of the WorkspaceType."),
        "path": string(pattern=PATH_PATTERN, description="The path of the workspace that holds it."),
    },
    "name",
)

_MOUNT = structure(
    {
        "ref": structure(
            {
                "apiVersion": string(),
                "kind": string(min_length=1),
                "name": string(min_length=1),
                "namespace": string(),
            },
            "apiVersion",
            "kind",
            "name",
        )
    },
    "ref",
    rules=(rule("self == oldSelf", "mount is immutable"),),
)


class WorkspaceStrategy(TypeStrategy):
    """A new Workspace has a spec, and phase Scheduling."""

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return dns1123_label_errors(name, prefix=prefix)

    def prepare_for_create(self, obj: Object) -> None:
        super().prepare_for_create(obj)
        obj.setdefault("spec", {})
        obj["status"] = {"phase": SCHEDULING}


def _strategy(inner: Strategy) -> Strategy:
    return WorkspaceStrategy(inner)


WORKSPACE = KcpType(
    group="tenancy.kcp.io",
    plural="workspaces",
    singular="workspace",
    kind="Workspace",
    short_names=("ws",),
    strategy=_strategy,
    versions=(
        KcpVersion(
            name="v1alpha1",
            description="Workspace is a logical cluster with a name in its parent.",
            spec=structure(
                {
                    "URL": string(description="Where the workspace is served, by its path. Set by the system."),
                    "cluster": string(description="The id of its logical cluster. Set by the system.")
                    | {"x-kubernetes-validations": [rule("self == oldSelf", "cluster is immutable")]},
                    "location": structure({"selector": LABEL_SELECTOR}, description="Chooses among Shards by their labels."),
                    "mount": _MOUNT,
                    "type": TYPE_REFERENCE,
                },
                rules=(
                    rule("!has(oldSelf.URL) || has(self.URL)", "URL cannot be unset"),
                    rule("!has(oldSelf.cluster) || has(self.cluster)", "cluster cannot be unset"),
                ),
            )
            | {"default": {}},
            status=structure({"conditions": CONDITIONS, "initializers": INITIALIZERS, "phase": PHASE, "terminators": TERMINATORS})
            | {"default": {}},
            columns=(
                ("Type", "string", ".spec.type.name"),
                ("Region", "string", ".metadata.labels['region']"),
                ("Phase", "string", ".status.phase"),
                ("URL", "string", ".spec.URL"),
                ("Age", "date", ".metadata.creationTimestamp"),
            ),
        ),
    ),
)
