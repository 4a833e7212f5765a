"""What the controller of a workspace type says in the status of a LogicalCluster: that it is done. Nothing else is written there
by anybody but the system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tenantry.kube.objects import Object


@dataclass(frozen=True, slots=True)
class Waited:
    """One entry of a list of who is waited for. `field` is the list in the status, `word` what an entry of it is called."""

    field: str
    word: str
    identifier: str

    def is_removed(self, before: Object, after: Object) -> bool:
        """Whether a status differs from what it was in that this entry is gone, and in nothing else."""
        had: list[Any] = before.get(self.field) or []
        rest = [each for each in had if each != self.identifier]
        return len(rest) < len(had) and meaning(after) == meaning({**before, self.field: rest})


class ReportScope:
    """A scope in which `waited` may be taken out of the status of the LogicalClusters that it shows."""

    waited: Waited


def meaning(status: Object) -> Object:
    """A status without the fields that are empty: it says the same."""
    return {name: value for name, value in status.items() if value not in (None, "", [], {})}
