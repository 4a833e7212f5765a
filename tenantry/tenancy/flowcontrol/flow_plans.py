"""The plans of logical clusters: their FlowSchemas and levels, compiled when a request needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import orjson

from tenantry.base.cache import Cache
from tenantry.kube.decode import NOT_OF_ITS_TYPE
from tenantry.kube.flowcontrol.plan import USERS_BYTES_MAX, Plan, compile_plan, standard_plan
from tenantry.kube.objects import Object
from tenantry.storage.cell import Cell
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent
from tenantry.tenancy.admission.total_sizes import FLOW_CONTROL
from tenantry.tenancy.local_ranges import LocalRanges
from tenantry.tenancy.resources import FLOW_SCHEMAS, PRIORITY_LEVELS

_BYTES_MAX = 16 << 20
_READ_BYTES_MAX = 2 * FLOW_CONTROL.bytes_max
"""A plan is made of so many bytes at most. Only objects of a custom type, from before the types were built in, can be more."""
_PLAN_TO_JSON = 13
"""How much memory a plan takes for each byte of its objects, at most, measured. What it remembers of users comes on top."""


class FlowPlans:
    """`apiserver.flow_control.Plans` of a shard. `seats`: how many requests of one tenant may be in progress.

    `changed` is called with a cluster whose plan has changed; `dropped` with a plan that is not used any more.
    """

    def __init__(self, *, cell: Cell, seats: int) -> None:
        self.standard = standard_plan(seats)
        self.changed: Callable[[str], None] = lambda cluster: None
        self.dropped: Callable[[Plan], None] = lambda plan: None
        self._cell = cell
        self._seats = seats
        self.own: set[str] = set()
        self._plans: Cache[str, tuple[Plan, int]] = Cache(
            "flow_plans", bytes_max=_BYTES_MAX, size=lambda kept: kept[1], keeps_large=True
        )

    def follow(self, local_ranges: LocalRanges) -> Callable[[], None]:
        """Follows the objects of the shard's ranges. Returns a function that ends this."""
        return local_ranges.follow(self._acquired)

    def of(self, cluster: str) -> Plan:
        if cluster not in self.own:
            return self.standard
        kept = self._plans.get(cluster)
        if kept is None:
            range_ = self._cell.owned(cluster)
            if range_ is None:
                return self.standard
            size = 0
            found: dict[str, list[tuple[str, str, Object]]] = {}
            for resource in (FLOW_SCHEMAS, PRIORITY_LEVELS):
                specs = found[resource] = []
                for record in range_.each(resource, cluster):
                    size += len(record.value)
                    if size > _READ_BYTES_MAX:
                        break
                    specs.append((record.key.name, record.head.uid, orjson.loads(record.value).get("spec") or {}))
            try:
                plan = compile_plan(found[FLOW_SCHEMAS], found[PRIORITY_LEVELS], self._seats)
            except NOT_OF_ITS_TYPE:
                # Objects of a custom type, from before the types were built in. Nothing of them is in effect.
                plan = standard_plan(self._seats)
            kept = plan, size * _PLAN_TO_JSON + USERS_BYTES_MAX
            self._plans.put(cluster, kept)
        return kept[0]

    def _acquired(self, range_: Range) -> Callable[[], None]:
        for resource in (FLOW_SCHEMAS, PRIORITY_LEVELS):
            self.own.update(range_.clusters(resource))
        stops = [range_.subscribe(partial(self._events, range_), resource) for resource in (FLOW_SCHEMAS, PRIORITY_LEVELS)]

        def released() -> None:
            for stop in stops:
                stop()
            for cluster in [cluster for cluster in self.own if cluster in range_]:
                self.own.discard(cluster)
                self._drop(cluster)

        return released

    def _events(self, range_: Range, events: Sequence[RecordEvent]) -> None:
        for cluster in {event.key.cluster for event in events}:
            if range_.has_any(FLOW_SCHEMAS, cluster) or range_.has_any(PRIORITY_LEVELS, cluster):
                self.own.add(cluster)
            else:
                self.own.discard(cluster)
            self._drop(cluster)
            self.changed(cluster)

    def _drop(self, cluster: str) -> None:
        kept = self._plans.pop(cluster)
        if kept is not None:
            self.dropped(kept[0])
