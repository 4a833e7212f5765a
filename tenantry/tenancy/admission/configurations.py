"""Where the configurations are that are in effect for a write: webhook configurations, admission policies, and their bindings.

They are those of the logical cluster. For objects of a bound API they are those of its provider, in place of the consumer's
(kcp's apis.kcp.io/MutatingWebhook and its like). A provider on another shard has copies in the catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tenantry.kube.decode import of_its_type
from tenantry.kube.types import BUILTINS
from tenantry.placement.catalog import Catalog
from tenantry.storage.cell import Cell
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent
from tenantry.tenancy.local_ranges import LocalRanges

_TYPES = {definition.storage_key: definition for definition in BUILTINS if definition.group == "admissionregistration.k8s.io"}


def readable(resource: str, objects: Sequence[tuple[str, bytes]]) -> Sequence[tuple[str, bytes]]:
    """The objects of a list that are of their type."""
    return [(name, raw) for name, raw in objects if of_its_type(raw, _TYPES[resource]) is not None]


class AdmissionConfigurations:
    """Resources are named as in the catalog and in storage keys, which are the same for these types."""

    def __init__(self, *, cell: Cell, catalog: Catalog, local_ranges: LocalRanges) -> None:
        self._cell = cell
        self._catalog = catalog
        self._local_ranges = local_ranges

    def has_any(self, resource: str, cluster: str) -> bool:
        """Whether a cluster has objects of a resource; one look-up."""
        range_ = self._cell.owned(cluster)
        return range_.has_any(resource, cluster) if range_ is not None else self._catalog.has_any(resource, cluster)

    def having(self, resources: Sequence[str], cluster: str) -> tuple[str, ...]:
        """Finds the resources of which a cluster has objects, in the order in which they are given: in most clusters none."""
        range_ = self._cell.owned(cluster)
        if range_ is not None:
            return range_.having(resources, cluster)
        return tuple(each for each in resources if self._catalog.has_any(each, cluster))

    def list(self, resource: str, cluster: str) -> Sequence[tuple[str, bytes]]:
        """(name, object as JSON) of each, in the order of their names."""
        range_ = self._cell.owned(cluster)
        if range_ is not None:
            return [(record.key.name, record.value) for record in range_.list(resource, cluster)]
        return sorted((name, entry.raw) for name, entry in self._catalog.entries(resource, cluster))

    def follow(self, resources: Sequence[str], changed: Callable[[str], None]) -> None:
        """Calls `changed` with each cluster whose objects may be other ones than before."""

        def local(events: Sequence[RecordEvent]) -> None:
            for event in events:
                changed(event.key.cluster)

        def acquired(range_: Range) -> Callable[[], None]:
            stops = [range_.subscribe(local, resource) for resource in resources]
            for resource in resources:
                for cluster in range_.clusters(resource):
                    changed(cluster)

            def released() -> None:
                for stop in stops:
                    stop()
                for resource in resources:
                    for cluster in range_.clusters(resource):
                        changed(cluster)

            return released

        self._local_ranges.follow(acquired)
        for resource in resources:
            self._catalog.subscribe(resource, lambda resource, cluster, name, obj: changed(cluster))
