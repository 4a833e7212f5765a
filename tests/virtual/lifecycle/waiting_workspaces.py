"""Workspaces that wait for an initializer or a terminator, and who may follow them."""

from __future__ import annotations

from typing import Any

from tenantry.virtual.lifecycle.initializing_workspaces import InitializingWorkspaces
from tenantry.virtual.lifecycle.lifecycle_view import lifecycle_label
from tenantry.virtual.lifecycle.terminating_workspaces import TerminatingWorkspaces
from tests.support.people import person
from tests.support.tenancies import ServedShard

HOME = "rtypes0000000000"
ID = f"{HOME}:special"
NEW = "rnew000000000000"
BUILDER = person("builder")
OWNER = {"username": "olivia", "groups": ["system:authenticated"]}


def base(cluster: str = "*", view: str = "initializingworkspaces", identifier: str = ID) -> str:
    return f"/ranges/root/services/{view}/{identifier}/clusters/{cluster}"


async def types(shard: ServedShard, verb: str = "initialize", **spec: Any) -> None:
    await shard.cluster(HOME, "root:types")
    await shard.put(HOME, "tenancy.kcp.io", "workspacetypes", {"metadata": {"name": "special"}, "spec": spec})
    rule = {"apiGroups": ["tenancy.kcp.io"], "resources": ["workspacetypes"], "resourceNames": ["special"], "verbs": [verb]}
    await shard.role(HOME, "builder", rule)
    await shard.bind_role(HOME, "builder", "builder", BUILDER.name)


async def initializing(shard: ServedShard, *initializers: str) -> None:
    """A workspace that waits for the initializers; olivia owns it."""
    ids = list(initializers or (ID,))
    labels = {"tenancy.kcp.io/phase": "Initializing"}
    labels.update(lifecycle_label(InitializingWorkspaces.label_prefix, each) for each in ids)
    await shard.cluster(
        NEW,
        owner="olivia",
        metadata={"labels": labels},
        spec={"createdBy": OWNER, "initializers": ids},
        status={"phase": "Initializing", "initializers": ids},
    )


async def terminating(shard: ServedShard) -> None:
    labels = dict([lifecycle_label(TerminatingWorkspaces.label_prefix, ID)])
    await shard.cluster(
        NEW,
        owner="olivia",
        metadata={"labels": labels, "finalizers": ["kcp.io/has-terminators"]},
        spec={"createdBy": OWNER, "terminators": [ID]},
        status={"phase": "Ready", "terminators": [ID]},
    )
