"""ClusterRoles with an aggregationRule hold the rules of all roles that it selects (upstream's aggregation controller)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from tenantry.apiserver import objects
from tenantry.kube.objects import Object
from tenantry.kube.selectors import labels as label_selectors
from tenantry.kube.types.rbac import CLUSTER_ROLES as DEFINITION
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.authorization.policies import CLUSTER_ROLES
from tenantry.tenancy.reconcile import Controller

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
        labelled = any(state is not None and state.head.labels for state in (event.record, event.previous))
        own = event.record is not None and _MARK in event.record.value
        if not (labelled or own) or not self._host.cell.owns(event.key.cluster):
            return ()
        held = self._host.cell.range_of(event.key.cluster)
        return [record.key for record in held.list(CLUSTER_ROLES, event.key.cluster) if _MARK in record.value]

    def initial_keys(self, held: Range) -> Iterable[Key]:
        return (record.key for record in held.list(CLUSTER_ROLES) if _MARK in record.value)

    async def reconcile(self, held: Range, key: Key) -> None:
        record = held.get(key)
        if record is None or record.head.deleting:
            return
        rule = orjson.loads(record.value).get("aggregationRule")
        if not rule:
            return
        wanted = _union(rule, held.list(CLUSTER_ROLES, key.cluster), key.name)

        def aggregated(obj: Object) -> Object | None:
            if (obj.get("rules") or []) == wanted:
                return None
            obj["rules"] = wanted
            return obj

        await objects.update(self._host.scope(key.cluster), DEFINITION, "", key.name, aggregated)


def _union(rule: Object, roles: Sequence[Record], own_name: str) -> list[dict[str, Any]]:
    """The rules of the selected roles, selector after selector and in the order of names, each once."""
    found: list[dict[str, Any]] = []
    for selector_object in rule.get("clusterRoleSelectors") or ():
        selector = label_selectors.from_object(selector_object)
        for record in roles:
            if record.key.name == own_name or not selector.matches(record.head.labels):
                continue
            for each in orjson.loads(record.value).get("rules") or ():
                if each not in found:
                    found.append(each)
    return found
