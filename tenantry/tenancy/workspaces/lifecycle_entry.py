"""How the controller of a workspace type reports that it is done: it removes its entry from the status of a LogicalCluster.

Only the system writes anything else in that status (kcp).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tenantry.kube.objects import Object


@dataclass(frozen=True, slots=True)
class LifecycleEntry:
    """One initializer or terminator for which a LogicalCluster waits.

    `field` is the list in the status (`initializers` or `terminators`), `singular` the name of one entry in messages, and
    `identifier` the entry itself: `<cluster id of the type>:<type>`.
    """

    field: str
    singular: str
    identifier: str

    def is_removed(self, before: Object, after: Object) -> bool:
        """Whether the status `after` is the status `before` without this entry, with no other difference."""
        had: list[Any] = before.get(self.field) or []
        rest = [each for each in had if each != self.identifier]
        return len(rest) < len(had) and without_empty_fields(after) == without_empty_fields({**before, self.field: rest})


class LifecycleScope:
    """A scope in which callers may remove `lifecycle_entry` from the status of the LogicalClusters that the scope shows."""

    lifecycle_entry: LifecycleEntry


def without_empty_fields(status: Object) -> Object:
    """The status without its empty fields. Two statuses that differ only in empty fields mean the same."""
    return {name: value for name, value in status.items() if value not in (None, "", [], {})}
