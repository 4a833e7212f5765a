"""ClusterRoles with an aggregationRule hold the rules of all roles that it selects (upstream's aggregation controller)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import orjson

from tenantry.apiserver import objects
from tenantry.kube.objects import Object
from tenantry.kube.rbac.aggregation import aggregated_rules, is_aggregated, selectors_of
from tenantry.kube.types.rbac import CLUSTER_ROLES as DEFINITION
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent
from tenantry.tenancy.reconcile import Controller
from tenantry.tenancy.resources import CLUSTER_ROLES

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

_MARK = b'"aggregationRule":{'


class ClusterRoleAggregation(Controller):
    name = "cluster-role-aggregation"

    def __init__(self, host: Host) -> None:
        self._host = host

    @property
    def resources(self) -> Sequence[str] | None:
        return (CLUSTER_ROLES,)

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        labels = [state.head.labels for state in (event.record, event.previous) if state is not None and state.head.labels]
        own = event.record is not None and _MARK in event.record.value
        if not self._host.cell.owns(event.key.cluster):
            return ()
        keys = [event.key] if own else []
        if labels:
            held = self._host.cell.range_of(event.key.cluster)
            for record in held.list(CLUSTER_ROLES, event.key.cluster):
                if record.key != event.key and _MARK in record.value:
                    collecting = selectors_of(orjson.loads(record.value))
                    if any(selector.matches(each) for selector in collecting for each in labels):
                        keys.append(record.key)
        return keys

    def initial_keys(self, held: Range) -> Iterable[Key]:
        return (record.key for record in held.list(CLUSTER_ROLES) if _MARK in record.value)

    async def reconcile(self, held: Range, key: Key) -> None:
        record = held.get(key)
        if record is None or record.head.deleting:
            return
        role = orjson.loads(record.value)
        if not is_aggregated(role):
            return
        # The labels are at hand, so that only what is collected is decoded.
        collecting = selectors_of(role)
        parts = [
            each
            for each in held.list(CLUSTER_ROLES, key.cluster)
            if each.key != key and any(selector.matches(each.head.labels) for selector in collecting)
        ]
        wanted = aggregated_rules(role, [orjson.loads(part.value) for part in parts])

        def aggregated(obj: Object) -> Object | None:
            if (obj.get("rules") or []) == wanted:
                return None
            obj["rules"] = wanted
            return obj

        await objects.update(self._host.scope(key.cluster), DEFINITION, "", key.name, aggregated)
