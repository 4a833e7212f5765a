"""What the writes under way will add to the logical clusters, so that many at once do not pass a limit that each alone keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tenantry.storage.transaction import Place

Growth = Sequence[tuple[str, str, int, int]]
"""(cluster, resource, objects, bytes) of one write."""


class PendingGrowth:
    """Objects and bytes by cluster. What becomes less counts once it has."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, int]] = {}
        self._bytes: dict[str, int] = {}

    def begin(self, places: Iterable[Place]) -> Growth:
        """Counts a write from now on; what `end` is to be given."""
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
        """The write is over, however it ended."""
        for cluster, resource, objects, size in growth:
            counts = self._objects[cluster]
            counts[resource] -= objects
            self._bytes[cluster] -= size
            if not any(counts.values()) and not self._bytes[cluster]:
                del self._objects[cluster], self._bytes[cluster]

    def objects(self, cluster: str, *, without: str = "") -> int:
        """New objects of all resources but one (`Key.resource`)."""
        counts = self._objects.get(cluster)
        return sum(count for resource, count in counts.items() if resource != without) if counts else 0

    def size_bytes(self, cluster: str) -> int:
        return self._bytes.get(cluster, 0)
