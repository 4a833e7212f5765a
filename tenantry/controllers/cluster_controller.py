"""Controllers whose keys are logical clusters."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.controllers.controller import Controller
from tenantry.storage.keys import Key


class ClusterController(Controller[str]):
    """Base class of controllers that reconcile a whole logical cluster. Their keys are ids of clusters."""

    def cluster_of(self, key: str) -> str:
        return key

    def fallback_keys(self, key: Key) -> Iterable[str]:
        return (key.cluster,)
