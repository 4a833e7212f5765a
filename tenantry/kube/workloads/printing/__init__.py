"""The cells that `kubectl get` shows of workload types (k8s.io/kubernetes/pkg/printers/internalversion)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenantry.kube.workloads.printing import configuration, controllers, networking, nodes_and_volumes, pods
from tenantry.kube.workloads.printing.cells import Cell

CELLS: Mapping[str, Sequence[Cell]] = {
    **pods.CELLS,
    **controllers.CELLS,
    **networking.CELLS,
    **nodes_and_volumes.CELLS,
    **configuration.CELLS,
}
"""Kind → the functions of its columns, in the order of the columns."""
