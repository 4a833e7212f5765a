"""What the writes in progress will add to each logical cluster. Without it, many writes at once could exceed a limit together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tenantry.storage.transaction import PendingChange

Growth = Sequence[tuple[str, str, int, int]]
"""(cluster, resource, objects, bytes) of one write."""


class PendingGrowth:
    """Objects and bytes to be added, by cluster. A write that makes a cluster smaller counts only when it is done."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, int]] = {}
        self._bytes: dict[str, int] = {}

    def begin(self, places: Iterable[PendingChange]) -> Growth:
        """Starts to count a write. Returns the argument for `end`."""
        growth: list[tuple[str, str, int, int]] = []
        for place in places:
            change, current = place.change, place.current
            if change.value is None:
                continue
            objects, size = (1, len(change.value)) if current is None else (0, len(change.value) - len(current.value))
            if size <= 0 and not objects:
                continue
            cluster, resource, _, _ = change.key
            growth.append((cluster, resource, objects, size))
            counts = self._objects.get(cluster)
            if counts is None:
                counts = self._objects[cluster] = {}
                self._bytes[cluster] = 0
            counts[resource] = counts.get(resource, 0) + objects
            self._bytes[cluster] += size
        return growth

    def end(self, growth: Growth) -> None:
        """Stops counting a write, whether it succeeded or not."""
        for cluster, resource, objects, size in growth:
            counts = self._objects[cluster]
            counts[resource] -= objects
            self._bytes[cluster] -= size
            if not any(counts.values()) and not self._bytes[cluster]:
                del self._objects[cluster], self._bytes[cluster]

    def objects(self, cluster: str, *, without: str = "") -> int:
        """The number of objects to be added. `without`: a resource (`Key.resource`) that is not counted."""
        counts = self._objects.get(cluster)
        return sum(count for resource, count in counts.items() if resource != without) if counts else 0

    def size_bytes(self, cluster: str) -> int:
        return self._bytes.get(cluster, 0)
