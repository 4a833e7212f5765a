"""Who changes the status of a LogicalCluster through a view: a type's controller its own entry, and nobody anything else."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.apiserver.admission.review import UPDATE, Review
from tenantry.apiserver.user import SYSTEM
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.status import StatusError
from tenantry.kube.types import config_map
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.workspaces.lifecycle_entry import LifecycleEntry, LifecycleScope
from tenantry.virtual.admission.logical_cluster_status import LogicalClusterStatusAdmission

LOGICAL_CLUSTERS = SystemDefinitions().get("core.kcp.io", "logicalclusters")
BEFORE = {"phase": "Initializing", "initializers": ["root:one", "root:two"]}


class ControllerScope(LifecycleScope):
    """The scope of a type's controller."""

    lifecycle_entry = LifecycleEntry("initializers", "initializer", "root:one")


CONTROLLER = ControllerScope()


def check(after: dict[str, Any], *, scope: Any = None, definition: ResourceDefinition = LOGICAL_CLUSTERS) -> None:
    LogicalClusterStatusAdmission().validate(
        Review(
            operation=UPDATE,
            scope=scope,
            definition=definition,
            version=definition.versions[definition.storage_version],
            cluster="root",
            namespace="",
            name="cluster",
            subresource="status",
            user=SYSTEM,
            object={"metadata": {"name": "cluster"}, "status": after},
            old_object={"metadata": {"name": "cluster"}, "status": BEFORE},
        )
    )


def test_what_changes_nothing_passes() -> None:
    check(BEFORE)
    check({**BEFORE, "terminators": []})
    check({"phase": "Ready"}, definition=config_map.DEFINITION)


def test_a_controller_removes_its_own_entry() -> None:
    check({**BEFORE, "initializers": ["root:two"]}, scope=CONTROLLER)


@pytest.mark.parametrize("after", [{**BEFORE, "initializers": ["root:one"]}, {**BEFORE, "initializers": []}, {"phase": "Ready"}])
def test_a_controller_removes_nothing_else(after: dict[str, Any]) -> None:
    with pytest.raises(StatusError, match='only removing the "root:one" initializer is supported') as refused:
        check(after, scope=CONTROLLER)
    assert refused.value.code == 422


def test_elsewhere_the_status_is_the_systems() -> None:
    with pytest.raises(StatusError, match="written by the system only") as refused:
        check({**BEFORE, "initializers": ["root:two"]})
    assert refused.value.code == 422
